"""
Tests of the chain of an audit trail.
"""

from __future__ import annotations

import hashlib
import json
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.audit_chain import (
    MAX_LINE,
    BrokenRecord,
    Link,
    decode,
    encode,
    read_end,
    verify,
)


def chain(*texts: str, before: Link | None = None) -> tuple[list[bytes], Link]:
    """
    Records with these texts.
    """
    link = before or Link()
    lines = []
    for text in texts:
        line, link = encode(link, {"text": text})
        lines.append(line)
    return lines, link


def with_hash(line: bytes) -> bytes:
    """
    A line that was changed, with the hash that it has then.
    """
    digest = hashlib.sha256(b"{" + line[75:-1]).hexdigest()
    return b'{"hash":"' + digest.encode() + b'",' + line[75:]


class ChainTests(SynchronousTestCase):
    def broken(self, lines: list[bytes], before: Link | None = None) -> tuple[int, str]:
        """
        The first broken record.
        """
        error = self.assertRaises(
            BrokenRecord, verify, BytesIO(b"".join(lines)), before
        )
        return error.line, str(error)

    def test_whole(self) -> None:
        lines, link = chain("one", "two", "three")
        self.assertEqual((3, link), verify(BytesIO(b"".join(lines)), Link()))
        self.assertEqual(3, link.seq)

    def test_json(self) -> None:
        """
        Each line is an object that any program can read.
        """
        [line], link = chain("zwölf")
        read = json.loads(line)
        self.assertEqual(
            {"hash": link.hash, "seq": 1, "prev": "0" * 64, "text": "zwölf"}, read
        )

    def test_over_files(self) -> None:
        first, link = chain("one", "two")
        second, last = chain("three", before=link)
        _, after = verify(BytesIO(b"".join(first)), None)
        self.assertEqual((1, last), verify(BytesIO(b"".join(second)), after))

    def test_seen(self) -> None:
        """
        Whoever wants is told of each record that follows.
        """
        lines, link = chain("one", "two", "three")
        seen = []
        verify(BytesIO(b"".join(lines)), None, lambda *told: seen.append(told))
        self.assertEqual([1, 2, 3], [number for number, _ in seen])
        self.assertEqual(
            (link, "three"), (seen[-1][1].link, seen[-1][1].fields["text"])
        )

    def test_begins_anywhere(self) -> None:
        lines, link = chain("one", "two", "three")
        self.assertEqual((2, link), verify(BytesIO(b"".join(lines[1:])), None))

    def test_changed(self) -> None:
        lines, _ = chain("one", "two", "three")
        lines[1] = lines[1].replace(b"two", b"TWO")
        self.assertEqual(
            (2, "it was changed: its hash is another one"), self.broken(lines)
        )

    def test_changed_with_its_hash(self) -> None:
        """
        Then the next one does not follow.
        """
        lines, _ = chain("one", "two", "three")
        before = decode(lines[0]).link
        lines[1], _ = encode(before, {"text": "TWO"})
        self.assertEqual(
            (3, "it does not follow the record before it"), self.broken(lines)
        )

    def test_left_out(self) -> None:
        lines, _ = chain("one", "two", "three")
        del lines[1]
        self.assertEqual(
            (2, "it has the number 3, and 2 was to follow"), self.broken(lines)
        )

    def test_swapped(self) -> None:
        lines, _ = chain("one", "two", "three")
        lines[1], lines[2] = lines[2], lines[1]
        self.assertEqual(2, self.broken(lines)[0])

    def test_cut(self) -> None:
        lines, _ = chain("one", "two")
        self.assertEqual(
            (2, "the line is not complete"), self.broken([lines[0], lines[1][:-1]])
        )

    def test_no_record(self) -> None:
        for line in (b"\n", b"{}\n", b"\xff\n", b'{"hash":"' + b"0" * 64 + b'",}\n'):
            self.assertEqual(1, self.broken([line])[0])

    def test_other_json(self) -> None:
        """
        A right hash alone makes no record.
        """
        for fields in (
            {"seq": "1"},
            {"prev": 1},
            {"seq": True},
            {"seq": 0},
            {"seq": 10**18},
            {"prev": "0" * 63},
        ):
            line, _ = encode(Link(), fields)
            self.assertEqual((1, "it is no record"), self.broken([line]))

    def test_deep(self) -> None:
        """
        What cannot be read as JSON is no record, with any hash.
        """
        [line], _ = chain("DEEP")
        for text in (b"[" * 200_000, b'"\xc3\xbc"', b"1" * 5000):
            changed = with_hash(line.replace(b'"DEEP"', text))
            self.assertEqual((1, "it is no record"), self.broken([changed]))
            self.assertRaises(BrokenRecord, read_end, BytesIO(changed))

    def test_twice(self) -> None:
        """
        A record that says another place to some programs than to others is none.
        """
        [line], _ = chain("TWICE")
        for more in (b'"seq":7', b'"prev":""', b'"hash":""'):
            changed = with_hash(line.replace(b'"TWICE"', b'"",' + more))
            self.assertEqual((1, "it names its place twice"), self.broken([changed]))

    def test_first_follows(self) -> None:
        """
        The first record is the one that follows none.
        """
        line, _ = encode(Link(0, "1" * 64), {})
        self.assertEqual(
            (1, "it has the number 1, and follows another record"), self.broken([line])
        )
        line, _ = encode(Link(6), {})
        self.assertEqual(
            (1, "it has the number 7, and follows no record"), self.broken([line])
        )

    def test_longest(self) -> None:
        """
        No record is made that could not be read.
        """
        [line], _ = chain("")
        room = MAX_LINE - len(line)
        lines, link = chain("x" * room)
        self.assertEqual((1, link), verify(BytesIO(lines[0]), Link()))
        self.assertEqual((link, MAX_LINE, 0), read_end(BytesIO(lines[0])))
        self.assertRaises(ValueError, chain, "x" * (room + 1))
        longer = with_hash(lines[0].replace(b"xx", b"xxx", 1))
        self.assertEqual(
            (1, "the line is longer than any record"), self.broken([longer])
        )
        self.assertRaises(BrokenRecord, read_end, BytesIO(longer))

    @given(st.integers(0, 10_000), st.integers(0, 7))
    def test_any_bit(self, place: int, bit: int) -> None:
        """
        Whatever bit is changed, the record is named.
        """
        lines, _ = chain("one", "two", "three")
        data = bytearray(b"".join(lines))
        data[place % len(data)] ^= 1 << bit
        with self.assertRaises(BrokenRecord):
            count, _ = verify(BytesIO(bytes(data)), Link())
            if count != 3:
                raise BrokenRecord(count, "records are missing")

    def test_end(self) -> None:
        lines, link = chain("one", "two")
        data = b"".join(lines)
        self.assertEqual((link, len(data), 0), read_end(BytesIO(data)))
        self.assertEqual((link, len(data), 4), read_end(BytesIO(data + b'{"ha')))
        self.assertEqual((None, 0, 0), read_end(BytesIO()))
        self.assertEqual((None, 0, 3), read_end(BytesIO(b'{"h')))
        self.assertRaises(BrokenRecord, read_end, BytesIO(data + b"{}\n"))

    def test_end_of_a_large_file(self) -> None:
        lines, link = chain(*["x" * 50_000] * 60)
        data = b"".join(lines)
        self.assertEqual((link, len(data), 0), read_end(BytesIO(data)))
        self.assertRaises(BrokenRecord, read_end, BytesIO(b"x" * 3_000_000))

    def test_much_is_torn(self) -> None:
        """
        A power cut may leave zeros where a batch was to be.
        """
        lines, link = chain("one")
        for rest in (bytes(3_000_000), b'{"hash":"12' + bytes(3_000_000)):
            end = read_end(BytesIO(lines[0] + rest))
            self.assertEqual((link, len(lines[0]), len(rest)), end)
            self.assertEqual((None, 0, len(rest)), read_end(BytesIO(rest)))

    def test_something_else(self) -> None:
        """
        What no crash of this leaves is not taken for it.
        """
        for data in (b"x", b"something else", b'{"has:', b"\0x"):
            self.assertRaises(BrokenRecord, read_end, BytesIO(data))
            self.assertRaises(BrokenRecord, read_end, BytesIO(chain("")[0][0] + data))
