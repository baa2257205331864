"""
Tests of L{reitunnel.relay.direct}, and of streams that go on on a data link.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.relay.direct import Receiving, Sending
from reitunnel.relay.stream import StreamTransport
from reitunnel.wire.streams import Half
from tests.producers import Producer
from tests.relay import test_pump, test_stream_ends
from tests.relay.memory import ROOM, EagerSocket, MemorySocket
from tests.relay.programs import HalfCloseable
from tests.relay.rig import DataLinkPair, Rig

LOTS = 1 << 20


class DirectRig(Rig):
    """
    Each stream goes on on a data link at once.
    """

    def open_stream(self) -> tuple[StreamTransport, StreamTransport]:
        visitor, target = super().open_stream()
        visitor.attach(self.data_link().server)
        self.settle()
        for end in (visitor, target):
            assert end.path is not None
            assert end.path.sending is Sending.LINK
            assert end.path.receiving is Receiving.LINK
        return visitor, target


class DirectEndTests(test_stream_ends.EndTests):
    """
    Streams on data links end as others do.
    """

    rig_type = DirectRig

    def test_closed_with_data_held(self) -> None:
        """
        Here they are not held, but still on their way.
        """
        self.near.pauseProducing()
        self.far.write(bytes(1000))
        self.rig.settle()
        self.near.loseConnection()
        self.check_over(Code.ABORTED)


class DirectVisitorTests(test_pump.VisitorTests):
    rig_type = DirectRig


class DirectTargetTests(test_pump.TargetTests):
    rig_type = DirectRig


class DirectBytesTests(test_pump.BytesTests):
    rig_type = DirectRig


class DirectBothTests(test_pump.BothTests):
    rig_type = DirectRig


class SwitchTestCase(SynchronousTestCase):
    """
    A stream, and a data link that it can have. C{near} is the server's end, C{far}
    the client's.
    """

    def setUp(self) -> None:
        self.rig = Rig()
        self.program = HalfCloseable()
        self.other = HalfCloseable()
        self.near, self.far = self.rig.stream_between(self.program, self.other)
        self.pair = self.rig.data_link()
        self.ends: list[tuple[Code, str]] = []
        self.counts: dict[str, int] = {}
        for name, transport in (("near", self.near), ("far", self.far)):
            transport.on_over = lambda code, reason: self.ends.append((code, reason))
            for way in ("written", "delivered"):
                key = f"{name} {way}"
                self.counts[key] = 0
                setattr(transport, f"on_{way}", self.counter(key))

    def counter(self, key: str) -> object:
        def count(size: int) -> None:
            self.counts[key] += size

        return count

    def attach(self) -> None:
        """
        The server gives the data link; nothing moves yet.
        """
        self.near.attach(self.pair.server)

    def switch(self) -> None:
        """
        Both ways are on the data link.
        """
        self.attach()
        self.rig.settle()
        for end in (self.near, self.far):
            assert end.path is not None
            self.assertIs(Sending.LINK, end.path.sending)
            self.assertIs(Receiving.LINK, end.path.receiving)

    def fill(self, end: StreamTransport) -> None:
        """
        Write more than the other end may be sent on the control link: it does not
        read.
        """
        other = self.far if end is self.near else self.near
        other.pauseProducing()
        end.write(bytes(LOTS))
        self.rig.settle()
        self.assertGreater(end.stream.queued, 0)

    def finish(self) -> None:
        """
        Both programs close.
        """
        for end in (self.near, self.far):
            end.loseConnection()

    def check_over(self, code: Code, reason: str = "") -> None:
        """
        Both ends were told the same, and nothing is left.
        """
        self.rig.settle()
        self.assertEqual([(code, reason)] * 2, self.ends)
        self.assertEqual(([code], [code]), (self.program.codes, self.other.codes))
        self.check_nothing_left()

    def check_nothing_left(self) -> None:
        """
        The data link is gone: in order, if its stream was.
        """
        self.rig.settle()
        in_order = {code for code, _ in self.ends} == {Code.NONE}
        aborted = self.pair.near.aborted + self.pair.far.aborted
        if in_order:
            self.assertEqual(0, aborted)
        self.assertTrue(self.pair.server.link.lost)
        self.assertTrue(self.pair.client.link.lost)
        self.assertEqual([], self.rig.leftovers())

    def check_no_links(self) -> None:
        """
        With the session, all links are gone.
        """
        self.rig.settle()
        self.assertTrue(self.rig.server.mux.lost and self.rig.client.mux.lost)
        self.assertTrue(self.pair.server.link.lost)
        self.assertTrue(self.pair.client.link.lost)
        self.assertEqual([], self.rig.clock.getDelayedCalls())


class SwitchingTests(SwitchTestCase):
    def test_each_way_on_its_own(self) -> None:
        """
        Bytes written before, while and after the switch come once, in order.
        """
        for end in (self.near, self.far):
            end.write(b"before ")
        self.attach()
        for end in (self.near, self.far):
            end.write(b"while ")
        self.rig.settle()
        for end in (self.near, self.far):
            end.write(b"after")
        self.rig.settle()
        self.assertEqual(b"before while after", self.program.received)
        self.assertEqual(b"before while after", self.other.received)
        self.assertEqual([18] * 4, list(self.counts.values()))
        assert self.near.path is not None
        assert self.far.path is not None
        self.assertEqual(11, self.near.path.sent)
        self.assertEqual(11, self.far.path.received)

    def test_control_link_first(self) -> None:
        self.pair.stall()
        self.attach()
        self.near.write(b"raw")
        self.near.loseWriteConnection()
        self.rig.settle()
        assert self.far.path is not None
        self.assertIs(Receiving.TOLD, self.far.path.receiving)
        self.assertEqual(["made"], self.other.told)
        self.pair.stall(False)
        self.rig.settle()
        self.assertEqual(["made", b"raw", "finished"], self.other.told)

    def test_data_link_first(self) -> None:
        """
        What comes early waits for what is late, and is not much.
        """
        self.check_data_link_first()

    def test_data_link_first_and_eager(self) -> None:
        """
        The same on a transport that gives more as soon as it is resumed.
        """
        self.pair = self.rig.data_link(EagerSocket)
        self.check_data_link_first()

    def check_data_link_first(self) -> None:
        self.near.write(b"late ")
        self.rig.stall()
        self.attach()
        pieces = [bytes([number]) * LOTS for number in range(10)]
        for piece in pieces:
            self.near.write(piece)
        self.rig.settle()
        self.assertEqual(["made"], self.other.told)
        self.assertFalse(self.pair.far.reading)
        self.assertGreater(len(self.pair.near.outgoing), 9 * LOTS)
        self.rig.stall(False)
        self.rig.settle()
        self.assertEqual(b"late " + b"".join(pieces), self.other.received)

    def test_either_word_first_to_the_server(self) -> None:
        """
        The client follows on both links, and one of them is slow.
        """
        for slow, kind in (
            ("control", MemorySocket),
            ("data", MemorySocket),
            ("control", EagerSocket),
            ("data", EagerSocket),
        ):
            self.setUp()
            self.pair = self.rig.data_link(kind)
            self.attach()
            self.far.write(b"mux ")
            # The client hears of it; what it says then does not come yet.
            self.rig.server.transport.stalled = slow == "control"
            self.pair.near.stalled = slow == "data"
            self.rig.settle()
            pieces = [bytes([number]) * ROOM for number in range(10)]
            for piece in pieces:
                self.far.write(piece)
            self.rig.settle()
            assert self.near.path is not None
            late = Receiving.BEGUN if slow == "control" else Receiving.TOLD
            self.assertIs(late, self.near.path.receiving)
            if slow == "control":
                self.assertFalse(self.pair.near.reading)
                self.assertGreater(len(self.pair.far.outgoing), 7 * ROOM)
            self.rig.server.transport.stalled = self.pair.near.stalled = False
            self.rig.settle()
            self.assertEqual(b"mux " + b"".join(pieces), self.program.received)

    def test_data_link_first_without_bytes(self) -> None:
        """
        What comes after both words is read.
        """
        self.rig.stall()
        self.attach()
        self.rig.settle()
        self.rig.stall(False)
        self.rig.settle()
        self.near.write(b"bytes")
        self.rig.settle()
        self.assertEqual(b"bytes", self.other.received)

    def test_behind_a_full_queue(self) -> None:
        """
        The switch waits for credit, however long. The other way does not.
        """
        self.fill(self.near)
        self.attach()
        self.near.write(b"waits")
        self.far.write(b"back")
        for _ in range(100):
            self.rig.clock.advance(1)
            self.rig.settle()
        assert self.near.path is not None
        self.assertIs(Sending.ASKED, self.near.path.sending)
        self.assertIsNone(self.far.path)
        self.assertEqual([], self.pair.lost)
        self.assertEqual(b"back", self.program.received)
        self.far.resumeProducing()
        self.rig.settle()
        self.assertIs(Sending.LINK, self.near.path.sending)
        self.assertEqual(bytes(LOTS) + b"waits", self.other.received)

    def test_paused_all_along(self) -> None:
        """
        A program that does not read is not given anything by a switch.
        """
        self.far.pauseProducing()
        self.switch()
        self.near.write(bytes(LOTS))
        self.rig.settle()
        self.assertEqual(b"", self.other.received)
        self.assertGreater(len(self.pair.near.outgoing), LOTS - 3 * ROOM)
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(bytes(LOTS), self.other.received)

    def test_protocol_comes_later(self) -> None:
        near, far = self.rig.open_stream()
        near.attach(self.rig.data_link().server)
        for _ in range(5):
            near.write(bytes(LOTS))
        near.loseWriteConnection()
        self.rig.settle()
        late = HalfCloseable()
        far.connect(late)
        self.rig.settle()
        self.assertEqual(bytes(5 * LOTS), late.received)
        self.assertEqual("finished", late.told[-1])

    def test_pause_in_data_received(self) -> None:
        self.switch()
        self.other.on_data = self.far.pauseProducing
        self.near.write(bytes(10 * ROOM))
        for size in range(1, 11):
            self.rig.settle()
            self.assertEqual(size * ROOM, len(self.other.received))
            self.assertFalse(self.pair.far.reading)
            self.far.resumeProducing()

    def test_nothing_is_given_on_a_closed_stream(self) -> None:
        """
        What a data link could not help is not given one.
        """
        self.assertTrue(self.near.can_switch)
        offered = self.rig.offer_stream()
        self.assertFalse(offered.can_switch)
        self.near.loseWriteConnection()
        self.rig.settle()
        self.assertTrue(self.near.can_switch)
        self.far.loseWriteConnection()
        self.rig.settle()
        self.assertFalse(self.near.can_switch)
        near, _ = self.rig.open_stream()
        near.loseConnection()
        self.assertFalse(near.can_switch)
        near, _ = self.rig.open_stream()
        near.abortConnection()
        self.assertFalse(near.can_switch)
        near, _ = self.rig.open_stream()
        near.attach(self.pair.server)
        self.assertFalse(near.can_switch)

    def test_used_by_one_stream(self) -> None:
        """
        Another stream, and the session, go on beside it.
        """
        near, far = self.rig.stream_between(HalfCloseable(), beside := HalfCloseable())
        self.switch()
        near.write(b"beside")
        self.near.write(b"direct")
        self.rig.settle()
        self.assertEqual((b"beside", b"direct"), (beside.received, self.other.received))
        self.assertEqual((None, None), (near.path, far.path))


class ProducerTests(SwitchTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.producer = Producer()

    def test_paused_while_switching(self) -> None:
        self.fill(self.near)
        self.near.registerProducer(self.producer, True)
        self.attach()
        self.assertEqual(["pause"], self.producer.told)
        self.near.write(b"some more")
        self.assertEqual(["pause"], self.producer.told)
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_not_resumed_by_the_queue(self) -> None:
        """
        What it would write could not go out.
        """
        self.near.registerProducer(self.producer, True)
        self.fill(self.near)
        self.assertEqual(["pause"], self.producer.told)
        self.rig.stall()
        self.attach()
        self.rig.stall(False)
        self.producer.on_resume = lambda: self.near.write(b"last")
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(["pause", "resume"], self.producer.told)
        self.assertEqual(bytes(LOTS) + b"last", self.other.received)

    def test_registered_while_switching(self) -> None:
        self.fill(self.near)
        self.attach()
        self.near.registerProducer(self.producer, True)
        self.near.write(b"some more")
        self.assertEqual(["pause"], self.producer.told)
        self.near.write(b"and more")
        self.assertEqual(["pause"], self.producer.told)

    def test_unregistered_while_switching(self) -> None:
        self.fill(self.near)
        self.near.registerProducer(self.producer, True)
        self.attach()
        self.near.unregisterProducer()
        self.near.write(b" not dropped")
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(["pause"], self.producer.told)
        self.assertEqual(bytes(LOTS) + b" not dropped", self.other.received)

    def test_paused_by_the_data_link(self) -> None:
        self.switch()
        self.far.pauseProducing()
        self.near.registerProducer(self.producer, True)
        self.near.write(bytes(4 * ROOM))
        self.rig.settle()
        self.assertEqual(["pause"], self.producer.told)
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_not_resumed_onto_a_full_data_link(self) -> None:
        """
        What waited for the switch fills the data link.
        """
        self.fill(self.near)
        self.near.registerProducer(self.producer, True)
        self.attach()
        self.near.write(bytes(LOTS))
        self.pair.stall()
        self.far.resumeProducing()
        self.rig.settle()
        assert self.near.path is not None
        self.assertIs(Sending.LINK, self.near.path.sending)
        self.assertEqual(["pause"], self.producer.told)
        self.pair.stall(False)
        self.rig.settle()
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_pull_producer(self) -> None:
        pieces = [bytes([number]) * 10_000 for number in range(200)]
        waiting = list(pieces)

        def produce() -> None:
            if waiting:
                self.near.write(waiting.pop(0))
            else:
                self.near.unregisterProducer()
                self.near.loseWriteConnection()

        self.producer.on_resume = produce
        self.near.registerProducer(self.producer, False)
        for _ in range(5):
            self.rig.turn()
        self.attach()
        self.rig.settle()
        assert self.near.path is not None
        self.assertGreater(self.near.path.sent, 1_000_000)
        self.assertEqual(b"".join(pieces), self.other.received)
        self.assertEqual("finished", self.other.told[-1])

    def test_fails_when_resumed(self) -> None:
        def fail() -> None:
            raise ValueError("broken")

        self.fill(self.near)
        self.near.registerProducer(self.producer, True)
        self.attach()
        self.producer.on_resume = fail
        self.far.resumeProducing()
        self.check_over(Code.INTERNAL, "the protocol failed")
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_stopped(self) -> None:
        """
        When the stream is lost while it switches.
        """
        self.fill(self.near)
        self.near.registerProducer(self.producer, True)
        self.attach()
        self.far.abortConnection()
        self.rig.settle()
        self.assertEqual(["pause", "stop"], self.producer.told)
        self.check_over(Code.ABORTED)


class EndTests(SwitchTestCase):
    """
    Half-closes, and ends in order, around a switch.
    """

    def test_half_close_while_switching(self) -> None:
        self.fill(self.near)
        self.attach()
        self.near.write(b"last")
        self.near.loseWriteConnection()
        self.near.write(b"dropped")
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(bytes(LOTS) + b"last", self.other.received)
        self.assertEqual("finished", self.other.told[-1])
        self.far.write(b"answer")
        self.rig.settle()
        self.assertEqual(b"answer", self.program.received)
        self.finish()
        self.check_over(Code.NONE)

    def test_closed_while_switching(self) -> None:
        """
        When the other side has finished already, that is the end.
        """
        self.far.loseWriteConnection()
        self.fill(self.near)
        self.attach()
        self.near.write(b"last")
        self.near.loseConnection()
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(bytes(LOTS) + b"last", self.other.received)
        self.far.loseConnection()
        self.check_over(Code.NONE)

    def test_producer_ends_while_switching(self) -> None:
        producer = Producer()
        self.far.loseWriteConnection()
        self.fill(self.near)
        self.near.registerProducer(producer, True)
        self.attach()
        self.near.loseConnection()

        def last() -> None:
            self.near.write(b"last")
            self.near.unregisterProducer()

        producer.on_resume = last
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(bytes(LOTS) + b"last", self.other.received)
        self.far.loseConnection()
        self.check_over(Code.NONE)

    def test_end_before_the_last_bytes(self) -> None:
        """
        The word on the control link comes first: it is no end before all is there,
        and the last word is not said.
        """
        for closed in (False, True):
            self.setUp()
            self.switch()
            self.pair.stall()
            self.near.write(b"last bytes")
            self.near.loseWriteConnection()
            self.far.loseWriteConnection()
            if closed:
                self.far.loseConnection()
            self.rig.settle()
            self.assertTrue(self.far.stream.peer_finished)
            self.assertEqual(["made"], self.other.told)
            self.assertIs(Half.FINISHED, self.far.stream.local)
            self.pair.stall(False)
            if closed:
                # Nobody wants them any more.
                self.check_over(Code.ABORTED)
                continue
            self.rig.settle()
            self.assertEqual(["made", b"last bytes", "finished"], self.other.told)
            self.finish()
            self.check_over(Code.NONE)

    def test_server_has_finished(self) -> None:
        """
        It gives the data link for the client's bytes.
        """
        self.near.loseWriteConnection()
        self.rig.settle()
        self.attach()
        self.rig.settle()
        self.far.write(bytes(LOTS))
        self.rig.settle()
        assert self.far.path is not None
        self.assertEqual(LOTS, self.far.path.sent)
        self.assertEqual(bytes(LOTS), self.program.received)
        for _ in range(100):
            self.rig.clock.advance(1)
            self.rig.settle()
        self.far.write(b"later")
        self.rig.settle()
        self.assertEqual(b"later", self.program.received[-5:])
        self.finish()
        self.check_over(Code.NONE)

    def test_server_is_about_to_finish(self) -> None:
        self.fill(self.near)
        self.near.loseWriteConnection()
        self.attach()
        self.far.resumeProducing()
        self.far.write(b"control link ")
        self.rig.settle()
        self.assertEqual("finished", self.other.told[-1])
        self.far.write(b"data link")
        self.rig.settle()
        assert self.far.path is not None
        self.assertEqual(9, self.far.path.sent)
        self.assertEqual(b"control link data link", self.program.received)
        self.finish()
        self.check_over(Code.NONE)

    def test_client_has_finished(self) -> None:
        self.far.loseWriteConnection()
        self.rig.settle()
        self.attach()
        self.rig.settle()
        self.near.write(bytes(LOTS))
        self.rig.settle()
        assert self.near.path is not None
        self.assertEqual(LOTS, self.near.path.sent)
        self.assertEqual(bytes(LOTS), self.other.received)
        self.assertIs(Receiving.ENDED, self.near.path.receiving)
        self.finish()
        self.check_over(Code.NONE)

    def test_client_is_about_to_finish(self) -> None:
        self.fill(self.far)
        self.far.loseWriteConnection()
        self.attach()
        self.rig.settle()
        assert self.far.path is not None
        self.assertIs(Sending.ENDED, self.far.path.sending)
        self.near.resumeProducing()
        self.near.write(b"data link")
        self.rig.settle()
        self.assertEqual(bytes(LOTS), self.program.received)
        self.assertEqual("finished", self.program.told[-1])
        self.assertEqual(b"data link", self.other.received)
        self.finish()
        self.check_over(Code.NONE)

    def test_data_link_is_gone_first(self) -> None:
        """
        The server closes it when all is over; the client may see that before it
        hears the last word.
        """
        for finished_before in (True, False):
            self.setUp()
            if finished_before:
                self.far.loseWriteConnection()
                self.rig.settle()
            self.switch_any()
            self.near.write(b"all")
            self.rig.settle()
            self.finish()
            self.rig.client.transport.stalled = True
            self.rig.settle()
            self.rig.client.transport.stalled = False
            self.check_over(Code.NONE)

    def switch_any(self) -> None:
        self.attach()
        self.rig.settle()

    def test_nothing_was_sent(self) -> None:
        """
        An end after no bytes is one before the data link has begun.
        """
        self.switch_any()
        self.finish()
        self.check_over(Code.NONE)
        self.setUp()
        self.pair.stall()
        self.attach()
        self.rig.settle()
        self.finish()
        self.rig.settle()
        self.assertEqual([(Code.NONE, "")] * 2, self.ends)
        self.pair.stall(False)
        self.check_over(Code.NONE)


class ResetTests(SwitchTestCase):
    """
    Aborts travel as aborts, with their codes, at each point of a switch.
    """

    def abort(self, near: bool) -> None:
        (self.near if near else self.far).abort(Code.TARGET_REFUSED, "no")

    def check_reset(self) -> None:
        """
        The reason is the same on both sides: the end of the data link did not come
        before it.
        """
        self.check_over(Code.TARGET_REFUSED, "no")

    def test_while_it_waits(self) -> None:
        for near in (True, False):
            self.setUp()
            self.fill(self.near)
            self.attach()
            self.near.write(b"waits")
            self.abort(near)
            self.check_reset()

    def test_under_way(self) -> None:
        """
        The words are on their way.
        """
        for near in (True, False):
            for turns in range(6):
                self.setUp()
                self.attach()
                self.near.write(b"raw")
                for _ in range(turns):
                    self.rig.turn()
                self.abort(near)
                self.check_reset()

    def test_one_word_came(self) -> None:
        for near in (True, False):
            for control in (True, False):
                self.setUp()
                if control:
                    self.rig.client.transport.stalled = True
                else:
                    self.pair.far.stalled = True
                self.attach()
                self.near.write(b"raw")
                self.rig.settle()
                self.rig.client.transport.stalled = self.pair.far.stalled = False
                self.abort(near)
                self.check_reset()

    def test_switched(self) -> None:
        for near in (True, False):
            self.setUp()
            self.switch()
            self.near.write(bytes(LOTS))
            self.far.write(bytes(LOTS))
            self.rig.turn()
            self.abort(near)
            self.check_reset()

    def test_half_closed(self) -> None:
        for near in (True, False):
            for closed in (self.near, self.far):
                self.setUp()
                self.switch()
                closed.loseWriteConnection()
                self.rig.settle()
                self.abort(near)
                self.check_reset()

    def test_data_link_is_slow(self) -> None:
        """
        The data link is closed only when both sides have said so.
        """
        self.switch()
        self.rig.stall()
        self.abort(near=True)
        self.far.write(bytes(LOTS))
        self.rig.settle()
        self.assertFalse(self.pair.server.link.lost)
        self.assertFalse(self.pair.near.reading)
        self.assertEqual([], self.other.codes)
        self.rig.stall(False)
        self.check_reset()

    def test_data_link_is_lost_after_the_reset(self) -> None:
        """
        It does not matter any more.
        """
        self.switch()
        self.rig.stall()
        self.abort(near=True)
        self.pair.near.cut()
        self.rig.stall(False)
        self.check_reset()

    def test_tunnel_closed(self) -> None:
        self.switch()
        self.rig.server.session.close_tunnel(1, Code.POLICY, "closed")
        self.rig.server.mux.changed()
        self.check_over(Code.POLICY, "closed")

    def test_session_lost(self) -> None:
        """
        At any point.
        """
        for turns in range(8):
            self.setUp()
            self.fill(self.near)
            self.attach()
            self.near.write(b"waits")
            self.far.resumeProducing()
            for _ in range(turns):
                self.rig.turn()
            self.rig.server.mux.abort(Code.TIMEOUT, "silent")
            self.rig.settle()
            self.assertEqual(2, len(self.ends))
            for data_link in self.rig.idle.values():
                data_link.close()
            self.check_no_links()

    def test_session_closed(self) -> None:
        self.switch()
        self.rig.client.mux.close(Code.SHUTDOWN, "bye")
        self.rig.settle()
        self.assertEqual([Code.SHUTDOWN], self.other.codes)
        self.check_no_links()


class LossTests(SwitchTestCase):
    """
    A data link that is lost resets its stream, and no other.
    """

    def setUp(self) -> None:
        super().setUp()
        self.beside = HalfCloseable()
        self.beside_near, _ = self.rig.stream_between(HalfCloseable(), self.beside)

    def check_reset(self) -> None:
        self.rig.settle()
        self.beside_near.write(b"goes on")
        self.rig.settle()
        self.assertEqual(b"goes on", self.beside.received)
        self.beside_near.abort(Code.ABORTED)
        self.check_over(Code.LINK_LOST, "the data link was lost")

    def test_while_it_waits(self) -> None:
        self.fill(self.near)
        self.attach()
        self.pair.cut()
        self.assertIn(self.pair.client, self.pair.lost)
        self.check_reset()

    def test_under_way(self) -> None:
        for turns in range(8):
            self.setUp()
            self.attach()
            self.near.write(b"raw")
            for _ in range(turns):
                self.rig.turn()
            self.pair.cut()
            self.rig.settle()
            self.assertEqual(2, len(self.ends))
            self.assertEqual({Code.LINK_LOST}, {code for code, _ in self.ends})
            self.beside_near.abort(Code.ABORTED)
            self.check_nothing_left()

    def test_one_word_came(self) -> None:
        for control in (True, False):
            self.setUp()
            if control:
                self.pair.stall()
            else:
                self.rig.client.transport.stalled = True
            self.attach()
            self.near.write(b"raw")
            self.rig.settle()
            self.pair.cut()
            self.rig.client.transport.stalled = False
            self.rig.settle()
            self.assertEqual([Code.LINK_LOST] * 2, [code for code, _ in self.ends])
            self.assertEqual(b"", self.other.received)
            self.beside_near.abort(Code.ABORTED)
            self.check_nothing_left()

    def test_switched(self) -> None:
        for near in (True, False):
            self.setUp()
            self.switch()
            (self.pair.near if near else self.pair.far).cut()
            self.check_reset()

    def test_closed_in_order(self) -> None:
        """
        An end of the link is no end of the stream.
        """
        self.switch()
        self.pair.far.loseConnection()
        self.check_reset()

    def test_half_closed(self) -> None:
        for end in ("near", "far"):
            self.setUp()
            self.switch()
            getattr(self, end).loseWriteConnection()
            self.rig.settle()
            self.pair.cut()
            self.check_reset()

    def test_before_the_last_bytes(self) -> None:
        self.switch()
        self.pair.stall()
        self.near.write(b"never arrives")
        self.finish()
        self.rig.settle()
        self.pair.cut()
        self.check_reset()

    def test_given_and_not_used(self) -> None:
        """
        The server has finished, and the client has not switched yet.
        """
        self.near.loseWriteConnection()
        self.fill(self.far)
        self.attach()
        self.rig.settle()
        self.pair.cut()
        self.check_reset()

    def test_both_have_finished(self) -> None:
        """
        Then it has done its work.
        """
        self.switch()
        for end in (self.near, self.far):
            end.write(b"all")
            end.loseWriteConnection()
        self.rig.settle()
        self.pair.cut()
        self.rig.settle()
        self.finish()
        self.beside_near.abort(Code.ABORTED)
        self.check_over(Code.NONE)

    def test_client_has_lost_it(self) -> None:
        """
        When the server gives it.
        """
        self.rig.idle.pop(self.pair.client.number).abort()
        self.pair.near.stalled = True
        self.attach()
        self.rig.settle()
        self.pair.near.stalled = False
        self.beside_near.abort(Code.ABORTED)
        self.check_over(Code.LINK_LOST, "the data link is gone")


class HostilePeerTests(SwitchTestCase):
    """
    Clients that break the rules; what they say is put in by hand.
    """

    def say(self, pair: DataLinkPair, data: bytes) -> None:
        """
        The client says this on the data link.
        """
        pair.far.write(data)
        self.rig.settle()

    def check_reset(self, reason: str) -> None:
        self.rig.settle()
        self.assertEqual((Code.PROTOCOL, reason), self.near.stream.end)
        self.assertFalse(self.rig.server.mux.lost)
        self.check_nothing_left()

    def test_more_bytes_than_announced(self) -> None:
        self.switch()
        self.pair.near.stalled = True
        self.far.write(b"announced")
        self.far.loseWriteConnection()
        self.rig.settle()
        self.pair.near.stalled = False
        self.say(self.pair, b"and more")
        self.assertEqual(b"", self.program.received)
        self.check_reset("more bytes than were announced")

    def test_more_bytes_after_the_end(self) -> None:
        self.switch()
        self.far.write(b"announced")
        self.far.loseWriteConnection()
        self.rig.settle()
        self.assertEqual("finished", self.program.told[-1])
        self.say(self.pair, b"and more")
        self.check_reset("more bytes than were announced")

    def test_more_bytes_before_the_end(self) -> None:
        self.switch()
        self.say(self.pair, b"never announced")
        self.far.loseWriteConnection()
        self.check_reset("more bytes than were announced")

    def test_end_on_the_other_link(self) -> None:
        """
        The bytes begin on the data link, and end on the control link.
        """
        self.fill(self.far)
        self.attach()
        self.rig.settle()
        self.say(self.pair, b"\x27\0\0\0\0\2\0\0\0\4\0\0\0\1raw")
        assert self.near.path is not None
        self.assertIs(Receiving.BEGUN, self.near.path.receiving)
        self.near.path.peer_finished(None)
        self.check_reset("an end on another link than the bytes")

    def test_another_stream_on_the_data_link(self) -> None:
        """
        The stream is lost with the link; the session goes on.
        """
        self.fill(self.far)
        self.attach()
        self.rig.settle()
        self.say(self.pair, b"\x27\0\0\0\0\4\0\0\0\4\0\0\0\1")
        self.check_over(Code.LINK_LOST, "the data link was lost")
        self.assertFalse(self.rig.server.mux.lost)

    def test_server_begins_another_stream(self) -> None:
        """
        What a server says twice must be the same: the client closes the session.
        """
        self.pair.near.write(b"\x27\0\0\0\0\4\0\0\0\4\0\0\0\1")
        self.rig.settle()
        self.attach()
        self.rig.settle()
        self.assertTrue(self.rig.client.mux.lost)
        self.assertEqual(
            [[Code.PROTOCOL, "SWITCH names another stream"]],
            self.rig.client.told("mux_lost"),
        )
        self.check_no_links()
