"""
Tests of L{reitunnel.wire.scheduler}.
"""

from __future__ import annotations

from collections import Counter
from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.wire.scheduler import BURST, FairScheduler
from reitunnel.wire.streams import MAX_CREDIT, Stream
from tests.wire.search import examples

QUANTUM = 1000
PIECE = memoryview(bytes(1 << 20))


class Line:
    """
    A scheduler, and the link that its streams send on.
    """

    def __init__(self) -> None:
        self.scheduler = FairScheduler(QUANTUM)
        self.sent: Counter[Stream] = Counter()
        self.turns: list[Stream] = []
        self._numbers = iter(range(1, 1 << 20))

    def stream(self, queued: int = 0, credit: int = MAX_CREDIT) -> Stream:
        """
        Make a stream with something to say.
        """
        stream = Stream(
            next(self._numbers), 1, opener=True, send_credit=credit, window=0
        )
        self.queue(stream, queued)
        return stream

    def bulk(self) -> Stream:
        """
        Make a stream that always has something to say.
        """
        return self.stream(10 << 20)

    def queue(self, stream: Stream, size: int) -> None:
        """
        Give a stream more to say.
        """
        while size:
            piece = PIECE[:size]
            stream.queue.append(piece)
            stream.queued += len(piece)
            size -= len(piece)
            if stream.ready:
                self.scheduler.put(stream)

    def run(self, size: int, chunk: int = QUANTUM) -> None:
        """
        Send about C{size} bytes, as a session does.
        """
        while size > 0 and (stream := self.scheduler.pick()) is not None:
            assert stream.ready, "a stream took a turn with nothing to send"
            taken, _ = stream.take(min(chunk, stream.deficit))
            assert taken, "a turn of nothing"
            self.scheduler.charge(stream, taken)
            self.sent[stream] += taken
            self.turns.append(stream)
            size -= taken


class FairnessTests(SynchronousTestCase):
    @examples(100)
    @given(
        st.integers(2, 9),
        st.lists(st.tuples(st.integers(1, 20000), st.integers(1, 3 * QUANTUM))),
    )
    def test_bulk_streams_share_equally(
        self, count: int, runs: list[tuple[int, int]]
    ) -> None:
        """
        Streams that always have something to say are never more than two turns
        apart, in whatever pieces the link takes it.
        """
        line = Line()
        streams = [line.bulk() for _ in range(count)]
        for size, chunk in runs:
            line.run(size, chunk)
            sent = [line.sent[stream] for stream in streams]
            self.assertTrue(max(sent) - min(sent) <= 2 * QUANTUM, sent)

    @examples(100)
    @given(st.lists(st.integers(1, 5 * QUANTUM), min_size=2, max_size=9))
    def test_all_is_sent(self, sizes: list[int]) -> None:
        line = Line()
        streams = [line.stream(size) for size in sizes]
        line.run(1 << 30)
        self.assertEqual(sizes, [line.sent[stream] for stream in streams])
        self.assertFalse(line.scheduler)
        self.assertFalse(any(stream.listed for stream in streams))


class SparseTests(SynchronousTestCase):
    @examples(100)
    @given(st.integers(1, 8), st.integers(0, 30), st.integers(1, QUANTUM))
    def test_goes_before_bulk(self, count: int, turns: int, size: int) -> None:
        """
        A stream that was silent goes before those that were not.
        """
        line = Line()
        for _ in range(count):
            line.bulk()
        line.run((count + turns) * QUANTUM)
        keystroke = line.stream(size)
        line.turns.clear()
        line.run(1)
        self.assertEqual([keystroke], line.turns)

    def test_goes_before_bulk_each_time(self) -> None:
        """
        As long as it says less than its share.
        """
        line = Line()
        for _ in range(3):
            line.bulk()
        line.run(10 * QUANTUM)
        typist = line.stream()
        for _ in range(20):
            line.queue(typist, 10)
            line.turns.clear()
            line.run(5 * QUANTUM)
            self.assertIs(typist, line.turns[0])

    def test_many_at_once(self) -> None:
        """
        Silent streams do not wait for each other's turns of a bulk stream.
        """
        line = Line()
        line.bulk()
        line.run(5 * QUANTUM)
        typists = [line.stream(10) for _ in range(50)]
        line.turns.clear()
        line.run(50 * 10)
        self.assertEqual(typists, line.turns)


class StarvationTests(SynchronousTestCase):
    def test_one_that_comes_back_at_once(self) -> None:
        """
        A stream that runs dry after each piece does not go first for ever.
        """
        for size in (1, QUANTUM // 2, QUANTUM - 1, QUANTUM):
            line = Line()
            old = line.bulk()
            line.run(2 * QUANTUM)
            eager = line.stream(size)
            line.sent.clear()
            while line.sent.total() < 100 * QUANTUM:
                line.run(1)
                if not eager.queued:
                    line.queue(eager, size)
            share = line.sent[old] / line.sent.total()
            self.assertTrue(share >= 0.45, f"{size}: {share}")

    @examples(50)
    @given(st.lists(st.integers(1, QUANTUM), min_size=1), st.integers(1, 5))
    def test_ever_new_streams(self, sizes: list[int], count: int) -> None:
        """
        Streams that come, say something and end have at most half of the link
        in the long run, if there are old ones that want the other half.
        """
        line = Line()
        old = [line.bulk() for _ in range(count)]
        line.run(count * QUANTUM)
        line.sent.clear()
        coming = cycle(sizes)
        while line.sent.total() < 200 * QUANTUM:
            for _ in range(5):
                line.stream(next(coming))
            line.run(QUANTUM)
        share = sum(line.sent[stream] for stream in old)
        self.assertTrue(share >= (100 - BURST) * QUANTUM, share)

    def test_within_a_bound(self) -> None:
        """
        New streams are never more than a burst ahead.
        """
        line = Line()
        old = line.bulk()
        line.run(2 * QUANTUM)
        for _ in range(200):
            line.stream(QUANTUM - 1)
        line.sent.clear()
        for _ in range(200):
            line.run(QUANTUM)
            ahead = line.sent.total() - 2 * line.sent[old]
            self.assertTrue(ahead <= (BURST + 1) * QUANTUM, ahead)


class CreditTests(SynchronousTestCase):
    def test_none(self) -> None:
        """
        A stream without credit takes no turn, and does not hold up the others.
        """
        line = Line()
        blocked = line.stream(5000, credit=0)
        free = line.bulk()
        line.run(10 * QUANTUM)
        self.assertEqual(0, line.sent[blocked])
        self.assertEqual(10 * QUANTUM, line.sent[free])
        self.assertFalse(blocked.listed)

    def test_runs_out(self) -> None:
        line = Line()
        stream = line.stream(5000, credit=1500)
        line.run(10 * QUANTUM)
        self.assertEqual(1500, line.sent[stream])
        self.assertFalse(line.scheduler)
        stream.send_credit += 700
        line.scheduler.put(stream)
        line.run(10 * QUANTUM)
        self.assertEqual(2200, line.sent[stream])

    def test_small_grants_gain_nothing(self) -> None:
        """
        A peer that grants credit in small pieces does not get more than its
        share for it.
        """
        line = Line()
        old = line.bulk()
        line.run(2 * QUANTUM)
        granted = line.stream(10 << 20, credit=0)
        line.sent.clear()
        while line.sent.total() < 100 * QUANTUM:
            granted.send_credit = max(granted.send_credit, QUANTUM // 3)
            line.scheduler.put(granted)
            line.run(1)
        self.assertTrue(line.sent[old] >= 45 * QUANTUM, line.sent)

    def test_eof_alone(self) -> None:
        """
        A stream with only C{EOF} to say is picked, with or without credit.
        """
        line = Line()
        stream = line.stream(credit=0)
        stream.eof_queued = True
        line.scheduler.put(stream)
        self.assertIs(stream, line.scheduler.pick())
        stream.eof_queued = False
        self.assertIsNone(line.scheduler.pick())

    def test_forgotten(self) -> None:
        """
        What is forgotten is not kept until its turn comes, fresh or not, and can come
        again.
        """
        line = Line()
        fresh, old, stays = line.stream(5000), line.stream(9000), line.stream(5000)
        line.run(4 * QUANTUM)
        again = line.stream(5000)
        for stream in (fresh, old, again, line.stream()):
            stream.drop_queue()
            line.scheduler.forget(stream)
            self.assertFalse(stream.listed)
        self.assertIs(stays, line.scheduler.pick())
        line.queue(again, 500)
        line.turns.clear()
        line.run(1 << 30)
        self.assertEqual({stays, again}, set(line.turns))
        self.assertFalse(line.scheduler)

    def test_reset_while_it_waits(self) -> None:
        line = Line()
        gone, stays = line.stream(5000), line.stream(5000)
        gone.drop_queue()
        line.run(1 << 30)
        self.assertEqual([stays] * 5, line.turns)
        self.assertFalse(line.scheduler)
