"""
Tests for what clients have used, and for its file.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from reitunnel.hooks.usage import (
    DAY,
    Counts,
    UsageBook,
    UsageFile,
    check_writable,
    read_usage,
    write_usage,
)

NOON = 20_000 * DAY + DAY / 2
TODAY = date(2024, 10, 4)
FILE = UsageFile(1, TODAY, {"token:web": Counts(5, 1, 2), "anonymous": Counts(0, 0, 1)})


class BookTests(SynchronousTestCase):
    def test_snapshot(self) -> None:
        book = UsageBook(NOON)
        web = book.of("token:web")
        web.bytes, web.tunnels, web.streams = 5, 1, 2
        book.of("anonymous").streams = 1
        book.of("token:silent")
        self.assertEqual(FILE, book.snapshot())

    def test_load(self) -> None:
        book = UsageBook(NOON)
        book.load(FILE)
        web = book.of("token:web")
        self.assertEqual((5, 1, 2), (web.bytes, web.tunnels, web.streams))
        self.assertEqual(FILE, book.snapshot())

    def test_load_what_is_of_another_day(self) -> None:
        for days in (-1, 1):
            book = UsageBook(NOON + days * DAY)
            book.load(FILE)
            self.assertEqual({}, book.snapshot().clients)

    def test_new_day(self) -> None:
        book = UsageBook(NOON)
        web, idle = book.of("token:web"), book.of("token:idle")
        web.bytes = web.tunnels = web.streams = idle.bytes = 7
        web.open_streams = 1
        web.warned = True
        book.turn_to(NOON + DAY / 2 - 0.1)
        self.assertEqual(7, web.bytes)
        book.turn_to(NOON + DAY / 2)
        self.assertEqual((0, 0, 0), (web.bytes, web.tunnels, web.streams))
        self.assertEqual((1, False), (web.open_streams, web.warned))
        self.assertEqual(["token:web"], [identity for identity, _ in book.items()])
        self.assertEqual(date(2024, 10, 5), book.snapshot().day)

    def test_seconds_left(self) -> None:
        book = UsageBook(NOON)
        self.assertEqual(DAY / 2, book.seconds_left(NOON))
        self.assertEqual(0, book.seconds_left(NOON + DAY / 2))

    @given(
        st.dictionaries(
            st.text(max_size=20),
            st.builds(
                Counts,
                st.integers(0, 2**62),
                st.integers(0, 10**9),
                st.integers(1, 10**9),
            ),
        )
    )
    def test_there_and_back(self, clients: dict[str, Counts]) -> None:
        book = UsageBook(NOON)
        book.load(UsageFile(1, TODAY, clients))
        encoded = msgspec.json.encode(book.snapshot())
        self.assertEqual(
            UsageFile(1, TODAY, clients), msgspec.json.decode(encoded, type=UsageFile)
        )


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.path = self.directory / "quota.json"

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def test_written_and_read(self) -> None:
        for file in (UsageFile(1, TODAY, {}), FILE):
            write_usage(self.path, file)
            self.assertEqual(file, read_usage(self.path))
        self.assertEqual(["quota.json"], self.names())
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)

    def test_none(self) -> None:
        self.assertIsNone(read_usage(self.path))

    def test_after_a_crash(self) -> None:
        """
        What a write that was cut off has left is written over.
        """
        write_usage(self.path, FILE)
        (self.directory / ".quota.json.new").write_text('{"version": 1, "da' * 99)
        self.assertEqual(FILE, read_usage(self.path))
        write_usage(self.path, FILE)
        self.assertEqual(["quota.json"], self.names())
        self.assertEqual(FILE, read_usage(self.path))

    def test_failure_leaves_the_old_one(self) -> None:
        write_usage(self.path, FILE)
        (self.directory / ".quota.json.new").mkdir()
        self.assertRaises(OSError, write_usage, self.path, UsageFile(1, TODAY, {}))
        self.assertEqual(FILE, read_usage(self.path))

    def test_no_such_file(self) -> None:
        """
        Whatever is not what was written is said to be so, with the file's name.
        """
        for content in (
            b"",
            b"{",
            b"[]",
            b"\xff",
            b"\0" * 100,
            b'{"version": 2, "day": "2024-10-04", "clients": {}}',
            b'{"version": 1, "day": "yesterday", "clients": {}}',
            b'{"version": 1, "day": "2024-10-04", "clients": {"a": {"bytes": 1}}}',
            (
                b'{"version": 1, "day": "2024-10-04", "clients": {"a": '
                b'{"bytes": -1, "tunnels": 0, "streams": 0}}}'
            ),
            b'{"version": 1, "day": "2024-10-04", "clients": {}, "x": 1}',
        ):
            self.path.write_bytes(content)
            error = self.assertRaises(ValueError, read_usage, self.path)
            self.assertIn(f"{self.path} is no file of quotas", str(error))
            self.assertEqual(1, len(str(error).splitlines()))

    def test_unreadable(self) -> None:
        self.path.mkdir()
        error = self.assertRaises(ValueError, read_usage, self.path)
        self.assertEqual(f"{self.path}: Is a directory", str(error))

    def test_check(self) -> None:
        check_writable(self.path)
        self.assertEqual([], self.names())
        self.path.mkdir()
        error = self.assertRaises(ValueError, check_writable, self.path)
        self.assertEqual(f"{self.path} is a directory", str(error))
        missing = self.directory / "missing"
        error = self.assertRaises(ValueError, check_writable, missing / "x")
        self.assertEqual(f"{missing} is not a directory", str(error))

    def test_check_not_writable(self) -> None:
        if os.geteuid() == 0:
            raise SkipTest("root may write anywhere")
        self.directory.chmod(0o500)
        self.addCleanup(self.directory.chmod, 0o700)
        error = self.assertRaises(ValueError, check_writable, self.path)
        self.assertEqual(f"{self.directory} is not writable", str(error))
