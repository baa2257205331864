"""
Tests of L{benchmarks.running.procfs}.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from benchmarks.running.procfs import (
    family,
    forget_peak,
    parse_peak,
    parse_stat,
    peak,
    resident,
)

TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid: int, parent: int, name: str = "x") -> str:
    """
    What C{/proc/PID/stat} says of a process that has used 1, 2, 3 and 4 ticks.
    """
    before = " ".join(["0"] * 9)
    return f"{pid} ({name}) S {parent} {before} 1 2 3 4 20 0 1 0 777 0 0\n"


class StatTests(SynchronousTestCase):
    def test_fields(self) -> None:
        process = parse_stat(stat(5, 3))
        self.assertEqual((5, 3, 777), process[:3])
        self.assertAlmostEqual(10 / TICKS, process.cpu)

    def test_any_name(self) -> None:
        for name in ("a b", "a) R 9 (", ")", "(("):
            self.assertEqual((5, 3, 777), parse_stat(stat(5, 3, name))[:3])

    def test_this_process(self) -> None:
        process = parse_stat(Path("/proc/self/stat").read_text())
        self.assertEqual((os.getpid(), os.getppid()), process[:2])


class PeakTests(SynchronousTestCase):
    def test_fields(self) -> None:
        text = "Name:\tVmHWM: 5\nVmPeak:\t  90 kB\nVmHWM:\t   12 kB\nThreads:\t1\n"
        self.assertEqual(12 << 10, parse_peak(text))

    def test_this_process(self) -> None:
        """
        What it has held and holds no more is seen, until that is forgotten.
        """
        pid = os.getpid()
        if not Path("/proc/self/clear_refs").exists():
            raise SkipTest("the kernel forgets no peak")
        forget_peak(pid)
        before = peak(pid)
        self.assertGreaterEqual(before + (1 << 20), resident(pid))
        size = 64 << 20
        # Of ones, so that all of it is there.
        held = b"\x01" * size
        del held
        self.assertGreaterEqual(peak(pid), before + size // 2)
        forget_peak(pid)
        self.assertLess(peak(pid), before + size // 2)

    def test_gone(self) -> None:
        """
        There is nothing to forget.
        """
        forget_peak(-1)


class FamilyTests(SynchronousTestCase):
    def family(self, tree: dict[int, int], *roots: int) -> list[int]:
        """
        The family of some processes.

        @param tree: the parent of each process.
        """
        proc = Path(self.mktemp())
        for pid, parent in tree.items():
            (proc / str(pid)).mkdir(parents=True)
            (proc / str(pid) / "stat").write_text(stat(pid, parent))
        (proc / "net").mkdir()
        # One that ends while it is looked for.
        (proc / "99").mkdir()
        return sorted(process.pid for process in family(roots, proc))

    def test_descendants(self) -> None:
        tree = {2: 1, 3: 2, 4: 3, 5: 1, 6: 5}
        self.assertEqual([2, 3, 4], self.family(tree, 2))

    def test_roots_within_each_other(self) -> None:
        self.assertEqual([2, 3], self.family({2: 1, 3: 2}, 2, 3))

    def test_gone(self) -> None:
        self.assertEqual([], self.family({2: 1}, 7))
