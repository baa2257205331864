"""
Tests of L{benchmarks.bench}: whose turn it is, and what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.bench import Bench, Measured
from benchmarks.contenders import Contender, Opened, Site, Via, straight
from benchmarks.errors import BenchmarkError, Unavailable
from benchmarks.plan import TINY
from benchmarks.results import Key, Note
from benchmarks.running.programs import Program, Programs
from tests.benchmarks.test_results import new_run


@dataclass(frozen=True)
class FakeContender:
    """
    A tunnel that is only a name.

    @ivar missing: why it cannot be had.
    @ivar broken: why it does not open.
    """

    name: str
    encrypted: bool = False
    missing: str = ""
    broken: str = ""

    def check(self) -> None:
        """
        Be there, or not.
        """
        if self.missing:
            raise Unavailable(self.missing)

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Open, or not.
        """
        if self.broken:
            raise BenchmarkError(self.broken)
        return Opened([via(target) for target in targets])


@dataclass
class FakeProgram:
    """
    A program that is only a name.
    """

    name: str

    def check(self) -> None:
        """
        It runs.
        """


class NotedPrograms(Programs):
    """
    Programs of which none runs.

    @ivar stopped: those that were to be stopped.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.stopped: list[object] = []

    def stop(self, program: Program) -> None:
        """
        Note it.
        """
        self.stopped.append(program)


@dataclass
class FakeTarget:
    """
    A target that is only a port.
    """

    port: int


@dataclass
class FakeMeasure:
    """
    Measures by counting.

    @ivar turns: whose turn it was.
    @ivar fails: how often each may have its turn before it fails.
    """

    fails: Mapping[str, int] = field(default_factory=dict)
    turns: list[str] = field(default_factory=list)

    def __call__(self, contender: Contender, opened: Opened) -> dict[str, Measured]:
        """
        Measure.
        """
        self.turns.append(contender.name)
        count = self.turns.count(contender.name)
        if count > self.fails.get(contender.name, count):
            raise BenchmarkError("it broke")
        return {"rate": Measured("x", float(count))}


class RoundsTests(SynchronousTestCase):
    def bench(self, *contenders: Contender, rounds: int = 2, warm_up: int = 0) -> Bench:
        """
        A bench on which nothing runs. What it stops is noted.
        """
        plan = replace(TINY, rounds=rounds, warm_up=warm_up)
        self.run_kept = new_run()
        self.said: list[str] = []
        self.programs = programs = NotedPrograms(Path(self.mktemp()))
        bench = Bench(plan, self.run_kept, programs, contenders, self.said.append)
        targets: Any = bench
        targets.bulk_target, targets.echo_target = FakeTarget(1), FakeTarget(2)
        return bench

    def values(self, name: str) -> Sequence[float | None]:
        """
        What was measured of a contender.
        """
        return self.run_kept.values(Key("bulk", "down", name, "rate"))

    def test_turns(self) -> None:
        """
        Every other round goes the other way.
        """
        measure = FakeMeasure()
        bench = self.bench(FakeContender("a"), FakeContender("b"), rounds=3)
        bench.rounds("bulk", "down", measure)
        self.assertEqual(["a", "b", "b", "a", "a", "b"], measure.turns)
        self.assertEqual([1.0, 2.0, 3.0], self.values("a"))

    def test_warming_up_is_not_kept(self) -> None:
        bench = self.bench(FakeContender("a"), warm_up=1)
        bench.rounds("bulk", "down", FakeMeasure())
        self.assertEqual([2.0, 3.0], self.values("a"))

    def test_a_count_of_its_own(self) -> None:
        bench = self.bench(FakeContender("a"), warm_up=1)
        bench.rounds("bulk", "down", FakeMeasure(), count=1)
        self.assertEqual([1.0], self.values("a"))

    def test_a_count_and_rounds_to_warm_up(self) -> None:
        bench = self.bench(FakeContender("a"))
        bench.rounds("bulk", "down", FakeMeasure(), count=2, warm_up=1)
        self.assertEqual([2.0, 3.0], self.values("a"))

    def test_tunnels_for_a_while(self) -> None:
        """
        Those that were opened meanwhile are closed, others stay.
        """
        programs: list[FakeProgram] = []

        class WithRelay(FakeContender):
            def open(
                self, site: Site, targets: Sequence[int], via: Via = straight
            ) -> Opened:
                program = FakeProgram(self.name)
                programs.append(program)
                relays: Any = [program]
                return Opened(list(targets), relays)

        a, b = WithRelay("a"), WithRelay("b")
        bench = self.bench(a, b)
        bench.rounds("bulk", "down", FakeMeasure(), contenders=[a])
        with bench.opening():
            bench.rounds("latency", "", FakeMeasure(), contenders=[a, b])
            self.assertEqual([], self.programs.stopped)
        self.assertEqual([programs[1]], self.programs.stopped)
        bench.rounds("visits", "", FakeMeasure())
        self.assertEqual(["a", "b", "b"], [each.name for each in programs])

    def test_one_that_fails_leaves(self) -> None:
        measure = FakeMeasure({"a": 1})
        bench = self.bench(FakeContender("a"), FakeContender("b"), rounds=3)
        bench.rounds("bulk", "down", measure)
        self.assertEqual(["a", "b", "b", "a", "b"], measure.turns)
        self.assertEqual(([1.0], [1.0, 2.0, 3.0]), (self.values("a"), self.values("b")))
        self.assertEqual([Note("bulk", "a", "it broke")], self.run_kept.notes)
        self.assertEqual(["  a: it broke"], self.said)

    def test_one_that_fails_as_nobody_expects(self) -> None:
        """
        The others are measured all the same.
        """

        def measure(contender: Contender, opened: Opened) -> dict[str, Measured]:
            if contender.name == "a":
                raise FileNotFoundError("no such process")
            return {"rate": Measured("x", 1.0)}

        bench = self.bench(FakeContender("a"), FakeContender("b"))
        written = StringIO()
        with redirect_stderr(written):
            bench.rounds("bulk", "down", measure)
        self.assertEqual([1.0, 1.0], self.values("b"))
        self.assertEqual(
            [Note("bulk", "a", "FileNotFoundError: no such process")],
            self.run_kept.notes,
        )
        self.assertIn("in measure\n", written.getvalue())

    def test_one_that_has_failed_is_opened_again_in_the_next_row(self) -> None:
        measure = FakeMeasure({"a": 1})
        opened = []

        class Counting(FakeContender):
            def open(
                self, site: Site, targets: Sequence[int], via: Via = straight
            ) -> Opened:
                opened.append(self.name)
                return super().open(site, targets, via)

        bench = self.bench(Counting("a"), Counting("b"))
        bench.rounds("bulk", "down", measure)
        bench.rounds("latency", "", FakeMeasure())
        self.assertEqual(["a", "b", "a"], opened)
        latency = self.run_kept.values(Key("latency", "", "a", "rate"))
        self.assertEqual([1.0, 2.0], latency)

    def test_one_that_is_missing(self) -> None:
        bench = self.bench(FakeContender("a", missing="no a"), FakeContender("b"))
        bench.rounds("bulk", "down", FakeMeasure())
        self.assertEqual([Note("", "a", "no a")], self.run_kept.notes)
        self.assertEqual(((), [1.0, 2.0]), (self.values("a"), self.values("b")))

    def test_one_that_does_not_open(self) -> None:
        bench = self.bench(FakeContender("a", broken="shut"), FakeContender("b"))
        bench.rounds("bulk", "down", FakeMeasure())
        self.assertEqual([Note("bulk", "a", "shut")], self.run_kept.notes)
        self.assertEqual([1.0, 2.0], self.values("b"))

    def test_tunnels_stay_open(self) -> None:
        """
        One tunnel serves all rows, but each path has its own.
        """
        ports: list[Sequence[int]] = []

        def measure(contender: Contender, opened: Opened) -> dict[str, Measured]:
            ports.append(opened.ports)
            return {}

        def longer(port: int) -> int:
            return port + 100

        bench = self.bench(FakeContender("a"))
        for via in (straight, straight, longer):
            bench.rounds("bulk", "down", measure, count=1, via=via)
        self.assertEqual([[1, 2], [1, 2], [101, 102]], ports)
        self.assertIs(ports[0], ports[1])
