"""
Tests of the audit trail's chain and its file.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES
from io import BytesIO
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.audit_chain import (
    MAX_LINE,
    BrokenRecord,
    Link,
    decode,
    encode,
    in_order,
    read_end,
    verify,
)
from reitunnel.hooks.audit_file import AuditFile, Fsync


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


def record(text: str = "x") -> dict[str, Any]:
    return {"time": "now", "event": text}


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


class FileCase(SynchronousTestCase):
    """
    A directory for the files of one trail.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "audit.jsonl"

    def make(
        self, max_size: int = 1 << 20, keep: int = 0, fsync: Fsync = "batch"
    ) -> AuditFile:
        file = AuditFile(self.path, max_size, keep, fsync)
        self.addCleanup(file.close)
        return file

    def verified(self) -> list[str]:
        """
        Verify all files.

        @return: the events of their records.
        """
        link: Link | None = Link()
        events = []
        for path in in_order(self.directory.iterdir()):
            data = path.read_bytes()
            _, link = verify(BytesIO(data), link)
            events += [json.loads(line)["event"] for line in data.splitlines()]
        return events

    def broken(self) -> tuple[str, int, str]:
        """
        Verify all files.

        @return: where they are broken: the file, the line, and the reason.
        """
        link: Link | None = Link()
        for path in in_order(self.directory.iterdir()):
            try:
                _, link = verify(BytesIO(path.read_bytes()), link)
            except BrokenRecord as broken:
                return path.name, broken.line, str(broken)
        raise self.failureException("it is whole")

    @contextmanager
    def full_disk(self, room: int) -> Iterator[None]:
        """
        Let files have so many bytes at most.
        """
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class FileTests(FileCase):
    def test_append(self) -> None:
        file = self.make()
        file.append([record("one"), record("two")])
        file.append([record("three")])
        self.assertEqual(["one", "two", "three"], self.verified())
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)

    def test_goes_on(self) -> None:
        """
        The chain goes on where it was left, over restarts.
        """
        for text, fsync in (("one", "batch"), ("two", "close"), ("three", "never")):
            file = self.make(fsync=fsync)  # type: ignore[arg-type]  # one of them
            file.append([record(text)])
            file.close()
        self.assertEqual(["one", "two", "three"], self.verified())

    def test_rotated(self) -> None:
        """
        Over files and restarts it is one chain.
        """
        texts = [f"{number}" for number in range(20)]
        for begin in (0, 10):
            file = self.make(max_size=600)
            for text in texts[begin : begin + 10]:
                file.append([record(text)])
            file.close()
        self.assertEqual(texts, self.verified())
        self.assertGreater(len(list(self.directory.iterdir())), 3)

    def test_restart_between_files(self) -> None:
        """
        The last file may be full, or may have been moved away with its records.
        """
        file = self.make(max_size=1)
        file.append([record("one")])
        file.append([record("two")])
        file.close()
        self.path.rename(f"{self.path}.00000002")
        file = self.make()
        file.append([record("three")])
        self.assertEqual(["one", "two", "three"], self.verified())

    def test_keep(self) -> None:
        file = self.make(max_size=1, keep=2)
        (self.directory / "audit.jsonl.txt").write_bytes(b"")
        for number in range(6):
            file.append([record(f"{number}")])
        (self.directory / "audit.jsonl.txt").unlink()
        link = None
        events = []
        for path in in_order(self.directory.iterdir()):
            data = path.read_bytes()
            _, link = verify(BytesIO(data), link)
            events += [json.loads(line)["event"] for line in data.splitlines()]
        self.assertEqual(["3", "4", "5"], events)

    def test_after_a_crash(self) -> None:
        """
        What is left of a line is cut off, and that is recorded.
        """
        file = self.make()
        file.append([record("one")])
        file.close()
        with self.path.open("ab") as torn:
            torn.write(b'{"hash":"12')
        file = self.make()
        file.probe()
        file.append([record("two")])
        self.assertEqual(["one", "cut_off", "two"], self.verified())
        self.assertEqual(
            11, json.loads(self.path.read_bytes().splitlines()[1])["bytes"]
        )

    def test_broken(self) -> None:
        """
        Nothing is added to what is no trail.
        """
        self.path.write_bytes(b"something else\n")
        file = self.make()
        self.assertRaises(BrokenRecord, file.probe)
        self.assertRaises(BrokenRecord, file.append, [record()])
        self.assertEqual(b"something else\n", self.path.read_bytes())

    def test_broken_before(self) -> None:
        (self.directory / "audit.jsonl.00000002").write_bytes(b"something else\n")
        self.assertRaises(BrokenRecord, self.make().probe)

    def test_probe_changes_nothing(self) -> None:
        self.make().probe()
        self.assertEqual([], list(self.directory.iterdir()))

    def test_no_directory(self) -> None:
        file = AuditFile(self.directory / "none" / "audit.jsonl", 1, 0, "never")
        self.assertRaises(FileNotFoundError, file.probe)
        self.assertRaises(FileNotFoundError, file.append, [record()])

    def test_a_directory(self) -> None:
        file = AuditFile(self.directory, 1, 0, "never")
        self.assertRaises(IsADirectoryError, file.probe)
        self.assertRaises(IsADirectoryError, file.append, [record()])

    def test_two_writers(self) -> None:
        """
        Two chains in one file would break each other.
        """
        first, second = self.make(), self.make()
        first.append([record("one")])
        error = self.assertRaises(OSError, second.append, [record("two")])
        self.assertEqual("another process writes it", error.strerror)
        first.close()
        second.append([record("two")])
        self.assertEqual(["one", "two"], self.verified())

    def test_full_disk(self) -> None:
        """
        What was written of a batch is taken back: it can be written again.
        """
        file = self.make()
        file.append([record("one")])
        batch = [record("two"), record("three"), record("four")]
        with self.full_disk(self.path.stat().st_size + 300):
            self.assertRaises(OSError, file.append, batch)
        self.assertEqual(["one"], self.verified())
        file.append(batch)
        self.assertEqual(["one", "two", "three", "four"], self.verified())

    def test_no_space_at_all(self) -> None:
        file = self.make()
        with self.full_disk(0):
            self.assertRaises(OSError, file.append, [record("one")])
        file.append([record("one")])
        self.assertEqual(["one"], self.verified())

    def test_cut_off_is_owed(self) -> None:
        """
        What a crash has left is recorded as soon as there is room for that.
        """
        self.path.write_bytes(b'{"hash":"12')
        file = self.make()
        with self.full_disk(0):
            self.assertRaises(OSError, file.append, [record("one")])
        file.append([record("one")])
        file.append([record("two")])
        self.assertEqual(["cut_off", "one", "two"], self.verified())

    def test_cannot_rotate(self) -> None:
        """
        It goes on in the full file, which is said once, until it can be rotated.
        """
        rename = os.rename
        file = self.make(max_size=1)
        file.append([record("one")])

        def refuse(*names: object) -> None:
            raise PermissionError(EACCES, os.strerror(EACCES))

        self.patch(os, "rename", refuse)
        file.append([record("two")])
        file.append([record("three")])
        self.assertEqual(
            f"cannot rotate the audit trail {self.path}: Permission denied. It goes on "
            "in the same file",
            "\n".join(file.notices()),
        )
        self.assertEqual([self.path], list(self.directory.iterdir()))
        self.patch(os, "rename", rename)
        file.append([record("four")])
        self.assertEqual(["one", "two", "three", "four"], self.verified())
        self.assertEqual(2, len(list(self.directory.iterdir())))
        self.patch(os, "rename", refuse)
        file.append([record("five")])
        self.assertEqual(1, len(file.notices()))

    def test_name_is_taken(self) -> None:
        """
        No file is written over by a rotation.
        """
        taken = self.directory / "audit.jsonl.00000001"
        file = self.make(max_size=1)
        file.append([record("one")])
        taken.write_bytes(b"evidence")
        file.append([record("two")])
        self.assertEqual(b"evidence", taken.read_bytes())
        taken.unlink()
        self.assertEqual(["one", "two"], self.verified())

    def test_cannot_delete(self) -> None:
        """
        What cannot be deleted stays, which is said once, and is in nobody's way.
        """
        file = self.make(max_size=1, keep=1)
        file.append([record("first")])
        (self.directory / "audit.jsonl.00000000").mkdir()
        for number in range(4):
            file.append([record(f"{number}")])
        [notice] = file.notices()
        self.assertIn(
            f"cannot delete old files of the audit trail {self.path}: ", notice
        )
        (self.directory / "audit.jsonl.00000000").rmdir()
        self.assertEqual(["first", "0", "1", "2", "3"], self.verified())

    def test_names_of_others(self) -> None:
        """
        What another program has rotated is not deleted, and its chain is gone on with.
        """
        file = self.make(max_size=1, keep=1)
        for number in range(3):
            file.append([record(f"{number}")])
        file.close()
        self.path.rename(f"{self.path}.1")
        (self.directory / "audit.jsonl.1.gz").write_bytes(b"no record")
        os.mkfifo(self.directory / "audit.jsonl.pipe")
        file = self.make(max_size=1, keep=1)
        file.probe()
        for number in range(3, 6):
            file.append([record(f"{number}")])
        file.close()
        names = [
            f"audit.jsonl{end}" for end in ("", ".00000005", ".1", ".1.gz", ".pipe")
        ]
        self.assertEqual(names, sorted(path.name for path in self.directory.iterdir()))
        link = None
        for name in (names[1], names[0]):
            _, link = verify(BytesIO((self.directory / name).read_bytes()), link)

    def test_no_file(self) -> None:
        """
        What can be no trail is found before anything begins.
        """
        os.mkfifo(self.path)
        error = self.assertRaises(OSError, self.make().probe)
        self.assertEqual("it is no regular file", error.strerror)
        self.assertRaises(OSError, self.make().append, [record()])
        self.path.unlink()
        self.path.symlink_to(self.path.absolute())
        self.assertRaises(OSError, self.make().probe)
        self.path.unlink()
        # Rotated, its name would be too long.
        self.path = self.directory / ("x" * 240)
        self.assertRaises(OSError, self.make().probe)
        self.path = self.directory / "a\0b"
        self.assertRaises(ValueError, self.make().probe)
