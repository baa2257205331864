"""
How often each hook was called for each event, how long that took, and what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HookStatistics:
    """
    One hook and one event, since the hook was registered.

    @ivar hook: the hook's name.
    @ivar event: the method's name.
    @ivar calls: how often it was called.
    @ivar seconds: how long the calls kept the reactor. Of data events some are
        timed, and stand for those before them.
    @ivar longest: the longest call that was timed, in seconds.
    @ivar waited: how long decisions took that did not come at once, in seconds.
    @ivar background: how long calls took in threads, in seconds.
    @ivar refusals: how often it refused.
    @ivar failures: how often it raised, took too long, or gave what is no answer.
    @ivar drops: how many calls were not made, because too many were waiting.
    """

    hook: str
    event: str
    calls: int
    seconds: float
    longest: float
    waited: float
    background: float
    refusals: int
    failures: int
    drops: int


@dataclass(slots=True)
class Logged:
    """
    Failures of one kind that have been logged.

    @ivar until: when the next one is, by the timer of the manager.
    @ivar unlogged: how many have only been counted since.
    """

    until: float
    unlogged: int = 0


class Tally:
    """
    What is counted of one hook and one event. The attributes are those of
    L{HookStatistics}.

    @ivar counter: tells how often it was called, where C{calls} is not kept.
    @ivar logged: which kinds of failures have been logged.
    @ivar warned: whether it has been called slow.
    @ivar warned_late: whether its decisions have been called slow.
    """

    __slots__ = (
        "background",
        "calls",
        "counter",
        "drops",
        "event",
        "failures",
        "hook",
        "logged",
        "longest",
        "refusals",
        "seconds",
        "waited",
        "warned",
        "warned_late",
    )

    def __init__(self, hook: str, event: str) -> None:
        self.hook = hook
        self.event = event
        self.calls = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.waited = 0.0
        self.background = 0.0
        self.refusals = 0
        self.failures = 0
        self.drops = 0
        self.counter: Callable[[], int] | None = None
        self.logged: dict[type, Logged] = {}
        self.warned = False
        self.warned_late = False

    def snapshot(self) -> HookStatistics:
        """
        Say how things are now.
        """
        return HookStatistics(
            hook=self.hook,
            event=self.event,
            calls=self.calls if self.counter is None else self.counter(),
            seconds=self.seconds,
            longest=self.longest,
            waited=self.waited,
            background=self.background,
            refusals=self.refusals,
            failures=self.failures,
            drops=self.drops,
        )


class Tallies:
    """
    What is counted of one hook.

    @ivar hook: its name.
    """

    __slots__ = ("_tallies", "hook")

    def __init__(self, hook: str) -> None:
        self.hook = hook
        self._tallies: dict[str, Tally] = {}

    def of(self, event: str) -> Tally:
        """
        Find what is counted of an event, or begin to count.
        """
        tally = self._tallies.get(event)
        if tally is None:
            tally = self._tallies[event] = Tally(self.hook, event)
        return tally

    def __iter__(self) -> Iterator[Tally]:
        return iter(tuple(self._tallies.values()))

    def snapshots(self) -> tuple[HookStatistics, ...]:
        """
        Say how things are now.
        """
        return tuple(tally.snapshot() for tally in self._tallies.values())
