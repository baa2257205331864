"""
How splices end: by FIN, by RST, by a failure, and when they are told to.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IWriteDescriptor
from twisted.python.failure import Failure

from reitunnel.relay.splice_end import EndLost
from tests.relay.level import pattern, reset, tcp_pair, unix_pair
from tests.relay.splicing import Owner, SpliceTestCase

BOTH = (unix_pair, tcp_pair)


class FinTests(SpliceTestCase):
    def test_the_owner_is_asked(self) -> None:
        """
        FIN is passed on when the owner says so, and not before.
        """
        for pair in BOTH:
            owner = self.owner(pair)
            owner.splice.start(0, 1)
            first, second = owner.peers
            first.send(100)
            first.shut()
            owner.until_ended(1)
            self.reactor.settle()
            self.assertEqual([0], owner.ended)
            second.receive()
            second.receive()
            self.assertEqual(pattern(0, 100), second.got)
            self.assertFalse(second.at_end)
            owner.splice.finish(1)
            self.get_all(second)
            self.assertEqual([], owner.over)
            owner.splice.stop()

    def test_either_order(self) -> None:
        """
        The other direction goes on after the end of one.
        """
        for pair in BOTH:
            for early, late in ((0, 1), (1, 0)):
                owner = self.started(pair)
                owner.peers[early].send(10)
                owner.peers[early].shut()
                self.get_all(owner.peers[late])
                owner.peers[late].send(1 << 18)
                self.get(owner.peers[early], owner.peers[late].sent)
                self.assertEqual([], owner.over)
                owner.peers[late].shut()
                self.get_all(owner.peers[early])
                self.assertEqual([None], owner.over)
                self.assertEqual([early, late], owner.ended)
                self.assertEqual(pattern(0, 10), owner.peers[late].got)
                sent = owner.peers[late].sent
                self.assertEqual(pattern(0, sent), owner.peers[early].got)
                self.assertTrue(owner.splice.stopped)

    def test_both_at_once(self) -> None:
        for pair in BOTH:
            owner = self.started(pair)
            for peer in owner.peers:
                peer.send(10)
                peer.shut()
            for peer in owner.peers:
                self.get_all(peer)
                self.assertEqual(pattern(0, 10), peer.got)
            self.assertEqual([None], owner.over)
            self.assertEqual([10, 10], owner.written)

    def test_bytes_wait_in_the_pipe(self) -> None:
        """
        The end is told when all is written: the sink was full before.
        """
        for pair in BOTH:
            owner = self.started(pair)
            source, sink = owner.peers
            owner.fill()
            source.shut()
            self.reactor.settle()
            self.assertGreater(owner.read[0], owner.written[1])
            self.assertEqual([], owner.ended)
            told: list[int] = []

            def ended(end: int, owner: Owner = owner, told: list[int] = told) -> None:
                told.append(owner.written[1])
                owner.pass_on(end)

            owner.on_eof = ended
            self.get_all(sink)
            self.assertTrue(sink.got == pattern(0, source.sent))
            self.assertEqual([source.sent], told)
            owner.splice.stop()

    def test_an_end_at_rest_does_not_spin(self) -> None:
        """
        A source that has ended stays readable.
        """
        for pair in BOTH:
            owner = self.owner(pair)
            owner.splice.start(0, 1)
            owner.peers[0].shut()
            self.reactor.settle()
            wakes = self.reactor.wakes
            for _ in range(10):
                self.reactor.turn(0.002)
            self.assertEqual(wakes, self.reactor.wakes)
            owner.splice.stop()

    def test_late_calls(self) -> None:
        """
        A reactor that found something ready earlier may call for it too late.
        """
        owner = self.owner()
        owner.splice.start(0, 1)
        first, second = self.reactor.getReaders()
        owner.peers[0].send(10)
        owner.peers[0].shut()
        owner.until_ended(1)
        registered = self.registered()
        self.assertEqual(1, len(registered))
        for late in (first, second):
            late.doRead()
            IWriteDescriptor(late).doWrite()
        self.assertEqual([0], owner.ended)
        self.assertEqual(registered, self.registered())
        owner.splice.stop()
        for late in (first, second):
            late.doRead()
            IWriteDescriptor(late).doWrite()
        self.assertEqual([], self.registered())
        self.assertEqual([10, 0], owner.read)

    def test_the_owner_ends_a_direction(self) -> None:
        """
        The owner may know that it is over before FIN comes.
        """
        for pair in BOTH:
            owner = self.started(pair)
            first, second = owner.peers
            first.send(100)
            owner.until_written(1, 100)
            owner.splice.finish(1)
            first.send(100)
            self.get_all(second)
            self.reactor.settle()
            self.assertEqual(pattern(0, 100), second.got)
            self.assertEqual([], owner.ended)
            self.assertEqual(100, owner.read[0])
            owner.splice.finish(0)
            self.assertEqual([None], owner.over)

    def test_the_owner_ends_a_direction_that_holds_bytes(self) -> None:
        for pair in BOTH:
            owner = self.started(pair)
            sink = owner.peers[1]
            owner.fill()
            read = owner.read[0]
            self.assertGreater(read, owner.written[1])
            owner.splice.finish(1)
            owner.splice.finish(1)
            self.get_all(sink)
            self.assertTrue(sink.got == pattern(0, read))
            self.assertEqual([read, read], [owner.read[0], owner.written[1]])
            self.assertEqual([], owner.over)
            owner.splice.stop()

    def test_the_owner_ends_a_direction_while_it_moves(self) -> None:
        """
        A count may tell the owner: C{finish} is called by C{on_read} and
        C{on_written}.
        """
        for name in ("on_read", "on_written"):
            for pair in BOTH:
                owner = self.started(pair)

                def enough(end: int, owner: Owner = owner) -> None:
                    if 100 in (owner.read[0], owner.written[1]):
                        owner.splice.finish(1)

                setattr(owner, name, enough)
                owner.peers[0].send(100)
                self.get_all(owner.peers[1])
                self.assertEqual(pattern(0, 100), owner.peers[1].got)
                self.assertEqual(set(), self.pipes.used)
                owner.splice.stop()

    def test_illegal(self) -> None:
        owner = self.owner()
        self.assertRaises(RuntimeError, owner.splice.finish, 1)
        owner.splice.start(0)
        self.assertRaises(RuntimeError, owner.splice.start, 0, 1)
        self.assertRaises(RuntimeError, owner.splice.skip, 0)
        owner.splice.skip(1)
        self.assertRaises(RuntimeError, owner.splice.start, 1)
        self.assertRaises(RuntimeError, owner.splice.finish, 0)
        owner.splice.stop()
        owner.splice.start(0)
        owner.splice.skip(0)
        owner.splice.finish(0)
        self.assertEqual([], self.registered())


class LossTests(SpliceTestCase):
    def lost(self, owner: Owner) -> EndLost:
        """
        Give what a splice ended with.
        """
        owner.until_over()
        [failure] = owner.over
        assert failure is not None
        self.assertTrue(owner.splice.stopped)
        self.assertEqual([], self.registered())
        error = failure.value
        assert isinstance(error, EndLost)
        self.assertIsInstance(error, ConnectionLost)
        return error

    def test_either_end(self) -> None:
        for end in (0, 1):
            owner = self.started(tcp_pair)
            reset(owner.peers[end].socket)
            error = self.lost(owner)
            self.assertEqual(end, error.end)
            self.assertIn("Connection reset by peer", str(error))

    def test_while_it_is_written_to(self) -> None:
        """
        The sink is lost while bytes wait for it.
        """
        for pair in BOTH:
            owner = self.started(pair)
            owner.fill()
            reset(owner.peers[1].socket)
            self.assertEqual(1, self.lost(owner).end)
            self.assertEqual(set(), self.pipes.used)

    def test_after_its_fin(self) -> None:
        """
        An abort after a half-close is not taken for an end in order.
        """
        for pair in BOTH:
            owner = self.started(pair)
            first, second = owner.peers
            first.shut()
            self.get_all(second)
            reset(first.socket)
            while not owner.over:
                second.send(1 << 16)
                self.reactor.turn(0.01)
            self.assertEqual(0, self.lost(owner).end)

    def test_fin_to_a_lost_end(self) -> None:
        """
        The end of one direction comes when the other end is lost already.
        """
        for pair in BOTH:
            owner = self.owner(pair)
            owner.splice.start(0, 1)
            first, second = owner.peers
            for peer in owner.peers:
                peer.shut()
            owner.until_ended(2)
            reset(second.socket)
            self.reactor.turn(0.01)
            first.receive()
            owner.splice.finish(1)
            self.assertEqual(1, self.lost(owner).end)

    def test_the_reactor_stops(self) -> None:
        owner = self.started()
        for each in self.reactor.removeAll():
            each.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(0, self.lost(owner).end)


class CallbackTests(SpliceTestCase):
    names = ("on_read", "on_written", "on_eof")

    def test_stop(self) -> None:
        """
        Each callback may stop the splice, which then tells nothing more.
        """
        for name in self.names:
            for pair in BOTH:
                owner = self.started(pair)
                setattr(owner, name, owner.stop)
                for peer in owner.peers:
                    peer.send(100)
                    peer.shut()
                self.reactor.settle()
                self.assertTrue(owner.splice.stopped)
                self.assertEqual([], owner.over)
                self.assertEqual([], self.registered())
                self.assertEqual(set(), self.pipes.used)
                self.assertLessEqual(len(owner.ended), 1)

    def test_failure(self) -> None:
        """
        A callback that fails ends the splice, and the sockets can be closed.
        """
        for name in self.names:
            for pair in BOTH:
                owner = self.started(pair)

                def fail(end: int) -> None:
                    raise OSError("a callback")

                setattr(owner, name, fail)
                owner.peers[0].send(100)
                owner.peers[0].shut()
                owner.until_over()
                self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
                [failure] = owner.over
                assert failure is not None
                self.assertEqual("a callback", failure.getErrorMessage())
                self.assertEqual([], self.registered())
                self.assertEqual(set(), self.pipes.used)

    def test_failure_at_the_end(self) -> None:
        """
        C{on_over} fails: it is logged, and not called again.
        """
        owner = self.started()

        def fail() -> None:
            raise ValueError

        owner.on_over = fail
        for peer in owner.peers:
            peer.shut()
        owner.until_over()
        self.reactor.settle()
        self.assertEqual([None], owner.over)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual([], self.registered())


class GivingBackTests(SpliceTestCase):
    """
    Transports can be closed as always afterwards.
    """

    def test_in_order(self) -> None:
        """
        After the end of both directions, closing is clean.
        """
        for pair in BOTH:
            owner = self.started(pair)
            owner.on_over = owner.close
            for peer in owner.peers:
                peer.send(1 << 16)
                peer.shut()
            for peer in owner.peers:
                self.get_all(peer)
                self.assertEqual(pattern(0, 1 << 16), peer.got)
            for protocol in owner.relay.protocols:
                self.assertTrue(protocol.write_ended)
                self.assertEqual([ConnectionDone], protocol.reasons)

    def test_what_the_kernel_holds_is_sent(self) -> None:
        """
        The peer reads only after the connection was closed.
        """
        for pair in BOTH:
            owner = self.started(pair)
            first, second = owner.peers
            first.send(1 << 16)
            first.shut()
            second.shut()
            owner.until_over()
            for transport in owner.relay.ends:
                transport.loseConnection()
            self.get_all(second)
            self.assertEqual(pattern(0, first.sent), second.got)

    def test_in_the_middle(self) -> None:
        """
        After C{stop}, a connection closes with FIN.
        """
        for pair in BOTH:
            owner = self.started(pair)
            owner.peers[0].send(100)
            owner.until_written(1, 100)
            owner.splice.stop()
            for transport in owner.relay.ends:
                transport.loseConnection()
            for peer in owner.peers:
                self.get_all(peer)
            self.assertEqual(100, len(owner.peers[1].got))
            for protocol in owner.relay.protocols:
                self.assertEqual([ConnectionDone], protocol.reasons)

    def test_abort(self) -> None:
        """
        When one end is lost, the other can be aborted: its peer sees RST.
        """
        owner = self.started(tcp_pair)
        owner.on_over = owner.abort
        reset(owner.peers[0].socket)
        owner.until_over()
        self.reactor.settle()
        self.assertRaises(ConnectionResetError, owner.peers[1].receive)
        for protocol in owner.relay.protocols:
            self.assertEqual([ConnectionAborted], protocol.reasons)

    def test_twisted_goes_on(self) -> None:
        """
        After C{stop} a transport works as before.
        """
        for pair in BOTH:
            owner = self.started(pair)
            owner.peers[0].send(100)
            owner.until_written(1, 100)
            owner.splice.stop()
            for transport in owner.relay.ends:
                transport.resumeProducing()
            owner.peers[0].send(100)
            self.get(owner.peers[1], 200)
            self.assertEqual(pattern(0, 200), owner.peers[1].got)
            self.assertEqual(100, owner.relay.protocols[0].received)
