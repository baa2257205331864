"""
The handshake of a link, from C{HELLO}, C{ATTACH} or C{RESUME} to C{WELCOME},
C{ATTACHED}, C{RESUMED} or C{REFUSED}.

docs/protocol.md, "Handshake", is the specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire.frames import (
    HEADER_SIZE,
    MAX_HANDSHAKE_PAYLOAD,
    Frame,
    FrameKind,
    FrameReader,
)
from reitunnel.wire.messages import (
    VERSION,
    Attach,
    Attached,
    Challenge,
    Ended,
    Hello,
    Response,
    Resume,
    Resumed,
    Welcome,
    clip,
    decode_message,
    encode_message,
)

MAX_HANDSHAKE_BYTES: Final = 64 << 10
"""The most bytes of frames that a peer may send before the handshake is over."""


FromServer: TypeAlias = Challenge | Welcome | Attached | Resumed | Ended
FromClient: TypeAlias = Hello | Attach | Resume | Response


class Phase(Enum):
    """
    Where a handshake stands.
    """

    START = "start"
    """The client speaks next, with C{HELLO}."""
    ASKED = "asked"
    """The server speaks next."""
    CHALLENGED = "challenged"
    """The client speaks next, with C{RESPONSE}."""
    ATTACHING = "attaching"
    """A data link: the server speaks next."""
    PROVING = "proving"
    """A data link: the client speaks next, with C{RESPONSE}."""
    PROVEN = "proven"
    """A data link: the server speaks next."""
    ATTACHED = "attached"
    """The data link is the session's."""
    RESUMING = "resuming"
    """The next link of a session: the server speaks next."""
    ANSWERING = "answering"
    """The next link of a session: the client speaks next, with C{RESPONSE}."""
    ANSWERED = "answered"
    """The next link of a session: the server speaks next."""
    RESUMED = "resumed"
    """The session goes on."""
    WELCOMED = "welcomed"
    """The session begins."""
    REFUSED = "refused"
    """The link ends."""


PHASES: Final[Mapping[tuple[Phase, FrameKind], Phase]] = MappingProxyType(
    {
        (Phase.START, FrameKind.HELLO): Phase.ASKED,
        (Phase.ASKED, FrameKind.CHALLENGE): Phase.CHALLENGED,
        (Phase.CHALLENGED, FrameKind.RESPONSE): Phase.ASKED,
        (Phase.ASKED, FrameKind.WELCOME): Phase.WELCOMED,
        (Phase.START, FrameKind.ATTACH): Phase.ATTACHING,
        (Phase.ATTACHING, FrameKind.CHALLENGE): Phase.PROVING,
        (Phase.PROVING, FrameKind.RESPONSE): Phase.PROVEN,
        (Phase.PROVEN, FrameKind.ATTACHED): Phase.ATTACHED,
        (Phase.START, FrameKind.RESUME): Phase.RESUMING,
        (Phase.RESUMING, FrameKind.CHALLENGE): Phase.ANSWERING,
        (Phase.ANSWERING, FrameKind.RESPONSE): Phase.ANSWERED,
        (Phase.ANSWERED, FrameKind.RESUMED): Phase.RESUMED,
        (Phase.RESUMING, FrameKind.REFUSED): Phase.REFUSED,
        (Phase.ANSWERING, FrameKind.REFUSED): Phase.REFUSED,
        (Phase.ANSWERED, FrameKind.REFUSED): Phase.REFUSED,
        (Phase.ATTACHING, FrameKind.REFUSED): Phase.REFUSED,
        (Phase.PROVING, FrameKind.REFUSED): Phase.REFUSED,
        (Phase.PROVEN, FrameKind.REFUSED): Phase.REFUSED,
        (Phase.START, FrameKind.REFUSED): Phase.REFUSED,
        (Phase.ASKED, FrameKind.REFUSED): Phase.REFUSED,
        (Phase.CHALLENGED, FrameKind.REFUSED): Phase.REFUSED,
    }
)
"""
The legal moves, the same for both sides. The server may refuse at any time.
"""


class _Handshake:
    """
    What the two sides share: the phase and the moves.

    @ivar phase: where it stands.
    @ivar heard: how many bytes of frames the peer has sent.
    """

    def __init__(self) -> None:
        self.phase = Phase.START
        self.heard = 0

    @property
    def over(self) -> bool:
        """
        Whether the handshake has ended, one way or the other.
        """
        return self.phase in _LAST

    def _say(self, kind: FrameKind, message: Struct) -> bytes:
        move = PHASES.get((self.phase, kind))
        if move is None:
            raise LocalProtocolError(f"{kind.name} while {self.phase.value}")
        frame = encode_message(kind, message)
        self.phase = move
        return frame

    def _hear(self, frame: Frame, allowed: frozenset[FrameKind]) -> None:
        kind = frame.kind
        move = PHASES.get((self.phase, kind))
        if move is None or kind not in allowed:
            raise RemoteProtocolError(f"{kind.name} while {self.phase.value}")
        self.heard += HEADER_SIZE + len(frame.payload)
        if self.heard > MAX_HANDSHAKE_BYTES:
            raise RemoteProtocolError(
                f"more than {MAX_HANDSHAKE_BYTES} bytes of handshake"
            )
        self.phase = move


class ClientHandshake(_Handshake):
    """
    The client's side.
    """

    def hello(self, hello: Hello) -> bytes:
        """
        Begin.

        @return: bytes to send.
        """
        return self._say(FrameKind.HELLO, hello)

    def attach(self, attach: Attach) -> bytes:
        """
        Begin a data link.

        @return: bytes to send.
        """
        return self._say(FrameKind.ATTACH, attach)

    def resume(self, resume: Resume) -> bytes:
        """
        Ask to go on with a session.

        @return: bytes to send.
        """
        return self._say(FrameKind.RESUME, resume)

    def respond(self, response: Response) -> bytes:
        """
        Answer a challenge.

        @return: bytes to send.
        """
        return self._say(FrameKind.RESPONSE, response)

    def receive(self, frame: Frame) -> FromServer:
        """
        Take a frame of the server.

        @return: the challenge to answer, the welcome, the server's proof for a
            data link or for the next link of a session, or the refusal.
        @raise RemoteProtocolError: when the frame is not one that may come now.
        """
        self._hear(frame, _FROM_SERVER)
        message = decode_message(_SERVER_MESSAGES[frame.kind], frame.payload)
        assert isinstance(message, FromServer)
        if isinstance(message, Welcome) and message.version != VERSION:
            raise RemoteProtocolError(f"WELCOME: version {message.version}")
        return message


class ServerHandshake(_Handshake):
    """
    The server's side.
    """

    def challenge(self, challenge: Challenge) -> bytes:
        """
        Offer mechanisms, or go on with the one that the client chose.

        @return: bytes to send.
        """
        return self._say(FrameKind.CHALLENGE, challenge)

    def welcome(self, welcome: Welcome) -> bytes:
        """
        Let the client in.

        @return: bytes to send.
        """
        return self._say(FrameKind.WELCOME, welcome)

    def attached(self, attached: Attached) -> bytes:
        """
        Take a data link.

        @return: bytes to send.
        """
        return self._say(FrameKind.ATTACHED, attached)

    def resumed(self, resumed: Resumed) -> bytes:
        """
        Go on with a session.

        @return: bytes to send.
        """
        return self._say(FrameKind.RESUMED, resumed)

    def refuse(self, code: Code, reason: str) -> bytes:
        """
        Turn the client away.

        @return: bytes to send before the link is closed.
        """
        return self._say(FrameKind.REFUSED, Ended(code, clip(reason)))

    def receive(self, frame: Frame) -> FromClient:
        """
        Take a frame of the client.

        @return: the greeting, the first word of a data link or of the next link of
            a session, or the answer to a challenge. Whether there is a version in
            common is L{common_version}'s to say.
        @raise RemoteProtocolError: when the frame is not one that may come now.
        """
        self._hear(frame, _FROM_CLIENT)
        if frame.kind is FrameKind.HELLO:
            return decode_message(Hello, frame.payload)
        if frame.kind is FrameKind.ATTACH:
            return decode_message(Attach, frame.payload)
        if frame.kind is FrameKind.RESUME:
            return decode_message(Resume, frame.payload)
        return decode_message(Response, frame.payload)


def common_version(hello: Hello | Attach | Resume) -> int | None:
    """
    Choose the newest version that both peers speak, if there is one.
    """
    return VERSION if VERSION in hello.versions else None


def handshake_reader() -> FrameReader:
    """
    Make a reader for a link whose peer has not authenticated: frames are small.
    Raise its C{limit} once the handshake is over.
    """
    return FrameReader(MAX_HANDSHAKE_PAYLOAD)


_LAST: Final = (Phase.WELCOMED, Phase.ATTACHED, Phase.RESUMED, Phase.REFUSED)
_SERVER_MESSAGES: Final[dict[FrameKind, type[FromServer]]] = {
    FrameKind.CHALLENGE: Challenge,
    FrameKind.WELCOME: Welcome,
    FrameKind.ATTACHED: Attached,
    FrameKind.RESUMED: Resumed,
    FrameKind.REFUSED: Ended,
}
_FROM_SERVER: Final = frozenset(_SERVER_MESSAGES)
_FROM_CLIENT: Final = frozenset(
    {FrameKind.HELLO, FrameKind.ATTACH, FrameKind.RESUME, FrameKind.RESPONSE}
)
