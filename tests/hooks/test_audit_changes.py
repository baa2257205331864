"""
Tests of an audit trail whose files others move, delete and change while it is written.
"""

from __future__ import annotations

import json
import os
import shutil
from errno import EIO
from io import BytesIO, FileIO
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.audit_chain import BrokenRecord, Link, encode, in_order, verify
from reitunnel.hooks.audit_file import AuditFile
from tests.hooks.test_audit_file import FileCase, record


class ChangeCase(FileCase):
    """
    A file that has three records, and is open.
    """

    def setUp(self) -> None:
        super().setUp()
        self.file = self.make()
        self.file.append([record("one"), record("two")])
        self.file.append([record("three")])

    def go_on(self, notice: str) -> None:
        """
        Append two records. Of what is found, so much is said, and once.
        """
        self.file.append([record("four")])
        self.assertEqual([f"the audit trail {self.path} {notice}"], self.file.notices())
        self.file.append([record("five")])
        self.assertEqual([], self.file.notices())

    def first(self) -> dict[str, object]:
        """
        The first record of the file that is written now.
        """
        first: dict[str, object] = json.loads(self.path.read_bytes().splitlines()[0])
        return first


class GoneTests(ChangeCase):
    notice = (
        "is gone: another program has moved or deleted it. A new file goes on from "
        "record 4"
    )

    def test_deleted(self) -> None:
        """
        What was deleted is missing, for everybody to see.
        """
        self.path.unlink()
        self.go_on(self.notice)
        self.assertEqual(
            ("audit.jsonl", 1, "it has the number 4, and 1 was to follow"),
            self.broken(),
        )
        self.assertEqual(
            ("file_changed", "gone", 4),
            tuple(self.first()[key] for key in ("event", "found", "seq")),
        )

    def test_deleted_between_rotated_ones(self) -> None:
        """
        That others are left hides nothing.
        """
        self.file.change(1, 0, "batch")
        self.file.append([record("four")])
        self.path.unlink()
        self.file.append([record("five")])
        self.file.append([record("six")])
        self.assertEqual(
            ("audit.jsonl.00000006", 1, "it has the number 5, and 4 was to follow"),
            self.broken(),
        )

    def test_moved(self) -> None:
        """
        The trail is whole when what was moved is given too.
        """
        self.path.rename(self.directory / "audit.jsonl.1")
        self.go_on(self.notice)
        self.assertEqual(
            ["one", "two", "three", "file_changed", "four", "five"], self.verified()
        )

    def test_deleted_when_full(self) -> None:
        """
        What is rotated is the own file.
        """
        self.file.change(1, 0, "batch")
        self.path.unlink()
        self.go_on(self.notice)
        self.assertEqual(
            ["audit.jsonl", "audit.jsonl.00000005"],
            sorted(path.name for path in self.directory.iterdir()),
        )

    def test_no_directory(self) -> None:
        """
        A directory that is away for a while, such as one on another disk, costs
        nothing and is no change.
        """
        away = self.directory.with_suffix(".away")
        self.directory.rename(away)
        self.assertRaises(FileNotFoundError, self.file.append, [record("four")])
        away.rename(self.directory)
        self.file.append([record("four")])
        self.assertEqual([], self.file.notices())
        self.assertEqual(["one", "two", "three", "four"], self.verified())

    def test_no_directory_any_more(self) -> None:
        """
        What is lost with it is missing.
        """
        shutil.rmtree(self.directory)
        self.assertRaises(FileNotFoundError, self.file.append, [record("four")])
        self.directory.mkdir()
        self.go_on(self.notice)
        self.assertEqual(1, self.broken()[1])

    def test_full_disk(self) -> None:
        """
        What was found is recorded when there is room, and said at once.
        """
        self.path.unlink()
        with self.full_disk(0):
            self.assertRaises(OSError, self.file.append, [record("four")])
        self.go_on(self.notice)
        self.assertEqual("file_changed", self.first()["event"])
        self.assertEqual(3, len(self.path.read_bytes().splitlines()))


class AnotherTests(ChangeCase):
    def test_empty(self) -> None:
        """
        So do programs that rotate files.
        """
        self.path.rename(self.directory / "audit.jsonl.1")
        self.path.touch()
        self.go_on("is another file now. It goes on there from record 4")
        self.assertEqual(
            ["one", "two", "three", "file_changed", "four", "five"], self.verified()
        )

    def test_copy(self) -> None:
        """
        So do editors.
        """
        copy = self.directory / "copy"
        shutil.copy(self.path, copy)
        copy.rename(self.path)
        self.go_on("is another file now. It goes on there from record 4")
        self.assertEqual("file_changed", self.verified()[3])

    def test_copied_and_emptied(self) -> None:
        """
        So do programs that rotate files, when they are told to.
        """
        shutil.copy(self.path, self.directory / "audit.jsonl.1")
        os.truncate(self.path, 0)
        self.go_on("was emptied by another program. It goes on from record 4")
        self.assertEqual(
            ["one", "two", "three", "file_changed", "four", "five"], self.verified()
        )

    def test_another_writes_it(self) -> None:
        """
        Two chains in one file would break each other.
        """
        self.path.unlink()
        other = self.make()
        other.append([record("other")])
        error = self.assertRaises(OSError, self.file.append, [record("four")])
        self.assertEqual("another process or hook writes it", error.strerror)
        self.assertEqual(["other"], self.verified())


class ChangedTests(ChangeCase):
    """
    What was changed is put aside.
    """

    def goes_on_beside(self) -> Path:
        """
        Append, and see that what was there is left as it was.

        @return: the file that it is now.
        """
        was = self.path.read_bytes()
        name = "audit.jsonl.00000003.changed"
        self.go_on(
            f"was changed by another program. What was there is {name} now, and a new "
            "file goes on from record 4"
        )
        aside = self.directory / name
        self.assertEqual(was, aside.read_bytes())
        first = self.first()
        self.assertEqual(
            ("file_changed", "changed", name, 4),
            tuple(first[key] for key in ("event", "found", "aside", "seq")),
        )
        return aside

    def test_cut(self) -> None:
        """
        The last records are missing.
        """
        lines = self.path.read_bytes().splitlines(keepends=True)
        os.truncate(self.path, len(lines[0]) + len(lines[1]))
        self.goes_on_beside()
        self.assertEqual(
            ("audit.jsonl", 1, "it has the number 4, and 3 was to follow"),
            self.broken(),
        )

    def test_cut_in_a_line(self) -> None:
        os.truncate(self.path, self.path.stat().st_size - 7)
        self.goes_on_beside()
        self.assertEqual(
            ("audit.jsonl.00000003.changed", 3, "the line is not complete"),
            self.broken(),
        )

    def test_put_in(self) -> None:
        """
        A record of somebody else follows, but is in the way of the next one.
        """
        lines = self.path.read_bytes().splitlines()
        link = Link(3, json.loads(lines[2])["hash"])
        line, _ = encode(link, record("invented"))
        with self.path.open("ab") as file:
            file.write(line)
        self.goes_on_beside()
        self.assertEqual(
            ("audit.jsonl", 1, "it has the number 4, and 5 was to follow"),
            self.broken(),
        )

    def test_junk(self) -> None:
        for number, junk in enumerate((b"junk\n", b"junk", b'{"hash":"12')):
            with self.path.open("ab") as file:
                file.write(junk)
            self.file.append([record("more")])
            self.assertEqual(1, len(self.file.notices()), number)
        self.assertEqual(3, len(list(self.directory.glob("*.changed"))))
        self.assertEqual(4, self.broken()[1])

    def test_another_trail(self) -> None:
        """
        A new chain in place of the file does not become part of it.
        """
        self.path.unlink()
        forged = AuditFile(self.path, 1 << 20, 0, "never")
        forged.append([record("one"), record("something else"), record("three")])
        forged.close()
        self.goes_on_beside()
        self.assertEqual(
            ("audit.jsonl", 1, "it does not follow the record before it"),
            self.broken(),
        )

    def test_no_file(self) -> None:
        """
        Neither a directory nor a pipe is in the way.
        """
        for make, number in ((os.mkdir, 3), (os.mkfifo, 5)):
            self.path.unlink()
            make(self.path)
            self.file.append([record("more")])
            aside = self.directory / f"audit.jsonl.{number:08}.changed"
            self.assertTrue(aside.exists())
            self.assertEqual(1, len(self.file.notices()))
        self.assertEqual("file_changed", self.first()["event"])

    def test_link_to_something_else(self) -> None:
        """
        What is no trail is not written to.
        """
        other = self.directory.parent / "other"
        other.write_bytes(b"something else")
        self.path.unlink()
        self.path.symlink_to(other.absolute())
        self.goes_on_beside()
        self.assertEqual(b"something else", other.read_bytes())

    def test_twice(self) -> None:
        """
        What was put aside is not written over.
        """
        (self.directory / "audit.jsonl.00000003.changed").write_bytes(b"evidence")
        os.truncate(self.path, 5)
        self.file.append([record("four")])
        self.assertEqual("audit.jsonl.00000003.changed.1", self.first()["aside"])

    def test_kept(self) -> None:
        """
        It does not count as a rotated file.
        """
        os.truncate(self.path, 5)
        self.file.change(1, 1, "batch")
        for number in range(4):
            self.file.append([record(f"{number}")])
        self.assertEqual(
            ["audit.jsonl", "audit.jsonl.00000003.changed", "audit.jsonl.00000007"],
            sorted(path.name for path in self.directory.iterdir()),
        )

    def test_cannot_be_put_aside(self) -> None:
        """
        Then nothing is written, until it can be.
        """

        def refuse(*names: object) -> None:
            raise PermissionError(1, "no")

        os.truncate(self.path, 5)
        rename = os.rename
        self.patch(os, "rename", refuse)
        self.assertRaises(PermissionError, self.file.append, [record("four")])
        self.assertEqual([], self.file.notices())
        self.patch(os, "rename", rename)
        self.goes_on_beside()


class Stubborn(FileIO):
    """
    A file that cannot be made shorter.
    """

    def truncate(self, size: int | None = None) -> int:
        raise OSError(EIO, os.strerror(EIO))


class TornTests(FileCase):
    """
    A batch is written in part, and cannot be taken back.
    """

    def tear(self, file: AuditFile, room: int) -> None:
        """
        Write two records, of which so many bytes have room.
        """
        room += self.path.stat().st_size if self.path.exists() else 0
        with self.full_disk(room):
            self.assertRaises(OSError, file.append, [record("two"), record("three")])

    def stubborn(self) -> AuditFile:
        fdopen = os.fdopen
        self.patch(os, "fdopen", lambda number, *_, **__: Stubborn(number, "r+"))
        file = self.make()
        self.assertRaises(FileNotFoundError, os.stat, self.path)
        file.append([record("one")])
        self.patch(os, "fdopen", fdopen)
        return file

    def test_own(self) -> None:
        """
        What is there of it is no change by others.
        """
        for room, events in (
            (0, ["one", "two", "three", "four"]),
            (50, ["one", "cut_off", "two", "three", "four"]),
            (300, ["one", "two", "cut_off", "two", "three", "four"]),
        ):
            file = self.stubborn()
            self.tear(file, room)
            file.append([record("two"), record("three")])
            file.append([record("four")])
            self.assertEqual([], file.notices())
            self.assertEqual(events, self.verified())
            file.close()
            self.path.unlink()

    def test_changed(self) -> None:
        """
        That others took the rest away meanwhile, is.
        """
        for make in (lambda: os.truncate(self.path, 0), self.path.unlink):
            file = self.stubborn()
            self.tear(file, 300)
            make()
            file.append([record("two")])
            self.assertEqual(1, len(file.notices()))
            self.assertEqual(1, self.broken()[1])
            file.close()
            self.path.unlink()


class RestartTests(ChangeCase):
    """
    What a process does that has no chain yet.
    """

    def test_closed(self) -> None:
        """
        A file that was closed is left to others.
        """
        self.file.close()
        other = self.make()
        other.append([record("four")])
        other.close()
        self.file.append([record("five")])
        self.assertEqual([], self.file.notices())
        self.assertEqual(["one", "two", "three", "four", "five"], self.verified())

    def test_changed_before_it_is_closed(self) -> None:
        """
        That is said, though nothing is written any more.
        """
        for change in (self.path.unlink, lambda: os.truncate(self.path, 5)):
            change()
            self.file.close()
            self.assertEqual(
                f"the audit trail {self.path} was moved, deleted or changed by another "
                "program after record 3",
                "\n".join(self.file.notices()),
            )
            self.file.close()
            self.assertEqual([], self.file.notices())
            self.path.unlink(missing_ok=True)
            self.file = self.make()
            self.file.append([record("one"), record("two"), record("three")])
        self.file.close()
        self.assertEqual([], self.file.notices())

    def test_changed(self) -> None:
        """
        Nothing is added to what is no trail.
        """
        self.file.close()
        with self.path.open("ab") as file:
            file.write(b"junk")
        self.assertRaises(BrokenRecord, self.make().probe)
        self.assertRaises(BrokenRecord, self.make().append, [record("four")])


CHANGES = ("delete", "move", "empty", "cut", "junk", "junk line", "copy", "old", "pipe")


class AnyChangeTests(SynchronousTestCase):
    @given(st.lists(st.sampled_from(("append", "rotate", *CHANGES)), max_size=12))
    @settings(max_examples=150, deadline=None)
    def test_nothing_is_hidden(self, moves: list[str]) -> None:
        """
        Whatever is done to the files, and in whatever order: records go on to be
        written, and if all files together are whole, no record is missing.
        """
        with TemporaryDirectory() as name:
            trail = _Trail(Path(name))
            for move in moves:
                trail.make(move)
            trail.make("append")
            trail.file.close()
            found = trail.found()
            if found is not None:
                self.assertEqual(trail.appended, found)
            last = trail.path.read_bytes().splitlines()[-1]
            self.assertEqual(trail.appended[-1], json.loads(last)["event"])


class _Trail:
    """
    A trail, and somebody who changes its files.

    @ivar appended: the events of all records.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "audit.jsonl"
        self.file = AuditFile(self.path, 1 << 20, 0, "never")
        self.appended: list[str] = []
        self.old = b""
        self.count = 0
        self.make("append")

    def make(self, move: str) -> None:
        """
        Append, or change something.
        """
        self.count += 1
        if move in ("append", "rotate"):
            self.file.change(1 if move == "rotate" else 1 << 20, 0, "never")
            self.appended.append(f"{self.count}")
            self.file.append([record(f"{self.count}")])
        elif self.path.is_file():
            self.change(move)

    def change(self, move: str) -> None:
        was = self.path.read_bytes()
        if move in ("cut", "empty"):
            os.truncate(self.path, len(was) // 2 if move == "cut" else 0)
        elif move.startswith("junk"):
            self.path.write_bytes(was + (b"x" if move == "junk" else b"x\n"))
        elif move == "move":
            self.path.rename(f"{self.path}.away{self.count}")
        else:
            self.path.unlink()
            if move == "pipe":
                os.mkfifo(self.path)
            elif move != "delete":
                self.path.write_bytes(was if move == "copy" else self.old)
        self.old = was

    def found(self) -> list[str] | None:
        """
        The events that the files have, if they are whole.
        """
        files = [path for path in self.path.parent.iterdir() if path.is_file()]
        link: Link | None = Link()
        events = []
        try:
            for path in in_order(files):
                data = path.read_bytes()
                _, link = verify(BytesIO(data), link)
                events += [json.loads(line)["event"] for line in data.splitlines()]
        except BrokenRecord:
            return None
        return [event for event in events if event != "file_changed"]
