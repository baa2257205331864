"""
Tests of L{reitunnel.service.audit}.
"""

from __future__ import annotations

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
