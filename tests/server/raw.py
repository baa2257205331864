"""
A client made by hand, which says what it likes.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from reitunnel import Code
from reitunnel.auth.exchange import ANONYMOUS
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import (
    Challenge,
    Ended,
    Hello,
    Response,
    TunnelOpen,
    Welcome,
    known_code,
)
from tests.memory import MemoryReactor
from tests.pair import LINK_PORT
from tests.wire.link import HandMadeLink


class RawClient(HandMadeLink):
    """
    Lets everything follow that does when it has sent something.
    """

    overlooked = (FrameKind.PING, FrameKind.PONG, FrameKind.ACK)

    def send(
        self, kind: FrameKind, payload: bytes | Struct = b"", stream: int = 0
    ) -> None:
        """
        Send a frame.
        """
        super().send(kind, payload, stream)
        self.reactor.settle()

    def write(self, data: bytes) -> None:
        """
        Send bytes, and let everything follow that does.
        """
        self.transport.write(data)
        self.reactor.settle()

    def hello(
        self,
        instance: str = "raw",
        versions: tuple[int, ...] = (1,),
        capabilities: tuple[str, ...] = (),
    ) -> None:
        """
        Send C{HELLO}.
        """
        hello = Hello(
            versions=list(versions),
            instance=instance,
            capabilities=list(capabilities),
        )
        self.send(FrameKind.HELLO, hello)

    def respond(self, mechanism: str = ANONYMOUS, data: bytes = b"") -> None:
        """
        Send C{RESPONSE}.
        """
        self.send(FrameKind.RESPONSE, Response(mechanism, data))

    def log_in(
        self, instance: str = "raw", capabilities: tuple[str, ...] = ()
    ) -> Welcome:
        """
        Come in, without credentials.
        """
        self.hello(instance, capabilities=capabilities)
        self.take(FrameKind.CHALLENGE, Challenge)
        self.respond()
        return self.take(FrameKind.WELCOME, Welcome)

    def ask(self, number: int = 1, port: int = 0, **fields: Any) -> None:
        """
        Send C{TUNNEL_OPEN}.
        """
        asked: dict[str, Any] = {"type": "tcp", **fields}
        self.send(FrameKind.TUNNEL_OPEN, TunnelOpen(tunnel=number, port=port, **asked))

    def refused(self) -> tuple[Code, str]:
        """
        Take C{REFUSED}, after which the link is closed.
        """
        ended = self.take(FrameKind.REFUSED, Ended)
        assert self.lost is not None
        return known_code(ended.code), ended.reason


class _Once(ClientFactory):
    noisy = False

    def __init__(self, client: RawClient) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> RawClient:
        return self._client

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._client.lost = reason


def raw_client(reactor: MemoryReactor, source: str = "127.0.0.1") -> RawClient:
    """
    Connect a client.

    @param source: the address that it comes from.
    """
    client = RawClient(reactor)
    reactor.connectTCP("127.0.0.1", LINK_PORT, _Once(client), bindAddress=(source, 0))
    reactor.settle()
    return client
