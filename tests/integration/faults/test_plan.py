"""
Tests of what is drawn from a seed.
"""

from __future__ import annotations

from itertools import islice
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.faults.plan import LINK_KINDS, Kind, Where, draw
from tests.integration.faults.truth import content, draw_order


class PlanTests(SynchronousTestCase):
    def test_same_seed(self) -> None:
        first, second = (
            list(islice(draw(7, routes=3, every=0.5), 100)) for _ in range(2)
        )
        self.assertEqual(first, second)

    def test_other_seed(self) -> None:
        self.assertNotEqual(
            list(islice(draw(7, routes=3, every=0.5), 10)),
            list(islice(draw(8, routes=3, every=0.5), 10)),
        )

    def test_everything_comes(self) -> None:
        drawn = list(islice(draw(1, routes=3, every=0.5), 1000))
        self.assertEqual(set(Kind), {fault.kind for fault in drawn})
        self.assertEqual(set(Where), {fault.where for fault in drawn})
        self.assertEqual({0, 1, 2}, {fault.route for fault in drawn})
        self.assertEqual(
            {(True, False), (False, True), (True, True)},
            {(fault.up, fault.down) for fault in drawn},
        )

    def test_bounds(self) -> None:
        for fault in islice(draw(2, routes=1, every=0.5, longest=2), 1000):
            self.assertTrue(0 <= fault.wait <= 2.5 and 0.1 <= fault.seconds <= 2)
            process = fault.kind in (Kind.STOP, Kind.KILL)
            self.assertEqual(process, fault.where in (Where.CLIENT, Where.SERVER))

    def test_chosen_kinds(self) -> None:
        drawn = islice(draw(1, routes=1, every=1, kinds=LINK_KINDS), 300)
        self.assertEqual(set(LINK_KINDS), {fault.kind for fault in drawn})


class OrderTests(SynchronousTestCase):
    def test_same_seed(self) -> None:
        orders = [
            [draw_order(number, random, 5) for number in range(50)]
            for random in (Random(3), Random(3))
        ]
        self.assertEqual(*orders)
        self.assertEqual({"interactive", "bulk"}, {each.kind for each in orders[0]})

    def test_addresses_differ(self) -> None:
        random = Random(0)
        hosts = {draw_order(number, random, 5).host for number in range(70_000)}
        self.assertEqual(70_000, len(hosts))
        self.assertNotIn("127.0.0.1", hosts)

    def test_content_differs(self) -> None:
        """
        By the stream, the direction and the place.
        """
        pieces = {
            content(stream, up, start, 64)
            for stream in range(20)
            for up in (True, False)
            for start in (0, 1, 64, 65536)
        }
        self.assertEqual(160, len(pieces))

    def test_content_is_one_sequence(self) -> None:
        whole = content(5, True, 1_048_500, 1000)
        parts = content(5, True, 1_048_500, 300) + content(5, True, 1_048_800, 700)
        self.assertEqual(whole, parts)
