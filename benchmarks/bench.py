"""
What every benchmark uses: the visitors, the targets, the open tunnels, and rounds in
which each contender has its turn.
"""

from __future__ import annotations

import itertools
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from benchmarks.contenders import Contender, Opened, Site, Via, straight
from benchmarks.errors import BenchmarkError
from benchmarks.load.starting import (
    BulkTarget,
    Target,
    Worker,
    start_bulk_target,
    start_echo_target,
    start_worker,
)
from benchmarks.plan import Plan
from benchmarks.results import Key, Run
from benchmarks.running.programs import Programs

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """
    One measurement.
    """

    unit: str
    value: float


Measure = Callable[[Contender, Opened], Mapping[str, Measured]]
"""Measures a contender once: what of it, by name."""


class Bench:
    """
    A bench on which contenders are measured.

    @ivar plan: how much is measured.
    @ivar run: where results go.
    @ivar say: tells people how it goes.
    @ivar site: where tunnels are opened.
    """

    def __init__(
        self,
        plan: Plan,
        run: Run,
        programs: Programs,
        contenders: Sequence[Contender],
        say: Say,
    ) -> None:
        """
        @param contenders: those that are to be measured.
        """
        self.plan = plan
        self.run = run
        self.say = say
        self.site = Site(programs)
        self._programs = programs
        self._wanted = contenders
        self._opened: dict[tuple[str, Via], Opened] = {}
        self._numbers = itertools.count(1)
        self._workers: list[Worker] = []

    @cached_property
    def contenders(self) -> Sequence[Contender]:
        """
        Those that can be measured here. Of the others there is a note.
        """
        found = []
        for contender in self._wanted:
            try:
                contender.check()
            except BenchmarkError as error:
                self.note("", contender.name, str(error))
            else:
                found.append(contender)
        return found

    @cached_property
    def bulk_target(self) -> BulkTarget:
        """
        The target of bulk streams.
        """
        return start_bulk_target(self._programs)

    @cached_property
    def echo_target(self) -> Target:
        """
        The target that gives every byte back.
        """
        return start_echo_target(self._programs)

    def worker(self, place: int = 0) -> Worker:
        """
        A visitor's side.

        @param place: there are as many as are needed; 0 is the first.
        """
        while len(self._workers) <= place:
            self._workers.append(start_worker(self._programs))
        return self._workers[place]

    def new_number(self) -> int:
        """
        A number for one bulk stream.
        """
        return next(self._numbers)

    def note(self, row: str, contender: str, text: str) -> None:
        """
        Say what could not be measured.
        """
        self.run.note(row, contender, text)
        self.say(f"  {contender or row}: {text}")

    def rounds(
        self,
        row: str,
        case: str,
        measure: Measure,
        *,
        contenders: Sequence[Contender] | None = None,
        count: int | None = None,
        warm_up: int = 0,
        via: Via = straight,
    ) -> None:
        """
        Measure each contender in each round, so that whatever else the machine does
        meets all of them. Every other round goes the other way. One that fails is
        left out from then on, and its tunnel closed: the next row opens another one.

        @param contenders: whom; those of the plan if left out.
        @param count: how many rounds; those of the plan if left out, which has some to
            warm up.
        @param warm_up: how many come before these C{count}, and are not kept.
        @param via: puts something on the path inside the tunnels.
        """
        if contenders is None:
            contenders = self.contenders
        left = [each for each in contenders if self._open(row, each, via)]
        if count is None:
            count, warm_up = self.plan.rounds, self.plan.warm_up
        for number in range(-warm_up, count):
            # A copy: those that fail leave.
            for contender in left[:: -1 if number % 2 else 1]:
                opened = self._opened[contender.name, via]

                def once(
                    contender: Contender = contender,
                    opened: Opened = opened,
                    number: int = number,
                ) -> None:
                    opened.check()
                    found = measure(contender, opened)
                    if number >= 0:
                        self.record(row, case, contender.name, found, number)

                if not self.attempt(row, contender, once):
                    left.remove(contender)
                    self._close(contender.name, via)

    @contextmanager
    def opening(self) -> Iterator[None]:
        """
        Close the tunnels that are opened in the C{with} block when it ends. Those that
        were open before stay so.
        """
        before = set(self._opened)
        try:
            yield
        finally:
            for name, via in tuple(self._opened):
                if (name, via) not in before:
                    self._close(name, via)

    @contextmanager
    def new_site(self) -> Iterator[Site]:
        """
        A place for tunnels that are closed when the C{with} block ends.
        """
        with Programs(self.site.new_directory()) as programs:
            yield Site(programs)

    def attempt(
        self, row: str, contender: Contender, action: Callable[[], object]
    ) -> bool:
        """
        Do something for one contender, and note it if that fails, however it does: the
        others have nothing to do with it.

        @return: whether it succeeded.
        """
        try:
            action()
        except Exception as error:
            self.note(row, contender.name, reason_of(error))
            # What it was told to do may still be under way.
            self._dismiss_workers()
            return False
        return True

    def record(
        self,
        row: str,
        case: str,
        contender: str,
        found: Mapping[str, Measured],
        number: int = 0,
    ) -> None:
        """
        Keep measurements.

        @param contender: whose.
        @param found: each, by its name.
        @param number: of the round.
        """
        for quantity, measured in found.items():
            key = Key(row, case, contender, quantity)
            self.run.record(key, measured.unit, number, measured.value)

    # The parts.

    def _open(self, row: str, contender: Contender, via: Via) -> bool:
        """
        See that a contender's tunnel is open: it is opened once and stays so.
        """
        key = contender.name, via
        if key in self._opened:
            return True
        targets = (self.bulk_target.port, self.echo_target.port)

        def opens() -> None:
            self._opened[key] = contender.open(self.site, targets, via)

        return self.attempt(row, contender, opens)

    def _close(self, name: str, via: Via) -> None:
        for relay in self._opened.pop((name, via)).relays:
            self._programs.stop(relay)

    def _dismiss_workers(self) -> None:
        for worker in self._workers:
            self._programs.stop(worker.program)
        self._workers.clear()


def reason_of(error: Exception) -> str:
    """
    Say why something could not be measured. What nobody has expected is shown with its
    traceback too, which is for whoever mends the benchmark.
    """
    if isinstance(error, BenchmarkError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def pause(seconds: float) -> None:
    """
    Let things settle.
    """
    time.sleep(seconds)
