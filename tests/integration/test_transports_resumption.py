"""
TLS sessions are resumed, on every link of a client after its first: data links of the
pool, and all of them after the links were lost. Seen from outside, on the wire.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.portforward import (
    ProxyClient,
    ProxyClientFactory,
    ProxyFactory,
    ProxyServer,
)
from twisted.python.failure import Failure

from tests.integration.streaming import StreamTestCase, port_of, until

_RECORD, _MESSAGE = 5, 4
_RANDOM = 34
"""The version and the random bytes."""
_CIPHER = 3
"""The cipher suite and the compression."""
_PRE_SHARED_KEY = 41
"""The extension that says that a session is resumed (RFC 8446, section 4.2.11)."""


def resumes(said: bytes) -> bool:
    """
    Whether a server's first words (its ServerHello, RFC 8446, section 4.1.3) resume a
    session.
    """
    assert (said[0], said[_RECORD]) == (22, 2), "no ServerHello"
    rest = said[_RECORD + _MESSAGE + _RANDOM :]
    rest = rest[1 + rest[0] + _CIPHER :]
    extensions, rest = rest[2 : 2 + int.from_bytes(rest[:2], "big")], b""
    found = set()
    while extensions:
        kind, size = (int.from_bytes(extensions[at : at + 2], "big") for at in (0, 2))
        found.add(kind)
        extensions = extensions[4 + size :]
    return _PRE_SHARED_KEY in found


class Listening(ProxyClient):
    """
    The relay's connection to the server: it hears the server's first words.
    """

    factory: Any

    def connectionMade(self) -> None:
        self.said = b""
        self.factory.relay.connections.append(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if len(self.said) < 1024:
            self.said += data
        super().dataReceived(data)


class ListeningFactory(ProxyClientFactory):
    protocol = Listening
    noisy = False

    def __init__(self, relay: ListeningRelay) -> None:
        self.relay = relay


class Accepted(ProxyServer):
    """
    The client's connection to the relay.
    """

    factory: Any
    peer: Any

    def clientProtocolFactory(  # type: ignore[override]  # a class, called the same
        self,
    ) -> ProxyClientFactory:
        return ListeningFactory(self.factory)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        Protocol.connectionLost(self, reason)
        if self.peer is not None:
            self.peer.transport.loseConnection()
            self.peer = None


class ListeningRelay(ProxyFactory):
    """
    Forwards connections to a server, and hears it.

    @ivar connections: all that there were, in their order.
    """

    protocol = Accepted
    noisy = False

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.connections: list[Any] = []

    def resumed(self) -> list[bool]:
        """
        Of each connection, whether it resumed a session.
        """
        return [resumes(connection.said) for connection in self.connections]

    def cut(self) -> None:
        """
        Abort every connection.
        """
        for connection in self.connections:
            connection.transport.abortConnection()


class TLSTests(StreamTestCase):
    scheme = "tls"
    pool_size = 4
    relay: ListeningRelay

    async def reached_at(self, port: int) -> int:
        self.relay = ListeningRelay(port)
        endpoint = TCP4ServerEndpoint(reactor, 0, 50, "127.0.0.1")
        listening = await endpoint.listen(self.relay)
        self.addCleanup(listening.stopListening)
        return port_of(listening.getHost())

    def idle(self) -> int:
        """
        How many data links the server has ready.
        """
        sessions: list[Any] = list(self.server.sessions)
        return sum(len(session.links) for session in sessions)

    async def test_pool_and_reconnecting(self) -> None:
        await self.start()
        await self.client.when_connected()
        await until(lambda: self.idle() == self.pool_size)
        self.assertEqual([False, *[True] * self.pool_size], self.relay.resumed())

        known = len(self.relay.connections)
        self.relay.cut()
        await until(lambda: self.idle() == 0)
        await until(lambda: self.idle() == self.pool_size)
        later = self.relay.resumed()[known:]
        self.assertGreater(len(later), self.pool_size)
        self.assertEqual([True] * len(later), later)


class WSSTests(TLSTests):
    scheme = "wss"
