"""
A client made by hand, which says what it likes.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from reitunnel import Code
from reitunnel.auth.exchange import ANONYMOUS
from reitunnel.interfaces import ILinkTransport
from reitunnel.wire.frames import Frame, FrameKind, FrameReader, encode_frame
from reitunnel.wire.messages import (
    Challenge,
    Ended,
    Hello,
    Response,
    TunnelOpen,
    Welcome,
    decode_message,
    encode_message,
    known_code,
)
from tests.memory import MemoryReactor
from tests.pair import LINK_PORT

_Message = TypeVar("_Message", bound=Struct)


class RawClient(Protocol):
    """
    Sends frames, and keeps those that come.

    @ivar frames: what came and was not yet looked at.
    @ivar lost: why the link is gone; L{None} while it is there.
    """

    transport: ILinkTransport

    def __init__(self, reactor: MemoryReactor) -> None:
        self.frames: list[Frame] = []
        self.lost: Failure | None = None
        self._reactor = reactor
        self._reader = FrameReader()

    def dataReceived(self, data: bytes) -> None:
        """
        Keep the frames.
        """
        self.frames += self._reader.feed(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Remember why.
        """
        self.lost = reason

    def send(self, kind: FrameKind, payload: bytes | Struct = b"") -> None:
        """
        Send a frame, and let everything follow that does.
        """
        if isinstance(payload, Struct):
            self.transport.write(encode_message(kind, payload))
        else:
            self.transport.write(encode_frame(kind, 0, payload))
        self._reactor.settle()

    def write(self, data: bytes) -> None:
        """
        Send bytes, and let everything follow that does.
        """
        self.transport.write(data)
        self._reactor.settle()

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

    def take(self, kind: FrameKind, message: type[_Message]) -> _Message:
        """
        Take the next frame, pings and the like aside, which is of this kind.
        """
        frame = self.frames.pop(0)
        while frame.kind in (FrameKind.PING, FrameKind.PONG, FrameKind.ACK):
            frame = self.frames.pop(0)
        if frame.kind is not kind:
            raise AssertionError(f"{frame} came, not {kind.name}")
        return decode_message(message, frame.payload)

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
