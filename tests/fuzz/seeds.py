"""
The inputs that a search begins with: valid conversations, and valid files. They are in
the corpus as C{seed-NAME}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from reitunnel.errors import Code
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import (
    Attach,
    Attached,
    Challenge,
    Ended,
    Hello,
    Response,
    Resume,
    Resumed,
    StreamOpen,
    TunnelEnded,
    TunnelOpen,
    TunnelOpened,
    encode_message,
    encode_number,
    encode_total,
)
from tests.client.rogue import WELCOME
from tests.fuzz import data_link_target as links
from tests.fuzz import handshake_target as shake
from tests.fuzz.script import command
from tests.transports.websocket_support import REQUEST, frame
from tests.wire.peers import PING

_SERVER: Final = b"\x80"
_CLIENT: Final = b"\x01"
_ACT: Final = command(0xE0)
_SEND: Final = command(0xE1, 65536)
_SEND_ACK: Final = command(0xE1, 65535)
_CUT: Final = command(0xE2)
_CUT_LATER: Final = command(0xE2, 40)

_HELLO: Final = encode_message(FrameKind.HELLO, Hello([1], "laptop", ["direct"], "x"))
_ASK: Final = encode_message(
    FrameKind.TUNNEL_OPEN,
    TunnelOpen(1, "tcp", "", 6000, "localhost:8080", {"a": "b"}, "direct"),
)
_OPENED: Final = encode_message(
    FrameKind.TUNNEL_OPENED, TunnelOpened(1, "192.0.2.1", 6000)
)
_VISITOR: Final = encode_message(
    FrameKind.STREAM_OPEN, StreamOpen(1, 65536, "192.0.2.7", 40000), 2
)
_DATA: Final = encode_frame(FrameKind.DATA, 2, b"hello")
_EOF: Final = encode_frame(FrameKind.EOF, 2)
_CLOSE: Final = encode_frame(FrameKind.STREAM_CLOSE, 2)
_RESET: Final = encode_message(FrameKind.STREAM_RESET, Ended(Code.ABORTED, "gone"), 2)
_ACCEPTED: Final = encode_number(FrameKind.STREAM_ACCEPTED, 2, 40000)
_WINDOW: Final = encode_number(FrameKind.WINDOW, 2, 5000)
_SWITCH: Final = encode_number(FrameKind.SWITCH, 2, 1)
_RAW_EOF: Final = encode_total(FrameKind.EOF, 2, 3)
_PING: Final = encode_frame(FrameKind.PING, 0, PING)
_ACK: Final = encode_total(FrameKind.ACK, 0, 30)
_RESUME: Final = encode_message(
    FrameKind.RESUME, Resume([1], b"s" * 16, 1000, b"n" * 32)
)
_GOAWAY: Final = encode_message(FrameKind.GOAWAY, Ended(Code.SHUTDOWN, "bye"))
_NO_TUNNEL: Final = encode_message(
    FrameKind.TUNNEL_REFUSED, TunnelEnded(1, Code.POLICY, "no")
)
_TUNNEL_OVER: Final = encode_message(
    FrameKind.TUNNEL_CLOSE, TunnelEnded(1, Code.CLOSED, "")
)

_TOKENS: Final = b"""\
secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
[tokens.office]
salt = "PX+KYeYK0mKr6FGZC136sQ=="
stored_key = "27Ubx6aHmC8KB0KUaYfAYH26G8A2jqOCUhy+a8FjQxI="
server_key = "NkPGceAaxmnUSGlc0SMJrVIa8LLTijb3rIYs64SWs1A="
iterations = 4096
expires = 2027-06-30
disabled = true
certificate = "lab-2.example.com"
"""
_SERVER_FILE: Final = b"""\
listen = ["tls://0.0.0.0:7000", "ws://127.0.0.1:8080/link"]
pem = "server.pem"
[auth]
tokens = "tokens.toml"
require = "any"
[policy]
ports = ["1024-65535"]
bind = ["*"]
[policy.clients."token:web*"]
ports = ["80"]
[limits]
max_clients = 10
[timeouts]
base = 5
[[hooks]]
name = "log"
"""
_CLIENT_FILE: Final = b"""\
server = "tls://tunnel.example.com:7000"
token = "x"
carrier = "auto"
[tuning]
preset = "latency"
[retry]
jitter = 0.5
[[tunnels]]
port = 6000
bind = "*"
target = "localhost:8080"
metadata = { a = "b" }
[[tunnels]]
port = 0
target = "unix:/run/x.sock"
"""


def seeds() -> Mapping[str, Mapping[str, bytes]]:
    """
    The seeds of each target, by name.
    """
    return {
        "frames": dict(_frames()),
        "handshake": dict(_handshakes()),
        "session": dict(_sessions()),
        "datalinks": dict(_data_links()),
        "websocket": dict(_websockets()),
        "addresses": {
            "tls": b"tls://example.com:7000",
            "tcp": b"tcp://127.0.0.1:7000",
            "ws": b"ws://[::1]:80/path",
            "far-tcp": b"tcp://example.com:7000",
            "far-ws": b"ws://0.0.0.0:8080",
            "user": b"tcp://localhost@192.0.2.1:7000",
            "backslash": b"tcp://192.0.2.1\\@localhost:7000",
            "wss": b"wss://example.com/a/b",
            "endpoint": b"tcp:host=localhost:port=7000:interface=127.0.0.1",
            "proxy": b"haproxy:tcp:7000:interface=127.0.0.1",
            "unix": b"unix:/run/reitunnel.sock",
            "target": b"localhost:8080",
            "ports": b"1024-65535",
            "token": b"rt1_laptop_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp7"
            b"fhcg",
        },
        "remote": {
            "plain": b"6000:localhost:8080",
            "bind": b"127.0.0.1:6000:localhost:8080",
            "any": b"*:0:[::1]:8080",
            "v6": b"[2001:db8::1]:6000:unix:/run/x.sock",
        },
        "config": {"server": _SERVER_FILE, "client": _CLIENT_FILE},
        "tokens": {"file": _TOKENS},
    }


def _frames() -> Iterator[tuple[str, bytes]]:
    handshake = (
        _HELLO,
        encode_message(FrameKind.CHALLENGE, Challenge(["SCRAM-SHA-256"], b"data")),
        encode_message(FrameKind.RESPONSE, Response("SCRAM-SHA-256", b"n,,n=a,r=b")),
        encode_message(FrameKind.WELCOME, WELCOME),
        encode_message(FrameKind.REFUSED, Ended(Code.LIMIT, "no")),
        encode_message(FrameKind.ATTACH, Attach([1], b"s" * 16, 1, b"n" * 32)),
        encode_message(FrameKind.ATTACHED, Attached(b"p" * 32)),
        _RESUME,
        encode_message(FrameKind.RESUMED, Resumed(70_000, b"p" * 32)),
    )
    session = (
        _ASK, _OPENED, _NO_TUNNEL, _TUNNEL_OVER, _VISITOR, _ACCEPTED, _DATA, _WINDOW,
        _EOF, _CLOSE, _RESET, _SWITCH, _RAW_EOF, _PING,
        encode_frame(FrameKind.PONG, 0, PING), _GOAWAY, _ACK,
    )  # fmt: skip
    yield "handshake", b"\xff" + b"".join(handshake)
    yield "session", b"\x03" + b"".join(session)
    for number, each in enumerate((*handshake, *session)):
        yield f"frame-{number:02}", b"\x10" + each
    for kind in FrameKind:
        yield f"empty-{kind.value:02x}", b"\x10" + encode_frame(kind, kind >> 5 & 1)


def _handshakes() -> Iterator[tuple[str, bytes]]:
    begin, answer = command(shake.HELLO), command(shake.ANSWER)
    nonce = command(shake.ANSWER, 0, b"\x00\x30\x01x")
    proof = command(shake.ANSWER, 0, b"\x00\x64\x03xyz")
    late = command(shake.WAIT, 11)
    yield "let-in", _SERVER + begin + answer + answer
    yield "wrong-nonce", _SERVER + begin + answer + nonce
    yield "wrong-proof", _SERVER + begin + answer + proof
    yield "late", _SERVER + begin + answer + late
    cut, wrong = command(shake.CUT), command(shake.ANSWER, 0, b"\x00\x04\x01x")
    let_in = _SERVER + begin + answer + answer
    yield "resumed", let_in + _ASK + cut + answer + _PING + cut + answer + _GOAWAY
    yield "resumed-later", let_in + _ASK + _ACK + command(shake.CUT, 2) + answer
    yield "not-resumed", let_in + cut + wrong + cut + answer
    yield "not-so-far", let_in + command(shake.CUT, 1 << 20) + answer
    yield "resumed-over", let_in + cut + late + command(shake.WAIT, 19) * 4
    yield (
        "resume",
        _SERVER
        + _RESUME
        + encode_message(FrameKind.RESPONSE, Response("HMAC-SHA-256", b"p" * 32)),
    )
    yield (
        "hello",
        _SERVER
        + _HELLO
        + encode_message(
            FrameKind.RESPONSE, Response("SCRAM-SHA-256", b"n,,n=fuzz,r=abcdef")
        )
        + encode_message(FrameKind.RESPONSE, Response("", b"c=biws,r=abcdef,p=AAAA")),
    )
    yield (
        "attach",
        _SERVER
        + encode_message(FrameKind.ATTACH, Attach([1], b"s" * 16, 1, b"n" * 32))
        + encode_message(FrameKind.RESPONSE, Response("HMAC-SHA-256", b"p" * 32)),
    )
    offer = encode_message(FrameKind.CHALLENGE, Challenge(["SCRAM-SHA-256"]))
    first = encode_message(
        FrameKind.CHALLENGE, Challenge([], b"r=abc,s=c2l4dGVlbg==,i=4096")
    )
    welcome = encode_message(FrameKind.WELCOME, WELCOME)
    yield "believed", _CLIENT + begin + answer + answer
    yield (
        "not-believed",
        _CLIENT + begin + answer + command(shake.ANSWER, 0, b"\x00\x04\x01x"),
    )
    believed = _CLIENT + begin + answer + answer
    yield "goes-on", believed + cut + begin + answer + _OPENED + cut + begin + answer
    yield "does-not-go-on", believed + cut + begin + wrong + begin + answer + answer
    yield "too-much", believed + command(shake.CUT, 1 << 20) + begin + answer
    yield (
        "session-unknown",
        believed
        + cut
        + encode_message(FrameKind.REFUSED, Ended(Code.AUTHENTICATION, "no"))
        + begin
        + answer * 2,
    )
    yield (
        "forged",
        believed
        + cut
        + encode_message(FrameKind.CHALLENGE, Challenge(["HMAC-SHA-256"], b"c" * 32))
        + encode_message(FrameKind.RESUMED, Resumed(0, b"p" * 32))
        + _OPENED,
    )
    yield "impostor", _CLIENT + offer + first + welcome
    yield "too-early", _CLIENT + offer + welcome
    yield (
        "refused",
        _CLIENT + encode_message(FrameKind.REFUSED, Ended(Code.AUTHENTICATION, "no")),
    )
    yield (
        "no-credentials",
        _CLIENT
        + encode_message(FrameKind.CHALLENGE, Challenge(["ANONYMOUS"]))
        + welcome,
    )


def _sessions() -> Iterator[tuple[str, bytes]]:
    for mood in range(4):
        how = bytes([mood])
        yield f"server-{mood}", b"".join(
            (
                b"\x81", how, _ASK, _SEND, _ACT, _ACT, _SEND, _ACCEPTED, _WINDOW,
                _DATA, _ACT, _SEND, _SWITCH, _RAW_EOF, _CLOSE, _RESET, _ACT,
                _TUNNEL_OVER, _PING, _GOAWAY,
            )
        )  # fmt: skip
        yield f"client-{mood}", b"".join(
            (
                b"\x01", how, *[_ACT] * 6, _OPENED, _SEND, _VISITOR, _DATA, _WINDOW,
                _SEND, _SWITCH, _RAW_EOF, _ACT, _CLOSE, _RESET, _TUNNEL_OVER, _PING,
                _NO_TUNNEL, _GOAWAY,
            )
        )  # fmt: skip
        yield f"server-kept-{mood}", b"".join(
            (
                b"\xc1", how, _ASK, _SEND, _ACT, _ACT, _SEND, _CUT, _SEND, _ACCEPTED,
                _ACK, _CUT_LATER, _WINDOW, _ACT * 3, _SEND_ACK, _PING[:5], _CUT_LATER,
                _PING[5:], _SEND, _DATA, _CUT, _SEND, _CLOSE, _GOAWAY,
            )
        )  # fmt: skip
        yield f"client-kept-{mood}", b"".join(
            (
                b"\x41", how, *[_ACT] * 6, _SEND, _CUT, _OPENED, _SEND, _VISITOR, _ACK,
                _DATA, _CUT_LATER, _SEND_ACK, _PING, _ACT, _WINDOW, _CUT, _SEND, _EOF,
                _ACK, _SEND, _GOAWAY,
            )
        )  # fmt: skip
    yield (
        "server-mux",
        b"\x80\x00" + _ASK + _ACT * 4 + _ACCEPTED + _DATA + _EOF + _CLOSE,
    )
    yield (
        "client-mux",
        b"\x00\x00" + _ACT * 9 + _OPENED + _VISITOR + _DATA + _EOF + _CLOSE,
    )


def _data_links() -> Iterator[tuple[str, bytes]]:
    listen, visit = command(links.LISTEN, 1), command(links.VISIT, 2)
    dial, prove, pong = (
        command(links.DIAL, 1),
        command(links.PROVE),
        command(links.PONG),
    )
    control, data_link = command(links.TURN, 0), command(links.TURN, 1)
    speak, leave = command(links.SPEAK, 0, b"hello"), command(links.LEAVE, 1)
    attached = listen + dial + prove + pong
    yield "attached", _SERVER + attached
    yield (
        "not-attached",
        _SERVER + listen + dial + command(links.PROVE, 0, b"\x00\x04\x01x"),
    )
    yield (
        "used",
        _SERVER
        + attached
        + visit
        + speak
        + control
        + _ACCEPTED
        + speak
        + (
            data_link + _SWITCH + b"abc" + control + _SWITCH + _RAW_EOF + leave + _CLOSE
        ),
    )
    yield (
        "lost",
        _SERVER + attached + visit + control + _ACCEPTED + command(links.WAIT, 35),
    )
    yield "reset", _SERVER + attached + visit + control + _ACCEPTED + _RESET + _GOAWAY
    yield (
        "stranger",
        _SERVER
        + listen
        + command(links.BARE)
        + encode_message(FrameKind.ATTACH, Attach([1], b"s" * 16, 1, b"n" * 32)),
    )
    yield "mux", _SERVER + listen + visit + speak + _ACCEPTED + _DATA + _EOF + _WINDOW
    taken = listen + command(links.DIAL) + pong + command(links.DIAL)
    yield "client-taken", _CLIENT + taken
    yield (
        "client-used",
        _CLIENT
        + taken
        + control
        + visit
        + _SWITCH
        + data_link
        + (_SWITCH + b"abc" + control + _RAW_EOF + speak + leave + _CLOSE),
    )
    yield "client-mux", _CLIENT + listen + visit + _DATA + speak + _EOF + leave + _CLOSE
    yield "client-odd", _CLIENT + visit
    yield "client-over", _CLIENT + listen + visit + _TUNNEL_OVER + _GOAWAY


def _websockets() -> Iterator[tuple[str, bytes]]:
    small, whole, large = b"\x00", b"\x3f", b"\x08"
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Protocol: reitunnel.1\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    yield "request", whole + REQUEST + frame(b"hello")
    yield "slow-request", small + REQUEST + frame(b"hello")
    yield (
        "page",
        whole
        + REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: https://example.org\r\n\r\n"),
    )
    yield "answer", b"\xbf" + answer
    for number, (opened, mask) in enumerate(
        (
            (b"\x7f", b"\x11\x22\x33\x44"),
            (b"\x44", b"\x11\x22\x33\x44"),
            (b"\xff", None),
            (b"\xc4", None),
        )
    ):
        frames = (
            frame(b"hello", mask=mask),
            frame(b"x" * 200, mask=mask),
            frame(b"", mask=mask),
            frame(b"he", fin=False, mask=mask),
            frame(b"ping", opcode=9, mask=mask),
            frame(b"llo", opcode=0, mask=mask),
            frame(b"pong", opcode=10, mask=mask),
            frame(b"\x03\xe8bye", opcode=8, mask=mask),
        )
        yield f"frames-{number}", opened + b"".join(frames)
        yield f"text-{number}", opened + frame(b"text", opcode=1, mask=mask)
    yield "large", large + REQUEST + frame(b"x" * 70000)[:400]
