"""
The target that speaks WebSocket: the opening, and frames.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from reitunnel.errors import TransportError
from reitunnel.transports.websocket_channel import LinkChannel
from reitunnel.transports.websocket_client import LinkClientFactory
from reitunnel.transports.websocket_server import LinkServerFactory
from tests.fuzz.network import faults_raised
from tests.transports.support import RecorderFactory, Wire
from tests.transports.websocket_support import REQUEST, URL

_CLIENT: Final = 0x80
"""The bit of the first byte that has a client fuzzed, and not a server."""
_OPEN: Final = 0x40
"""The bit that has the opening done before."""
_TIMEOUT: Final = 10.0
_ANSWER: Final = 300
"""More than the longest answer to one frame, a pong or a close, in bytes."""


def fuzz_websocket(data: bytes) -> None:
    """
    The first byte says which side is fuzzed, whether the opening is done before, and
    in which pieces the rest is read.
    """
    how, data = data[0] if data else 0, data[1:]
    size = (how & 0x3F) ** 2 + 1
    clock = Clock()
    recorders = RecorderFactory()
    channel = _channel(recorders, clock, client=bool(how & _CLIENT))
    outcome: list[object] = []
    with faults_raised():
        channel.ready.addBoth(outcome.append)
        end = _open(channel, clock) if how & _OPEN else StringTransport()
        if not how & _OPEN:
            channel.makeConnection(end)
        end.clear()
        for start in range(0, len(data), size):
            if end.disconnecting or end.disconnected:
                break
            channel.dataReceived(data[start : start + size])
        written = len(end.value())
        clock.advance(3 * _TIMEOUT)
        channel.connectionLost(Failure(ConnectionDone()))
        clock.advance(3 * _TIMEOUT)
    assert not clock.getDelayedCalls()
    # Bytes of the link are never more than what carried them.
    assert sum(len(recorder.received) for recorder in recorders.built) <= len(data)
    assert written <= (len(data) // 2 + 2) * _ANSWER
    for result in outcome:
        if isinstance(result, Failure):
            assert result.check(TransportError), result.getTraceback()


def _channel(recorders: RecorderFactory, clock: Clock, *, client: bool) -> LinkChannel:
    address = StringTransport().getPeer()
    if client:
        return LinkClientFactory(recorders, clock, _TIMEOUT, URL).buildProtocol(address)
    factory = LinkServerFactory(recorders, clock, _TIMEOUT, URL.path)
    return factory.buildProtocol(address)


def _open(channel: LinkChannel, clock: Clock) -> StringTransport:
    """
    Shake hands with an honest peer.
    """
    others = RecorderFactory()
    if channel.masks:
        server = LinkServerFactory(others, clock, _TIMEOUT, URL.path)
        other: LinkChannel = server.buildProtocol(StringTransport().getPeer())
        wire = Wire(other, channel)
        wire.pump()
        return wire.ends[1]
    end = StringTransport()
    channel.makeConnection(end)
    channel.dataReceived(REQUEST)
    return end
