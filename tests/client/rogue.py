"""
A server made by hand, which says what it likes.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from reitunnel import Code
from reitunnel.auth.exchange import ANONYMOUS
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import (
    Attach,
    Attached,
    Challenge,
    Ended,
    Hello,
    Response,
    Welcome,
)
from reitunnel.wire.proofs import server_proof
from tests.memory import MemoryReactor
from tests.pair import LINK_PORT
from tests.wire.link import HandMadeLink

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


class RogueLink(HandMadeLink):
    """
    The server's end of one link.
    """

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
