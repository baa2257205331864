"""
Calls that wait for a thread: bounded, in lanes, and done one after the other in each.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from reitunnel.hooks.calls import misuse

Call = tuple[str, Callable[..., object], tuple[object, ...]]
"""An event, the method for it, and the arguments."""

MOST_CALLS: Final = 256
"""How many calls are made in a thread before it is given to another lane."""

LONGEST: Final = 0.1
"""For how long, in seconds."""


@dataclass
class Work:
    """
    What has been done of a lane.

    @ivar calls: how many calls were made, by event.
    @ivar seconds: how long they took, by event.
    @ivar failures: what they failed with, and in which event.
    @ivar event: the event of the call that is being made, or was the last.
    """

    calls: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[tuple[str, BaseException]] = field(default_factory=list)
    event: str = ""


def do_work(
    work: Work,
    lane: deque[Call],
    interrupted: Callable[[], bool],
    timer: Callable[[], float],
) -> Work:
    """
    Make the calls of a lane, in a thread: all of them, unless there are too many, it
    takes too long, or something else is more urgent.

    @param work: where to note what is done.
    @param lane: more may be appended to it meanwhile.
    @param interrupted: whether there is something more urgent.
    @return: C{work}.
    """
    begun = now = timer()
    for _ in range(MOST_CALLS):
        try:
            event, method, arguments = lane.popleft()
        except IndexError:
            break
        work.event, before = event, now
        try:
            mistake = misuse(event, method(*arguments))
        except BaseException as error:
            # Whatever it is, it must not end the thread.
            work.failures.append((event, error))
        else:
            if mistake is not None:
                work.failures.append((event, mistake))
        now = timer()
        work.calls[event] += 1
        work.seconds[event] = work.seconds.get(event, 0.0) + now - before
        if now - begun > LONGEST or interrupted():
            break
    return work


class Lanes:
    """
    The calls that wait, by lane. A lane is either ready, or taken by a thread.
    """

    def __init__(self) -> None:
        self._lanes: dict[Hashable, deque[Call]] = {}
        self._ready: deque[Hashable] = deque()

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def ready(self) -> bool:
        """
        Whether a lane can be taken.
        """
        return bool(self._ready)

    def put(self, key: Hashable, call: Call) -> None:
        """
        Put a call at the end of a lane.
        """
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = deque()
            self._ready.append(key)
        lane.append(call)

    def take(self) -> tuple[Hashable, deque[Call]]:
        """
        Take the lane that has been ready for longest.
        """
        key = self._ready.popleft()
        return key, self._lanes[key]

    def has(self, key: Hashable, lane: deque[Call]) -> bool:
        """
        Whether a lane that was taken is still there.
        """
        return self._lanes.get(key) is lane

    def give_back(self, key: Hashable) -> int:
        """
        A lane is not worked on any more.

        @return: how many calls wait in it.
        """
        waiting = len(self._lanes[key])
        if waiting:
            self._ready.append(key)
        else:
            del self._lanes[key]
        return waiting

    def clear(self) -> Counter[str]:
        """
        Forget all calls.

        @return: how many there were, by event.
        """
        lost: Counter[str] = Counter()
        for lane in self._lanes.values():
            # A thread may be taking calls too.
            with suppress(IndexError):
                while True:
                    lost[lane.popleft()[0]] += 1
        self._lanes.clear()
        self._ready.clear()
        return lost
