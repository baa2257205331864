"""
Every exception that Reitunnel raises for its users, and the codes that peers
send to each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_TOKEN: Final = re.compile(r"(rt1_[A-Za-z0-9_.-]{1,64}_)[A-Za-z2-7]{16,}")


def hide_tokens(text: str) -> str:
    """
    Take the secrets of tokens out of a text that is shown: a token may stand where
    somebody has put it by mistake, such as in place of the name of its file.
    """
    return _TOKEN.sub(r"\1...", text)


class Code(IntEnum):
    """
    Why something was refused, closed or reset.

    The numbers are part of the wire, version 1 (docs/protocol.md, "Codes"). A
    peer treats a number that it does not know as L{INTERNAL}.
    """

    NONE = 0
    """Nothing went wrong: an orderly end."""
    PROTOCOL = 1
    """The peer broke the protocol."""
    VERSION = 2
    """No protocol version in common."""
    AUTHENTICATION = 3
    """The credentials are missing or wrong."""
    TIMEOUT = 4
    """The peer was silent, or a phase took too long."""
    LIMIT = 5
    """A limit of the server was reached."""
    POLICY = 6
    """The server's policy does not allow it."""
    REFUSED = 7
    """A hook refused it."""
    TAKEN_OVER = 8
    """The same client connected again and took the session over."""
    SHUTDOWN = 9
    """The peer is stopping."""
    LINK_LOST = 10
    """The link was lost and did not come back."""
    INTERNAL = 11
    """A failure inside the peer."""
    ADDRESS_IN_USE = 12
    """The public address is taken."""
    ADDRESS_INVALID = 13
    """The public address cannot be bound."""
    UNSUPPORTED = 14
    """The peer does not do that."""
    CLOSED = 15
    """The tunnel was closed by its owner."""
    ABORTED = 16
    """The visitor or the target aborted its connection (a TCP reset)."""
    TARGET_REFUSED = 17
    """The target refused the connection."""
    TARGET_UNREACHABLE = 18
    """The target could not be reached or its name not be resolved."""
    TARGET_TIMEOUT = 19
    """The target did not answer in time."""

    @property
    def words(self) -> str:
        """
        The name for people: C{"link lost"}.
        """
        return self.name.lower().replace("_", " ")


class ReitunnelError(Exception):
    """
    The base of every exception that Reitunnel raises.
    """


class CodedError(ReitunnelError):
    """
    An error that travels, or has travelled, as a code and a reason for people.

    @ivar code: why.
    @ivar reason: one line for people; without secrets.
    @ivar peer: the C{IAddress} that whoever caused it came from, where C{on_error} is
        told so (docs/hooks.md); else L{None}.
    """

    peer: object | None = None

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or self.code.words


class ProtocolError(CodedError):
    """
    Bytes or moves that the wire does not allow. The link is closed.
    """


class RemoteProtocolError(ProtocolError):
    """
    The peer broke the protocol.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(Code.PROTOCOL, reason)


class LocalProtocolError(ProtocolError):
    """
    The caller asked for a move that is not legal now: a defect on this side.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(Code.INTERNAL, reason)


class SessionRefused(CodedError):
    """
    The server refused the session, or ended it with a code.
    """


class AuthenticationFailed(SessionRefused):
    """
    The credentials were not accepted, by either side.

    @ivar detail: what exactly was wrong, for the log of this side: it is never
        sent, because it would tell a stranger what to try next. Without
        secrets; names that the peer sent stand in it as C{repr}.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(Code.AUTHENTICATION, reason)
        self.detail = detail


class TunnelRefused(CodedError):
    """
    A tunnel was refused; the others are not affected.
    """


class StreamRefused(CodedError):
    """
    A stream was refused, or its target could not be reached.
    """


class TransportError(ReitunnelError):
    """
    A link could not be made: the message is one line for people.

    @ivar permanent: whether trying again will not mend it (an unresolvable
        name, a certificate that is not trusted, a server that does not speak
        Reitunnel).
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class CertificateError(TransportError):
    """
    A certificate or key file is missing, unreadable, open to others or wrong;
    the message names the file.
    """


class Refused(ReitunnelError):
    """
    Raised by a hook to refuse. Its message is sent to the peer, so it is for
    people on both sides; any other exception refuses for now, and its text stays
    in the log.

    @ivar passing: whether the same may well be allowed later. Then a client asks
        again, as it does when a limit of the server is reached.
    """

    def __init__(self, message: str = "", *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing

    @property
    def code(self) -> Code:
        """
        What the peer is told: L{Code.LIMIT} if it is passing, else L{Code.REFUSED}.
        """
        return Code.LIMIT if self.passing else Code.REFUSED


class Undecided(Refused):
    """
    Raised by a hook that cannot decide for now: what it needs gives no answer. That
    refuses, and is passing. It counts as a failure of the hook, which is left to say
    the cause in the log.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message, passing=True)

    @property
    def code(self) -> Code:
        """
        What the peer is told: L{Code.INTERNAL}.
        """
        return Code.INTERNAL


class HookTimeout(ReitunnelError):
    """
    A hook did not decide in time. The decision counts as a refusal for now.
    """


class QuotaFileError(ReitunnelError):
    """
    What is counted against quotas cannot be saved. Its text is one line for people.
    """


class AuditTrailError(ReitunnelError):
    """
    An audit trail cannot be written, or others have changed its file. Its text is one
    line for people.

    @ivar file: the file.
    """

    def __init__(self, file: str, message: str) -> None:
        super().__init__(message)
        self.file = file


class InvalidHook(ReitunnelError):
    """
    An object that cannot be registered as a hook, or that is not registered.

    @ivar hook: which object, where that is known.
    """

    hook: object | None = None


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


@dataclass(frozen=True, slots=True)
class ConfigMistake:
    """
    One mistake in a configuration. As text it shows the secret of no token, and no
    control characters: they are escaped.

    @ivar path: the key's path (C{"limits.max_clients"}, C{"tunnels[2].port"}),
        or the flag (C{"--listen"}).
    @ivar message: what is wrong with it, for people.
    """

    path: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", _CONTROL.sub(_escaped, self.message))

    def __str__(self) -> str:
        path = _CONTROL.sub(_escaped, self.path)
        return hide_tokens(f"{path}: {self.message}")


class ConfigError(ReitunnelError):
    """
    A configuration that cannot be used.

    @ivar mistakes: every mistake found, at least one, in the order of the file.
    """

    def __init__(self, mistakes: Sequence[ConfigMistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)
