"""
A server made by hand, which says what it likes.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from reitunnel import Code
from reitunnel.auth.exchange import ANONYMOUS
from reitunnel.interfaces import ILinkTransport
from reitunnel.wire.frames import Frame, FrameKind, FrameReader, encode_frame
from reitunnel.wire.messages import (
    Attach,
    Attached,
    Challenge,
    Ended,
    Hello,
    Response,
    Welcome,
    decode_message,
    encode_message,
)
from reitunnel.wire.proofs import server_proof
from tests.memory import MemoryReactor
from tests.pair import LINK_PORT

_Message = TypeVar("_Message", bound=Struct)

WELCOME = Welcome(
    version=1,
    session=b"s" * 16,
    secret=b"k" * 32,
    identity="anonymous",
    auth=b"",
    heartbeat=10.0,
    heartbeat_timeout=30.0,
    max_tunnels=10,
    max_streams=10,
)

NONCE = b"c" * 32
"""The server's nonce for data links."""


def welcome(**changes: Any) -> Welcome:
    """
    Make a C{WELCOME} with changes.
    """
    return replace(WELCOME, **changes)


class RogueLink(Protocol):
    """
    The server's end of one link.

    @ivar frames: what came and was not yet looked at.
    @ivar lost: why the link is gone; L{None} while it is there.
    """

    transport: ILinkTransport

    def __init__(self, reactor: MemoryReactor) -> None:
        self.frames: list[Frame] = []
        self.lost: Failure | None = None
        self.reactor = reactor
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

    def send(
        self, kind: FrameKind, payload: bytes | Struct = b"", stream: int = 0
    ) -> None:
        """
        Send a frame; nothing follows until the reactor runs.
        """
        if isinstance(payload, Struct):
            self.transport.write(encode_message(kind, payload, stream))
        else:
            self.transport.write(encode_frame(kind, stream, payload))

    def attach(self, secret: bytes = WELCOME.secret) -> Attach:
        """
        Take a data link, as a server does. Nothing follows until the reactor runs.

        @return: what the client said first.
        """
        attach = self.challenge()
        self.take(FrameKind.RESPONSE, Response)
        proof = server_proof(secret, attach, NONCE, b"n,,")
        self.send(FrameKind.ATTACHED, Attached(proof))
        return attach

    def challenge(self) -> Attach:
        """
        Ask for the proof of a data link, and let the client answer.
        """
        attach = self.take(FrameKind.ATTACH, Attach)
        self.send(FrameKind.CHALLENGE, Challenge(["HMAC-SHA-256"], NONCE))
        self.reactor.settle()
        return attach

    def take(self, kind: FrameKind, message: type[_Message]) -> _Message:
        """
        Take the next frame, pings aside, which is of this kind.
        """
        frame = self.frames.pop(0)
        while frame.kind in (FrameKind.PING, FrameKind.PONG):
            frame = self.frames.pop(0)
        if frame.kind is not kind:
            raise AssertionError(f"{frame} came, not {kind.name}")
        return decode_message(message, frame.payload)


class RogueServer(Factory):
    """
    Listens where the server would.

    @ivar links: the links that came, oldest first.
    """

    noisy = False

    def __init__(self, reactor: MemoryReactor) -> None:
        self.links: list[RogueLink] = []
        self._reactor = reactor
        self._port = reactor.listenTCP(LINK_PORT, self, interface="127.0.0.1")

    @property
    def link(self) -> RogueLink:
        """
        The newest link.
        """
        return self.links[-1]

    def buildProtocol(self, addr: IAddress | None) -> RogueLink:
        """
        Build one end.
        """
        link = RogueLink(self._reactor)
        self.links.append(link)
        return link

    def close(self) -> None:
        """
        Listen no more.
        """
        self._port.stopListening()
        self._reactor.settle()

    def offer(self, *mechanisms: str) -> Hello:
        """
        Take C{HELLO}, and send the mechanisms.
        """
        hello = self.link.take(FrameKind.HELLO, Hello)
        self.link.send(FrameKind.CHALLENGE, Challenge(mechanisms=list(mechanisms)))
        self._reactor.settle()
        return hello

    def welcome(self, **changes: Any) -> None:
        """
        Let a client in that needs no credentials.
        """
        self.offer(ANONYMOUS)
        self.link.take(FrameKind.RESPONSE, Response)
        self.link.send(FrameKind.WELCOME, welcome(**changes))
        self._reactor.settle()

    def refuse(self, code: Code, reason: str = "no") -> None:
        """
        Answer with C{REFUSED}.
        """
        self.link.send(FrameKind.REFUSED, Ended(code, reason))
        self._reactor.settle()
