"""
A log that cannot be written: it costs what was said, and nothing else.
"""

from __future__ import annotations

import errno
import json
import os
from io import StringIO, TextIOWrapper

from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.service.logs import LineObserver


class FullDisk(StringIO):
    """
    A file on a disk that is full, or is not.
    """

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def say(observer: LineObserver, text: str) -> None:
    observer(
        {
            "log_time": 0.0,
            "log_level": LogLevel.info,
            "log_namespace": "test",
            "log_format": text,
        }
    )


class GapTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.disk = FullDisk()

    def test_full_and_not(self) -> None:
        """
        How much is missing is said where it is missing.
        """
        observer = LineObserver(self.disk, "text", "info")
        say(observer, "one")
        self.disk.full = True
        say(observer, "two")
        say(observer, "three")
        self.disk.full = False
        say(observer, "four")
        say(observer, "five")
        lines = [line.split(" ", 1)[1] for line in self.disk.getvalue().splitlines()]
        self.assertEqual(["one", "four", "five"], [lines[0], *lines[2:]])
        self.assertEqual(
            "WARN 2 events before this could not be logged: No space left on device",
            lines[1],
        )

    def test_full_again(self) -> None:
        """
        The count is of what is missing since it was last said.
        """
        observer = LineObserver(self.disk, "json", "info")
        for full in (True, False, True, True, False):
            self.disk.full = full
            say(observer, "said")
        lines = [json.loads(line) for line in self.disk.getvalue().splitlines()]
        self.assertEqual([1, 2], [line["count"] for line in lines if "count" in line])
        self.assertEqual(
            ["said"] * 2, [x["message"] for x in lines if "count" not in x]
        )

    def test_nothing_is_kept(self) -> None:
        """
        What could not be written is not written later, when the program ends: that
        would be a failure.
        """
        descriptor = os.open("/dev/full", os.O_WRONLY)
        # Buffered, as standard output is.
        out = TextIOWrapper(os.fdopen(descriptor, "wb"), encoding="utf-8")
        observer = LineObserver(out, "text", "info")
        for _ in range(1000):
            say(observer, "said")
        out.close()

    def test_real_file(self) -> None:
        """
        It is written to at once, and stays open for its owner.
        """
        path = self.mktemp()
        with open(path, "w", encoding="ascii") as out:
            observer = LineObserver(out, "text", "info")
            say(observer, "b\u00fcsy")
            del observer
            with open(path, encoding="ascii") as written:
                self.assertTrue(written.read().endswith(" b\\xfcsy\n"))
            out.write("more\n")
