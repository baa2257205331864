"""
Tests of the file of an audit trail.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.audit_chain import (
    BrokenRecord,
    Link,
    in_order,
    verify,
)
from reitunnel.hooks.audit_file import AuditFile, Fsync


def record(text: str = "x") -> dict[str, Any]:
    return {"time": "now", "event": text}


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
        self.assertEqual("another process or hook writes it", error.strerror)
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
        (self.directory / "audit.jsonl.x").symlink_to("nowhere")
        file = self.make(max_size=1, keep=1)
        file.probe()
        for number in range(3, 6):
            file.append([record(f"{number}")])
        file.close()
        names = [
            f"audit.jsonl{end}"
            for end in ("", ".00000005", ".1", ".1.gz", ".pipe", ".x")
        ]
        self.assertEqual(names, sorted(path.name for path in self.directory.iterdir()))
        link = None
        for name in (names[1], names[0]):
            _, link = verify(BytesIO((self.directory / name).read_bytes()), link)

    def test_may_not_be_written(self) -> None:
        """
        Neither a file nor a directory that nothing may be written to.
        """
        for mine, text in (
            (self.directory, "nothing may be made in its directory"),
            (self.path, "Permission denied"),
        ):
            self.path.touch()
            self.patch(os, "access", lambda path, _, mine=mine: path != mine)
            error = self.assertRaises(PermissionError, self.make().probe)
            self.assertEqual(text, error.strerror)

    def test_rotated_cannot_be_read(self) -> None:
        """
        It is said which file it is.
        """
        old = self.directory / "audit.jsonl.00000002"
        old.symlink_to("nowhere")
        error = self.assertRaises(OSError, self.make().probe)
        self.assertEqual(f"{old.name}: No such file or directory", error.strerror)

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
