"""
Moving bytes: all of them, once, counted, in turns, and only when there is room.
"""

from __future__ import annotations

import socket
import time

from twisted.internet.interfaces import IReadWriteDescriptor
from zope.interface.verify import verifyObject

from reitunnel.relay import splice
from reitunnel.relay.pipes import NoPipe
from tests.relay.level import (
    Relay,
    descriptors,
    pattern,
    shrink,
    tcp_pair,
    unix_pair,
)
from tests.relay.splicing import (
    CountedPipes,
    Owner,
    SpliceTestCase,
    no_more_descriptors,
)


def small(relay: Relay) -> None:
    """
    Let connections hold little.
    """
    shrink(
        *(peer.socket for peer in relay.peers),
        *(transport.getHandle() for transport in relay.ends),
    )


class MovingTests(SpliceTestCase):
    def test_both_directions(self) -> None:
        for pair in (unix_pair, tcp_pair):
            owner = self.started(pair)
            first, second = owner.peers
            first.send(1000)
            second.send(70)
            self.get(second, 1000)
            self.get(first, 70)
            self.assertEqual(pattern(0, 1000), second.got)
            self.assertEqual(pattern(0, 70), first.got)
            self.assertEqual([1000, 70], owner.read)
            self.assertEqual([70, 1000], owner.written)
            owner.splice.stop()

    def test_between_families(self) -> None:
        relay = self.relay(unix_pair, tcp_pair)
        for transport in relay.transports:
            transport.pauseProducing()
        owner = Owner(self.reactor, self.pipes, relay)
        owner.splice.start(0, 1)
        for source, sink in (relay.peers, relay.peers[::-1]):
            source.send(5000)
            self.get(sink, 5000)
            self.assertEqual(pattern(0, 5000), sink.got)
        owner.splice.stop()

    def test_much(self) -> None:
        """
        More than any buffer holds, both ways at once.
        """
        for pair in (unix_pair, tcp_pair):
            owner = self.started(pair)
            self.exchange(owner, 20 << 20)
            owner.splice.stop()

    def test_much_through_little(self) -> None:
        """
        Nearly every write finds the sink full.
        """
        for pair in (unix_pair, tcp_pair):
            owner = self.started(pair, adjust=small)
            self.exchange(owner, 1 << 20)
            owner.splice.stop()

    def test_without_large_pipes(self) -> None:
        self.pipes = CountedPipes(large=0)
        owner = self.started(tcp_pair)
        self.exchange(owner, 4 << 20)
        owner.splice.stop()

    def test_the_smallest_pipes(self) -> None:
        """
        One page, one piece: each is full with the first piece.
        """
        self.pipes = CountedPipes(size=4096)
        owner = self.started(tcp_pair)
        self.exchange(owner, 1 << 20)
        owner.splice.stop()

    def exchange(self, owner: Owner, total: int) -> None:
        """
        Send bytes both ways, as fast as it goes.
        """
        end = time.monotonic() + 60
        while min(len(peer.got) for peer in owner.peers) < total:
            for peer in owner.peers:
                peer.send(min(1 << 18, total - peer.sent))
            self.reactor.turn(0.001)
            for peer in owner.peers:
                peer.receive()
            self.assertLess(time.monotonic(), end)
        for peer in owner.peers:
            self.assertTrue(peer.got == pattern(0, total))
        self.assertEqual([total, total], owner.read)
        self.assertEqual([total, total], owner.written)
        self.assertEqual([], owner.over)

    def test_nothing_before_the_next_turn(self) -> None:
        owner = self.owner()
        owner.peers[0].send(10)
        owner.splice.start(0, 1)
        self.assertEqual([0, 0], owner.read)
        self.reactor.settle()
        self.assertEqual([10, 0], owner.read)
        owner.splice.stop()

    def test_ends_provide_what_they_say(self) -> None:
        owner = self.started()
        for reader in self.reactor.getReaders():
            verifyObject(IReadWriteDescriptor, reader)
        owner.splice.stop()


class UrgentTests(SpliceTestCase):
    """
    Urgent data stops splice(2).
    """

    def test_in_the_middle(self) -> None:
        """
        What follows the urgent byte comes, and nothing spins. The byte itself is
        dropped, as Twisted's connections do.
        """
        owner = self.started(tcp_pair)
        first, second = owner.peers
        first.socket.send(b"before")
        first.socket.send(b"!", socket.MSG_OOB)
        first.socket.send(b"after")
        self.get(second, 11)
        self.reactor.settle()
        self.assertEqual(b"beforeafter", second.got)
        self.assertEqual(11, owner.read[0])
        self.assertEqual(11, owner.written[1])
        owner.splice.stop()

    def test_before_the_end(self) -> None:
        """
        What stands between the urgent byte and FIN is not lost, however long.
        """
        owner = self.owner(tcp_pair)
        owner.on_eof = owner.pass_on
        first, second = owner.peers
        first.socket.send(b"before")
        first.socket.send(b"!", socket.MSG_OOB)
        rest = b"after" * 40000
        first.socket.setblocking(True)
        first.socket.sendall(rest)
        first.shut()
        owner.splice.start(0, 1)
        self.get_all(second)
        self.assertTrue(second.got == b"before" + rest)
        self.assertEqual(len(second.got), owner.read[0])
        self.assertEqual([0], owner.ended)
        owner.splice.stop()

    def test_last(self) -> None:
        owner = self.started(tcp_pair)
        first, second = owner.peers
        first.socket.send(b"before")
        first.socket.send(b"!", socket.MSG_OOB)
        self.get(second, 6)
        self.reactor.settle()
        first.shut()
        self.get_all(second)
        self.assertEqual(b"before", second.got)
        owner.splice.stop()


class PressureTests(SpliceTestCase):
    def test_a_sink_that_never_reads(self) -> None:
        """
        The pipe is held, nothing spins, no more is read, and other streams go on.
        """
        for pair in (unix_pair, tcp_pair):
            stuck, other = self.started(pair), self.started(pair)
            stuck.fill()
            held = stuck.read[0] - stuck.written[1]
            self.assertGreater(held, 0)
            self.assertLessEqual(held, 1 << 20)
            self.assertEqual(1, len(self.pipes.used))
            # With nothing else to do the reactor sleeps.
            wakes, read = self.reactor.wakes, stuck.read[0]
            for _ in range(20):
                self.reactor.turn(0.005)
            self.assertEqual((wakes, read), (self.reactor.wakes, stuck.read[0]))
            for each in range(10):
                other.peers[0].send(1000)
                self.reactor.settle()
                other.peers[1].receive()
                self.assertEqual((each + 1) * 1000, len(other.peers[1].got))
            self.assertEqual(1, len(self.pipes.used))
            self.assertEqual(read, stuck.read[0])
            # And back, past what is stuck.
            stuck.peers[1].send(500)
            self.reactor.settle()
            stuck.peers[0].receive()
            self.assertEqual(pattern(0, 500), stuck.peers[0].got)
            # In the end it is all there.
            sink, total = stuck.peers[1], stuck.peers[0].sent
            self.get(sink, total)
            self.assertTrue(sink.got == pattern(0, total))
            self.assertEqual(total, stuck.written[1])
            self.assertEqual(set(), self.pipes.used)
            stuck.splice.stop()
            other.splice.stop()

    def test_slow_and_fast_sinks(self) -> None:
        """
        What waits for a sink that has been slow waits in a small pipe, until the sink
        is found to be fast.
        """
        owner = self.started()
        source, sink = owner.peers
        kinds: list[bool] = []
        for seconds in (1, 1, 0, 0.001, 1, 1):
            # The sink has taken this long for all that waits for it, and more.
            owner.fill()
            self.reactor.advance(seconds)
            [pipe] = self.pipes.used
            kinds.append(pipe.large)
            taken = owner.written[1]
            while owner.written[1] == taken:
                sink.receive()
                self.reactor.turn()
        self.assertEqual([True, False, False, True, True, False], kinds)
        self.get(sink, source.sent)
        self.assertTrue(sink.got == pattern(0, source.sent))
        owner.splice.stop()

    def test_what_is_lost_goes_to_nobody(self) -> None:
        """
        The bytes that a stream leaves in its pipe when it stops do not come out of
        the next one's.
        """
        stuck, other = self.started(), self.started()
        stuck.fill()
        self.assertGreater(stuck.read[0], stuck.written[1])
        stuck.splice.stop()
        self.assertEqual(set(), self.pipes.used)
        other.peers[1].send(100)
        self.get(other.peers[0], 100)
        self.reactor.settle()
        self.assertEqual(0, other.peers[0].receive())
        self.assertEqual(pattern(0, 100), other.peers[0].got)
        other.splice.stop()

    def test_full_with_small_pieces(self) -> None:
        """
        A pipe of four pages is full with four pieces, far below its size, and the
        source still has more: nothing spins.
        """
        self.pipes = CountedPipes(size=4 * 4096)
        owner = self.started(tcp_pair, adjust=small)
        source, sink = owner.peers
        while owner.read[0] == owner.written[1] or owner.read[0] == source.sent:
            source.send(1)
            self.reactor.turn()
        wakes = self.reactor.wakes
        for _ in range(20):
            source.send(1)
            self.reactor.turn(0.005)
        self.assertEqual(wakes, self.reactor.wakes)
        self.assertLess(owner.read[0] - owner.written[1], 4 * 4096)
        self.assertLess(owner.read[0], source.sent)
        self.get(sink, source.sent)
        self.assertEqual(pattern(0, source.sent), sink.got)
        owner.splice.stop()

    def test_idle_streams_cost_nothing(self) -> None:
        """
        No pipe in use, and no descriptor but the sockets'; no wake-ups.
        """
        owners = [self.owner() for _ in range(30)]
        before = descriptors()
        for owner in owners:
            owner.splice.start(0, 1)
        for owner in owners:
            for peer in owner.peers:
                peer.send(100)
        self.reactor.settle()
        self.assertEqual(set(), self.pipes.used)
        # One pipe was enough for all, and is kept.
        self.assertEqual(before + 2, descriptors())
        wakes = self.reactor.wakes
        self.reactor.turn(0.01)
        self.assertEqual(wakes, self.reactor.wakes)
        for owner in owners:
            self.assertEqual([100, 100], owner.written)
            owner.splice.stop()

    def test_no_descriptors_for_a_pipe(self) -> None:
        """
        That stream ends, and says why; the others go on.
        """
        stuck, short, other = self.started(), self.started(), self.started()
        stuck.fill()
        self.assertEqual(1, len(self.pipes.used))
        short.peers[0].send(100)
        with no_more_descriptors():
            self.reactor.turn(1)
        [failure] = short.over
        assert failure is not None
        failure.trap(NoPipe)
        self.assertEqual(
            "no pipe for a stream: Too many open files", failure.getErrorMessage()
        )
        self.assertTrue(short.splice.stopped)
        other.peers[0].send(100)
        self.reactor.settle()
        self.assertEqual(100, other.written[1])
        self.assertEqual([], stuck.over + other.over)
        stuck.splice.stop()
        other.splice.stop()


class FairnessTests(SpliceTestCase):
    def test_a_turn(self) -> None:
        """
        A direction moves no more than a turn's worth at once, however much there is
        to move.
        """
        self.patch(splice, "TURN", 1 << 15)
        for size, most in ((1 << 14, 1 << 15), (1 << 16, 1 << 16)):
            self.pipes = CountedPipes(size=size)
            owner = self.started()
            source = owner.peers[0]
            while source.send(1 << 16):
                pass
            self.assertGreater(source.sent, most)
            self.reactor.turn()
            self.assertEqual(most, owner.read[0])
            self.assertEqual(most, owner.written[1])
            self.reactor.turn()
            self.assertEqual(min(2 * most, source.sent), owner.read[0])
            owner.splice.stop()
            self.pipes.clear()

    def test_a_turn_of_small_pieces(self) -> None:
        """
        A pipe that is full with less than its size ends the turn.
        """
        self.pipes = CountedPipes(size=4 * 4096)
        owner = self.started(tcp_pair)
        fills: list[int] = []
        owner.on_read = lambda end: fills.append(owner.read[0])
        source = owner.peers[0]
        for _ in range(100):
            source.send(1)
        self.assertEqual([], fills)
        self.reactor.turn(1)
        self.assertEqual(1, len(fills))
        self.reactor.until(lambda: owner.written[1] == 100)
        owner.splice.stop()

    def test_no_read_in_vain(self) -> None:
        """
        A message that is smaller than a pipe takes one wake-up.
        """
        owner = self.started()
        owner.peers[0].send(100)
        self.reactor.settle()
        self.assertEqual(1, self.reactor.wakes)
        self.assertEqual(100, owner.written[1])
        owner.splice.stop()
