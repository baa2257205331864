"""
Control messages: the payloads of the frames that carry more than a number.

Each is the msgpack map of a msgspec Struct. Unknown fields are ignored, wrong
types and values out of range refused. docs/protocol.md, "Messages", is the
specification.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from reitunnel.errors import Code, RemoteProtocolError
from reitunnel.wire.frames import Buffer, FrameKind, encode_frame

VERSION: Final = 1

Name = Annotated[str, Meta(max_length=255)]
Text = Annotated[str, Meta(max_length=1024)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Number = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Count = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
WireCode = Annotated[int, Meta(ge=0, le=0xFFFF)]
Names = Annotated[list[Name], Meta(max_length=32)]
Metadata = Annotated[dict[Name, Text], Meta(max_length=32)]


class Hello(Struct, frozen=True):
    """
    C{HELLO}: the client's first frame.
    """

    versions: Annotated[list[int], Meta(min_length=1, max_length=16)]
    instance: Annotated[str, Meta(min_length=1, max_length=255)]
    capabilities: Names = []
    software: Name = ""


class Challenge(Struct, frozen=True):
    """
    C{CHALLENGE}: first the mechanisms that the server offers, then its data.
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
    server. C{heartbeat} and C{heartbeat_timeout} are seconds.
    """

    version: int
    session: Annotated[bytes, Meta(min_length=16, max_length=16)]
    secret: Annotated[bytes, Meta(min_length=32, max_length=32)]
    identity: Name
    auth: bytes
    heartbeat: Seconds
    heartbeat_timeout: Seconds
    max_tunnels: Count
    max_streams: Count
    capabilities: Names = []
    software: Name = ""


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
    """

    tunnel: Number
    type: Name
    bind: Name = ""
    port: Port = 0
    target: Text = ""
    metadata: Metadata = {}


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
        Ended,
        TunnelOpen,
        TunnelOpened,
        TunnelEnded,
        StreamOpen,
    )
}
_NUMBER: Final = Layout(">I")


def encode_message(kind: FrameKind, message: Struct, stream: int = 0) -> bytes:
    """
    Encode a message as a whole frame.
    """
    return encode_frame(kind, stream, _encoder.encode(message))


def decode_message(expected: type[Message], payload: Buffer) -> Message:
    """
    Decode the payload of a frame.

    @raise RemoteProtocolError: when the payload is not such a message.
    """
    try:
        message = _decoders[expected].decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"bad {expected.__name__}: {error}") from None
    assert isinstance(message, expected)
    return message


def encode_number(kind: FrameKind, stream: int, number: int) -> bytes:
    """
    Encode a frame whose payload is one unsigned 32-bit number.
    """
    return encode_frame(kind, stream, _NUMBER.pack(number))


def decode_number(payload: Buffer) -> int:
    """
    Decode the payload of such a frame.
    """
    number: int = _NUMBER.unpack(payload)[0]
    return number


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
    Cut a text for people to what a message may carry.
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"
