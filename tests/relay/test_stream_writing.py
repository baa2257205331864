"""
Tests of L{reitunnel.relay.stream}: what a protocol sends, and its producers.
"""

from __future__ import annotations

from io import BytesIO

from twisted.internet.address import IPv4Address
from twisted.protocols.basic import FileSender
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code
from reitunnel.interfaces import IHalfCloseTransport
from reitunnel.relay.stream import LINGER
from tests.producers import Producer
from tests.relay.memory import HERE, THERE
from tests.relay.programs import HalfCloseable, Plain, fail
from tests.relay.rig import Rig

LOTS = 1 << 20


class WritingTests(SynchronousTestCase):
    """
    The program at the far end reads what the test writes to the near one.
    """

    def setUp(self) -> None:
        self.rig = Rig()
        self.program = HalfCloseable()
        self.reader = HalfCloseable()
        self.near, self.far = self.rig.stream_between(self.program, self.reader)
        self.reader.told.clear()

    def fill(self) -> None:
        """
        Write so much that the queue is full: the far end does not read.
        """
        self.far.pauseProducing()
        self.near.write(bytes(LOTS))
        self.rig.settle()
        self.assertGreater(self.near.stream.queued, self.rig.server.mux.high_water)

    def empty(self) -> None:
        """
        Let the far end read all there is.
        """
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(0, self.near.stream.queued)


class TransportTests(WritingTests):
    def test_interface(self) -> None:
        verifyObject(IHalfCloseTransport, self.near)

    def test_addresses(self) -> None:
        for transport in (self.near, self.far):
            self.assertEqual(THERE, transport.getPeer())
            self.assertEqual(HERE, transport.getHost())
            self.assertIsInstance(transport.getPeer(), IPv4Address)

    def test_write(self) -> None:
        self.near.write(b"one")
        self.near.write(b"")
        self.near.writeSequence([b"two", memoryview(b"three")])
        self.rig.settle()
        self.assertEqual(b"onetwothree", self.reader.received)

    def test_write_what_changes(self) -> None:
        """
        What was written is what is sent, whatever becomes of it afterwards.
        """
        self.fill()
        data = bytearray(b"before")
        self.near.write(memoryview(data))
        data[:] = b"after!"
        self.empty()
        self.assertEqual(b"before", self.reader.received[LOTS:])

    def test_write_what_is_not_bytes(self) -> None:
        """
        It is the caller who hears of it, not the session.
        """
        for wrong in ("text", 7, None):
            with self.assertRaises(TypeError):
                self.near.write(wrong)  # type: ignore[arg-type]  # that is the test
        self.rig.settle()
        self.assertEqual(b"", self.reader.received)
        self.assertFalse(self.rig.server.mux.lost)

    def test_counts(self) -> None:
        counts: list[int] = []
        self.near.on_written = counts.append
        self.near.write(b"one")
        self.near.writeSequence([b"t", b"wo"])
        self.near.loseWriteConnection()
        self.near.write(b"dropped")
        self.assertEqual([3, 3], counts)

    def test_half_close(self) -> None:
        """
        It comes after what was written, and the other direction goes on.
        """
        self.near.write(b"last")
        self.near.loseWriteConnection()
        self.near.loseWriteConnection()
        self.near.write(b"dropped")
        self.rig.settle()
        self.assertEqual([b"last", "finished"], self.reader.told)
        self.far.write(b"answer")
        self.rig.settle()
        self.assertEqual(b"answer", self.program.received)
        self.assertEqual([], self.program.codes)

    def test_half_close_both(self) -> None:
        """
        Both directions have ended, but somebody has to close, as on TCP.
        """
        self.near.loseWriteConnection()
        self.far.loseWriteConnection()
        self.rig.settle()
        self.assertEqual(["finished"], self.reader.told)
        self.assertEqual([], self.program.codes)
        self.near.loseConnection()
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual([Code.NONE], self.program.codes)
        self.assertEqual([Code.NONE], self.reader.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_half_close_with_data_that_waits(self) -> None:
        self.fill()
        self.near.loseWriteConnection()
        self.rig.settle()
        self.empty()
        self.assertEqual(LOTS, len(self.reader.received))
        self.assertEqual("finished", self.reader.told[-1])

    def test_lose_connection_with_data_that_waits(self) -> None:
        self.fill()
        self.near.loseConnection()
        self.near.loseConnection()
        self.near.write(b"dropped")
        self.rig.settle()
        self.assertEqual([], self.program.codes)
        self.empty()
        self.assertEqual(LOTS, len(self.reader.received))
        self.assertEqual("finished", self.reader.told[-1])
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual([Code.NONE], self.program.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_abort_with_data_that_waits(self) -> None:
        self.fill()
        self.near.abortConnection()
        self.assertEqual(0, self.near.stream.queued)
        self.rig.settle()
        self.assertEqual([Code.ABORTED], self.program.codes)
        self.assertEqual([Code.ABORTED], self.reader.codes)
        self.assertEqual(b"", self.reader.received)
        self.assertEqual([], self.rig.leftovers())

    def test_stop_producing(self) -> None:
        """
        Whoever took what came is gone.
        """
        self.near.stopProducing()
        self.rig.settle()
        self.assertTrue(self.near.disconnecting)
        self.assertEqual(["finished"], self.reader.told)

    def test_write_that_resets_the_stream(self) -> None:
        """
        Whoever counts the bytes may have had enough.
        """
        self.near.on_written = lambda _: self.near.abort(Code.LIMIT, "enough")
        self.near.registerProducer(Producer(), True)
        self.near.write(bytes(LOTS))
        self.rig.settle()
        self.assertEqual([Code.LIMIT], self.program.codes)
        self.assertEqual([Code.LIMIT], self.reader.codes)
        self.assertEqual([], self.rig.leftovers())


class PushProducerTests(WritingTests):
    def setUp(self) -> None:
        super().setUp()
        self.producer = Producer()

    def register(self) -> None:
        """
        Register the producer.
        """
        self.near.registerProducer(self.producer, True)

    def test_paused_and_resumed(self) -> None:
        self.register()
        self.assertEqual([], self.producer.told)
        self.fill()
        self.assertEqual(["pause"], self.producer.told)
        self.near.write(bytes(LOTS))
        self.assertEqual(["pause"], self.producer.told)
        self.empty()
        self.assertEqual(["pause", "resume"], self.producer.told)
        self.fill()
        self.assertEqual(["pause", "resume", "pause"], self.producer.told)

    def test_not_paused_while_there_is_room(self) -> None:
        self.register()
        for _ in range(100):
            self.near.write(bytes(10_000))
            self.rig.settle()
        self.assertEqual([], self.producer.told)

    def test_two(self) -> None:
        self.register()
        with self.assertRaises(RuntimeError):
            self.near.registerProducer(Producer(), True)

    def test_registered_while_the_queue_is_full(self) -> None:
        """
        It is paused at its first write, and not forgotten.
        """
        self.fill()
        self.register()
        self.near.write(b"more")
        self.assertEqual(["pause"], self.producer.told)
        self.empty()
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_unregistered_while_paused(self) -> None:
        self.register()
        self.fill()
        self.near.unregisterProducer()
        self.empty()
        self.assertEqual(["pause"], self.producer.told)

    def test_another_one_while_the_queue_is_full(self) -> None:
        """
        The second one knows nothing of what the first one was told.
        """
        self.register()
        self.fill()
        self.near.unregisterProducer()
        second = Producer()
        self.near.registerProducer(second, True)
        self.near.write(b"more")
        self.assertEqual(["pause"], second.told)
        self.empty()
        self.assertEqual(["pause", "resume"], second.told)
        self.assertEqual(["pause"], self.producer.told)

    def test_another_one_that_does_not_write(self) -> None:
        """
        It was not paused, so it is not resumed.
        """
        self.register()
        self.fill()
        self.near.unregisterProducer()
        second = Producer()
        self.near.registerProducer(second, True)
        self.empty()
        self.assertEqual([], second.told)

    def test_writes_when_resumed(self) -> None:
        """
        One that writes more than there is room for, each time, is paused each time.
        """

        def write() -> None:
            if len(self.producer.told) < 10:
                self.near.write(bytes(LOTS))

        self.register()
        self.producer.on_resume = write
        self.fill()
        self.empty()
        self.assertEqual(5 * LOTS, len(self.reader.received))
        self.assertEqual(["pause", "resume"] * 5, self.producer.told)

    def test_unregisters_when_resumed(self) -> None:
        self.register()
        self.producer.on_resume = self.near.unregisterProducer
        self.fill()
        self.empty()
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_close_when_resumed(self) -> None:
        def finish() -> None:
            self.near.unregisterProducer()
            self.near.loseConnection()

        self.register()
        self.producer.on_resume = finish
        self.fill()
        self.empty()
        self.assertEqual("finished", self.reader.told[-1])

    def test_abort_when_resumed(self) -> None:
        self.register()
        self.producer.on_resume = self.near.abortConnection
        self.fill()
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual([Code.ABORTED], self.reader.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_abort_when_paused(self) -> None:
        self.register()
        self.producer.on_pause = self.near.abortConnection
        self.far.pauseProducing()
        self.near.write(bytes(LOTS))
        self.rig.settle()
        self.assertEqual(["pause", "stop"], self.producer.told)
        self.assertEqual([], self.rig.leftovers())

    def test_stopped_when_the_stream_is_lost(self) -> None:
        self.register()
        self.far.abortConnection()
        self.rig.settle()
        self.assertEqual(["stop"], self.producer.told)
        self.assertEqual([Code.ABORTED], self.program.codes)

    def test_stopped_before_the_protocol_is_told(self) -> None:
        self.register()
        self.producer.on_stop = lambda: self.assertEqual([], self.program.codes)
        self.far.abortConnection()
        self.rig.settle()
        self.assertEqual(["stop"], self.producer.told)

    def test_unregisters_when_stopped(self) -> None:
        self.register()
        self.producer.on_stop = self.near.unregisterProducer
        self.far.abortConnection()
        self.rig.settle()
        self.assertEqual([Code.ABORTED], self.program.codes)

    def test_registered_once_the_stream_is_lost(self) -> None:
        self.far.abortConnection()
        self.rig.settle()
        for _ in range(2):
            self.register()
        self.assertEqual(["stop", "stop"], self.producer.told)

    def test_fails_when_resumed(self) -> None:
        """
        Its stream is reset, and the session lives on.
        """
        self.register()
        self.producer.on_resume = fail
        self.fill()
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual([Code.INTERNAL], self.program.codes)
        self.assertEqual([Code.INTERNAL], self.reader.codes)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual([], self.rig.leftovers())

    def test_fails_when_stopped(self) -> None:
        """
        The protocol is told all the same.
        """
        self.register()
        self.producer.on_stop = fail
        self.far.abortConnection()
        self.rig.settle()
        self.assertEqual([Code.ABORTED], self.program.codes)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual([], self.rig.leftovers())

    def test_close_while_paused(self) -> None:
        """
        As on TCP, the end waits for a paused producer: it has more to say.
        """
        self.register()
        self.fill()
        self.near.loseConnection()
        self.producer.on_resume = lambda: self.near.write(b"the rest")
        self.empty()
        self.assertEqual(b"the rest", self.reader.received[LOTS:])
        self.assertNotIn("finished", self.reader.told)
        self.near.unregisterProducer()
        self.rig.settle()
        self.assertEqual("finished", self.reader.told[-1])
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual([Code.NONE], self.program.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_half_close_while_paused(self) -> None:
        self.register()
        self.fill()
        self.near.loseWriteConnection()
        self.near.unregisterProducer()
        self.empty()
        self.assertEqual("finished", self.reader.told[-1])
        self.assertEqual([], self.program.codes)

    def test_close_while_paused_when_the_peer_has_finished(self) -> None:
        """
        The last word waits as well.
        """
        self.register()
        self.fill()
        self.far.loseWriteConnection()
        self.rig.settle()
        self.near.loseConnection()
        self.near.write(b"the rest")
        self.empty()
        self.assertNotIn("finished", self.reader.told)
        self.near.unregisterProducer()
        self.rig.settle()
        self.assertEqual(b"the rest", self.reader.received[LOTS:])
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual([Code.NONE], self.program.codes)
        self.assertEqual([Code.NONE], self.reader.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_half_close_while_paused_and_again(self) -> None:
        """
        The second time it need not wait.
        """
        self.register()
        self.fill()
        self.near.loseWriteConnection()
        self.empty()
        self.near.loseWriteConnection()
        self.rig.settle()
        self.assertEqual("finished", self.reader.told[-1])
        self.far.loseConnection()
        self.near.loseConnection()
        self.rig.settle()
        self.assertEqual([Code.NONE], self.program.codes)

    def test_close_while_paused_and_never_unregister(self) -> None:
        """
        There are protocols that forget their producers. On TCP their connections
        would stay for ever.
        """
        self.register()
        self.fill()
        self.near.loseConnection()
        self.empty()
        self.assertNotIn("finished", self.reader.told)
        for _ in range(round(LINGER)):
            self.rig.clock.advance(1)
            self.rig.settle()
        self.assertEqual("finished", self.reader.told[-1])
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual([Code.NONE], self.program.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_lost_while_closing(self) -> None:
        self.register()
        self.fill()
        self.near.loseConnection()
        self.far.abortConnection()
        self.rig.settle()
        self.assertEqual(["pause", "stop"], self.producer.told)
        self.assertEqual([], self.rig.leftovers())

    def test_close_while_not_paused(self) -> None:
        """
        As on TCP, a producer that could write but does not is not waited for: some
        never unregister.
        """
        self.register()
        self.near.loseConnection()
        self.rig.settle()
        self.assertEqual(["finished"], self.reader.told)

    def test_end_of_what_a_plain_protocol_reads(self) -> None:
        """
        Its producer is stopped, as on TCP: it may never unregister by itself.
        """
        program = Plain()
        near, far = self.rig.stream_between(program, HalfCloseable())
        near.registerProducer(self.producer, True)
        far.pauseProducing()
        near.write(bytes(LOTS))
        self.rig.settle()
        far.loseWriteConnection()
        self.rig.settle()
        self.assertEqual(["pause", "stop"], self.producer.told)
        far.resumeProducing()
        self.rig.settle()
        far.loseConnection()
        self.rig.settle()
        self.assertEqual(["made", Code.NONE], program.told)


class PullProducerTests(WritingTests):
    def test_file(self) -> None:
        """
        A file of any size is never in memory as a whole.
        """
        data = bytes(range(256)) * 16 * 1024
        sender = FileSender()
        sending = sender.beginFileTransfer(BytesIO(data), self.near)
        self.far.pauseProducing()
        for _ in range(100):
            self.rig.turn()
        self.assertNoResult(sending)
        self.assertLess(self.near.stream.queued, 256 << 10)
        self.far.resumeProducing()
        self.rig.settle()
        self.successResultOf(sending)
        self.assertEqual(data, self.reader.received)
        self.near.loseConnection()
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual([], self.rig.leftovers())

    def test_close_before_all_is_sent(self) -> None:
        """
        As on TCP, the connection is closed when the producer is done.
        """
        data = bytes(range(256)) * 4096
        sending = FileSender().beginFileTransfer(BytesIO(data), self.near)
        self.near.loseConnection()
        self.rig.settle()
        self.successResultOf(sending)
        self.assertEqual(data, self.reader.received)
        self.assertEqual("finished", self.reader.told[-1])

    def test_lost(self) -> None:
        sending = FileSender().beginFileTransfer(BytesIO(bytes(LOTS)), self.near)
        self.far.abortConnection()
        self.rig.settle()
        self.failureResultOf(sending)
        self.assertEqual([], self.rig.leftovers())

    def test_fails(self) -> None:
        """
        It is not asked again, and its stream is reset.
        """
        producer = Producer()
        producer.on_resume = fail
        self.near.registerProducer(producer, False)
        self.rig.settle()
        self.assertEqual(["resume", "stop"], producer.told)
        self.assertEqual([Code.INTERNAL], self.program.codes)
        self.assertEqual([Code.INTERNAL], self.reader.codes)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertEqual([], self.rig.leftovers())
