"""
Tests of L{reitunnel.service.collecting}.
"""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.service.collecting import SELDOM, SeldomCollections


class SeldomCollectionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.service = SeldomCollections()

    def during(self, *threshold: int) -> tuple[int, int, int]:
        """
        Give what holds while the service runs; afterwards it is as it was.
        """
        gc.set_threshold(*threshold)
        self.service.startService()
        during = gc.get_threshold()
        self.service.stopService()
        self.assertEqual(threshold, gc.get_threshold())
        return during

    def test_less_often(self) -> None:
        self.assertEqual((SELDOM, 11, 12), self.during(700, 11, 12))

    def test_again(self) -> None:
        self.during(700, 10, 10)
        self.assertEqual((SELDOM, 10, 9), self.during(800, 10, 9))

    def test_less_often_already(self) -> None:
        self.assertEqual((SELDOM + 1, 10, 10), self.during(SELDOM + 1, 10, 10))

    def test_never(self) -> None:
        self.assertEqual((0, 10, 10), self.during(0, 10, 10))
