"""
Tests of L{benchmarks.micro}: each case runs, again and again.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.micro import codec, hooks, scheduler, session
from benchmarks.micro.cases import repeat


class CaseTests(SynchronousTestCase):
    def test_every_case_runs(self) -> None:
        for part in (codec, hooks, scheduler, session):
            cases = part.cases()
            self.assertNotEqual({}, cases)
            for case in cases.values():
                # More than a window's worth, where there is one.
                case.run(20)

    def test_repeat(self) -> None:
        done: list[None] = []
        repeat(lambda: done.append(None)).run(3)
        self.assertEqual(3, len(done))

    def test_hooks_are_told(self) -> None:
        names = [hooks.name_of(number) for number in hooks.COUNTS]
        self.assertEqual(
            [*names, *hooks.wrapped(), *hooks.shipped()], list(hooks.cases())
        )
