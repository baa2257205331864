"""
Tests of L{reitunnel.server.links}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.relay import DataLink, Link
from reitunnel.server.links import DataLinks
from reitunnel.wire.frames import FrameKind, FrameReader, encode_frame
from tests.relay.memory import MemoryTransport, Remote, connect
from tests.relay.rig import NoFrames


class Taker:
    """
    Somebody who waits for a data link.
    """

    def __init__(self, *, can_switch: bool = True) -> None:
        self.can_switch = can_switch
        self.found: list[int] = []

    def link_found(self, data_link: DataLink) -> None:
        self.found.append(data_link.number)


class DataLinksTests(SynchronousTestCase):
    limit = 5

    def setUp(self) -> None:
        self.clock = Clock()
        self.links = DataLinks(self.clock, self.limit, 10, 30)
        self.ends: dict[int, MemoryTransport] = {}
        self.remotes: dict[int, Remote] = {}

    def add(self, number: int, *, answer: bool = True) -> None:
        """
        A data link has come; its client answers the first ping, or not.
        """
        self.assertTrue(self.links.takes(number))
        link = Link(FrameReader(), NoFrames(), self.clock)
        self.remotes[number] = remote = Remote()
        near, _ = connect(link, remote, self.clock)
        self.ends[number] = near
        self.links.add(number, link)
        if answer:
            self.answer(number)

    def answer(self, number: int) -> None:
        """
        The client answers the first ping.
        """
        pong = encode_frame(FrameKind.PONG, 0, (1).to_bytes(8, "big"))
        self.ends[number].far.write(pong)
        self.ends[number].turn()

    def turn(self) -> None:
        """
        Let everything happen that can happen now.
        """
        for end in self.ends.values():
            while end.turn() or end.far.turn():
                pass
        self.clock.advance(0)

    def take(self) -> int | None:
        data_link = self.links.take()
        return None if data_link is None else data_link.number

    def test_newest_first(self) -> None:
        """
        So those that are not needed grow old.
        """
        for number in (1, 2, 3):
            self.add(number)
        self.assertEqual(3, len(self.links))
        self.assertEqual([3, 2, 1, None], [self.take() for _ in range(4)])
        self.assertEqual(0, len(self.links))

    def test_not_before_the_client_has_it(self) -> None:
        """
        It could hear of the stream first.
        """
        self.add(1)
        self.add(2, answer=False)
        self.assertEqual(1, len(self.links))
        self.assertEqual([1, None], [self.take(), self.take()])
        self.answer(2)
        self.assertEqual(2, self.take())

    def test_late_ones_are_left(self) -> None:
        """
        A client that owes an answer may be gone, and its links with it.
        """
        self.add(1)
        self.clock.advance(8)
        self.add(2)
        # The first one is pinged again.
        self.clock.pump([2, 1.5])
        self.assertEqual(1, len(self.links))
        self.assertEqual([2, None], [self.take(), self.take()])

    def test_limit(self) -> None:
        """
        Those that streams have count.
        """
        for number in range(1, 6):
            self.add(number)
        self.assertFalse(self.links.takes(6))
        self.take()
        self.assertFalse(self.links.takes(6))
        self.ends[5].cut()
        self.assertTrue(self.links.takes(6))
        self.ends[1].cut()
        self.assertEqual(3, len(self.links))

    def test_numbers(self) -> None:
        self.add(2000)
        self.assertFalse(self.links.takes(2000))
        self.assertFalse(self.links.takes(2000 - 1024))
        self.assertTrue(self.links.takes(2000 - 1023))
        self.assertTrue(self.links.takes(0xFFFFFFFF))

    def test_numbers_are_remembered(self) -> None:
        """
        As far as it matters, and no further.
        """
        for number in range(1, 10_000):
            self.add(number)
            self.ends[number].cut()
            self.assertFalse(self.links.takes(number))
        self.assertFalse(any(self.links.takes(number) for number in range(10_000)))
        self.assertTrue(self.links.takes(10_000))

    def test_retired(self) -> None:
        """
        After five minutes, give or take a tenth.
        """
        self.add(1)
        waited = 0
        while len(self.links):
            self.clock.advance(1)
            waited += 1
            number = waited // 10 + 1
            pong = number.to_bytes(8, "big")
            if not waited % 10:
                self.ends[1].far.write(encode_frame(FrameKind.PONG, 0, pong))
            self.turn()
        self.assertTrue(270 <= waited <= 330, waited)
        self.turn()
        self.assertTrue(self.remotes[1].finished)

    def test_not_retired_when_it_is_used(self) -> None:
        self.add(1)
        data_link = self.links.take()
        assert data_link is not None
        data_link.abort()
        self.clock.advance(0)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_lost(self) -> None:
        self.add(1)
        self.ends[1].cut()
        self.assertIsNone(self.take())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_silent(self) -> None:
        """
        It is not given to a stream while it is being closed.
        """
        self.add(1)
        self.clock.pump([10] * 3)
        self.assertEqual(0, len(self.links))
        self.clock.advance(0)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_waiting(self) -> None:
        """
        First come, first served.
        """
        takers = [Taker() for _ in range(3)]
        for taker in takers:
            self.links.wait(taker)
        for number in (4, 5, 6, 7):
            self.add(number, answer=False)
        self.assertEqual([[], [], []], [taker.found for taker in takers])
        for number in (4, 5, 6, 7):
            self.answer(number)
        self.assertEqual([[4], [5], [6]], [taker.found for taker in takers])
        self.assertEqual(7, self.take())

    def test_waiting_in_vain(self) -> None:
        """
        Who has no use for one any more does not get it.
        """
        gone, closed, there = Taker(), Taker(can_switch=False), Taker()
        for taker in (gone, closed, there):
            self.links.wait(taker)
        self.links.give_up(gone)
        self.links.give_up(gone)
        self.add(1)
        self.assertEqual([[], [], [1]], [t.found for t in (gone, closed, there)])
        self.links.give_up(there)
        self.links.wait(closed)
        self.add(2)
        self.assertEqual(([], 1), (closed.found, len(self.links)))

    def test_close(self) -> None:
        taker = Taker()
        for number in (1, 2):
            self.add(number)
        self.links.wait(taker)
        self.links.close()
        self.assertEqual(0, len(self.links))
        self.assertFalse(self.links.takes(3))
        self.turn()
        for remote in self.remotes.values():
            self.assertTrue(remote.finished)
            remote.transport.loseConnection()
        self.turn()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual([], taker.found)


class NoLinksTests(SynchronousTestCase):
    def test_none(self) -> None:
        self.assertFalse(DataLinks(Clock(), 0, 10, 30).takes(1))
