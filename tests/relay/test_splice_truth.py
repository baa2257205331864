"""
Whatever two programs do, and whenever a direction passes from Twisted to a splice,
each gets what the other has sent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.relay.handover import hand_over
from reitunnel.relay.splice import Splice
from tests.relay.level import (
    LevelReactor,
    Relay,
    descriptors,
    pattern,
    shrink,
    tcp_pair,
    unix_pair,
)
from tests.relay.splicing import CountedPipes, Pair


class Switching:
    """
    A relay that Twisted begins, and a splice takes over, each direction when it is
    told to.

    @ivar read: how many bytes the splice has read from each end.
    @ivar written: how many bytes the splice has written to each end.
    @ivar moved: the directions that were taken, by their sources.
    @ivar over: what C{on_over} was told, each time.
    """

    def __init__(self, pair: Pair, size: int, little: bool) -> None:
        self.reactor = LevelReactor()
        self.pipes = CountedPipes(size)
        self.relay = Relay(self.reactor, [pair(), pair()])
        if little:
            shrink(*(peer.socket for peer in self.relay.peers))
            shrink(*(end.getHandle() for end in self.relay.ends))
        self.read = [0, 0]
        self.written = [0, 0]
        self.moved: set[int] = set()
        self.over: list[Failure | None] = []
        self._waiting: dict[int, Deferred[None]] = {}
        self._splice = Splice(
            self.reactor,
            self.pipes,
            self.relay.ends,
            on_read=(self._count(self.read, 0), self._count(self.read, 1)),
            on_written=(self._count(self.written, 0), self._count(self.written, 1)),
            on_eof=lambda end: self._splice.finish(1 - end),
            on_over=self._over,
        )
        for end, protocol in enumerate(self.relay.protocols):
            protocol.on_read_ended = partial(self._ended, end)
            protocol.on_write_ended = partial(self._passed_on, 1 - end)

    def take(self, source: int) -> None:
        """
        Take a direction from Twisted, unless it is taken or has ended.
        """
        if source not in self._waiting and not self.relay.protocols[source].read_ended:
            ends = self.relay.ends
            waiting = hand_over(self.reactor, ends[source], ends[1 - source])
            self._waiting[source] = waiting
            waiting.addCallback(lambda _: self._take(source))
            waiting.addErrback(lambda _: None)

    def finish(self) -> None:
        """
        Let the programs end, and the connections close.
        """
        for peer in self.relay.peers:
            if not peer.ended:
                peer.shut()
        self.reactor.until(self._finished)

    def close(self) -> None:
        """
        Close what a failure left open.
        """
        self._splice.stop()
        self.relay.close()
        self.pipes.clear()

    def _finished(self) -> bool:
        for peer in self.relay.peers:
            peer.receive()
        return all(each.at_end for each in self.relay.peers) and bool(self.over)

    def _take(self, source: int) -> None:
        self.moved.add(source)
        self._splice.start(source)

    def _ended(self, source: int) -> None:
        # Twisted has read FIN.
        if source in self._waiting:
            self._waiting[source].cancel()
        self.relay.ends[1 - source].loseWriteConnection()

    def _passed_on(self, source: int) -> None:
        # FIN was sent, by Twisted or by the splice.
        if source not in self.moved:
            self._splice.skip(source)

    def _over(self, failure: Failure | None) -> None:
        self.over.append(failure)
        for end in self.relay.ends:
            end.loseConnection()

    @staticmethod
    def _count(counts: list[int], end: int) -> Callable[[int], None]:
        def count(size: int) -> None:
            counts[end] += size

        return count


sides = st.integers(0, 1)
sizes = st.one_of(st.integers(1, 20), st.integers(1, 1 << 18))
moves = st.one_of(
    st.tuples(st.just("send"), sides, sizes),
    st.tuples(st.just("receive"), sides, sizes),
    st.tuples(st.just("take"), sides, st.just(0)),
    st.tuples(st.just("turn"), st.just(0), st.integers(1, 5)),
    st.tuples(st.just("end"), sides, st.just(0)),
)


class TruthTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=100)
    @given(
        st.lists(moves, max_size=40),
        st.sampled_from([unix_pair, tcp_pair]),
        st.sampled_from([4096, 1 << 14, 1 << 20]),
        st.booleans(),
    )
    def test_whatever_happens(
        self, moves: list[tuple[str, int, int]], pair: Pair, size: int, little: bool
    ) -> None:
        before = descriptors()
        switching = Switching(pair, size, little)
        try:
            self.drive(switching, moves)
            self.check(switching)
        finally:
            switching.close()
        self.assertEqual(before, descriptors())

    def drive(self, switching: Switching, moves: list[tuple[str, int, int]]) -> None:
        """
        Do what was drawn.
        """
        peers = switching.relay.peers
        for what, side, size in moves:
            peer = peers[side]
            if what == "send" and not peer.ended:
                peer.send(size)
            elif what == "receive":
                peer.receive(size)
            elif what == "take":
                switching.take(side)
            elif what == "turn":
                for _ in range(size):
                    switching.reactor.turn()
            elif what == "end" and not peer.ended:
                peer.shut()
            for peer, other in (peers, peers[::-1]):
                self.assertEqual(pattern(0, len(peer.got)), peer.got)
                self.assertLessEqual(len(peer.got), other.sent)
        switching.finish()

    def check(self, switching: Switching) -> None:
        """
        All has come, once, in order, and is counted.
        """
        relay = switching.relay
        for source, (peer, other) in enumerate((relay.peers, relay.peers[::-1])):
            self.assertEqual(pattern(0, peer.sent), other.got)
            copied = relay.protocols[source].received
            self.assertEqual(peer.sent, copied + switching.read[source])
            self.assertEqual(switching.read[source], switching.written[1 - source])
            if source not in switching.moved:
                self.assertEqual(0, switching.read[source])
        self.assertEqual([None], switching.over)
        for protocol in relay.protocols:
            self.assertEqual([ConnectionDone], protocol.reasons)
        self.assertEqual([], switching.reactor.getReaders())
        self.assertEqual([], switching.reactor.getWriters())
        self.assertEqual([], switching.reactor.getDelayedCalls())
        self.assertEqual(set(), switching.pipes.used)
