"""
Tests of L{benchmarks.results}.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.results import Key, Note, Run, load, save

KEY = Key("bulk", "down", "socat", "rate")


def new_run() -> Run:
    """
    A run without results.
    """
    return Run("tiny", "2026-01-02T03:04:05+00:00", {"kernel": "Linux 6"})


class RunTests(SynchronousTestCase):
    def test_rounds(self) -> None:
        run = new_run()
        run.record(KEY, "Gbit/s", 0, 5.0)
        run.record(KEY, "Gbit/s", 1, 6.0)
        self.assertEqual([5.0, 6.0], run.values(KEY))

    def test_a_round_that_failed(self) -> None:
        run = new_run()
        run.record(KEY, "Gbit/s", 2, 5.0)
        self.assertEqual([None, None, 5.0], run.values(KEY))

    def test_nothing(self) -> None:
        self.assertEqual((), new_run().values(KEY))

    def test_runs_share_nothing(self) -> None:
        run = new_run()
        run.record(KEY, "Gbit/s", 0, 5.0)
        run.note("bulk", "socat", "gone")
        self.assertEqual(([], []), (new_run().series, new_run().notes))

    def test_a_note_is_said_once(self) -> None:
        run = new_run()
        run.note("bulk", "socat", "gone")
        run.note("bulk", "socat", "gone")
        self.assertEqual([Note("bulk", "socat", "gone")], run.notes)

    def test_reasons(self) -> None:
        run = new_run()
        run.note("", "haproxy", "not installed")
        run.note("bulk", "socat", "gone")
        self.assertEqual("not installed", run.reason("bulk", "haproxy"))
        self.assertEqual("gone", run.reason("bulk", "socat"))
        self.assertEqual("not part of this run", run.reason("latency", "socat"))


class FileTests(SynchronousTestCase):
    def test_kept(self) -> None:
        run = new_run()
        run.record(KEY, "Gbit/s", 1, 5.0)
        run.note("", "haproxy", "not installed")
        path = Path(self.mktemp()) / "new" / "run.json"
        save(run, path)
        self.assertEqual(run, load(path))

    def test_not_a_run(self) -> None:
        path = Path(self.mktemp())
        path.write_text("{}")
        self.assertRaises(msgspec.DecodeError, load, path)
