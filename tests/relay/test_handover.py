"""
Which sockets can be spliced, and how a direction passes from Twisted to a splice.
"""

from __future__ import annotations

import os
import socket
from errno import EAGAIN, EINVAL, EMFILE
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.relay.handover import can_splice, hand_over, kernel_splices
from reitunnel.relay.splice_end import EndLost
from tests.relay.level import (
    LevelReactor,
    Relay,
    descriptors,
    pattern,
    reset,
    tcp_pair,
    unix_pair,
)
from tests.relay.splicing import Owner, Pair, SpliceTestCase, no_more_descriptors

BOTH = (unix_pair, tcp_pair)


def _would_block(*arguments: object, **keywords: object) -> int:
    raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))


class CanSpliceTests(SynchronousTestCase):
    def connection(self, own: socket.socket) -> Connection:
        """
        Make a connected transport of a socket.
        """
        self.addCleanup(own.close)
        transport = Connection(own, Protocol(), LevelReactor())
        transport.connected = 1
        return transport

    def test_stream_sockets(self) -> None:
        families = [socket.AF_INET, socket.AF_UNIX]
        if socket.has_ipv6:
            families.append(socket.AF_INET6)
        for family in families:
            with self.subTest(family=family):
                transport = self.connection(socket.socket(family))
                self.assertTrue(can_splice(transport))

    def test_other_sockets(self) -> None:
        for family, kind in (
            (socket.AF_INET, socket.SOCK_DGRAM),
            (socket.AF_UNIX, socket.SOCK_SEQPACKET),
            (socket.AF_NETLINK, socket.SOCK_RAW),
        ):
            transport = self.connection(socket.socket(family, kind))
            self.assertFalse(can_splice(transport))

    def test_stream_sockets_of_other_families(self) -> None:
        """
        They may be such that the kernel copies all the same.
        """
        try:
            other = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        except (AttributeError, OSError):
            self.skipTest("there are none")
        transport = self.connection(other)
        self.patch(os, "splice", _would_block)
        kernel_splices.cache_clear()
        self.addCleanup(kernel_splices.cache_clear)
        self.assertTrue(kernel_splices(socket.AF_VSOCK))
        self.assertFalse(can_splice(transport))

    def test_not_connected(self) -> None:
        transport = self.connection(socket.socket())
        transport.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(can_splice(transport))

    def test_other_transports(self) -> None:
        self.assertFalse(can_splice(StringTransport()))
        self.assertFalse(can_splice(None))

    def test_wrappers(self) -> None:
        """
        A wrapper says that it provides what the transport below it does.
        """
        transport = self.connection(socket.socket())
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.makeConnection(transport)
        self.assertIs(transport.getHandle(), wrapper.getHandle())
        self.assertFalse(can_splice(wrapper))

    def test_tls(self) -> None:
        """
        Neither TLS that was started on a connection, nor what its protocol gets.
        """
        transport = self.connection(socket.socket())
        transport._tlsClientDefault = True  # type: ignore[attr-defined]
        self.assertTrue(can_splice(transport))
        protocol = cast(Protocol, transport.protocol)
        transport.startTLS(CertificateOptions())
        self.assertFalse(can_splice(transport))
        self.assertFalse(can_splice(protocol.transport))

    def test_the_kernel_cannot(self) -> None:
        """
        The kernel is asked, once for each family.
        """
        transport = self.connection(socket.socket())
        kernel_splices.cache_clear()
        self.addCleanup(kernel_splices.cache_clear)
        calls = []

        def refuse(*arguments: object, **keywords: object) -> int:
            calls.append(arguments)
            raise OSError(EINVAL, os.strerror(EINVAL))

        self.patch(os, "splice", refuse)
        self.assertFalse(can_splice(transport))
        self.assertFalse(can_splice(transport))
        self.assertEqual(1, len(calls))

    def test_no_splice_at_all(self) -> None:
        """
        As on other systems.
        """
        transport = self.connection(socket.socket())
        kernel_splices.cache_clear()
        self.addCleanup(kernel_splices.cache_clear)
        self.patch(os, "splice", None)
        del os.splice
        self.assertFalse(can_splice(transport))

    def test_asking_costs_no_descriptors(self) -> None:
        before = descriptors()
        for family in (socket.AF_INET, socket.AF_UNIX):
            kernel_splices.cache_clear()
            self.assertTrue(kernel_splices(family))
        self.assertEqual(before, descriptors())

    def test_no_descriptors_to_ask_with(self) -> None:
        """
        That says nothing of the kernel, and is not remembered.
        """
        transport = self.connection(socket.socket())
        kernel_splices.cache_clear()
        with no_more_descriptors():
            self.assertFalse(can_splice(transport))
        self.assertTrue(can_splice(transport))


class HandOverTests(SpliceTestCase):
    def hand_over(self, relay: Relay, source: int) -> list[object]:
        """
        Hand one direction over.

        @return: what came of it, once something has.
        """
        results: list[object] = []
        self.deferred(relay, source).addBoth(results.append)
        return results

    def deferred(self, relay: Relay, source: int) -> Deferred[None]:
        return hand_over(self.reactor, relay.ends[source], relay.ends[1 - source])

    def test_nothing_to_write(self) -> None:
        for pair in BOTH:
            relay = self.relay(pair)
            results = self.hand_over(relay, 0)
            self.assertEqual([], results)
            self.reactor.settle()
            self.assertEqual([None], results)
            self.assertEqual([relay.ends[1]], self.registered())
            relay.close()

    def test_waits_for_what_was_written(self) -> None:
        """
        It waits for the sink's peer, without spinning, while the other direction
        goes on.
        """
        for pair in BOTH:
            relay = self.relay(pair)
            first, second = relay.peers
            relay.ends[1].write(pattern(0, 8 << 20))
            results = self.hand_over(relay, 0)
            self.reactor.settle()
            self.assertEqual([], results)
            wakes = self.reactor.wakes
            self.reactor.turn(0.01)
            self.assertEqual(wakes, self.reactor.wakes)
            # The source is not read from.
            first.send(100)
            self.reactor.turn(0.01)
            self.assertEqual(0, relay.protocols[0].received)
            # The other direction.
            second.send(1000)
            self.get(first, 1000)
            self.assertEqual([], results)
            self.get(second, 8 << 20)
            self.assertEqual([None], results)
            self.assertTrue(second.got == pattern(0, 8 << 20))
            relay.close()

    def test_a_producer(self) -> None:
        """
        A producer of the sink is not asked for more.
        """
        relay = self.relay()
        relay.ends[1].registerProducer(relay.ends[0], True)
        results = self.hand_over(relay, 0)
        self.reactor.settle()
        self.assertEqual([None], results)
        self.assertIsNone(relay.ends[1].producer)
        self.assertEqual([relay.ends[1]], self.registered())

    def test_provides_what_it_says(self) -> None:
        relay = self.relay()
        relay.ends[1].write(bytes(8 << 20))
        self.hand_over(relay, 0)
        self.reactor.turn()
        verifyObject(IPullProducer, relay.ends[1].producer)

    def test_sink_lost(self) -> None:
        for pair in BOTH:
            relay = self.relay(pair)
            relay.ends[1].write(bytes(8 << 20))
            failed = self.deferred(relay, 0)
            self.reactor.settle()
            reset(relay.peers[1].socket)
            relay.until_lost()
            self.failureResultOf(failed, ConnectionLost)
            relay.close()

    def test_sink_lost_before(self) -> None:
        relay = self.relay()
        relay.ends[1].abortConnection()
        self.reactor.turn()
        failed = self.deferred(relay, 0)
        self.reactor.turn()
        self.failureResultOf(failed, ConnectionLost)

    def test_sink_aborted(self) -> None:
        relay = self.relay()
        failed = self.deferred(relay, 0)
        relay.ends[1].abortConnection()
        self.reactor.turn()
        self.failureResultOf(failed, ConnectionLost)

    def test_sink_closed(self) -> None:
        """
        It closes when all is written, as if nothing had been handed over.
        """
        relay = self.relay()
        relay.ends[1].write(pattern(0, 8 << 20))
        failed = self.deferred(relay, 0)
        self.reactor.turn()
        relay.ends[1].loseConnection()
        self.get_all(relay.peers[1])
        self.failureResultOf(failed, ConnectionDone)
        self.assertTrue(relay.peers[1].got == pattern(0, 8 << 20))
        self.assertEqual([ConnectionDone], relay.protocols[1].reasons)

    def test_cancelled(self) -> None:
        """
        Before it has begun, and while it waits.
        """
        for turns in (0, 3):
            relay = self.relay()
            relay.ends[1].write(pattern(0, 8 << 20))
            deferred = self.deferred(relay, 0)
            for _ in range(turns):
                self.reactor.turn()
            deferred.cancel()
            self.failureResultOf(deferred, CancelledError)
            self.assertEqual([], self.reactor.getDelayedCalls())
            relay.ends[0].resumeProducing()
            self.get(relay.peers[1], 8 << 20)
            relay.peers[0].send(1000)
            self.get(relay.peers[1], (8 << 20) + 1000)
            self.assertIsNone(relay.ends[1].producer)
            relay.close()

    def test_the_source_was_ready_too(self) -> None:
        """
        The reactor found both ends ready at once. The first one's data hands the
        second one's direction over, and that is called nevertheless: its data must
        not come after what the splice moves.
        """
        relay = self.relay()
        owner = Owner(self.reactor, self.pipes, relay)
        first, second = relay.peers
        # Both have something to write, so that none is unregistered by the pause.
        results: list[object] = []

        def received(data: bytes) -> None:
            relay.ends[1].write(data)
            deferred = self.deferred(relay, 1)
            deferred.addCallback(lambda _: owner.splice.start(1))
            deferred.addBoth(results.append)

        relay.protocols[0].dataReceived = received  # type: ignore[method-assign]
        for end in relay.ends:
            end.write(b"-")
        first.send(10)
        second.send(1000)
        self.reactor.turn(1)
        self.assertEqual(1000, relay.protocols[1].received)
        second.send(1000)
        self.get(first, 2001)
        self.assertEqual(b"-" + pattern(0, 2000), first.got)
        self.assertEqual([None], results)
        self.assertEqual(1000, owner.read[1])
        owner.splice.stop()


class OneDirectionTests(SpliceTestCase):
    """
    Twisted keeps the other direction.
    """

    def half(self, pair: Pair, source: int = 0) -> Owner:
        """
        Make a relay, one direction of which is spliced.
        """
        relay = self.relay(pair)
        owner = Owner(self.reactor, self.pipes, relay)
        owner.on_eof = owner.pass_on
        self.take(owner, source)
        return owner

    def take(self, owner: Owner, source: int) -> None:
        """
        Splice a direction that Twisted has copied until now.
        """
        ends = owner.relay.ends
        deferred = hand_over(self.reactor, ends[source], ends[1 - source])
        deferred.addCallback(lambda _: owner.splice.start(source))
        self.reactor.until(lambda: deferred.called)
        self.successResultOf(deferred)

    def exchange(self, owner: Owner, count: int) -> None:
        """
        Send bytes both ways at once.
        """
        totals = [peer.sent + count for peer in owner.peers]
        while any(len(owner.peers[1 - each].got) < totals[each] for each in range(2)):
            for peer, total in zip(owner.peers, totals, strict=True):
                peer.send(min(1 << 17, total - peer.sent))
            self.reactor.turn(0.001)
            for peer in owner.peers:
                peer.receive()
        for peer, total in zip(owner.peers, totals[::-1], strict=True):
            self.assertTrue(peer.got == pattern(0, total))

    def test_then_the_other(self) -> None:
        """
        Each direction may be first. No byte is lost, doubled or moved, and the
        duplicates are gone in the end.
        """
        for pair in BOTH:
            for early in (0, 1):
                self.pipes.clear()
                before = descriptors()
                owner = self.half(pair, early)
                # Sockets of both sides, a duplicate for each end.
                self.assertEqual(before + 4 + 2, descriptors())
                self.exchange(owner, 1 << 21)
                copied = owner.relay.protocols[1 - early].received
                self.assertEqual([1 << 21, 0], owner.read[:: 1 - 2 * early])
                self.assertEqual(1 << 21, copied)
                self.take(owner, 1 - early)
                self.pipes.clear()
                self.assertEqual(before + 4, descriptors())
                self.exchange(owner, 1 << 21)
                self.assertEqual([2 << 21, 1 << 21], owner.read[:: 1 - 2 * early])
                self.assertEqual(copied, owner.relay.protocols[1 - early].received)
                owner.on_over = owner.close
                for peer in owner.peers:
                    peer.shut()
                for peer in owner.peers:
                    self.get_all(peer)
                self.assertEqual([None], owner.over)
                for protocol in owner.relay.protocols:
                    self.assertEqual([ConnectionDone], protocol.reasons)
                owner.relay.close()

    def test_while_it_holds_bytes(self) -> None:
        """
        The second direction comes while the first waits for its sink.
        """
        for pair in BOTH:
            owner = self.half(pair)
            owner.fill()
            self.assertGreater(owner.read[0], owner.written[1])
            self.take(owner, 1)
            owner.peers[1].send(1000)
            self.get(owner.peers[0], 1000)
            self.assertEqual([1000], owner.read[1:])
            self.get(owner.peers[1], owner.peers[0].sent)
            self.assertTrue(owner.peers[1].got == pattern(0, owner.peers[0].sent))
            owner.splice.stop()

    def test_the_other_ended_before(self) -> None:
        """
        Twisted has passed the end of the other direction on, before the first is
        taken: no duplicates.
        """
        for pair in BOTH:
            relay = self.relay(pair)
            owner = Owner(self.reactor, self.pipes, relay)
            owner.on_eof = owner.pass_on
            relay.protocols[1].on_read_ended = relay.ends[0].loseWriteConnection
            relay.peers[1].send(1000)
            relay.peers[1].shut()
            self.get_all(relay.peers[0])
            self.assertTrue(relay.protocols[0].write_ended)
            before = descriptors()
            owner.splice.skip(1)
            self.take(owner, 0)
            self.assertEqual(before, descriptors())
            self.ends_alone(owner)

    def test_the_other_ends_later(self) -> None:
        """
        Twisted passes the end of the other direction on while the first is spliced.
        """
        for pair in BOTH:
            owner = self.half(pair)
            relay = owner.relay
            relay.protocols[1].on_read_ended = relay.ends[0].loseWriteConnection
            relay.peers[1].send(1000)
            relay.peers[1].shut()
            self.get_all(relay.peers[0])
            relay.until_write_ended(0)
            before = descriptors()
            owner.splice.skip(1)
            self.assertEqual(before - 2, descriptors())
            self.ends_alone(owner)

    def ends_alone(self, owner: Owner) -> None:
        """
        One direction is left: it moves, and ends the splice in order.
        """
        owner.on_over = owner.close
        owner.peers[0].send(5000)
        owner.peers[0].shut()
        self.get_all(owner.peers[1])
        self.assertEqual(pattern(0, 5000), owner.peers[1].got)
        self.assertEqual(pattern(0, 1000), owner.peers[0].got)
        self.assertEqual([None], owner.over)
        for protocol in owner.relay.protocols:
            self.assertEqual([ConnectionDone], protocol.reasons)

    def test_the_first_ends_first(self) -> None:
        """
        FIN goes out while Twisted copies the other direction.
        """
        for pair in BOTH:
            owner = self.half(pair)
            relay = owner.relay
            owner.peers[0].send(1000)
            owner.peers[0].shut()
            self.get_all(owner.peers[1])
            self.assertEqual(pattern(0, 1000), owner.peers[1].got)
            self.assertEqual([], owner.over)
            owner.peers[1].send(1 << 16)
            self.get(owner.peers[0], owner.peers[1].sent)
            relay.protocols[1].on_read_ended = relay.ends[0].loseWriteConnection
            owner.peers[1].shut()
            self.get_all(owner.peers[0])
            relay.until_write_ended(0)
            owner.on_over = owner.close
            owner.splice.skip(1)
            self.assertEqual([None], owner.over)
            for protocol in relay.protocols:
                self.assertEqual([ConnectionDone], protocol.reasons)

    def test_both_ended_in_twisted(self) -> None:
        owner = Owner(self.reactor, self.pipes, self.relay())
        owner.splice.skip(0)
        self.assertEqual([], owner.over)
        owner.splice.skip(1)
        self.assertEqual([None], owner.over)

    def test_an_end_is_lost(self) -> None:
        """
        The splice and the transport both see it: each says so once, and the owner
        can abort in answer to either.
        """
        for end in (0, 1):
            for first in ("splice", "transport"):
                owner = self.half(tcp_pair)
                owner.on_over = owner.abort
                if first == "transport":
                    for protocol in owner.relay.protocols:
                        protocol.on_lost = owner.stop
                reset(owner.peers[end].socket)
                owner.relay.until_lost()
                owner.splice.stop()
                owner.abort()
                self.reactor.settle()
                self.assertEqual([], self.registered())
                for protocol in owner.relay.protocols:
                    self.assertEqual(1, len(protocol.reasons))
                for failure in owner.over:
                    assert failure is not None
                    self.assertIsInstance(failure.value, EndLost)

    def test_no_descriptors(self) -> None:
        """
        Nothing has changed: Twisted goes on with both.
        """
        relay = self.relay()
        owner = Owner(self.reactor, self.pipes, relay)
        for count in (0, 1):
            before = descriptors()
            spare = [os.dup(0) for _ in range(count)]
            with no_more_descriptors():
                for each in spare:
                    os.close(each)
                error = self.assertRaises(OSError, owner.splice.start, 0)
            self.assertEqual(EMFILE, error.errno)
            self.assertEqual(before, descriptors())
        self.exchange(owner, 1 << 16)
        self.assertEqual([], owner.over)
        self.take(owner, 0)
        self.exchange(owner, 1 << 16)
        owner.splice.stop()
        self.assertEqual(1 << 16, owner.read[0])
