"""
Pipes: kept, limited, and what happens when the system gives no more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.relay.pipes import LARGE_PIPES, NoPipe, Pipe, Pipes
from tests.relay.level import descriptors
from tests.relay.splicing import no_more_descriptors

SHARE = Path("/proc/sys/fs/pipe-user-pages-soft")

UNPRIVILEGED = """
import os

from reitunnel.relay.pipes import Pipes

if not os.getuid():
    os.setuid(65534)
pages = int(open("/proc/sys/fs/pipe-user-pages-soft").read())
pipes = Pipes(large=1 << 20)
taken = []
for _ in range(pages * 4096 // (1 << 20) + 8):
    pipe = pipes.take()
    os.write(pipe.writing, bytes(pipe.size))
    assert len(os.read(pipe.reading, pipe.size)) == pipe.size
    taken.append(pipe)
print(sum(pipe.large for pipe in taken), sum(not pipe.large for pipe in taken))
print(min(pipe.size for pipe in taken))
"""


class PipesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pipes = Pipes()
        self.addCleanup(self.pipes.clear)

    def take(self, count: int) -> list[Pipe]:
        """
        Take some.
        """
        return [self.pipes.take() for _ in range(count)]

    def test_holds_what_it_says(self) -> None:
        for pipe in self.take(LARGE_PIPES + 1):
            self.assertEqual(pipe.size, os.write(pipe.writing, bytes(pipe.size + 1)))
            self.assertRaises(BlockingIOError, os.write, pipe.writing, b"x")
            self.assertFalse(os.get_inheritable(pipe.reading))
            self.assertFalse(os.get_inheritable(pipe.writing))
            self.pipes.destroy(pipe)

    def test_is_used_again(self) -> None:
        before = descriptors()
        pipe = self.pipes.take()
        self.pipes.give(pipe)
        self.assertEqual(pipe, self.pipes.take())
        self.pipes.destroy(pipe)
        self.assertEqual(before, descriptors())

    def test_few_are_large(self) -> None:
        taken = self.take(LARGE_PIPES + 3)
        self.assertEqual(
            [True] * LARGE_PIPES + [False] * 3, [pipe.large for pipe in taken]
        )
        self.assertEqual({1 << 20}, {pipe.size for pipe in taken if pipe.large})
        # A large one comes first, as soon as there is one.
        self.pipes.give(taken[-1])
        self.pipes.give(taken[0])
        self.assertEqual(taken[0], self.pipes.take())
        self.assertEqual(taken[-1], self.pipes.take())
        self.pipes.give(taken[-1])
        self.pipes.destroy(taken[0])
        taken[0] = self.pipes.take()
        self.assertTrue(taken[0].large)
        for pipe in taken[:-1]:
            self.pipes.destroy(pipe)

    def test_a_small_one_is_wanted(self) -> None:
        large = self.pipes.take()
        self.pipes.give(large)
        small = self.pipes.take(large=False)
        self.assertFalse(small.large)
        self.assertLess(small.size, large.size)
        self.pipes.give(small)
        self.assertEqual(small, self.pipes.take(large=False))
        self.assertEqual(large, self.pipes.take(large=True))
        self.pipes.destroy(small)
        self.pipes.destroy(large)

    def test_few_are_kept(self) -> None:
        before = descriptors()
        for pipe in self.take(100):
            self.pipes.give(pipe)
        self.assertEqual(before + 2 * 32, descriptors())
        self.pipes.clear()
        self.assertEqual(before, descriptors())

    def test_no_descriptors(self) -> None:
        with no_more_descriptors():
            error = self.assertRaises(NoPipe, self.pipes.take)
        self.assertEqual("no pipe for a stream: Too many open files", str(error))

    def test_the_share_is_used_up(self) -> None:
        """
        A user without privileges who has all the pipes that the system lets him have
        gets smaller ones, which work.
        """
        if not SHARE.exists() or int(SHARE.read_text()) == 0:
            self.skipTest("the system does not limit the share of a user")
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            # The directory with the package may be closed to the other user.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.assertEqual("", done.stderr)
        large, small, least = map(int, done.stdout.split())
        self.assertGreaterEqual(large, 1)
        self.assertGreaterEqual(small, 8)
        self.assertLess(least, 1 << 16)
