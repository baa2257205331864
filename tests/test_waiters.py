"""
Tests of L{reitunnel.waiters}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.waiters import Waiters


class WaitersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.waiters: Waiters[int] = Waiters()

    def test_result(self) -> None:
        """
        All get it, and wait no more.
        """
        waiting = [self.waiters.wait(), self.waiters.wait()]
        self.assertEqual(2, len(self.waiters))
        self.assertNoResult(waiting[0])
        self.waiters.tell(7)
        self.assertEqual([7, 7], [self.successResultOf(each) for each in waiting])
        self.assertFalse(self.waiters)
        self.waiters.tell(8)

    def test_in_order(self) -> None:
        """
        Who has waited for longer is told first.
        """
        first, second = self.waiters.wait(), self.waiters.wait()
        first.addCallback(lambda _: self.assertNoResult(second))
        self.waiters.tell(7)
        self.successResultOf(first)
        self.assertEqual(7, self.successResultOf(second))

    def test_failure(self) -> None:
        waiting = [self.waiters.wait(), self.waiters.wait()]
        self.waiters.fail(ValueError("no"))
        for each in waiting:
            self.failureResultOf(each, ValueError)
        self.assertFalse(self.waiters)

    def test_cancelled(self) -> None:
        """
        Who does not want to wait any more is not waited for.
        """
        given_up, waiting = self.waiters.wait(), self.waiters.wait()
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.assertEqual(1, len(self.waiters))
        self.waiters.tell(7)
        self.assertEqual(7, self.successResultOf(waiting))

    def test_cancelled_by_another(self) -> None:
        """
        One that is told cancels the next.
        """
        first = self.waiters.wait()
        second = self.waiters.wait()
        first.addCallback(lambda _: second.cancel())
        self.waiters.tell(7)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_waiting_again(self) -> None:
        """
        Who waits again while all are told waits for the next time.
        """
        again: list[Deferred[int]] = []
        self.waiters.wait().addCallback(lambda _: again.append(self.waiters.wait()))
        self.waiters.tell(1)
        [next_time] = again
        self.assertNoResult(next_time)
        self.waiters.tell(2)
        self.assertEqual(2, self.successResultOf(next_time))
