"""
Tests of L{reitunnel.relay.stream}: how streams end.
"""

from __future__ import annotations

import gc
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.relay.stream import LINGER
from tests.relay.programs import HalfCloseable, Plain
from tests.relay.rig import Rig

LOTS = 1 << 20


class EndTests(SynchronousTestCase):
    rig_type: type[Rig] = Rig

    def setUp(self) -> None:
        self.rig = self.rig_type()
        self.program = HalfCloseable()
        self.other = HalfCloseable()
        self.near, self.far = self.rig.stream_between(self.program, self.other)
        self.overs: list[tuple[str, Code, str]] = []
        for name, transport in (("near", self.near), ("far", self.far)):
            transport.on_over = lambda code, reason, name=name: self.overs.append(  # type: ignore[misc]  # mypy does not see the default
                (name, code, reason)
            )

    def wait(self, seconds: float) -> None:
        """
        Let time pass while the link works.
        """
        for _ in range(round(seconds)):
            self.rig.clock.advance(1)
            self.rig.settle()

    def check_over(self, code: Code, reason: str = "") -> None:
        """
        Each end was told once, and nothing is left.
        """
        self.rig.settle()
        self.assertEqual(
            [("far", code, reason), ("near", code, reason)], sorted(self.overs)
        )
        self.assertEqual([], self.rig.leftovers())

    def test_in_order(self) -> None:
        self.near.loseConnection()
        self.rig.settle()
        self.assertEqual(([], []), (self.program.codes, self.overs))
        self.far.loseConnection()
        self.check_over(Code.NONE)
        self.assertEqual([Code.NONE], self.program.codes)
        self.assertEqual([Code.NONE], self.other.codes)

    def test_both_at_once(self) -> None:
        self.near.write(b"near")
        self.far.write(b"far")
        self.near.loseWriteConnection()
        self.far.loseWriteConnection()
        self.rig.settle()
        self.near.loseConnection()
        self.far.loseConnection()
        self.check_over(Code.NONE)
        self.assertEqual(
            (b"far", b"near"), (self.program.received, self.other.received)
        )

    def test_closed_with_data_on_the_way(self) -> None:
        """
        As the kernel does, a side that has closed tells the one that still sends.
        """
        self.near.loseConnection()
        self.far.write(b"never read")
        self.check_over(Code.ABORTED)
        self.assertEqual([Code.ABORTED], self.other.codes)

    def test_closed_with_data_to_send(self) -> None:
        """
        What the other side sends meanwhile is dropped, but it must not get stuck:
        it may only read when it has written.
        """
        self.far.pauseProducing()
        self.near.write(bytes(LOTS))
        self.near.loseConnection()
        self.far.write(bytes(LOTS))
        self.rig.settle()
        self.assertEqual(0, self.far.stream.queued)
        self.far.resumeProducing()
        self.far.loseWriteConnection()
        self.rig.settle()
        self.assertEqual(LOTS, len(self.other.received))
        self.far.loseConnection()
        self.check_over(Code.NONE)
        self.assertEqual(b"", self.program.received)

    def test_closed_with_data_held(self) -> None:
        self.near.pauseProducing()
        self.far.write(bytes(1000))
        self.rig.settle()
        self.near.loseConnection()
        self.assertEqual(0, self.near.stream.unread)
        self.rig.settle()
        self.far.loseConnection()
        self.check_over(Code.NONE)

    def test_closed_with_data_held_after_the_half_close(self) -> None:
        """
        The other side cannot learn from an end that what it sent was never read.
        """
        self.near.pauseProducing()
        self.far.write(bytes(1000))
        self.near.loseWriteConnection()
        self.rig.settle()
        self.near.loseConnection()
        self.assertEqual([], self.program.codes)
        self.check_over(Code.ABORTED)
        self.assertEqual([Code.ABORTED], self.program.codes)

    def test_abort(self) -> None:
        """
        As on TCP, C{connectionLost} is not called from within.
        """
        self.near.abortConnection()
        self.near.abortConnection()
        self.assertEqual([], self.program.codes)
        self.rig.clock.advance(0)
        self.assertEqual([Code.ABORTED], self.program.codes)
        self.check_over(Code.ABORTED)
        self.assertEqual([Code.ABORTED], self.other.codes)

    def test_abort_as_the_session_ends(self) -> None:
        """
        Who is told in the next turn is told once.
        """
        self.near.abortConnection()
        self.rig.server.mux.abort(Code.CLOSED, "gone")
        self.assertEqual([Code.ABORTED], self.program.codes)
        self.rig.settle()
        self.assertEqual([Code.ABORTED], self.program.codes)

    def test_abort_with_a_code(self) -> None:
        """
        It travels, and so does the reason.
        """
        self.near.abort(Code.POLICY, "not at night")
        self.assertEqual([Code.POLICY], self.program.codes)
        self.check_over(Code.POLICY, "not at night")
        self.assertEqual([Code.POLICY], self.other.codes)

    def test_abort_by_both(self) -> None:
        """
        Both sides agree on the code: it is that of the side that opened the stream.
        """
        self.far.abort(Code.LIMIT, "far")
        self.near.abort(Code.POLICY, "near")
        self.check_over(Code.POLICY, "near")

    def test_abort_after_the_half_closes(self) -> None:
        self.near.loseWriteConnection()
        self.far.loseWriteConnection()
        self.rig.settle()
        self.near.abortConnection()
        self.check_over(Code.ABORTED)
        self.assertEqual([Code.ABORTED], self.other.codes)

    def test_abort_once_this_side_has_ended(self) -> None:
        """
        The program is let go; the other side hears nothing of it.
        """
        self.far.loseWriteConnection()
        self.rig.settle()
        self.near.loseConnection()
        self.rig.settle()
        self.assertEqual([], self.program.codes)
        self.near.abortConnection()
        self.rig.settle()
        self.assertEqual([Code.ABORTED], self.program.codes)
        self.assertEqual([], self.other.codes)
        self.far.loseConnection()
        self.check_over(Code.NONE)
        self.assertEqual([Code.NONE], self.other.codes)

    def test_abort_crosses_the_end(self) -> None:
        """
        The far side resets what the near side has ended in order: the reset
        counts, on both sides.
        """
        self.far.loseWriteConnection()
        self.rig.settle()
        self.near.loseConnection()
        self.far.abort(Code.LIMIT, "enough")
        self.check_over(Code.LIMIT, "enough")
        self.assertEqual([Code.LIMIT], self.program.codes)

    def test_plain_protocols(self) -> None:
        """
        When one closes, so does the other.
        """
        program, other = Plain(), Plain()
        near, _ = self.rig.stream_between(program, other)
        near.loseConnection()
        self.rig.settle()
        self.assertEqual(["made", Code.NONE], program.told)
        self.assertEqual(["made", Code.NONE], other.told)
        self.near.abortConnection()
        self.check_over(Code.ABORTED)

    def test_session_lost(self) -> None:
        self.rig.server.mux.abort(Code.TIMEOUT, "silent")
        self.assertEqual([("near", Code.TIMEOUT, "silent")], self.overs)
        self.assertEqual([Code.TIMEOUT], self.program.codes)
        self.rig.settle()
        self.assertEqual([Code.LINK_LOST], self.other.codes)
        self.assertEqual([], self.rig.clock.getDelayedCalls())

    def test_session_lost_while_lingering(self) -> None:
        self.near.loseConnection()
        self.rig.settle()
        self.rig.close()
        self.assertEqual([], self.rig.clock.getDelayedCalls())
        self.assertEqual([Code.CLOSED], self.program.codes)

    def test_linger(self) -> None:
        """
        A side that has closed does not wait for ever.
        """
        self.near.loseConnection()
        self.wait(LINGER - 1)
        self.assertEqual([], self.overs)
        self.wait(1)
        self.check_over(Code.TIMEOUT, "the other side did not close")
        self.assertEqual([Code.TIMEOUT], self.program.codes)

    def test_linger_begins_when_all_is_sent(self) -> None:
        """
        However long that takes: what was written must arrive, and then the other
        side has its time.
        """
        self.far.pauseProducing()
        self.near.write(bytes(LOTS))
        self.near.loseConnection()
        self.wait(3.5 * LINGER)
        self.assertEqual([], self.overs)
        self.far.resumeProducing()
        self.rig.settle()
        self.assertEqual(LOTS, len(self.other.received))
        self.wait(LINGER - 1)
        self.assertEqual([], self.overs)
        self.wait(LINGER)
        self.check_over(Code.TIMEOUT, "the other side did not close")

    def test_linger_is_over_with_the_stream(self) -> None:
        self.near.loseConnection()
        self.wait(1)
        self.far.loseConnection()
        self.check_over(Code.NONE)

    def test_linger_once_this_side_has_ended(self) -> None:
        """
        The other side may need longer for what it has got: it is not disturbed,
        but the program here need not wait for that.
        """
        self.far.loseWriteConnection()
        self.rig.settle()
        self.near.loseConnection()
        self.wait(2 * LINGER)
        self.assertEqual([Code.TIMEOUT], self.program.codes)
        self.assertEqual([], self.other.codes)
        self.far.loseConnection()
        self.check_over(Code.NONE)

    def test_no_references(self) -> None:
        """
        When a stream is over, nothing keeps its program alive, not even the
        transport that somebody still has.
        """
        program = HalfCloseable()
        near, far = self.rig.stream_between(program, HalfCloseable())
        near.loseConnection()
        far.loseConnection()
        self.rig.settle()
        self.assertEqual([Code.NONE], program.codes)
        watch = ref(program)
        gc.disable()
        try:
            del program
            self.assertIsNone(watch())
        finally:
            gc.enable()
        self.assertTrue(near.lost)
