"""
Tests of L{reitunnel.relay.mux}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.relay import StreamTransport
from reitunnel.relay.link import NOBODY
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import Ended, TunnelEnded, encode_message
from reitunnel.wire.session import SessionLimits
from reitunnel.wire.streams import Stream
from tests.producers import Producer
from tests.relay.memory import HERE, THERE, MemoryTransport
from tests.relay.programs import HalfCloseable, Plain
from tests.relay.rig import TUNNEL, Rig, Side

PING = encode_frame(FrameKind.PING, 0, b"12345678")
LOTS = 4 << 20


class MuxTests(SynchronousTestCase):
    limits: SessionLimits | None = None

    def setUp(self) -> None:
        self.rig = Rig(self.limits)
        self.server, self.client = self.rig.sides

    def inject(self, side: Side, data: bytes) -> None:
        """
        Let a side read bytes that its peer never sent.
        """
        side.link.dataReceived(data)


class OwnerTests(MuxTests):
    """
    What the owners are told.
    """

    def test_tunnel_requested(self) -> None:
        self.assertEqual([[TUNNEL]], self.server.told("tunnel_requested"))

    def test_tunnel_accepted(self) -> None:
        self.assertEqual(
            [[TUNNEL, HERE.host, HERE.port]], self.client.told("tunnel_accepted")
        )

    def test_stream_opened(self) -> None:
        self.rig.offer_stream()
        self.assertEqual(
            [[TUNNEL, THERE.host, THERE.port]], self.client.told("stream_opened")
        )

    def test_tunnel_closed_by_the_client(self) -> None:
        """
        Its streams are reset first, on both sides.
        """
        program, other = HalfCloseable(), HalfCloseable()
        self.rig.stream_between(program, other)
        self.client.session.close_tunnel(TUNNEL, Code.CLOSED, "enough")
        self.client.mux.changed()
        self.assertEqual([Code.CLOSED], other.codes)
        self.rig.settle()
        self.assertEqual([Code.CLOSED], program.codes)
        self.assertEqual(
            [[TUNNEL, Code.CLOSED, "enough", False]], self.server.told("tunnel_ended")
        )
        self.assertEqual([], self.client.told("tunnel_ended"))
        self.assertEqual([], self.rig.leftovers())

    def test_tunnel_closed_by_the_server(self) -> None:
        self.server.session.close_tunnel(TUNNEL, Code.POLICY, "not at night")
        self.server.mux.changed()
        self.rig.settle()
        self.assertEqual(
            [[TUNNEL, Code.POLICY, "not at night", False]],
            self.client.told("tunnel_ended"),
        )

    def test_peer_drains(self) -> None:
        self.server.session.goaway(Code.SHUTDOWN, "stopping")
        self.server.mux.changed()
        self.rig.settle()
        self.assertEqual([[Code.SHUTDOWN, "stopping"]], self.client.told("peer_drains"))
        self.assertEqual([], self.client.told("mux_lost"))

    def test_round_trip(self) -> None:
        self.assertEqual(0, self.client.mux.heartbeat.round_trip)


class CloseTests(MuxTests):
    def setUp(self) -> None:
        super().setUp()
        self.program, self.other = HalfCloseable(), HalfCloseable()
        self.near, self.far = self.rig.stream_between(self.program, self.other)

    def check_over(self) -> None:
        """
        Each owner and each program was told once, and nothing is left.
        """
        for side, program in ((self.server, self.program), (self.client, self.other)):
            self.assertEqual(1, len(side.told("mux_lost")))
            self.assertEqual(1, len(program.codes))
            self.assertTrue(side.mux.lost)
            self.assertTrue(side.link.lost)
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_close(self) -> None:
        """
        The peer is told why before the link is closed.
        """
        self.server.mux.close(Code.SHUTDOWN, "stopping")
        self.server.mux.close(Code.INTERNAL, "again")
        self.assertEqual([[Code.SHUTDOWN, "stopping"]], self.server.told("mux_lost"))
        self.assertEqual([Code.SHUTDOWN], self.program.codes)
        self.rig.settle()
        self.assertEqual(
            [
                ("peer_drains", Code.SHUTDOWN, "stopping"),
                ("mux_lost", Code.SHUTDOWN, "stopping"),
            ],
            self.client.owner.told[-2:],
        )
        self.check_over()

    def test_close_with_no_code(self) -> None:
        """
        Streams that did not end in order do not end with none.
        """
        self.server.mux.close(Code.NONE, "")
        self.assertEqual([Code.LINK_LOST], self.program.codes)
        self.rig.settle()
        self.check_over()

    def test_close_while_the_link_is_full(self) -> None:
        """
        The reason goes out all the same.
        """
        self.client.transport.pauseProducing()
        self.near.write(bytes(LOTS))
        self.rig.settle()
        self.assertFalse(self.server.link.writable)
        self.server.mux.close(Code.TAKEN_OVER, "another one came")
        self.client.transport.resumeProducing()
        self.rig.settle()
        self.assertEqual(
            [[Code.TAKEN_OVER, "another one came"]], self.client.told("peer_drains")
        )
        self.check_over()

    def test_close_by_a_program(self) -> None:
        """
        What it has written before arrives, as far as the link has room.
        """

        def close() -> None:
            self.near.write(b"goodbye")
            self.server.mux.close(Code.SHUTDOWN, "stopping")

        self.program.on_data = close
        self.far.write(b"stop")
        self.rig.settle()
        self.assertEqual(b"goodbye", self.other.received)
        self.check_over()

    def test_peer_that_does_not_read(self) -> None:
        """
        It is cut off in the end.
        """
        self.client.transport.pauseProducing()
        self.server.mux.close(Code.SHUTDOWN, "stopping")
        self.rig.settle()
        self.assertFalse(self.server.link.lost)
        self.rig.clock.advance(5)
        self.rig.settle()
        self.assertTrue(self.server.link.lost)

    def test_abort(self) -> None:
        self.server.mux.abort(Code.INTERNAL, "broken")
        self.assertEqual([[Code.INTERNAL, "broken"]], self.server.told("mux_lost"))
        self.rig.settle()
        self.assertEqual(
            [[Code.LINK_LOST, "the link was lost"]], self.client.told("mux_lost")
        )
        self.check_over()

    def test_abort_once_closed(self) -> None:
        """
        It does not wait for the peer any longer.
        """
        self.client.transport.pauseProducing()
        self.server.mux.close(Code.SHUTDOWN, "stopping")
        self.server.mux.abort(Code.TIMEOUT, "too slow")
        self.rig.clock.advance(0)
        self.assertTrue(self.server.link.lost)
        self.assertEqual([[Code.SHUTDOWN, "stopping"]], self.server.told("mux_lost"))

    def test_peer_breaks_the_protocol(self) -> None:
        """
        It is told what was wrong.
        """
        self.inject(self.server, b"\xff" * 10)
        reason = "unknown frame kind 0xff"
        self.assertEqual([[Code.PROTOCOL, reason]], self.server.told("mux_lost"))
        self.rig.settle()
        self.assertEqual([[Code.PROTOCOL, reason]], self.client.told("peer_drains"))
        self.check_over()

    def test_out_of_turn(self) -> None:
        self.inject(self.server, encode_frame(FrameKind.STREAM_CLOSE, 99))
        ((code, _),) = self.server.told("mux_lost")
        self.assertEqual(Code.PROTOCOL, code)
        self.rig.settle()
        self.check_over()

    def test_nothing_is_told_once_it_is_over(self) -> None:
        """
        Not even what came in the same read.
        """
        tunnel_end = encode_message(
            FrameKind.TUNNEL_CLOSE, TunnelEnded(TUNNEL, Code.CLOSED, "")
        )
        goaway = encode_message(FrameKind.GOAWAY, Ended(Code.SHUTDOWN, ""))
        self.program.on_lost = lambda: self.server.mux.close(Code.INTERNAL, "enough")
        self.inject(self.server, tunnel_end + goaway)
        self.assertEqual([], self.server.told("tunnel_ended"))
        self.assertEqual([], self.server.told("peer_drains"))
        self.assertEqual([[Code.INTERNAL, "enough"]], self.server.told("mux_lost"))
        self.rig.settle()
        self.check_over()

    def test_everything_once_it_is_over(self) -> None:
        """
        What is still asked of it does nothing.
        """
        self.server.mux.close(Code.SHUTDOWN, "stopping")
        self.rig.settle()
        self.near.write(b"late")
        self.near.loseConnection()
        self.near.abort(Code.POLICY)
        self.near.resumeProducing()
        self.server.mux.changed()
        self.server.mux.link_writable()
        self.server.mux.batch_received()
        self.rig.settle()
        self.check_over()

    def test_stream_that_had_ended(self) -> None:
        """
        It ended as both sides have said, although the session is over before it is
        told.
        """
        overs: list[Code] = []
        self.near.on_over = lambda code, _: overs.append(code)
        self.program.on_lost = lambda: self.server.mux.abort(Code.INTERNAL, "gone")
        self.far.abort(Code.LIMIT, "enough")
        self.rig.settle()
        self.assertEqual([Code.LIMIT], overs)
        self.check_over()

    def test_closed_by_whom_it_tells(self) -> None:
        """
        A program may end the session from what it is told, and the others are told
        too.
        """
        second = HalfCloseable()
        self.rig.stream_between(second, HalfCloseable())
        for program in (self.program, second):
            program.on_lost = lambda: self.server.mux.close(Code.INTERNAL, "again")
        self.server.mux.close(Code.SHUTDOWN, "stopping")
        self.assertEqual([Code.SHUTDOWN], second.codes)
        self.rig.settle()
        self.check_over()


class SilentPeerTests(MuxTests):
    def test_silent(self) -> None:
        """
        Both sides find out about a link that carries nothing any more.
        """
        program = HalfCloseable()
        self.rig.stream_between(program, HalfCloseable())
        for side in self.rig.sides:
            side.transport.pauseProducing()
        self.rig.clock.pump([1.0] * 31)
        for side in self.rig.sides:
            self.assertEqual(
                [[Code.TIMEOUT, "the link was silent"]], side.told("mux_lost")
            )
        self.assertEqual([Code.TIMEOUT], program.codes)
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_only_one_direction_works(self) -> None:
        """
        Data that comes is no sign that what is sent arrives.
        """
        _, far = self.rig.stream_between(HalfCloseable(), HalfCloseable())
        self.client.transport.pauseProducing()
        for _ in range(40):
            far.write(b"tick")
            self.rig.clock.advance(1)
            self.rig.turn()
        ((code, _),) = self.server.told("mux_lost")
        self.assertEqual(Code.TIMEOUT, code)

    def test_busy(self) -> None:
        """
        A link that is full works: pings go before data.
        """
        near, _ = self.rig.stream_between(HalfCloseable(), HalfCloseable())
        producer = Producer()
        producer.on_resume = lambda: near.write(bytes(1 << 20))
        near.registerProducer(producer, True)
        near.write(bytes(1 << 20))
        for _ in range(40):
            self.rig.clock.advance(1)
            for _ in range(5):
                self.rig.turn()
            self.assertGreater(near.stream.queued, 0)
        self.assertEqual([], self.server.told("mux_lost"))
        self.assertEqual([], self.client.told("mux_lost"))


class UnansweredTests(MuxTests):
    limits = SessionLimits(max_streams=4)

    def test_resets_are_not_answered(self) -> None:
        """
        A peer that never says the last word would fill the memory.
        """
        self.client.mux.link.receiver = NOBODY
        for _ in range(4 + 1024 + 1):
            number = self.server.session.reserve_number()
            stream = self.server.mux.open_stream(TUNNEL, THERE, HERE, number)
            self.rig.turn()
            stream.abortConnection()
            self.rig.turn()
        self.rig.clock.advance(9)
        self.assertEqual([], self.server.told("mux_lost"))
        self.rig.clock.advance(1)
        self.assertEqual(
            [[Code.PROTOCOL, "resets are not answered"]], self.server.told("mux_lost")
        )


class FlushTests(MuxTests):
    """
    When things are sent.
    """

    def test_little_is_queued_in_the_transport(self) -> None:
        """
        While the link is full, frames wait in the session, where their order can
        still change.
        """
        near, far = self.rig.stream_between(HalfCloseable(), HalfCloseable())
        self.client.transport.pauseProducing()
        near.write(bytes(LOTS))
        self.assertFalse(self.server.link.writable)
        self.assertLess(len(self.server.transport.outgoing), 256 << 10)
        self.assertFalse(far.lost)

    def test_nothing_while_the_link_is_full(self) -> None:
        near, _ = self.rig.stream_between(HalfCloseable(), HalfCloseable())
        self.server.link.pauseProducing()
        near.write(b"data")
        self.server.session.ping(b"12345678")
        self.server.mux.changed()
        self.assertEqual(b"", self.server.transport.outgoing)
        self.server.link.resumeProducing()
        self.assertNotEqual(b"", self.server.transport.outgoing)

    def test_a_batch_is_answered_at_once(self) -> None:
        """
        What is written while frames are dispatched goes out when all are.
        """
        writes: list[int] = []

        class Counting(MemoryTransport):
            def write(self, data: bytes | memoryview) -> None:
                writes.append(len(data))
                super().write(data)

        rig = Rig(link=Counting)
        echo = Plain()
        _, far = rig.stream_between(echo, HalfCloseable())
        echo.on_data = lambda: echo.transport.write(b"answer")
        for _ in range(3):
            rig.client.link.pauseProducing()
            far.write(b"question")
        del writes[:]
        rig.client.link.resumeProducing()
        self.assertEqual(1, len(writes))
        del writes[:]
        rig.server.transport.turn()
        self.assertEqual(1, len(writes))

    def test_keystroke_passes_the_bulk(self) -> None:
        """
        What is written to a second stream does not wait for what is queued on the
        first one.
        """
        bulk, key = HalfCloseable(), HalfCloseable()
        near, _ = self.rig.stream_between(HalfCloseable(), bulk)
        second, _ = self.rig.stream_between(HalfCloseable(), key)
        near.write(bytes(LOTS))
        second.write(b"x")
        while not key.received:
            self.assertTrue(self.rig.turn())
        self.assertLess(len(bulk.received), 1 << 20)

    def test_drained_streams_go_on_when_the_link_has_room(self) -> None:
        """
        No wake-up is lost: every paused producer is resumed as its queue drains.
        """
        total = 2_000_000
        programs = [HalfCloseable() for _ in range(20)]
        for program in programs:
            near, _ = self.rig.stream_between(HalfCloseable(), program)
            produce(near, total)
        self.rig.settle()
        for program in programs:
            self.assertEqual(total, len(program.received))


def produce(transport: StreamTransport, total: int) -> None:
    """
    Write to a stream whenever it has room, until so many bytes are written.
    """

    def resume() -> None:
        nonlocal total
        told = len(producer.told)
        while total and len(producer.told) == told:
            size = min(total, 10_000)
            total -= size
            transport.write(bytes(size))
        if not total:
            transport.unregisterProducer()

    producer = Producer()
    producer.on_resume = resume
    transport.registerProducer(producer, True)
    resume()


class ReentrancyTests(MuxTests):
    """
    What is told may lead to anything.
    """

    def test_streams_opened_and_reset_at_once(self) -> None:
        """
        By the owner, from what it is told.
        """

        def refuse(stream: Stream) -> None:
            transport = self.client.mux.transport_for(stream, THERE, HERE)
            transport.abort(Code.LIMIT, "no more")

        self.client.owner.on_stream = refuse
        program = HalfCloseable()
        near = self.rig.offer_stream()
        near.connect(program)
        self.rig.settle()
        self.assertEqual([Code.LIMIT], program.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_streams_reset_without_a_transport(self) -> None:
        """
        An owner that wants a stream not at all resets it in the session. What came
        with it is dropped.
        """

        def refuse(stream: Stream) -> None:
            self.client.session.reset(stream, Code.LIMIT, "no more")

        self.client.owner.on_stream = refuse
        program = HalfCloseable()
        number = self.server.session.reserve_number()
        near = self.server.mux.open_stream(TUNNEL, THERE, HERE, number)
        near.connect(program)
        near.write(b"early")
        near.loseWriteConnection()
        self.rig.settle()
        self.assertEqual([Code.LIMIT], program.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_close_the_tunnel_from_a_stream(self) -> None:
        """
        A program that closes its own tunnel, and with it its own stream, while data
        for other streams of it has come in the same read.
        """
        first, second = HalfCloseable(), HalfCloseable()
        _, far = self.rig.stream_between(first, HalfCloseable())
        _, other = self.rig.stream_between(second, HalfCloseable())

        def close() -> None:
            self.server.session.close_tunnel(TUNNEL, Code.CLOSED, "")
            self.server.mux.changed()

        first.on_data = close
        self.client.link.pauseProducing()
        far.write(b"close")
        other.write(b"too late")
        other.loseWriteConnection()
        self.client.link.resumeProducing()
        self.rig.settle()
        self.assertEqual(["made", b"close", Code.CLOSED], first.told)
        self.assertEqual(["made", Code.CLOSED], second.told)
        self.assertEqual([], self.rig.leftovers())

    def test_program_that_is_told_of_the_end_opens_another_stream(self) -> None:
        program = HalfCloseable()
        near, far = self.rig.stream_between(program, HalfCloseable())

        def again() -> None:
            number = self.server.session.reserve_number()
            self.server.mux.open_stream(TUNNEL, THERE, HERE, number)

        program.on_lost = again
        far.abortConnection()
        self.rig.settle()
        self.assertEqual(2, len(self.client.told("stream_opened")))
        self.assertTrue(near.lost)


class AnswersTests(MuxTests):
    """
    A peer that asks for answers and does not read them.
    """

    limits = SessionLimits(max_streams=8, max_tunnels=8)

    def flood(self, count: int) -> None:
        """
        Send pings from the client, and read none of the answers.
        """
        self.client.transport.pauseProducing()
        for _ in range(count):
            self.client.transport.write(PING * 1000)
            self.server.transport.turn(1 << 20)

    def test_stops_itself(self) -> None:
        """
        Its answers are bounded, for nothing more is read of what it sends.
        """
        self.flood(100)
        self.assertFalse(self.server.transport.reading)
        self.assertLess(self.server.session.control_queued, 512 << 10)
        self.assertLess(len(self.server.transport.outgoing), 512 << 10)
        self.assertFalse(self.server.mux.lost)

    def test_goes_on_when_the_answers_are_read(self) -> None:
        self.flood(100)
        # The client asked for none of them, so it must not see them.
        self.server.transport.outgoing.clear()
        self.client.session.goaway(Code.NONE, "")
        self.client.mux.changed()
        while self.client.transport.outgoing:
            self.server.transport.turn(1 << 20)
            self.server.transport.outgoing.clear()
        self.client.transport.turn()
        self.server.transport.turn()
        self.assertTrue(self.server.transport.reading)
        self.assertEqual([[Code.NONE, ""]], self.server.told("peer_drains"))
        self.flood(100)
        self.assertFalse(self.server.transport.reading)

    def test_closes_while_it_is_stopped(self) -> None:
        """
        What the peer has sent and nobody reads keeps nothing open.
        """
        self.flood(100)
        self.server.mux.close(Code.SHUTDOWN, "stopping")
        self.rig.clock.advance(5)
        self.rig.settle()
        self.assertTrue(self.server.link.lost)

    def test_is_found_silent(self) -> None:
        self.flood(100)
        self.rig.clock.pump([1.0] * 31)
        ((code, _),) = self.server.told("mux_lost")
        self.assertEqual(Code.TIMEOUT, code)


class ManyStreamsTests(MuxTests):
    """
    Peers that have much to say to each other at once, and are in order.
    """

    def test_neither_waits_for_the_other(self) -> None:
        """
        The server opens as many streams as it may, and the client refuses each: both
        have more to say than the link takes, and both go on reading.
        """
        rig = self.rig = Rig(room=1000)

        def refuse(stream: Stream) -> None:
            transport = rig.client.mux.transport_for(stream, THERE, HERE)
            transport.abort(Code.TARGET_REFUSED, "connection refused")

        rig.client.owner.on_stream = refuse
        for side in rig.sides:
            side.link.pauseProducing()
        overs: list[Code] = []
        for _ in range(16384):
            number = rig.server.session.reserve_number()
            stream = rig.server.mux.open_stream(TUNNEL, THERE, HERE, number)
            stream.on_over = lambda code, _: overs.append(code)
        self.assertGreater(rig.server.session.control_queued, 256 << 10)
        rig.server.link.resumeProducing()
        rig.client.transport.turn(1 << 30)
        self.assertGreater(rig.client.session.control_queued, 256 << 10)
        for side in rig.sides:
            self.assertTrue(side.transport.reading)
        rig.client.link.resumeProducing()
        rig.settle()
        self.assertEqual([Code.TARGET_REFUSED] * 16384, overs)
        self.assertEqual([], rig.leftovers())
