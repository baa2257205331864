"""
Tests of holding streams back: L{reitunnel.relay.brakes}, and what streams do with it.
"""

from __future__ import annotations

from io import BytesIO

from twisted.logger import capturedLogs
from twisted.protocols.basic import FileSender
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code
from reitunnel.interfaces import IBrake
from reitunnel.relay import Pipes, StreamTransport, join
from reitunnel.relay.brakes import Brakes
from reitunnel.relay.kernel import kernel_pump
from tests.producers import Producer
from tests.relay.memory import Remote
from tests.relay.programs import HalfCloseable, fail
from tests.relay.rig import Rig


class BrakeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.near, self.far = self.rig.open_stream()
        self.brakes = Brakes()
        self.counts: list[int] = []

    def test_interface(self) -> None:
        verifyObject(IBrake, self.brakes.sent.add(self.counts.append))

    def test_several(self) -> None:
        """
        A direction goes on when nobody holds it, however often one has said so.
        """
        self.brakes.fit(self.near, outward=True)
        one, two = (self.brakes.received.add(self.counts.append) for _ in range(2))
        one.hold()
        one.hold()
        two.hold()
        one.release()
        one.release()
        self.assertTrue(self.near.writing_held)
        two.release()
        self.assertFalse(self.near.writing_held)
        self.assertFalse(self.near.delivery_held)

    def test_told(self) -> None:
        """
        All are told, in the order in which they came.
        """
        self.brakes.sent.tell(1)
        self.brakes.sent.add(self.counts.append)
        self.brakes.sent.tell(2)
        self.brakes.sent.add(lambda count: self.counts.append(-count))
        self.brakes.sent.tell(3)
        self.assertEqual([2, 3, -3], self.counts)

    def test_held_before_there_is_a_stream(self) -> None:
        """
        On the server, what the visitor sends is what is written.
        """
        self.brakes.received.add(self.counts.append).hold()
        self.brakes.fit(self.near, outward=True)
        self.assertTrue(self.near.writing_held)
        self.assertFalse(self.near.delivery_held)

    def test_client(self) -> None:
        """
        On the client, it is what is delivered.
        """
        self.brakes.received.add(self.counts.append).hold()
        self.brakes.fit(self.far, outward=False)
        self.assertTrue(self.far.delivery_held)
        self.assertFalse(self.far.writing_held)


class WritingTests(SynchronousTestCase):
    """
    Holding what is written: the producer waits.
    """

    def setUp(self) -> None:
        self.rig = Rig()
        self.reader = HalfCloseable()
        self.near, self.far = self.rig.stream_between(HalfCloseable(), self.reader)
        self.producer = Producer()

    def test_pauses_and_resumes(self) -> None:
        self.near.registerProducer(self.producer, True)
        self.near.hold_writing(True)
        self.near.hold_writing(True)
        self.assertEqual(["pause"], self.producer.told)
        self.near.hold_writing(False)
        self.near.hold_writing(False)
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_room_alone_does_not_resume(self) -> None:
        """
        A producer that is paused for want of room goes on when there is room and it
        is not held, whichever comes last.
        """
        self.near.registerProducer(self.producer, True)
        self.far.pauseProducing()
        self.near.write(bytes(1 << 20))
        self.near.hold_writing(True)
        self.assertEqual(["pause"], self.producer.told)
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(["pause"], self.producer.told)
        self.near.hold_writing(False)
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_release_alone_does_not_resume(self) -> None:
        self.near.registerProducer(self.producer, True)
        self.near.hold_writing(True)
        self.far.pauseProducing()
        self.near.write(bytes(1 << 20))
        self.near.hold_writing(False)
        self.rig.settle()
        self.assertEqual(["pause"], self.producer.told)
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(["pause", "resume"], self.producer.told)

    def test_registered_while_held(self) -> None:
        self.near.hold_writing(True)
        self.near.registerProducer(self.producer, True)
        self.assertEqual(["pause"], self.producer.told)
        self.near.unregisterProducer()
        self.near.hold_writing(False)
        self.assertEqual(["pause"], self.producer.told)

    def test_pull_producer(self) -> None:
        """
        It is not asked while it is held, and is heard to its end.
        """
        self.near.hold_writing(True)
        sent = FileSender().beginFileTransfer(BytesIO(b"abc" * 50_000), self.near)
        self.near.loseConnection()
        self.rig.settle()
        self.assertEqual(b"", self.reader.received)
        self.near.hold_writing(False)
        self.rig.settle()
        self.successResultOf(sent)
        self.assertEqual(b"abc" * 50_000, self.reader.received)
        self.assertIn("finished", self.reader.told)

    def test_end_waits(self) -> None:
        """
        A program that closes while its producer is held is heard to the end.
        """
        self.near.registerProducer(self.producer, True)
        self.near.hold_writing(True)
        self.near.loseWriteConnection()
        self.rig.settle()
        self.assertNotIn("finished", self.reader.told)
        self.near.write(b"last")
        self.near.unregisterProducer()
        self.rig.settle()
        self.assertEqual(["made", b"last", "finished"], self.reader.told)

    def test_producer_that_fails(self) -> None:
        """
        It resets its stream, and nobody else is hurt.
        """
        self.near.registerProducer(self.producer, True)
        self.near.hold_writing(True)
        self.producer.on_resume = fail
        self.near.hold_writing(False)
        self.rig.settle()
        self.assertEqual([Code.INTERNAL], self.reader.codes)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_lost_while_held(self) -> None:
        self.near.registerProducer(self.producer, True)
        self.near.hold_writing(True)
        self.far.abortConnection()
        self.rig.settle()
        self.near.hold_writing(False)
        self.assertEqual(["pause", "stop"], self.producer.told)


class DeliveryTests(SynchronousTestCase):
    """
    Holding what is delivered: the other side gets no credit.
    """

    def setUp(self) -> None:
        self.rig = Rig()
        self.reader = HalfCloseable()
        self.near, self.far = self.rig.stream_between(HalfCloseable(), self.reader)
        self.reader.told.clear()

    def test_held(self) -> None:
        """
        Nothing comes, not even the end, and then all of it in order.
        """
        self.far.hold_delivery(True)
        self.near.write(b"one")
        self.near.write(b"two")
        self.near.loseWriteConnection()
        self.rig.settle()
        self.assertEqual([], self.reader.told)
        self.far.hold_delivery(False)
        self.assertEqual(b"onetwo", self.reader.received)
        self.assertEqual("finished", self.reader.told[-1])

    def test_from_inside(self) -> None:
        """
        A hold that comes from counting a piece leaves the next one where it is.
        """
        self.far.hold_delivery(True)
        for piece in (b"one", b"two"):
            self.near.write(piece)
            self.rig.settle()
        self.far.on_delivered = lambda _: self.far.hold_delivery(True)
        self.far.hold_delivery(False)
        self.assertEqual(b"one", self.reader.received)
        self.far.hold_delivery(False)
        self.assertEqual(b"onetwo", self.reader.received)

    def test_reader_does_not_undo_it(self) -> None:
        self.far.hold_delivery(True)
        self.far.pauseProducing()
        self.far.resumeProducing()
        self.near.write(b"one")
        self.rig.settle()
        self.assertEqual(b"", self.reader.received)
        self.far.pauseProducing()
        self.far.hold_delivery(False)
        self.assertEqual(b"", self.reader.received)
        self.far.resumeProducing()
        self.assertEqual(b"one", self.reader.received)

    def test_before_there_is_a_program(self) -> None:
        near, far = self.rig.open_stream()
        far.hold_delivery(True)
        near.write(b"one")
        reader = HalfCloseable()
        far.connect(reader)
        self.rig.settle()
        self.assertEqual(b"", reader.received)
        far.hold_delivery(False)
        self.assertEqual(b"one", reader.received)

    def test_lost_while_held(self) -> None:
        self.far.hold_delivery(True)
        self.near.write(b"one")
        self.rig.settle()
        self.near.abortConnection()
        self.rig.settle()
        self.far.hold_delivery(False)
        self.assertEqual([Code.ABORTED], self.reader.told)

    def test_data_link(self) -> None:
        """
        On a data link nothing is read while it is held.
        """
        pair = self.rig.data_link()
        self.near.attach(pair.server)
        self.rig.settle()
        self.far.hold_delivery(True)
        self.assertEqual("paused", self.state(pair.far))
        self.near.write(b"one")
        self.rig.settle()
        self.assertEqual(b"", self.reader.received)
        self.far.hold_delivery(False)
        self.rig.settle()
        self.assertEqual(b"one", self.reader.received)
        self.assertEqual("producing", self.state(pair.far))

    def state(self, transport: object) -> str:
        return "producing" if getattr(transport, "reading", None) else "paused"


class PumpTests(SynchronousTestCase):
    def join(self, stream: StreamTransport) -> Remote:
        remote = Remote()
        join(self.rig.socket(remote), stream)
        return remote

    def setUp(self) -> None:
        self.rig = Rig()
        self.near, self.far = self.rig.open_stream()

    def test_held_when_joined(self) -> None:
        """
        Nothing is read from a visitor of a stream that is held from the beginning.
        """
        self.near.hold_writing(True)
        visitor, target = self.join(self.near), self.join(self.far)
        visitor.transport.write(b"hello")
        self.rig.settle()
        self.assertEqual(b"", target.received)
        self.near.hold_writing(False)
        self.rig.settle()
        self.assertEqual(b"hello", target.received)

    def test_not_in_the_kernel(self) -> None:
        """
        A stream that is paced is not even looked at, whether the kernel could move it.
        """
        pipes = Pipes()
        self.addCleanup(pipes.clear)
        self.rig.server.mux.pipes = pipes
        self.near.attach(self.rig.data_link().server)
        self.rig.settle()
        consider = kernel_pump(self.near, self.rig.socket(Remote()))
        self.near.paced = True
        with capturedLogs() as told:
            consider()
            self.assertEqual([], told)
            self.near.paced = False
            consider()
        self.assertEqual("copied", told[0]["how"])
