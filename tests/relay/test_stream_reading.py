"""
Tests of L{reitunnel.relay.stream}: what a protocol is given.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.relay import StreamTransport
from reitunnel.wire.streams import EARLY_CREDIT
from tests.relay.programs import HalfCloseable, Plain, fail
from tests.relay.rig import Rig


class ReadingTests(SynchronousTestCase):
    """
    The program at the near end reads what the test writes to the far one.
    """

    def setUp(self) -> None:
        self.rig = Rig()
        self.program = HalfCloseable()
        self.near, self.far = self.rig.open_stream()

    def connect(self, program: Plain | None = None) -> None:
        """
        Connect the program.
        """
        self.near.connect(program or self.program)

    def send(self, *pieces: bytes) -> None:
        """
        Send pieces, each of them in a frame of its own.
        """
        for piece in pieces:
            self.far.write(piece)
            self.rig.settle()

    def finish(self) -> None:
        """
        Half-close the far end.
        """
        self.far.loseWriteConnection()
        self.rig.settle()

    def credit_given_back(self) -> bool:
        """
        Whether nothing of what came counts as unread.
        """
        return self.near.stream.unread == 0

    def test_data(self) -> None:
        self.connect()
        self.send(b"one", b"two")
        self.assertEqual(["made", b"one", b"two"], self.program.told)
        self.assertTrue(self.credit_given_back())

    def test_held_until_there_is_a_protocol(self) -> None:
        """
        No credit is given back for what nobody has got.
        """
        self.send(b"one", b"two")
        self.finish()
        self.assertEqual(6, self.near.stream.unread)
        self.connect()
        self.assertEqual(["made", b"one", b"two", "finished"], self.program.told)
        self.assertTrue(self.credit_given_back())

    def test_held_while_paused(self) -> None:
        self.connect()
        self.near.pauseProducing()
        self.send(b"one", b"two")
        self.assertEqual(["made"], self.program.told)
        self.assertEqual(6, self.near.stream.unread)
        self.near.resumeProducing()
        self.assertEqual(["made", b"one", b"two"], self.program.told)
        self.assertTrue(self.credit_given_back())

    def test_tiny_pieces_held(self) -> None:
        """
        A peer that sends single bytes to a program that does not read costs little
        more than the bytes.
        """
        self.connect()
        self.near.pauseProducing()
        for number in range(EARLY_CREDIT):
            self.near.received(bytes([number % 251]))
        self.near.resumeProducing()
        pieces = [each for each in self.program.told if isinstance(each, bytes)]
        expected = bytes(number % 251 for number in range(EARLY_CREDIT))
        self.assertEqual(expected, b"".join(pieces))
        self.assertLess(len(pieces), 100)

    def test_end_held_while_paused(self) -> None:
        self.connect()
        self.near.pauseProducing()
        self.finish()
        self.assertEqual(["made"], self.program.told)
        self.near.resumeProducing()
        self.assertEqual(["made", "finished"], self.program.told)

    def test_end_is_told_once(self) -> None:
        self.connect()
        self.finish()
        self.near.pauseProducing()
        self.near.resumeProducing()
        self.assertEqual(["made", "finished"], self.program.told)

    def test_end_after_data(self) -> None:
        """
        Even if both came while the program was paused.
        """
        self.connect()
        self.near.pauseProducing()
        self.send(b"last")
        self.finish()
        self.near.resumeProducing()
        self.assertEqual(["made", b"last", "finished"], self.program.told)

    def test_held_is_bounded(self) -> None:
        """
        A program that does not read stops the other side at the credit it has.
        """
        self.connect()
        self.near.pauseProducing()
        self.send(bytes(4 << 20))
        window = self.near.stream.window
        self.assertEqual(window, self.near.stream.unread)
        self.assertEqual((4 << 20) - window, self.far.stream.queued)
        self.near.resumeProducing()
        self.rig.settle()
        self.assertEqual(4 << 20, len(self.program.received))

    def test_pause_in_data_received(self) -> None:
        """
        Nothing more comes, not even what came in the same read.
        """
        self.connect()
        self.near.pauseProducing()
        self.send(b"one", b"two")
        self.program.on_data = self.near.pauseProducing
        self.near.resumeProducing()
        self.assertEqual(["made", b"one"], self.program.told)
        self.near.resumeProducing()
        self.assertEqual(["made", b"one", b"two"], self.program.told)

    def test_resume_in_data_received(self) -> None:
        """
        The next data comes when the program has returned, not in the middle of
        what it does; so does the end.
        """

        def pause_and_resume() -> None:
            self.near.pauseProducing()
            self.near.resumeProducing()

        self.connect()
        self.near.pauseProducing()
        self.send(b"one", b"two")
        self.finish()
        self.program.on_data = pause_and_resume
        self.near.resumeProducing()
        self.assertEqual(["made", b"one", b"two", "finished"], self.program.told)

    def test_pause_in_connection_made(self) -> None:
        """
        A program that is not ready, such as a port forwarder, gets nothing yet.
        """
        self.send(b"early")
        self.program.on_made = self.near.pauseProducing
        self.connect()
        self.assertEqual(["made"], self.program.told)
        self.near.resumeProducing()
        self.assertEqual(["made", b"early"], self.program.told)

    def test_resume_in_connection_made(self) -> None:
        self.send(b"early")
        self.program.on_made = self.near.resumeProducing
        self.connect()
        self.assertEqual(["made", b"early"], self.program.told)

    def test_resume_without_protocol(self) -> None:
        self.near.resumeProducing()
        self.send(b"early")
        self.connect()
        self.assertEqual(["made", b"early"], self.program.told)

    def test_close_in_data_received(self) -> None:
        """
        What was held after that is dropped, and the end is not told.
        """
        self.send(b"one", b"two")
        self.finish()
        self.program.on_data = self.near.loseConnection
        self.connect()
        self.assertEqual(["made", b"one"], self.program.told)
        self.rig.settle()
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual(["made", b"one", Code.NONE], self.program.told)

    def test_abort_in_data_received(self) -> None:
        """
        C{connectionLost} is the last call, and comes in the next turn.
        """
        self.send(b"one", b"two")
        self.finish()
        self.program.on_data = self.near.abortConnection
        self.connect()
        self.assertEqual(["made", b"one"], self.program.told)
        self.rig.settle()
        self.assertEqual(["made", b"one", Code.ABORTED], self.program.told)
        self.assertEqual([], self.rig.leftovers())

    def test_abort_in_read_connection_lost(self) -> None:
        self.program.on_finished = self.near.abortConnection
        self.connect()
        self.finish()
        self.assertEqual(["made", "finished", Code.ABORTED], self.program.told)

    def test_close_in_read_connection_lost(self) -> None:
        self.program.on_finished = self.near.loseConnection
        self.connect()
        self.finish()
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual(["made", "finished", Code.NONE], self.program.told)

    def test_write_in_data_received(self) -> None:
        echo = HalfCloseable()
        echo.on_data = lambda: self.near.write(echo.received)
        self.connect(echo)
        other = HalfCloseable()
        self.far.connect(other)
        self.send(b"echo")
        self.assertEqual(b"echo", other.received)

    def test_abort_in_connection_made(self) -> None:
        self.send(b"early")
        self.program.on_made = self.near.abortConnection
        self.connect()
        self.rig.settle()
        self.assertEqual(["made", Code.ABORTED], self.program.told)

    def test_connect_once_lost(self) -> None:
        """
        A protocol that comes too late is told so: it may hold something that it
        must let go of.
        """
        self.far.abortConnection()
        self.rig.settle()
        self.send(b"late")
        self.connect()
        self.assertEqual(["made", Code.ABORTED], self.program.told)

    def test_plain_protocol(self) -> None:
        """
        To one that knows nothing of half-closes, the end of what it reads is the
        end. What it has written is sent.
        """
        program, other = Plain(), HalfCloseable()
        self.connect(program)
        self.far.connect(other)
        self.near.write(b"answer")
        self.finish()
        self.assertEqual(["made", b"answer", "finished"], other.told)
        self.far.loseConnection()
        self.rig.settle()
        self.assertEqual(["made", Code.NONE], program.told)
        self.assertEqual([Code.NONE], other.codes)
        self.assertEqual([], self.rig.leftovers())

    def test_counts(self) -> None:
        """
        Bytes count as delivered when the program has got them.
        """
        counts: list[int] = []
        self.near.on_delivered = counts.append
        self.send(b"one")
        self.assertEqual([], counts)
        self.connect()
        self.send(b"three")
        self.assertEqual([3, 5], counts)

    def test_credit_of_one_who_pauses_in_data_received(self) -> None:
        """
        What it has got is not held against it.
        """
        self.connect()
        self.program.on_data = self.near.pauseProducing
        self.send(bytes(1000))
        self.assertTrue(self.credit_given_back())


class BrokenProgramTests(SynchronousTestCase):
    """
    A program that raises loses its stream. The others do not notice.
    """

    def setUp(self) -> None:
        self.rig = Rig()
        self.program = HalfCloseable()
        self.other = HalfCloseable()
        self.bystander = HalfCloseable()

    def check(self) -> None:
        """
        Both ends were reset, the failure was logged, and a second stream still
        works.
        """
        self.rig.settle()
        self.assertEqual([Code.INTERNAL], self.program.codes)
        self.assertEqual([Code.INTERNAL], self.other.codes)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        far = HalfCloseable()
        near, _ = self.rig.stream_between(self.bystander, far)
        near.write(b"still here")
        self.rig.settle()
        self.assertEqual(b"still here", far.received)
        self.assertFalse(self.rig.server.mux.lost)
        near.abortConnection()
        self.rig.settle()
        self.assertEqual([], self.rig.leftovers())

    def between(self) -> tuple[StreamTransport, StreamTransport]:
        """
        Open a stream with the broken program at its near end.
        """
        return self.rig.stream_between(self.program, self.other)

    def test_connection_made(self) -> None:
        self.program.on_made = fail
        self.between()
        self.check()

    def test_data_received(self) -> None:
        self.program.on_data = fail
        _, far = self.between()
        far.write(b"data")
        far.loseWriteConnection()
        self.check()

    def test_data_received_of_what_was_held(self) -> None:
        self.program.on_data = fail
        near, far = self.rig.open_stream()
        far.write(b"data")
        self.rig.settle()
        far.connect(self.other)
        near.connect(self.program)
        self.check()

    def test_read_connection_lost(self) -> None:
        self.program.on_finished = fail
        _, far = self.between()
        far.loseWriteConnection()
        self.check()

    def test_connection_lost(self) -> None:
        """
        The stream is over already, with the code that it ended with.
        """
        self.program.on_lost = fail
        _, far = self.between()
        far.abort(Code.POLICY)
        self.rig.settle()
        self.assertEqual([Code.POLICY], self.program.codes)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        self.assertFalse(self.rig.server.mux.lost)
        self.assertEqual([], self.rig.leftovers())

    def test_connection_lost_with_the_session(self) -> None:
        """
        One that raises does not keep the others from being told.
        """
        self.program.on_lost = fail
        self.between()
        self.rig.stream_between(self.bystander, HalfCloseable())
        self.rig.close()
        self.assertEqual([Code.CLOSED], self.bystander.codes)
        self.assertEqual(1, len(self.rig.server.told("mux_lost")))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_write_in_connection_lost(self) -> None:
        """
        What is done to a stream that is lost does nothing.
        """

        def everything() -> None:
            near.write(b"late")
            near.writeSequence([b"late"])
            near.loseWriteConnection()
            near.loseConnection()
            near.abortConnection()
            near.pauseProducing()
            near.resumeProducing()
            near.stopProducing()
            near.unregisterProducer()
            near.abort(Code.POLICY)

        self.program.on_lost = everything
        near, far = self.between()
        far.abortConnection()
        self.rig.settle()
        self.assertEqual([Code.ABORTED], self.program.codes)
        self.assertEqual([Code.ABORTED], self.other.codes)
        self.assertEqual([], self.rig.leftovers())


class EarlyDataTests(SynchronousTestCase):
    """
    What the server's side sends before the client's has accepted.
    """

    def test_early_data(self) -> None:
        """
        It is held at the client, a little of it, until there is a target.
        """
        rig = Rig()
        visitor = rig.offer_stream()
        visitor.connect(HalfCloseable())
        visitor.write(bytes(1 << 20))
        visitor.loseWriteConnection()
        rig.settle()
        target = rig.targets[0]
        self.assertEqual(EARLY_CREDIT, target.stream.unread)
        program = HalfCloseable()
        target.accept()
        target.connect(program)
        rig.settle()
        self.assertEqual(bytes(1 << 20), program.received)
        self.assertEqual("finished", program.told[-1])

    def test_refused(self) -> None:
        rig = Rig()
        visitor = rig.offer_stream()
        program = HalfCloseable()
        visitor.connect(program)
        visitor.write(b"early")
        rig.settle()
        rig.targets[0].abort(Code.TARGET_REFUSED, "connection refused")
        rig.settle()
        self.assertEqual(["made", Code.TARGET_REFUSED], program.told)
        self.assertEqual([], rig.leftovers())

    def test_closed_before_it_was_accepted(self) -> None:
        """
        There is no way to end such a stream in order.
        """
        rig = Rig()
        visitor = rig.offer_stream()
        program = HalfCloseable()
        visitor.connect(program)
        rig.targets[0].loseConnection()
        rig.settle()
        self.assertEqual(["made", Code.ABORTED], program.told)
        self.assertEqual([], rig.leftovers())

    def test_accepted_once_reset(self) -> None:
        rig = Rig()
        visitor = rig.offer_stream()
        visitor.abortConnection()
        rig.settle()
        rig.targets[0].accept()
        rig.settle()
        self.assertEqual([], rig.leftovers())

    def test_on_accepted(self) -> None:
        rig = Rig()
        accepted: list[str] = []
        visitor = rig.offer_stream()
        visitor.on_accepted = lambda: accepted.append("accepted")
        rig.settle()
        self.assertEqual([], accepted)
        rig.targets[0].accept()
        rig.settle()
        self.assertEqual(["accepted"], accepted)
