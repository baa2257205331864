"""
Tests of L{reitunnel.wire.messages}.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire.frames import FrameKind, FrameReader, encode_frame
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
    Welcome,
    clip,
    decode_message,
    decode_number,
    decode_total,
    encode_message,
    encode_number,
    encode_total,
    known_code,
)
from tests.wire.kinds import MESSAGES
from tests.wire.search import examples

pack = msgspec.msgpack.encode

# One good message of each kind, with every field that must be there.
LEAST: dict[type[Struct], dict[str, Any]] = {
    Hello: {"versions": [1], "instance": "laptop"},
    Challenge: {},
    Response: {},
    Welcome: {
        "version": 1,
        "session": b"s" * 16,
        "secret": b"k" * 32,
        "identity": "token:laptop",
        "auth": b"",
        "heartbeat": 10,
        "heartbeat_timeout": 30.5,
        "max_tunnels": 0,
        "max_streams": 0xFFFFFFFF,
    },
    Attach: {
        "versions": [1],
        "session": b"s" * 16,
        "link": 0xFFFFFFFF,
        "nonce": b"n" * 32,
    },
    Attached: {"proof": b"p" * 32},
    Resume: {
        "versions": [1],
        "session": b"s" * 16,
        "received": (1 << 63) - 1,
        "nonce": b"n" * 32,
    },
    Resumed: {"received": 0, "proof": b"p" * 32},
    Ended: {"code": 0},
    TunnelOpen: {"tunnel": 1, "type": "tcp"},
    TunnelOpened: {"tunnel": 0xFFFFFFFF, "host": "::1", "port": 65535},
    TunnelEnded: {"tunnel": 1, "code": 0xFFFF},
    StreamOpen: {"tunnel": 1, "window": 0},
}

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=255)
numbers = st.integers(1, 0xFFFFFFFF)
ports = st.integers(0, 65535)
codes = st.integers(0, 0xFFFF)
names = st.lists(texts, max_size=4)
seconds = st.floats(0, 86400, exclude_min=True)
counts = st.integers(0, 0xFFFFFFFF)
totals = st.integers(0, (1 << 63) - 1)

messages = st.one_of(
    st.builds(
        Hello,
        st.lists(st.integers(1, 9), min_size=1, max_size=4),
        texts.filter(bool),
        names,
        texts,
    ),
    st.builds(Challenge, names, st.binary(max_size=99)),
    st.builds(Response, texts, st.binary(max_size=99)),
    st.builds(
        Welcome,
        st.just(1),
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=32, max_size=32),
        texts,
        st.binary(max_size=99),
        seconds,
        seconds,
        counts,
        counts,
        counts,
        st.floats(0, 86400),
        names,
        texts,
    ),
    st.builds(
        Attach,
        st.lists(st.integers(1, 9), min_size=1, max_size=4),
        st.binary(min_size=16, max_size=16),
        numbers,
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(Attached, st.binary(min_size=32, max_size=32)),
    st.builds(
        Resume,
        st.lists(st.integers(1, 9), min_size=1, max_size=4),
        st.binary(min_size=16, max_size=16),
        totals,
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(Resumed, totals, st.binary(min_size=32, max_size=32)),
    st.builds(Ended, codes, texts),
    st.builds(
        TunnelOpen,
        numbers,
        texts,
        texts,
        ports,
        texts,
        st.dictionaries(texts, texts, max_size=3),
        st.sampled_from(["auto", "mux", "direct"]),
    ),
    st.builds(TunnelOpened, numbers, texts, ports),
    st.builds(TunnelEnded, numbers, codes, texts),
    st.builds(StreamOpen, numbers, counts, texts, ports),
)


def values() -> st.SearchStrategy[Any]:
    """
    Anything that msgpack can say.
    """
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), (1 << 64) - 1)
        | st.floats()
        | st.text(max_size=8)
        | st.binary(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=8,
    )


class RoundTripTests(SynchronousTestCase):
    def test_every_message(self) -> None:
        """
        These tests have one of each.
        """
        self.assertEqual(set(MESSAGES.values()), set(LEAST))

    @examples(200)
    @given(messages)
    def test_any(self, message: Struct) -> None:
        frame = encode_message(FrameKind.GOAWAY, message)
        (read,) = FrameReader().feed(frame)
        self.assertEqual(message, decode_message(type(message), read.payload))

    def test_least(self) -> None:
        """
        The other fields have defaults.
        """
        for kind, fields in LEAST.items():
            message = decode_message(kind, pack(fields))
            self.assertEqual(fields, {name: getattr(message, name) for name in fields})
            for name in fields:
                shorter = {key: fields[key] for key in fields if key != name}
                self.assertRaises(
                    RemoteProtocolError, decode_message, kind, pack(shorter)
                )

    def test_long_identity(self) -> None:
        """
        The subject of a certificate can be long.
        """
        fields = {**LEAST[Welcome], "identity": "x" * 1024}
        self.assertEqual("x" * 1024, decode_message(Welcome, pack(fields)).identity)

    def test_layout(self) -> None:
        """
        A map from the names of the fields, under a header.
        """
        self.assertEqual(
            encode_frame(
                FrameKind.STREAM_RESET, 7, pack({"code": 16, "reason": "gone"})
            ),
            encode_message(FrameKind.STREAM_RESET, Ended(Code.ABORTED, "gone"), 7),
        )

    @examples(50)
    @given(numbers, st.integers(0, 0xFFFFFFFF))
    def test_number(self, stream: int, number: int) -> None:
        (frame,) = FrameReader().feed(encode_number(FrameKind.WINDOW, stream, number))
        self.assertEqual((FrameKind.WINDOW, stream), (frame.kind, frame.stream))
        self.assertEqual(number, decode_number(frame.payload))

    @examples(50)
    @given(numbers, st.integers(0, 0xFFFFFFFFFFFFFFFF))
    def test_total(self, stream: int, total: int) -> None:
        (frame,) = FrameReader().feed(encode_total(FrameKind.EOF, stream, total))
        self.assertEqual((FrameKind.EOF, stream), (frame.kind, frame.stream))
        self.assertEqual(total, decode_total(frame.payload))

    def test_total_of_another_size(self) -> None:
        for size in (*range(8), 9):
            self.assertRaises(RemoteProtocolError, decode_total, bytes(size))


class UnknownFieldTests(SynchronousTestCase):
    @examples(200)
    @given(st.sampled_from(list(LEAST)), st.dictionaries(st.text(), values()))
    def test_ignored(self, kind: type[Struct], more: Mapping[str, Any]) -> None:
        """
        Fields that this version does not know mean nothing, whatever they hold.
        """
        unknown = {key: more[key] for key in more if key not in kind.__struct_fields__}
        self.assertEqual(
            decode_message(kind, pack(LEAST[kind])),
            decode_message(kind, pack({**unknown, **LEAST[kind]})),
        )

    def test_extensions(self) -> None:
        """
        msgpack's extension types, timestamps among them.
        """
        for value in (b"\xd6\xff\0\0\0\0", b"\xc7\x03\x05abc"):
            payload = b"\x82\xa4code\x05\xa1x" + value
            self.assertEqual(Ended(5), decode_message(Ended, payload))


class RefusalTests(SynchronousTestCase):
    def refuse(self, kind: type[Struct], payload: bytes) -> str:
        """
        A payload is refused.

        @return: the reason.
        """
        error: RemoteProtocolError = self.assertRaises(
            RemoteProtocolError, decode_message, kind, payload
        )
        self.assertTrue(error.reason.startswith(f"bad {kind.__name__}: "), error)
        self.assertNotIn("\n", error.reason)
        return error.reason

    def refuse_fields(self, kind: type[Struct], *wrong: Mapping[str, Any]) -> None:
        """
        Each of these makes a good message a bad one.
        """
        for fields in wrong:
            self.refuse(kind, pack({**LEAST[kind], **fields}))

    def test_reason_names_the_field(self) -> None:
        payload = pack({**LEAST[TunnelOpened], "port": 65536})
        self.assertEqual(
            "bad TunnelOpened: Expected `int` <= 65535 - at `$.port`",
            self.refuse(TunnelOpened, payload),
        )

    def test_wrong_types(self) -> None:
        """
        No field takes a value of another type, and nothing is converted.
        """
        kinds: dict[type, Any] = {
            int: 1,
            str: "1",
            bytes: b"1",
            list: ["1"],
            dict: {"1": "1"},
            bool: True,
            float: 1.5,
            type(None): None,
        }
        for kind, least in LEAST.items():
            fields = msgspec.to_builtins(
                decode_message(kind, pack(least)), str_keys=True
            )
            for name in fields:
                own = type(getattr(decode_message(kind, pack(least)), name))
                for other, value in kinds.items():
                    if other is own or {own, other} == {int, float}:
                        continue
                    self.refuse_fields(kind, {name: value})

    def test_fraction_for_a_whole_number(self) -> None:
        self.refuse_fields(Ended, {"code": 1.0}, {"code": 1.5})
        self.refuse_fields(TunnelOpened, {"port": 80.0})

    def test_ranges(self) -> None:
        long = "x" * 256
        self.refuse_fields(
            Hello,
            {"versions": []},
            {"versions": [1] * 17},
            {"instance": ""},
            {"instance": long},
            {"capabilities": ["x"] * 33},
            {"capabilities": [long]},
            {"software": long},
        )
        self.refuse_fields(
            Challenge, {"mechanisms": ["x"] * 33}, {"mechanisms": [long]}
        )
        self.refuse_fields(Response, {"mechanism": long})
        self.refuse_fields(
            Welcome,
            {"session": b"s" * 15},
            {"session": b"s" * 17},
            {"secret": b"k" * 31},
            {"secret": b"k" * 33},
            {"identity": "x" * 1025},
            {"heartbeat": 0},
            {"heartbeat": -1.5},
            {"heartbeat": 86400.5},
            {"heartbeat": math.nan},
            {"heartbeat": math.inf},
            {"heartbeat_timeout": 0},
            {"heartbeat_timeout": math.nan},
            {"max_tunnels": -1},
            {"max_streams": 1 << 32},
            {"max_links": -1},
            {"max_links": 1 << 32},
            {"capabilities": ["x"] * 33},
            {"software": long},
        )
        self.refuse_fields(
            Attach,
            {"versions": []},
            {"versions": [1] * 17},
            {"session": b"s" * 15},
            {"session": b"s" * 17},
            {"link": 0},
            {"link": 1 << 32},
            {"nonce": b"n" * 31},
            {"nonce": b"n" * 33},
        )
        self.refuse_fields(Attached, {"proof": b"p" * 31}, {"proof": b"p" * 33})
        self.refuse_fields(
            Ended,
            {"code": -1},
            {"code": 1 << 16},
            {"code": (1 << 64) - 1},
            {"code": -(1 << 63)},
            {"reason": "x" * 1025},
        )
        self.refuse_fields(
            TunnelOpen,
            {"tunnel": 0},
            {"tunnel": 1 << 32},
            {"type": long},
            {"bind": long},
            {"port": -1},
            {"port": 65536},
            {"target": "x" * 1025},
            {"metadata": {str(number): "" for number in range(33)}},
            {"metadata": {long: ""}},
            {"metadata": {"x": "x" * 1025}},
            {"carrier": ""},
            {"carrier": "pigeon"},
        )
        self.refuse_fields(TunnelOpened, {"tunnel": 0}, {"host": long}, {"port": 65536})
        self.refuse_fields(TunnelEnded, {"tunnel": 0}, {"code": 1 << 16})
        self.refuse_fields(
            StreamOpen,
            {"tunnel": 0},
            {"window": -1},
            {"window": 1 << 32},
            {"host": long},
            {"port": 65536},
        )

    def test_control_characters(self) -> None:
        """
        Texts are shown to people: they cannot move a cursor or forge a line of
        a log.
        """
        for character in ("\0", "\t", "\n", "\x1b", "\x7f", "\x9b"):
            for text in (character, f"a{character}b", f"a{character}"):
                self.refuse_fields(Ended, {"reason": text})
                self.refuse_fields(Hello, {"instance": text}, {"software": text})
                self.refuse_fields(
                    TunnelOpen,
                    {"target": text},
                    {"bind": text},
                    {"metadata": {text: ""}},
                    {"metadata": {"": text}},
                )
                self.refuse_fields(StreamOpen, {"host": text})

    def test_not_utf_8(self) -> None:
        for text in (b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80"):
            self.refuse(
                Ended, b"\x82\xa4code\x01\xa6reason" + bytes([0xA0 | len(text)]) + text
            )

    def test_deep_nesting(self) -> None:
        """
        Within a field that is not known, too.
        """
        for name in (b"\xa1x", b"\xa6reason"):
            for opening in (b"\x91", b"\x81\xa1x"):
                nest = opening * 20000
                self.refuse(Ended, b"\x82\xa4code\x01" + name + nest + b"\x01")

    def test_sizes_that_lie(self) -> None:
        """
        A size is not believed before the bytes are there: nothing is reserved
        for it.
        """
        for value in (
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\xc9\xff\xff\xff\xff\x05",
        ):
            self.refuse(Ended, value)
            for name in (b"\xaamechanisms", b"\xa4data", b"\xa1x"):
                self.refuse(Challenge, b"\x81" + name + value + b"a")
            self.refuse(TunnelOpen, b"\x81\xa8metadata" + value + b"\xa1a")

    def test_not_one_map(self) -> None:
        for payload in (
            b"",
            b"\xc1",
            pack([1]),
            pack(1),
            pack("code"),
            pack(None),
            pack({1: 2}),
            pack({b"code": 2}),
            pack({"code": 1}) + b"\0",
            pack({"code": 1})[:-1],
        ):
            self.refuse(Ended, payload)

    @examples(300)
    @given(st.sampled_from(list(LEAST)), st.binary(max_size=80))
    def test_arbitrary(self, kind: type[Struct], payload: bytes) -> None:
        """
        Arbitrary bytes are a message or the protocol error.
        """
        with contextlib.suppress(RemoteProtocolError):
            self.assertIsInstance(decode_message(kind, payload), kind)

    @examples(300)
    @given(messages, st.data())
    def test_mutated(self, message: Struct, data: st.DataObject) -> None:
        """
        So is a message with bytes changed, removed and added.
        """
        payload = bytearray(pack(message))
        place = data.draw(st.integers(0, len(payload)))
        payload[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3)
        )
        kind = type(message)
        with contextlib.suppress(RemoteProtocolError):
            self.assertIsInstance(decode_message(kind, bytes(payload)), kind)


class SendingTests(SynchronousTestCase):
    """
    What this side sends keeps the bounds, too: the fault is found where it is
    made, not by the peer.
    """

    def refuse(self, kind: FrameKind, message: Struct) -> None:
        self.assertRaises(LocalProtocolError, encode_message, kind, message)

    def test_out_of_bounds(self) -> None:
        self.refuse(FrameKind.TUNNEL_OPEN, TunnelOpen(0, "tcp"))
        self.refuse(FrameKind.TUNNEL_OPEN, TunnelOpen(1, "tcp", port=65536))
        self.refuse(FrameKind.TUNNEL_OPEN, TunnelOpen(1, "tcp", target="\ud800"))
        self.refuse(FrameKind.TUNNEL_OPEN, TunnelOpen(1, "tcp", metadata={"a": "\n"}))
        self.refuse(FrameKind.HELLO, Hello([], "laptop"))
        self.refuse(FrameKind.STREAM_OPEN, StreamOpen(1, 1 << 70))

    def test_too_large(self) -> None:
        """
        Within the bounds of each field, and yet too large for one frame.
        """
        metadata = {str(number): "€" * 1024 for number in range(32)}
        self.refuse(FrameKind.TUNNEL_OPEN, TunnelOpen(1, "tcp", metadata=metadata))
        self.refuse(FrameKind.RESPONSE, Response("X", bytes(16 << 10)))


class CodeTests(SynchronousTestCase):
    def test_known(self) -> None:
        for code in Code:
            self.assertIs(code, known_code(int(code)))

    def test_unknown(self) -> None:
        self.assertIs(Code.INTERNAL, known_code(max(Code) + 1))
        self.assertIs(Code.INTERNAL, known_code(0xFFFF))


class ClipTests(SynchronousTestCase):
    def test_short(self) -> None:
        self.assertEqual("x" * 1024, clip("x" * 1024))

    def test_long(self) -> None:
        self.assertEqual("x" * 1023 + "…", clip("x" * 1025))

    def test_control_characters(self) -> None:
        """
        A reason of several lines becomes one line.
        """
        self.assertEqual("no such file: a b", clip("no such file:\na\x1bb"))

    def test_lone_surrogates(self) -> None:
        """
        Names of files that are not UTF-8 have them.
        """
        self.assertEqual("/tmp/?", clip("/tmp/\udcff"))

    @examples(200)
    @given(st.text(st.characters()))
    def test_any_reason_can_be_sent(self, reason: str) -> None:
        encode_message(FrameKind.GOAWAY, Ended(Code.INTERNAL, clip(reason)))
