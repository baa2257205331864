"""
The session: data through both sides, credit and all, back to back.
"""

from __future__ import annotations

from benchmarks.micro.cases import Case, Cases, repeat
from reitunnel.wire.events import DataReceived
from tests.wire.peers import Peers

_CHUNK = bytes(64 << 10)
_WORD = bytes(64)
_MANY = 100


def _through(data: bytes, streams: int) -> Case:
    """
    Send from the server, receive and consume on the client, and give back credit.
    """
    peers = Peers()
    peers.open_tunnel()
    senders = [peers.open_stream()[1] for _ in range(streams)]
    client, server = peers.client, peers.server

    def once() -> None:
        for stream in senders:
            server.session.send(stream, data)
        while pieces := server.session.data_to_send(len(_CHUNK)):
            client.hear(b"".join(pieces))
            for event in client.events():
                if isinstance(event, DataReceived):
                    client.session.consumed(event.stream, len(event.data))
            if client.session.wants_to_send:
                server.hear(b"".join(client.session.data_to_send(0)))

    return repeat(once, streams)


def cases() -> Cases:
    """
    Give the cases.
    """
    return {
        "64 KiB through both sides": _through(_CHUNK, 1),
        "64 B through both sides": _through(_WORD, 1),
        f"64 B of each of {_MANY} streams": _through(_WORD, _MANY),
    }
