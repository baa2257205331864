"""
Tests of L{reitunnel.monitoring.profiler} and L{reitunnel.monitoring.flames}.
"""

from __future__ import annotations

import signal
import sys
import time
from html.parser import HTMLParser
from types import FrameType
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.monitoring import profiler
from reitunnel.monitoring.flames import draw
from reitunnel.monitoring.profiler import (
    Clock,
    Look,
    Profile,
    Profiler,
    SignalTimer,
    Stack,
)


class HandTimer:
    """
    A timer that looks when the test says so.

    @ivar interval: what it was started with; 0 while it does not run.
    """

    def __init__(self) -> None:
        self.interval = 0.0
        self.look: Look | None = None

    def start(self, interval: float, look: Look) -> None:
        """
        Begin.
        """
        self.interval, self.look = interval, look

    def stop(self) -> None:
        """
        End.
        """
        self.interval, self.look = 0.0, None

    def fire(self, frame: FrameType | None = None) -> None:
        """
        Look at the caller.
        """
        assert self.look is not None
        self.look(frame or sys._getframe(1))


def deep(timer: HandTimer, depth: int) -> None:
    """
    Look from a deep stack.
    """
    if depth:
        deep(timer, depth - 1)
    else:
        timer.fire()


HERE = __name__


class ProfilerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.timer = HandTimer()
        self.profiler = Profiler("cpu", self.timer)
        self.profiler.start(0.01)

    def inner(self) -> None:
        self.timer.fire()

    def test_stacks(self) -> None:
        """
        Samples of the same functions are counted together, the outermost first.
        """
        self.inner()
        self.inner()
        self.timer.fire()
        profile = self.profiler.stop()
        self.assertEqual(0.0, self.timer.interval)
        self.assertEqual(3, profile.samples)
        self.assertGreaterEqual(profile.seconds, 0.0)
        here = f"{HERE}.ProfilerTests.test_stacks"
        counts = {stack[-2:]: count for stack, count in profile.stacks.items()}
        self.assertEqual(2, counts[here, f"{HERE}.ProfilerTests.inner"])
        self.assertIn(here, {stack[-1] for stack in profile.stacks})

    def test_collapsed(self) -> None:
        profile = Profile("cpu", 0.01, {("b",): 1, ("a", "b_c"): 20})
        self.assertEqual("a;b_c 20\nb 1\n", profile.collapsed())

    def test_deep(self) -> None:
        """
        The innermost frames are kept.
        """
        deep(self.timer, 500)
        [stack] = self.profiler.stop().stacks
        self.assertEqual(profiler.MOST_FRAMES + 1, len(stack))
        self.assertEqual(profiler.CUT, stack[0])
        self.assertEqual(f"{HERE}.deep", stack[-1])

    def test_too_many(self) -> None:
        with patch.object(profiler, "MOST_STACKS", 2):
            for depth in range(5):
                deep(self.timer, depth)
            deep(self.timer, 0)
        stacks = self.profiler.stop().stacks
        self.assertEqual(3, len(stacks))
        self.assertEqual(3, stacks[profiler.OTHER,])

    def test_nothing(self) -> None:
        profile = self.profiler.stop()
        self.assertEqual((0, ""), (profile.samples, profile.collapsed()))
        self.assertIn("0 samples", draw(profile, "nothing"))


class SignalTimerTests(SynchronousTestCase):
    """
    The timers of the kernel.
    """

    def sampled(self, clock: Clock, number: int) -> None:
        former = signal.signal(number, signal.SIG_IGN)
        self.addCleanup(signal.signal, number, former)
        seen: list[FrameType | None] = []
        timer = SignalTimer(clock)
        timer.start(0.001, seen.append)
        end = time.monotonic() + 60
        while not seen and time.monotonic() < end:
            pass
        timer.stop()
        self.assertTrue(seen)
        self.assertIs(signal.SIG_IGN, signal.getsignal(number))
        count = len(seen)
        end = time.monotonic() + 0.01
        while time.monotonic() < end:
            pass
        self.assertEqual(count, len(seen))

    def test_cpu(self) -> None:
        self.sampled("cpu", signal.SIGPROF)

    def test_wall(self) -> None:
        self.sampled("wall", signal.SIGALRM)

    def test_handlers_come_back(self) -> None:
        def handler(number: int, frame: FrameType | None) -> None:
            raise AssertionError

        former = signal.signal(signal.SIGPROF, handler)
        self.addCleanup(signal.signal, signal.SIGPROF, former)
        timer = SignalTimer("cpu")
        timer.start(1000, lambda frame: None)
        timer.stop()
        self.assertIs(handler, signal.getsignal(signal.SIGPROF))


class Reader(HTMLParser):
    """
    Finds what a page loads, and its frames.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.frames: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """
        Take a tag.
        """
        given = dict(attrs)
        self.loads += [
            f"{tag} {name}" for name in given if name in ("src", "href", "srcset")
        ]
        if "data-x" in given:
            self.frames.append(given)


class FlameTests(SynchronousTestCase):
    PROFILE = Profile(
        "cpu",
        1.5,
        {("main", "a.read"): 30, ("main", "b.<lambda>"): 60, ("main",): 10},
    )

    def test_frames(self) -> None:
        """
        Each frame is as wide as its samples, inside of its caller.
        """
        page = draw(self.PROFILE, "server & client")
        reader = Reader()
        reader.feed(page)
        frames = {
            str(frame["title"]).rpartition(":")[0]: (frame["data-x"], frame["data-w"])
            for frame in reader.frames
        }
        self.assertEqual(
            {
                "all": ("0", "100"),
                "main": ("0", "100"),
                "a.read": ("0", "30"),
                "b.<lambda>": ("30", "60"),
            },
            frames,
        )
        self.assertIn("100 samples in 1.5 s of CPU time", page)
        self.assertIn("<title>server &amp; client</title>", page)

    def test_loads_nothing(self) -> None:
        page = draw(self.PROFILE, "x")
        reader = Reader()
        reader.feed(page)
        self.assertEqual([], reader.loads)
        for word in ("http:", "https:", "url(", "@import", "import("):
            self.assertNotIn(word, page)

    def test_narrow_frames_are_left_out(self) -> None:
        stacks: dict[Stack, int] = {("main", "big"): 100_000, ("main", "small"): 1}
        page = draw(Profile("wall", 0.01, stacks), "x")
        self.assertNotIn("small", page)
        self.assertIn("waiting included", page)
