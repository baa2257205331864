"""
Tests of L{reitunnel.service.audit}.
"""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks.audit_file import AuditFile
from reitunnel.service.command import main


class VerifyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "audit.jsonl"
        file = AuditFile(self.path, 1, 0, "never")
        for number in range(3):
            file.append([{"time": "now", "event": f"{number}"}])
        file.close()
        self.files = sorted(self.directory.iterdir())

    def verify(self, *files: Path) -> tuple[int, list[str]]:
        """
        @return: the exit code, and the lines that were written.
        """
        out = StringIO()
        code = main(["audit", "verify", *map(str, files)], out, out)
        return code, out.getvalue().splitlines()

    def test_whole(self) -> None:
        """
        The order of the files does not matter.
        """
        code, lines = self.verify(*self.files)
        self.assertEqual(0, code)
        self.assertEqual(
            [
                f"{self.path}.00000001: records 1 to 1",
                f"{self.path}.00000002: records 2 to 2",
                f"{self.path}: records 3 to 3",
            ],
            lines[:3],
        )
        self.assertRegex(lines[3], r"^whole, to record 3 with the hash [0-9a-f]{64}$")

    def test_not_from_the_beginning(self) -> None:
        code, lines = self.verify(self.path)
        self.assertEqual(0, code)
        self.assertEqual("what was before record 3 was not given", lines[1])

    def test_changed(self) -> None:
        first = Path(f"{self.path}.00000001")
        first.write_bytes(first.read_bytes().replace(b'"now"', b'"not"'))
        code, lines = self.verify(*self.files)
        self.assertEqual(1, code)
        self.assertEqual(
            f"{first}:1: broken: it was changed: its hash is another one", lines[-1]
        )

    def test_a_file_is_missing(self) -> None:
        code, lines = self.verify(Path(f"{self.path}.00000001"), self.path)
        self.assertEqual(1, code)
        self.assertEqual(
            f"{self.path}:1: broken: it has the number 3, and 2 was to follow",
            lines[-1],
        )

    def test_what_was_done_to_the_file(self) -> None:
        """
        What the trail tells of itself is said, at its line.
        """
        file = AuditFile(self.path, 1 << 20, 0, "never")
        file.append([{"time": "now", "event": "lost", "records": 7}])

        def put_another() -> None:
            self.path.unlink()
            self.path.touch()

        for change in (
            self.path.unlink,
            lambda: os.truncate(self.path, 0),
            lambda: os.truncate(self.path, 5),
            put_another,
        ):
            change()
            file.append([{"time": "now", "event": "more"}])
        file.append([{"time": "now", "event": "cut_off", "bytes": "\x1b[31m"}])
        file.append([{"time": "now", "event": "file_changed", "found": []}])
        file.close()
        code, lines = self.verify(self.path)
        self.assertEqual(0, code)
        texts = [
            ":1: record 11: another program had put another file in its place",
            ":3: record 13: '\\x1b[31m' bytes of what a crash had left were cut off",
            ":4: record 14: another program had a part in it",
            ": records 11 to 14",
        ]
        self.assertEqual([f"{self.path}{text}" for text in texts], lines[:4])

    def test_put_aside(self) -> None:
        """
        The name of what was put aside is said, and that there is a gap.
        """
        file = AuditFile(self.path, 1 << 20, 0, "never")
        file.append([{"time": "now", "event": "lost", "records": 7}])
        os.truncate(self.path, 5)
        file.append([{"time": "now", "event": "more"}])
        file.close()
        name = f"{self.path.name}.00000004.changed"
        _, lines = self.verify(self.path)
        self.assertEqual(
            f"{self.path}:1: record 5: another program had changed the file; what it "
            f"was is {name}",
            lines[0],
        )
        code, lines = self.verify(*self.directory.iterdir())
        self.assertEqual(1, code)
        self.assertEqual(
            f"{self.directory / name}:1: broken: the line is not complete", lines[-1]
        )

    def test_unreadable(self) -> None:
        gone = self.directory / "gone"
        self.assertEqual(
            (1, [f"cannot read {gone}: No such file or directory"]), self.verify(gone)
        )

    def test_empty(self) -> None:
        empty = self.directory / "empty"
        empty.touch()
        self.assertEqual((0, ["no records"]), self.verify(empty))

    def test_mistakes(self) -> None:
        out = StringIO()
        for arguments in (["audit"], ["audit", "verify"], ["audit", "read", "file"]):
            self.assertEqual(2, main(arguments, out, out))
