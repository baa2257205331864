"""
Control messages: the payloads of the frames that carry more than a number.

Each is the msgpack map of a msgspec Struct. Unknown fields are ignored, wrong
types and values out of range refused, on sending as on receiving.
docs/protocol.md, "Messages", is the specification.
"""

from __future__ import annotations

import re
from struct import Struct as Layout
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire.frames import FrameKind, encode_frame, largest_payload

VERSION: Final = 1
DIRECT: Final = "direct"
"""The capability to carry streams on data links."""
RESUME: Final = "resume"
"""The capability to go on with a session on another link."""
NONCE_SIZE: Final = 32
"""The size of each side's nonce in the handshake of a data link, and of a
link that a session goes on on, in bytes."""

# Texts are shown to people and written to logs: without control characters they
# can neither move a cursor nor forge a line.
_PLAIN: Final = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Name = Annotated[str, Meta(max_length=255, pattern=_PLAIN)]
Text = Annotated[str, Meta(max_length=1024, pattern=_PLAIN)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Number = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Count = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
Total = Annotated[int, Meta(ge=0, le=0x7FFFFFFFFFFFFFFF)]
Grace = Annotated[float, Meta(ge=0, le=86400)]
WireCode = Annotated[int, Meta(ge=0, le=0xFFFF)]
Names = Annotated[list[Name], Meta(max_length=32)]
Nonce = Annotated[bytes, Meta(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]
Metadata = Annotated[dict[Name, Text], Meta(max_length=32)]


class Hello(Struct, frozen=True):
    """
    C{HELLO}: the client's first frame.
    """

    versions: Annotated[list[int], Meta(min_length=1, max_length=16)]
    instance: Annotated[str, Meta(min_length=1, max_length=255, pattern=_PLAIN)]
    capabilities: Names = []
    software: Name = ""


class Challenge(Struct, frozen=True):
    """
    C{CHALLENGE}: first the mechanisms that the server offers, then its data. On a
    data link there is one, with both.
    """

    mechanisms: Names = []
    data: bytes = b""


class Response(Struct, frozen=True):
    """
    C{RESPONSE}: first the mechanism that the client chose, then its data.
    """

    mechanism: Name = ""
    data: bytes = b""


class Welcome(Struct, frozen=True):
    """
    C{WELCOME}: the client is authenticated and the session begins.

    C{auth} is the last word of the mechanism, with which the client checks the
    server. C{heartbeat} and C{heartbeat_timeout} are seconds. C{max_links} is how
    many data links the session may have at a time. C{resume} is how many seconds
    the server waits for the client's next link; 0 if it does not.
    """

    version: int
    session: Annotated[bytes, Meta(min_length=16, max_length=16)]
    secret: Annotated[bytes, Meta(min_length=32, max_length=32)]
    identity: Text
    auth: bytes
    heartbeat: Seconds
    heartbeat_timeout: Seconds
    max_tunnels: Count
    max_streams: Count
    max_links: Count = 0
    resume: Grace = 0
    capabilities: Names = []
    software: Name = ""

    def __repr__(self) -> str:
        """
        Without the secret.
        """
        return f"Welcome(session={self.session.hex()}, identity={self.identity!r})"


class Attach(Struct, frozen=True):
    """
    C{ATTACH}: the first frame of a data link of a session. The client chooses
    C{link}, a number that no other data link of the session has had.
    """

    versions: Annotated[list[int], Meta(min_length=1, max_length=16)]
    session: Annotated[bytes, Meta(min_length=16, max_length=16)]
    link: Number
    nonce: Nonce


class Attached(Struct, frozen=True):
    """
    C{ATTACHED}: the data link is the session's; C{proof} is the server's.
    """

    proof: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Resume(Struct, frozen=True):
    """
    C{RESUME}: the first frame of a link on which a session goes on. C{received} is
    how many bytes of the session the client has received on the links before.
    """

    versions: Annotated[list[int], Meta(min_length=1, max_length=16)]
    session: Annotated[bytes, Meta(min_length=16, max_length=16)]
    received: Total
    nonce: Nonce


class Resumed(Struct, frozen=True):
    """
    C{RESUMED}: the session goes on. C{received} is how many of its bytes the server
    has received, C{proof} is the server's.
    """

    received: Total
    proof: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Ended(Struct, frozen=True):
    """
    C{REFUSED}, C{STREAM_RESET} and C{GOAWAY}: a code, and a reason for people.
    """

    code: WireCode
    reason: Text = ""


class TunnelOpen(Struct, frozen=True):
    """
    C{TUNNEL_OPEN}: the client asks for a public address.

    An empty C{bind} is the server's default address; port 0 lets it choose.
    C{target} is for people and policy: the client alone decides what it dials.
    C{carrier} is how the client wants its streams to travel.
    """

    tunnel: Number
    type: Name
    bind: Name = ""
    port: Port = 0
    target: Text = ""
    metadata: Metadata = {}
    carrier: Literal["auto", "mux", "direct"] = "auto"


class TunnelOpened(Struct, frozen=True):
    """
    C{TUNNEL_OPENED}: the public address that visitors reach.
    """

    tunnel: Number
    host: Name
    port: Port


class TunnelEnded(Struct, frozen=True):
    """
    C{TUNNEL_REFUSED} and C{TUNNEL_CLOSE}.
    """

    tunnel: Number
    code: WireCode
    reason: Text = ""


class StreamOpen(Struct, frozen=True):
    """
    C{STREAM_OPEN}: a visitor came, from C{host} and C{port}.

    C{window} is how many bytes the peer may send on the stream to begin with.
    """

    tunnel: Number
    window: Count
    host: Name = ""
    port: Port = 0


Message = TypeVar("Message", bound=Struct)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Struct], msgspec.msgpack.Decoder[Struct]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (
        Hello,
        Challenge,
        Response,
        Welcome,
        Attach,
        Attached,
        Resume,
        Resumed,
        Ended,
        TunnelOpen,
        TunnelOpened,
        TunnelEnded,
        StreamOpen,
    )
}
_NOT_A_MESSAGE: Final = (
    msgspec.MsgspecError,
    OverflowError,
    RecursionError,
    ValueError,
)
"""What msgspec raises for a message that is none; C{ValueError} for bad UTF-8."""
_NUMBER: Final = Layout(">I")
_TOTAL: Final = Layout(">Q")


def encode_message(kind: FrameKind, message: Struct, stream: int = 0) -> bytes:
    """
    Encode a message as a whole frame.

    @raise LocalProtocolError: when a field is out of bounds, or the message too
        large for a frame of its kind: the peer would close the link over it.
    """
    name = type(message).__name__
    try:
        payload = _encoder.encode(message)
        _decoders[type(message)].decode(payload)
    except _NOT_A_MESSAGE as error:
        raise LocalProtocolError(f"bad {name}: {error}") from None
    if len(payload) > largest_payload(kind):
        raise LocalProtocolError(f"{name}: a payload of {len(payload)} bytes")
    return encode_frame(kind, stream, payload)


def decode_message(expected: type[Message], payload: bytes) -> Message:
    """
    Decode the payload of a frame.

    @raise RemoteProtocolError: when the payload is not such a message.
    """
    try:
        message = _decoders[expected].decode(payload)
    except _NOT_A_MESSAGE as error:
        raise RemoteProtocolError(f"bad {expected.__name__}: {error}") from None
    assert isinstance(message, expected)
    return message


def encode_number(kind: FrameKind, stream: int, number: int) -> bytes:
    """
    Encode a frame whose payload is one unsigned 32-bit number.
    """
    return encode_frame(kind, stream, _NUMBER.pack(number))


def decode_number(payload: bytes) -> int:
    """
    Decode the payload of such a frame.
    """
    number: int = _NUMBER.unpack(payload)[0]
    return number


def encode_total(kind: FrameKind, stream: int, total: int) -> bytes:
    """
    Encode a frame whose payload is one unsigned 64-bit number.
    """
    return encode_frame(kind, stream, _TOTAL.pack(total))


def decode_total(payload: bytes) -> int:
    """
    Decode the payload of such a frame.

    @raise RemoteProtocolError: when it has another size.
    """
    if len(payload) != _TOTAL.size:
        raise RemoteProtocolError(f"{len(payload)} bytes where 8 are due")
    total: int = _TOTAL.unpack(payload)[0]
    return total


def known_code(number: int) -> Code:
    """
    Give the code for a number from the wire; an unknown one is C{INTERNAL}.
    """
    try:
        return Code(number)
    except ValueError:
        return Code.INTERNAL


def clip(text: str, limit: int = 1024) -> str:
    """
    Make of any text one that a message may carry, for people: on one line, and
    cut to C{limit} characters.
    """
    text = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
