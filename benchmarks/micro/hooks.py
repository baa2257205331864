"""
Hooks: what a data event costs with none, with some that count its bytes, and with
wrappers around one, and with those that are shipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from benchmarks.micro.cases import Case, Cases
from reitunnel.hooks import (
    AggregatingHook,
    AsyncHook,
    BaseHook,
    CombinedHook,
    HookManager,
    SampledHook,
)
from reitunnel.hooks.bandwidth import (
    BandwidthHook,
    BandwidthOptions,
    DirectionRates,
)
from reitunnel.hooks.logging import LoggingHook
from reitunnel.hooks.metrics import MetricsHook
from reitunnel.hooks.quotas import QuotaHook, QuotaOptions, QuotaRule
from reitunnel.interfaces import ITunnel
from tests.hooks.fakes import FakeStream, FakeTunnel

COUNTS = (0, 1, 5, 20)
"""How many hooks there are."""

_SIZE = 64 << 10
_TURN = 500
"""After how many events the threads get a turn; less than the queue's capacity."""


class Counter(BaseHook):
    """
    Counts bytes.
    """

    def __init__(self) -> None:
        self.sent = 0

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        Count.
        """
        self.sent += count


class ThreadsHere:
    """
    Runs the jobs of threads at once: what they cost is then in the figures.
    """

    def run(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """
        Run a job.
        """
        done(job())

    def stop(self) -> None:
        """
        There are none.
        """


class Paced(BaseHook):
    """
    Tells the bandwidth hook of the bytes of a stream that has to wait after each piece,
    and lets it wait.
    """

    def __init__(self) -> None:
        self._clock = Clock()
        rates = DirectionRates(sent=1.0)
        hook = BandwidthHook(BandwidthOptions(tunnel=rates))
        HookManager(self._clock).register(hook)
        stream = FakeStream()
        hook.on_stream_open(stream)
        self._moved = stream.brakes["sent"].moved

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        Move a piece.
        """
        self._moved(count)
        self._clock.advance(1)


def _events(*hooks: object) -> Case:
    """
    Tell hooks of bytes, as the pumps do. Now and then a second passes.
    """
    clock = Clock()
    manager = HookManager(clock)
    for hook in hooks:
        manager.register(hook)
    tunnel = FakeTunnel()

    def run(times: int) -> None:
        while times > 0:
            for _ in range(min(times, _TURN)):
                sink = manager.data_sent
                if sink is not None:
                    sink(tunnel, _SIZE)
            times -= _TURN
            clock.advance(1)

    return Case(run)


def name_of(hooks: int) -> str:
    """
    Name the case with so many hooks.
    """
    return f"a data event, {hooks} hook{'' if hooks == 1 else 's'}"


def _queued(hook: object, workers: int) -> AsyncHook:
    return AsyncHook(hook, workers=workers, threads=ThreadsHere)


def wrapped() -> dict[str, object]:
    """
    Give wrapped hooks, by the names of their cases.
    """
    hooks: dict[str, object] = {
        "SampledHook, 1 in 100": SampledHook(Counter(), 100),
        "SampledHook, 1 in 1": SampledHook(Counter(), 1),
        "AggregatingHook": AggregatingHook(Counter(), 1.0),
        "AsyncHook with 1 worker, calls and all": _queued(Counter(), 1),
        "AsyncHook with 4 workers, calls and all": _queued(Counter(), 4),
        "CombinedHook of 5": CombinedHook(*(Counter() for _ in range(5))),
        "AggregatingHook around AsyncHook": AggregatingHook(_queued(Counter(), 4), 1.0),
        "SampledHook, 1 in 100, around AsyncHook": SampledHook(
            _queued(Counter(), 4), 100
        ),
        "SampledHook, 1 in 100, around CombinedHook of 5": SampledHook(
            CombinedHook(*(Counter() for _ in range(5))), 100
        ),
    }
    return {f"a data event, {name}": hook for name, hook in hooks.items()}


def shipped() -> dict[str, object]:
    """
    Give the hooks that Reitunnel ships and that want data events, by the names of
    their cases.
    """
    hooks: dict[str, object] = {"logging": LoggingHook(), "metrics": MetricsHook()}
    hooks["bandwidth"] = Paced()
    quota = QuotaOptions(rules=(QuotaRule(bytes_per_day=10**18),))
    hooks["quota"] = QuotaHook(quota, Clock())
    return {f"a data event, the {name} hook": hook for name, hook in hooks.items()}


def cases() -> Cases:
    """
    Give the cases.
    """
    counts = {
        name_of(number): _events(*(Counter() for _ in range(number)))
        for number in COUNTS
    }
    others = {**wrapped(), **shipped()}
    return counts | {name: _events(hook) for name, hook in others.items()}
