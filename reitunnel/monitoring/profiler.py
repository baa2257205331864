"""
Finds what the reactor's thread spends its time on, by looking at its stack many times
a second.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, Final, Literal
from typing import Protocol as Structural

Clock = Literal["cpu", "wall"]
Look = Callable[[FrameType | None], None]

MOST_STACKS: Final = 20_000
"""How many different stacks are kept; samples of others are counted as C{(other)}."""
MOST_FRAMES: Final = 128
"""How many frames of a stack are kept, the innermost ones."""
OTHER: Final = "(other)"
CUT: Final = "(cut)"

Stack = tuple[str, ...]


@dataclass(frozen=True)
class Profile:
    """
    What was seen.

    @ivar seconds: how much of the clock's time went by.
    @ivar stacks: how many samples there are of each stack, outermost frame first.
    """

    clock: Clock
    seconds: float
    stacks: Mapping[Stack, int]

    @property
    def samples(self) -> int:
        """
        How many there are in all.
        """
        return sum(self.stacks.values())

    def collapsed(self) -> str:
        """
        Write a line for each stack: its frames with semicolons between them, a
        space, and the number of samples, as tools for flame graphs read it.
        """
        return "".join(
            f"{';'.join(stack)} {count}\n"
            for stack, count in sorted(self.stacks.items())
        )


class Timer(Structural):
    """
    Has the stack looked at again and again.
    """

    def start(self, interval: float, look: Look) -> None:
        """
        Begin.

        @raise RuntimeError: if it cannot; the text is for people.
        """

    def stop(self) -> None:
        """
        End.
        """


class SignalTimer:
    """
    A timer of the kernel, whose signal interrupts the main thread. While it does not
    run there is nothing.

    What a C function does is the frame's that has called it: a signal is seen when
    that returns.
    """

    def __init__(self, clock: Clock) -> None:
        """
        @param clock: C{cpu} looks after so much time that the process has used,
            C{wall} after so much that has gone by, waiting included.
        """
        cpu = clock == "cpu"
        self._timer = signal.ITIMER_PROF if cpu else signal.ITIMER_REAL
        self._signal = signal.SIGPROF if cpu else signal.SIGALRM
        self._former: Any = None

    def start(self, interval: float, look: Look) -> None:
        """
        Begin.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("only the main thread can be profiled")
        self._former = signal.signal(self._signal, lambda _, frame: look(frame))
        # System calls are not to fail because of it.
        signal.siginterrupt(self._signal, False)
        signal.setitimer(self._timer, interval, interval)

    def stop(self) -> None:
        """
        End.
        """
        signal.setitimer(self._timer, 0.0)
        if self._former is signal.SIG_DFL or self._former is None:
            # A last signal may be on its way, and would end the process.
            self._former = signal.SIG_IGN
        signal.signal(self._signal, self._former)


class Profiler:
    """
    Takes one profile.
    """

    def __init__(self, clock: Clock, timer: Timer) -> None:
        self._clock = clock
        self._timer = timer
        self._seconds = time.process_time if clock == "cpu" else time.monotonic
        self._begun = 0.0
        self._counts: Counter[tuple[CodeType | None, ...]] = Counter()
        self._labels: dict[CodeType, str] = {}
        self._other = 0

    def start(self, interval: float) -> None:
        """
        Begin.

        @param interval: the time between two samples, in seconds. It is longer where
            the kernel counts CPU time in coarser steps, often of 4 ms.
        @raise RuntimeError: if it cannot; the text is for people.
        """
        self._begun = self._seconds()
        self._timer.start(interval, self._look)

    def stop(self) -> Profile:
        """
        End, and say what was seen.
        """
        self._timer.stop()
        seconds = self._seconds() - self._begun
        labels = self._labels
        stacks: Counter[Stack] = Counter()
        for codes, count in self._counts.items():
            names = tuple(CUT if c is None else labels[c] for c in reversed(codes))
            stacks[names] += count
        if self._other:
            stacks[(OTHER,)] += self._other
        return Profile(self._clock, seconds, stacks)

    def _look(self, frame: FrameType | None) -> None:
        labels = self._labels
        codes: list[CodeType | None] = []
        while frame is not None:
            if len(codes) == MOST_FRAMES:
                codes.append(None)
                break
            code = frame.f_code
            if code not in labels:
                labels[code] = _label(frame)
            codes.append(code)
            frame = frame.f_back
        stack = tuple(codes)
        if stack in self._counts or len(self._counts) < MOST_STACKS:
            self._counts[stack] += 1
        else:
            self._other += 1


def _label(frame: FrameType) -> str:
    """
    Name what a frame runs: the module and the function.
    """
    module = frame.f_globals.get("__name__", "?")
    return f"{module}.{frame.f_code.co_qualname}".replace(";", ":").replace(" ", "_")
