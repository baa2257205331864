"""
The example of docs/protocol.md: one session from the first frame to the last, as the
code speaks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from reitunnel.auth.scram import NO_BINDING, ClientFirst, ServerFirst, Verifier
from reitunnel.auth.tokens import Token
from reitunnel.errors import Code
from reitunnel.wire.frames import HEADER_SIZE, FrameReader
from reitunnel.wire.handshake import ClientHandshake, ServerHandshake
from reitunnel.wire.messages import Challenge, Hello, Response, TunnelOpen, Welcome
from reitunnel.wire.session import Session
from tests.wire.kinds import MESSAGES
from tests.wire.peers import Peers

TOKEN: Final = Token.parse(
    "rt1_laptop_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp7fhcg"
)
CLIENT_NONCE: Final = "fyko+d2lbbFgONRv9qkxdawL"
SERVER_NONCE: Final = "3rfcNHYJY1ZVvWVs7jqqpTnF"
SALT: Final = b"sixteen of salt."
VERIFIER: Final = Verifier.derive(TOKEN.secret, SALT, 4096)

_WIDTH: Final = 32


class Speech(NamedTuple):
    """
    What one side sends at one time: one frame or more.
    """

    by_client: bool
    data: bytes


def conversation() -> list[Speech]:
    """
    The whole session, in the order in which it is sent.
    """
    return [*_handshake(), *_session()]


def _handshake() -> Iterator[Speech]:
    client, server = ClientHandshake(), ServerHandshake()

    def from_client(data: bytes) -> Speech:
        for frame in FrameReader().feed(data):
            server.receive(frame)
        return Speech(True, data)

    def from_server(data: bytes) -> Speech:
        for frame in FrameReader().feed(data):
            client.receive(frame)
        return Speech(False, data)

    yield from_client(client.hello(Hello([1], "laptop", software="example")))
    yield from_server(server.challenge(Challenge(["SCRAM-SHA-256"])))
    first = ClientFirst(TOKEN.name, TOKEN.secret, NO_BINDING, CLIENT_NONCE)
    yield from_client(client.respond(Response("SCRAM-SHA-256", first.message)))
    accepted = ServerFirst.read(
        first.message, [NO_BINDING], lambda name: VERIFIER, SERVER_NONCE
    )
    yield from_server(server.challenge(Challenge(data=accepted.message)))
    final = first.answer(accepted.message)
    yield from_client(client.respond(Response(data=final.message)))
    welcome = Welcome(
        version=1,
        session=b"sixteen random B",
        secret=b"thirty-two random bytes, for now",
        identity="token:laptop",
        auth=accepted.answer(final.message),
        heartbeat=10.0,
        heartbeat_timeout=30.0,
        max_tunnels=1024,
        max_streams=16384,
        software="example",
    )
    yield from_server(server.welcome(welcome))


def _session() -> Iterator[Speech]:
    peers = Peers()
    client, server = peers.client.session, peers.server.session

    def says(session: Session) -> Speech:
        data = b"".join(session.data_to_send(1 << 20))
        (peers.server if session is client else peers.client).hear(data)
        return Speech(session is client, data)

    client.open_tunnel(TunnelOpen(1, "tcp", port=6000, target="localhost:8080"))
    yield says(client)
    server.accept_tunnel(1, "203.0.113.5", 6000)
    yield says(server)
    theirs = server.open_stream(1, "198.51.100.7", 51234)
    server.send(theirs, b"ping\n")
    yield says(server)
    mine = client.streams[theirs.number]
    client.accept_stream(mine)
    client.consumed(mine, 5)
    yield says(client)
    server.send_eof(theirs)
    yield says(server)
    client.send(mine, b"pong\n")
    client.finish(mine)
    yield says(client)
    server.consumed(theirs, 5)
    server.finish(theirs)
    yield says(server)
    client.ping(b"\0\0\0\0\0\0\0\1")
    yield says(client)
    yield says(server)
    server.goaway(Code.SHUTDOWN, "the server is stopping")
    yield says(server)


def render() -> str:
    """
    The session as docs/protocol.md shows it.
    """
    return "\n".join(
        "\n".join(_render_frame(speech.by_client, frame))
        for speech in conversation()
        for frame in split_frames(speech.data)
    )


def split_frames(data: bytes) -> Iterator[bytes]:
    """
    Cut bytes between frames.
    """
    for frame in FrameReader().feed(data):
        size = HEADER_SIZE + len(frame.payload)
        yield data[:size]
        data = data[size:]


def _render_frame(by_client: bool, data: bytes) -> Iterator[str]:
    (frame,) = FrameReader().feed(data)
    arrow = ">" if by_client else "<"
    stream = f" on stream {frame.stream}" if frame.stream else ""
    yield f"{arrow} {frame.kind.name}{stream}"
    if frame.kind in MESSAGES:
        for name, value in msgspec.msgpack.decode(frame.payload).items():
            yield f"{arrow}   {name}: {value!r}"
    yield " ".join(
        (data[:1].hex(), data[1:2].hex(), data[2:6].hex(), data[6:HEADER_SIZE].hex())
    )
    for start in range(HEADER_SIZE, len(data), _WIDTH):
        yield data[start : start + _WIDTH].hex(" ")
    yield ""
