"""
What an exchange is, on either side: the mechanisms' names, the moves, the bounds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from reitunnel.auth.scram import ScramError, Verifier
from reitunnel.errors import AuthenticationFailed

SCRAM: Final = "SCRAM-SHA-256"
SCRAM_PLUS: Final = "SCRAM-SHA-256-PLUS"
HMAC: Final = "HMAC-SHA-256"
"""The only mechanism of data links."""
EXTERNAL: Final = "EXTERNAL"
ANONYMOUS: Final = "ANONYMOUS"

MAX_MESSAGE: Final = 8192
"""The largest message that either side reads, in bytes."""

REFUSAL: Final = "authentication failed"
"""All that a server tells a client of what went wrong."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """
    The exchange goes on: the server sends C{data}.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class Grounds:
    """
    On what a client was let in, so that it can be judged again later. Without either
    it was let in as everybody was.

    @ivar token: the name of its token, if that let it in.
    @ivar verifier: what the token was checked against.
    @ivar certificate: the name in its certificate, if that alone let it in.
    """

    token: str = ""
    verifier: Verifier | None = field(default=None, repr=False)
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    The client is who it says.

    @ivar identity: C{token:NAME}, C{certificate:NAME} or C{anonymous}.
    @ivar data: what the server sends with its welcome.
    @ivar grounds: on what it is let in.
    """

    identity: str
    data: bytes = b""
    grounds: Grounds = Grounds()


Outcome: TypeAlias = Challenge | Accepted
Move: TypeAlias = Callable[[bytes], Outcome]


def refused(detail: str) -> AuthenticationFailed:
    """
    Make a server's refusal.

    @param detail: for the server's log.
    """
    return AuthenticationFailed(REFUSAL, detail)


class ServerExchange(ABC):
    """
    The server's side of one attempt to authenticate.

    Each answer of the client is one L{respond}. The attempt ends with an
    L{Accepted} or a failure, and cannot be used again.

    @ivar mechanism: its name.
    """

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self._move: Move = self._begin

    def respond(self, data: bytes) -> Outcome:
        """
        Judge what the client sent.

        @raise AuthenticationFailed: if it is malformed or wrong, whatever it
            is. The reason is for the peer, C{detail} is for the log.
        """
        # An attempt is over after every move, unless the move says otherwise.
        move, self._move = self._move, _over
        if len(data) > MAX_MESSAGE:
            raise refused(f"a message has {len(data)} bytes")
        try:
            return move(data)
        except ScramError as error:
            raise refused(str(error)) from None

    @abstractmethod
    def _begin(self, data: bytes) -> Outcome:
        """
        Judge the client's first message.
        """


class ClientExchange(ABC):
    """
    The client's side of one attempt to authenticate: L{first}, one L{respond}
    for each challenge, and L{finish}, which must not be left out: it is where
    the server proves who it is.

    @ivar mechanism: its name.
    """

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism

    @abstractmethod
    def first(self) -> bytes:
        """
        Make the first message.
        """

    @abstractmethod
    def respond(self, challenge: bytes) -> bytes:
        """
        Answer a challenge.

        @raise AuthenticationFailed: if the challenge is malformed, or out of
            turn.
        """

    @abstractmethod
    def finish(self, data: bytes) -> None:
        """
        Check what came with the server's welcome.

        @raise AuthenticationFailed: if the server does not prove that it knows
            this client, or comes too early.
        """


def _over(data: bytes) -> Outcome:
    raise refused("a message came after the end of the exchange")
