"""
Sessions whose control link is lost, anywhere, and that go on over another one.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.journal import ACK_EVERY
from reitunnel.wire.messages import encode_total
from reitunnel.wire.session import SessionLimits
from tests.relay.memory import EagerSocket, MemorySocket, MemoryTransport, Remote
from tests.relay.rig import GRACE, Rig, Side, received
from tests.wire.search import examples

KEEPS = 32 << 20


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig(keeps=KEEPS)
        self.server, self.client = self.rig.sides
        self.visitor, self.target = self.rig.pumped()

    def exchange(self, data: bytes) -> None:
        """
        See that the stream carries bytes, both ways.
        """
        self.visitor.received.clear()
        self.target.received.clear()
        self.visitor.transport.write(data)
        self.target.transport.write(data[::-1])
        self.rig.settle()
        self.assertEqual(data, self.target.received)
        self.assertEqual(data[::-1], self.visitor.received)

    def check_nothing_was_told(self) -> None:
        for side in self.rig.sides:
            self.assertEqual([], side.told("mux_lost"))
        self.assertIsNone(self.visitor.lost)
        self.assertIsNone(self.target.lost)


class LostLinkTests(Case):
    def test_goes_on(self) -> None:
        self.exchange(b"before")
        self.rig.cut()
        self.assertTrue(self.server.mux.detached and self.client.mux.detached)
        self.rig.relink()
        self.assertFalse(self.server.mux.detached or self.client.mux.detached)
        self.exchange(b"after")
        self.check_nothing_was_told()

    def test_what_was_on_its_way(self) -> None:
        """
        What the link had not brought is brought by the next one, once.
        """
        self.rig.stall()
        self.visitor.transport.write(b"lost " * 1000)
        self.target.transport.write(b"found " * 1000)
        self.rig.settle()
        self.assertEqual(b"", self.target.received)
        self.rig.cut()
        self.rig.relink()
        self.rig.settle()
        self.assertEqual(b"lost " * 1000, self.target.received)
        self.assertEqual(b"found " * 1000, self.visitor.received)

    def test_looks_around_meanwhile(self) -> None:
        """
        Connections that are not read from are looked at while there is no link too.
        """
        looks: list[float] = []
        stream, _ = self.rig.open_stream()
        stream.on_heartbeat = lambda: looks.append(self.rig.clock.seconds())
        self.rig.cut()
        looks.clear()
        begun = self.rig.clock.seconds()
        for _ in range(35):
            self.rig.clock.advance(1)
        self.assertEqual([begun + 10, begun + 20, begun + 30], looks)
        self.rig.relink()
        self.rig.settle()
        looks.clear()
        self.rig.clock.advance(5)
        self.assertEqual([], looks)

    def test_half_a_frame(self) -> None:
        """
        A frame of which some has come goes on with the next byte.
        """
        self.rig.stall()
        self.visitor.transport.write(bytes(range(256)) * 40)
        self.rig.settle()
        self.rig.stall(False)
        for _ in range(3):
            self.rig.turn(1111)
        self.assertTrue(0 < len(self.target.received) < 10240)
        self.rig.cut()
        self.rig.relink()
        self.rig.settle()
        self.assertEqual(bytes(range(256)) * 40, self.target.received)

    def test_meanwhile(self) -> None:
        """
        What is written while there is no link waits, and so does its producer; what
        ends, ends when the link is back.
        """
        self.rig.cut()
        self.visitor.transport.write(b"x" * (1 << 20))
        self.visitor.transport.loseWriteConnection()
        self.rig.settle()
        self.assertTrue(self.visitor.transport.outgoing)
        self.assertLess(
            sum(stream.queued for stream in self.server.session.streams.values()),
            300_000,
        )
        self.rig.relink()
        self.rig.settle()
        self.assertEqual(b"x" * (1 << 20), self.target.received)
        self.assertTrue(self.target.finished)
        self.target.transport.write(b"answer")
        self.target.transport.loseConnection()
        self.rig.settle()
        self.assertEqual(b"answer", self.visitor.received)
        self.visitor.transport.loseConnection()
        self.rig.settle()
        self.assertEqual({}, self.server.session.streams)
        self.assertEqual({}, self.client.session.streams)

    def test_twice_in_a_row(self) -> None:
        """
        A link that is lost before it has brought anything changes nothing.
        """
        self.rig.stall()
        self.visitor.transport.write(b"once")
        self.rig.settle()
        for _ in range(3):
            self.rig.cut()
            self.rig.relink()
        self.rig.settle()
        self.assertEqual(b"once", self.target.received)
        self.exchange(b"after")

    def test_while_it_is_sent_again(self) -> None:
        """
        A link that is lost while it brings what was lost with the one before.
        """
        data = bytes(range(251)) * 1000
        self.rig.stall()
        self.visitor.transport.write(data)
        self.rig.settle()
        for _ in range(5):
            self.rig.cut()
            self.rig.relink()
            self.rig.turn(10_000)
            self.rig.turn(10_000)
        self.rig.settle()
        self.assertEqual(data, self.target.received)

    def test_one_side_does_not_notice(self) -> None:
        """
        The server believes that the link is alive, when the client is back.
        """
        self.exchange(b"before")
        self.rig.cut(self.client)
        self.visitor.transport.write(b"into the void")
        self.rig.settle()
        self.assertFalse(self.server.mux.detached)
        old = self.server.transport
        self.rig.relink()
        self.rig.settle()
        self.assertEqual(1, old.aborted)
        self.assertTrue(old.lost)
        self.assertEqual([["another link"]], self.server.told("mux_detached"))
        self.assertEqual(b"beforeinto the void", self.target.received)
        self.exchange(b"after")

    def test_old_link_that_ends_late(self) -> None:
        """
        The end of a link that was given up does not concern the one that is there.
        """
        old = self.client.transport
        self.client.mux.detach(Code.LINK_LOST, "gone")
        self.server.mux.detach(Code.LINK_LOST, "gone")
        self.rig.relink()
        self.rig.settle()
        self.assertTrue(old.lost)
        self.assertFalse(self.client.mux.detached)
        self.exchange(b"after")

    def test_closed_in_order(self) -> None:
        """
        A link that is closed without a word is lost, too.
        """
        self.server.link.close()
        self.rig.settle()
        self.assertTrue(self.client.mux.detached)
        self.assertEqual(
            [["the peer closed the link"]], self.client.told("mux_detached")
        )
        self.rig.relink()
        self.exchange(b"after")

    def test_stopped_reading(self) -> None:
        """
        A side that had stopped reading because its answers were not read reads on.
        """
        rig = Rig(SessionLimits(max_streams=8, max_tunnels=8), keeps=KEEPS)
        visitor, target = rig.pumped()
        rig.client.transport.pauseProducing()
        for _ in range(30_000):
            rig.client.session.ping(b"12345678")
        rig.client.mux.changed()
        rig.settle()
        self.assertFalse(rig.server.transport.reading)
        rig.cut()
        rig.relink()
        rig.settle()
        self.assertTrue(rig.server.transport.reading)
        self.assertEqual(0, rig.server.session.control_queued)
        visitor.transport.write(b"after")
        rig.settle()
        self.assertEqual(b"after", target.received)

    def test_answers_that_are_not_read(self) -> None:
        """
        A peer that does not read what it has asked for is not listened to, on the next
        links either, until it reads.
        """
        rig = Rig(SessionLimits(max_streams=8, max_tunnels=8), keeps=KEEPS)
        rig.client.transport.pauseProducing()
        for _ in range(30_000):
            rig.client.session.ping(b"12345678")
        rig.client.mux.changed()
        rig.settle()
        for _ in range(3):
            self.assertFalse(rig.server.transport.reading)
            rig.cut()
            rig.relink()
            rig.client.transport.pauseProducing()
            rig.settle()
        self.assertFalse(rig.server.transport.reading)
        rig.client.transport.resumeProducing()
        rig.settle()
        self.assertTrue(rig.server.transport.reading)
        self.assertEqual(0, rig.server.session.control_queued)


class HeartbeatTests(Case):
    def test_silent(self) -> None:
        """
        A link that is silent is given up, and the session waits.
        """
        self.rig.stall()
        self.rig.clock.pump([1] * 30)
        for side in self.rig.sides:
            self.assertTrue(side.mux.detached)
            self.assertEqual([["the link was silent"]], side.told("mux_detached"))
        self.rig.relink()
        self.rig.settle()
        self.exchange(b"after")
        for _ in range(100):
            self.rig.clock.advance(1)
            self.rig.settle()
        self.check_nothing_was_told()

    def test_pings_of_the_link_before(self) -> None:
        """
        Answers to them come late, and are not taken for others.
        """
        self.rig.stall()
        self.rig.clock.pump([1] * 15)
        self.rig.cut()
        self.rig.clock.advance(7)
        self.rig.relink()
        self.rig.settle()
        for side in self.rig.sides:
            self.assertEqual(0.0, side.mux.heartbeat.round_trip)
        self.exchange(b"after")

    def test_acknowledged_with_each_beat(self) -> None:
        """
        Little traffic is not kept for ever.
        """
        self.exchange(b"a few bytes")
        for _ in range(2):
            self.rig.clock.advance(10)
            self.rig.settle()
        for side in self.rig.sides:
            journal = side.mux.journal
            assert journal is not None
            self.assertLess(journal.sent - journal.acknowledged, 100)

    def test_slow_replay(self) -> None:
        """
        As long as what is sent again comes in, the link is alive, although answers
        wait behind it.
        """
        rig = self.rig
        rig.stall()
        self.visitor.transport.write(bytes(1 << 20))
        rig.settle()
        journal = self.server.mux.journal
        assert journal is not None
        filling = encode_total(FrameKind.ACK, 0, received(self.server)) * 10_000
        for _ in range(16):
            journal.append(filling)
        rig.cut()
        rig.relink()
        begun = rig.clock.seconds()
        end = journal.sent
        while journal.acknowledged < end:
            self.check_nothing_was_told()
            rig.turn(40_000)
            rig.clock.advance(1)
        self.assertGreater(rig.clock.seconds() - begun, 60)
        self.assertFalse(self.server.mux.detached or self.client.mux.detached)
        rig.settle()
        self.exchange(b"after")

    def test_one_way(self) -> None:
        """
        A link that brings nothing in one direction from the start is found in time by
        the side that is not heard, too: what it hears are pings alone. Nothing else
        tells it.
        """
        for deaf, unheard in ((0, 1), (1, 0)):
            self.setUp()
            self.rig.cut()
            self.rig.relink()
            links = [side.link for side in self.rig.sides]
            self.patch(links[deaf], "dataReceived", lambda _: None)
            self.patch(links[unheard], "connectionLost", lambda _: None)
            for second in range(30):
                self.rig.settle()
                self.check_link(unheard, up=True, second=second)
                self.rig.clock.advance(1)
            self.check_link(unheard, up=False, second=30)

    def check_link(self, side: int, *, up: bool, second: int) -> None:
        self.assertEqual(up, not self.rig.sides[side].mux.detached, second)


class GraceTests(Case):
    def test_over(self) -> None:
        """
        When the time is over, the session ends as it ends with its link otherwise.
        """
        self.rig.cut()
        self.rig.clock.advance(GRACE - 1)
        self.check_nothing_was_told()
        self.rig.clock.advance(1)
        self.rig.settle()
        for side in self.rig.sides:
            self.assertEqual(
                [[Code.LINK_LOST, "the link was lost"]], side.told("mux_lost")
            )
            self.assertFalse(side.mux.detached)
            self.assertFalse(side.mux.can_resume(received(side)))
        self.assertTrue(self.visitor.was_reset and self.target.was_reset)
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_silent_for_good(self) -> None:
        self.rig.stall()
        self.rig.clock.advance(30)
        self.rig.clock.advance(GRACE)
        for side in self.rig.sides:
            self.assertEqual(
                [[Code.TIMEOUT, "the link was silent"]], side.told("mux_lost")
            )

    def test_begins_anew(self) -> None:
        """
        Each loss has its own time.
        """
        for _ in range(3):
            self.rig.cut()
            self.rig.clock.advance(GRACE - 1)
            self.rig.relink()
            self.rig.settle()
        self.exchange(b"after")

    def test_links_that_bring_nothing(self) -> None:
        """
        They do not make it longer.
        """
        self.rig.stall()
        self.visitor.transport.write(b"what no link brings")
        self.rig.settle()
        self.rig.cut()
        for _ in range(4):
            self.rig.clock.advance(GRACE / 4 - 1)
            self.rig.relink()
            self.rig.clock.advance(20)
            self.rig.cut()
        for side in self.rig.sides:
            self.assertEqual(4, side.mux.patience.left)
        self.rig.clock.advance(3)
        self.check_nothing_was_told()
        self.rig.clock.advance(1)
        self.rig.settle()
        for side in self.rig.sides:
            self.assertEqual(
                [[Code.LINK_LOST, "the link was lost"]], side.told("mux_lost")
            )
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_links_that_bring_a_little(self) -> None:
        """
        Those that never last until the first answer, but bring more each time, do.
        """
        size = 6 * (128 << 10)
        self.rig.stall()
        for program in (self.visitor, self.target):
            program.transport.write(bytes(size))
        self.rig.settle()
        self.rig.cut()
        for _ in range(6):
            self.rig.clock.advance(GRACE - 1)
            self.rig.relink()
            for _ in range(3):
                self.rig.turn(1 << 15)
            self.rig.cut()
        self.check_nothing_was_told()
        self.rig.relink()
        self.rig.settle()
        self.assertEqual(size, len(self.target.received))
        self.assertEqual(size, len(self.visitor.received))

    def test_none(self) -> None:
        for side in self.rig.sides:
            side.mux.grace = 0.0
        self.rig.cut()
        for side in self.rig.sides:
            self.assertEqual(
                [[Code.LINK_LOST, "the link was lost"]], side.told("mux_lost")
            )

    def test_closed_meanwhile(self) -> None:
        """
        A session that waits can be closed; the peer cannot be told.
        """
        self.rig.cut()
        self.client.mux.close(Code.SHUTDOWN, "enough")
        self.assertEqual([[Code.SHUTDOWN, "enough"]], self.client.told("mux_lost"))
        self.server.mux.abort(Code.TAKEN_OVER, "another")
        self.assertEqual([[Code.TAKEN_OVER, "another"]], self.server.told("mux_lost"))
        self.rig.settle()
        self.assertEqual([], self.rig.clock.getDelayedCalls())


class EndTests(Case):
    def test_farewell(self) -> None:
        """
        A session that was closed does not wait.
        """
        self.server.mux.close(Code.CLOSED, "enough")
        self.rig.settle()
        self.assertEqual([[Code.CLOSED, "enough"]], self.client.told("mux_lost"))

    def test_farewell_and_reset(self) -> None:
        self.server.mux.close(Code.TAKEN_OVER, "another")
        self.client.transport.turn()
        self.client.transport.cut()
        self.assertEqual([[Code.TAKEN_OVER, "another"]], self.client.told("mux_lost"))

    def drain(self) -> None:
        self.server.session.goaway(Code.SHUTDOWN, "stopping")
        self.server.mux.changed()
        self.rig.settle()

    def test_lost_while_it_drains(self) -> None:
        self.drain()
        self.rig.cut()
        self.rig.relink()
        self.exchange(b"after")
        self.check_nothing_was_told()
        self.server.mux.close(Code.SHUTDOWN, "stopped")
        self.rig.settle()
        self.assertEqual([[Code.SHUTDOWN, "stopping"]], self.client.told("mux_lost"))

    def test_drain_while_it_waits(self) -> None:
        self.rig.cut()
        self.drain()
        self.assertEqual([], self.client.told("peer_drains"))
        self.rig.relink()
        self.rig.settle()
        self.assertEqual([[Code.SHUTDOWN, "stopping"]], self.client.told("peer_drains"))

    def test_last_words_come_after_the_rest(self) -> None:
        """
        A session that is closed while much is sent again says all of it first.
        """
        self.rig.stall()
        self.visitor.transport.write(b"y" * 200_000)
        self.rig.settle()
        self.rig.cut()
        self.rig.relink()
        self.server.mux.close(Code.CLOSED, "enough")
        self.rig.settle()
        self.assertEqual([[Code.CLOSED, "enough"]], self.client.told("mux_lost"))

    def test_protocol_broken(self) -> None:
        self.client.link.dataReceived(encode_total(FrameKind.ACK, 0, 1 << 40))
        self.rig.settle()
        ((code, reason),) = self.client.told("mux_lost")
        self.assertIs(Code.PROTOCOL, code)
        self.assertIn("ACK: 1099511627776 bytes", reason)
        self.assertEqual([[Code.PROTOCOL, reason]], self.server.told("mux_lost"))


class BoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig(SessionLimits(max_window=16 << 20), keeps=1 << 20)
        self.visitor, self.target = self.rig.pumped()
        assert self.rig.server.mux.journal is not None
        self.journal = self.rig.server.mux.journal

    def send_much(self) -> None:
        """
        Send more than may be kept, to a peer that gets it and cannot say so.
        """
        self.rig.client.link.writable = False
        self.visitor.transport.write(b"z" * (4 << 20))
        self.rig.settle()

    def let_speak(self) -> None:
        """
        Let the peer say what it has to.
        """
        self.rig.client.link.writable = True
        self.rig.client.mux.changed()
        self.rig.settle()

    def test_data_waits(self) -> None:
        """
        When too much is not acknowledged, C{DATA} waits, and its producer; when the
        acknowledgement comes, the rest goes on.
        """
        self.send_much()
        self.assertLessEqual(self.journal.room, 0)
        self.assertLess(len(self.target.received), (1 << 20) + (128 << 10))
        self.assertGreater(len(self.visitor.transport.outgoing), 2 << 20)
        self.let_speak()
        self.assertEqual(4 << 20, len(self.target.received))

    def test_other_frames_do_not(self) -> None:
        self.send_much()
        self.rig.offer_stream()
        self.assertEqual(2, len(self.rig.client.told("stream_opened")))

    def test_only_acknowledgements(self) -> None:
        """
        Far beyond the bound only they are sent, so that two sides cannot wait for
        each other.
        """
        self.send_much()
        before = self.journal.acknowledged
        self.journal.room -= 5 << 20
        self.rig.offer_stream()
        self.assertEqual(1, len(self.rig.client.told("stream_opened")))
        size = ACK_EVERY + (64 << 10)
        self.target.transport.write(bytes(size))
        self.let_speak()
        self.assertEqual(size, len(self.visitor.received))
        client = self.rig.client.mux.journal
        assert client is not None
        self.assertLess(client.sent - client.acknowledged, ACK_EVERY)
        self.assertGreater(self.journal.acknowledged, before)
        self.journal.room += 5 << 20
        self.rig.server.mux.changed()
        self.rig.settle()
        self.assertEqual(2, len(self.rig.client.told("stream_opened")))
        self.assertEqual(4 << 20, len(self.target.received))


class AnyCutTests(SynchronousTestCase):
    """
    Links that are lost at any byte, in any order of things.
    """

    moves = st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), st.integers(1, 150_000)),
        st.tuples(st.just("finish"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("turn"), st.integers(1, 6), st.integers(1, 70_000)),
        st.tuples(st.just("cut"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("beat"), st.integers(1, 12), st.just(0)),
    )

    def check(
        self, moves: list[tuple[str, int, int]], kind: type[MemoryTransport]
    ) -> None:
        rig = Rig(SessionLimits(chunk=8192, max_window=65536), link=kind, keeps=300_000)
        pairs = [rig.pumped(), rig.pumped()]
        ends: list[Remote] = [end for pair in pairs for end in pair]
        others = [end for pair in pairs for end in reversed(pair)]
        sent = [b""] * 4
        finished = [False] * 4
        for move, which, size in moves:
            if move == "write" and not finished[which]:
                begin = len(sent[which])
                data = bytes((begin + i) % 251 for i in range(size))
                sent[which] += data
                ends[which].transport.write(data)
            elif move == "finish":
                finished[which] = True
                ends[which].transport.loseWriteConnection()
            elif move == "turn":
                for _ in range(which):
                    rig.turn(size)
            elif move == "cut":
                notice: list[tuple[Side, ...]] = [(), (rig.server,), (rig.client,)]
                rig.cut(*notice[which])
                rig.turn()
                rig.relink()
            elif move == "beat":
                rig.clock.advance(which)
                if any(side.mux.detached for side in rig.sides):
                    rig.relink()
        rig.settle()
        for end, other, data, over in zip(ends, others, sent, finished, strict=True):
            self.assertEqual(data, bytes(other.received))
            self.assertEqual(over, other.finished)
            self.assertIsNone(end.lost)
        for end in ends:
            end.transport.loseConnection()
        rig.settle()
        for side in rig.sides:
            self.assertEqual({}, side.session.streams)
            self.assertEqual([], side.told("mux_lost"))
        rig.close()
        rig.clock.advance(600)
        self.assertEqual([], rig.clock.getDelayedCalls())

    @examples(150)
    @given(st.lists(moves, max_size=25))
    def test_sockets(self, moves: list[tuple[str, int, int]]) -> None:
        self.check(moves, MemorySocket)

    @examples(50)
    @given(st.lists(moves, max_size=25))
    def test_eager_sockets(self, moves: list[tuple[str, int, int]]) -> None:
        """
        Over links that bring more from inside C{resumeProducing}.
        """
        self.check(moves, EagerSocket)
