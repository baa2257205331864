"""
Tests of L{reitunnel.relay.records}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import LogEvent, Logger, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code
from reitunnel.interfaces import IStream, ITunnel
from reitunnel.relay import StreamRecord, TunnelRecord, log_closed
from tests.hooks.fakes import FakeSession
from tests.relay.memory import HERE, THERE
from tests.relay.programs import HalfCloseable
from tests.relay.rig import TUNNEL, Rig


class Hooks:
    """
    Data hooks that can be switched on.
    """

    data_received: Callable[[ITunnel, int], None] | None = None
    data_sent: Callable[[ITunnel, int], None] | None = None


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hooks = Hooks()
        self.closed: list[tuple[Code, str]] = []
        self.overs: list[tuple[Code, str]] = []
        self.tunnel = TunnelRecord(
            FakeSession(identity="token:office", instance="laptop"),
            TUNNEL,
            kind="tcp",
            bind="",
            port=0,
            target="127.0.0.1:80",
            metadata={"team": "web"},
            opened_at=1000.0,
            hooks=self.hooks,
            close=lambda code, reason: self.closed.append((code, reason)),
        )
        self.tunnel.on_over = lambda code, reason: self.overs.append((code, reason))

    def stream(self, number: int = 2) -> StreamRecord:
        """
        Make a stream's record.
        """
        return StreamRecord(self.tunnel, number, THERE, 1001.0)


class TunnelRecordTests(RecordTests):
    def test_interface(self) -> None:
        verifyObject(ITunnel, self.tunnel)

    def test_rewrite(self) -> None:
        """
        Only what is said is changed, and only as long as that is of use.
        """
        self.assertRaises(RuntimeError, self.tunnel.rewrite, port=6000)
        self.tunnel.rewritable = True
        self.tunnel.rewrite(port=6000)
        self.assertEqual(6000, self.tunnel.port)
        self.assertEqual({"team": "web"}, self.tunnel.metadata)
        self.tunnel.rewrite(metadata={})
        self.assertEqual(6000, self.tunnel.port)
        self.assertEqual({}, self.tunnel.metadata)

    def test_label(self) -> None:
        self.assertEqual("tunnel 1 of token:office/laptop", self.tunnel.label)

    def test_close(self) -> None:
        self.tunnel.close()
        self.tunnel.close(Code.POLICY, "not at night")
        self.assertEqual(
            [(Code.CLOSED, ""), (Code.POLICY, "not at night")], self.closed
        )

    def test_over_without_streams(self) -> None:
        self.assertFalse(self.tunnel.ended)
        self.tunnel.end(Code.CLOSED, "enough")
        self.assertTrue(self.tunnel.ended)
        self.tunnel.end(Code.INTERNAL, "again")
        self.assertEqual([(Code.CLOSED, "enough")], self.overs)

    def test_over_after_the_last_stream(self) -> None:
        rig = Rig()
        streams = []
        for number in (2, 4):
            near, _ = rig.open_stream()
            streams.append(self.stream(number))
            streams[-1].begin(near)
        self.assertEqual(tuple(streams), tuple(self.tunnel.streams))
        self.tunnel.end(Code.CLOSED, "enough")
        self.tunnel.remove(streams[0])
        self.assertEqual([], self.overs)
        self.tunnel.remove(streams[1])
        self.assertEqual([(Code.CLOSED, "enough")], self.overs)
        self.assertEqual((), tuple(self.tunnel.streams))

    def test_streams_end_first(self) -> None:
        near, _ = Rig().open_stream()
        stream = self.stream()
        stream.begin(near)
        self.tunnel.remove(stream)
        self.assertEqual([], self.overs)
        self.tunnel.end(Code.CLOSED, "")
        self.assertEqual([(Code.CLOSED, "")], self.overs)

    def test_over_without_anybody_to_tell(self) -> None:
        self.tunnel.on_over = None
        self.tunnel.end(Code.CLOSED, "")
        self.assertTrue(self.tunnel.ended)


class StreamRecordTests(RecordTests):
    def setUp(self) -> None:
        super().setUp()
        self.rig = Rig()
        self.program, self.other = HalfCloseable(), HalfCloseable()
        self.near, self.far = self.rig.stream_between(self.program, self.other)
        self.record = self.stream()

    def test_interface(self) -> None:
        verifyObject(IStream, self.record)

    def test_counts(self) -> None:
        """
        A tunnel's counts are those of its streams.
        """
        second = self.stream(4)
        self.record.received(3)
        self.record.sent(5)
        second.received(7)
        self.assertEqual((3, 5), (self.record.bytes_received, self.record.bytes_sent))
        self.assertEqual((10, 5), (self.tunnel.bytes_received, self.tunnel.bytes_sent))

    def test_hooks(self) -> None:
        """
        They may come and go at any time.
        """
        told: list[tuple[str, object, int]] = []
        self.record.received(1)
        self.hooks.data_received = lambda tunnel, n: told.append(("in", tunnel, n))
        self.hooks.data_sent = lambda tunnel, n: told.append(("out", tunnel, n))
        self.record.received(2)
        self.record.sent(3)
        self.hooks.data_received = self.hooks.data_sent = None
        self.record.sent(4)
        self.assertEqual([("in", self.tunnel, 2), ("out", self.tunnel, 3)], told)

    def test_close(self) -> None:
        self.record.begin(self.near)
        self.record.close(Code.POLICY, "not at night")
        self.rig.settle()
        self.assertEqual([Code.POLICY], self.program.codes)
        self.assertEqual([Code.POLICY], self.other.codes)

    def test_close_before_it_is_open(self) -> None:
        """
        A hook may close a stream while it decides on it.
        """
        self.record.close(Code.POLICY, "not at night")
        self.record.begin(self.near)
        self.rig.settle()
        self.assertEqual([Code.POLICY], self.program.codes)
        self.assertEqual([Code.POLICY], self.other.codes)

    def test_close_once_it_is_over(self) -> None:
        self.record.begin(self.near)
        self.far.abortConnection()
        self.rig.settle()
        self.record.over(Code.ABORTED, "")
        self.record.close()
        self.assertEqual([Code.ABORTED], self.program.codes)
        self.assertIsNone(self.record.transport)


class PacingTests(RecordTests):
    def setUp(self) -> None:
        super().setUp()
        self.rig = Rig()
        self.near, self.far = self.rig.open_stream()
        self.record = self.stream()
        self.told: list[int] = []

    def test_told(self) -> None:
        """
        Who paces is told after the data hooks.
        """
        self.hooks.data_received = lambda _, count: self.told.append(-count)
        self.record.pace_received(self.told.append)
        self.record.received(1)
        self.record.sent(2)
        self.assertEqual([-1, 1], self.told)

    def test_before_it_is_open(self) -> None:
        """
        As on the server, where hooks decide first.
        """
        self.record.pace_received(self.told.append).hold()
        self.assertFalse(self.near.writing_held)
        self.record.begin(self.near)
        self.assertTrue(self.near.writing_held)
        self.assertTrue(self.near.paced)

    def test_once_it_is_there(self) -> None:
        """
        As on the client, where the stream has come before hooks decide on it.
        """
        self.record.begin(self.far, outward=False)
        self.assertFalse(self.far.paced)
        self.record.pace_received(self.told.append).hold()
        self.assertTrue(self.far.delivery_held)
        self.assertTrue(self.far.paced)
        self.record.pace_sent(self.told.append).hold()
        self.assertTrue(self.far.writing_held)

    def test_too_late(self) -> None:
        self.record.begin(self.near)
        self.record.sent(1)
        self.assertRaises(RuntimeError, self.record.pace_sent, self.told.append)

    def test_too_late_with_a_data_link(self) -> None:
        """
        It may be moved in the kernel already.
        """
        self.record.begin(self.near)
        self.near.attach(self.rig.data_link().server)
        self.assertRaises(RuntimeError, self.record.pace_sent, self.told.append)


class LogTests(RecordTests):
    def closing_line(self, code: Code, reason: str) -> LogEvent:
        """
        Log the close of the tunnel.
        """
        self.tunnel.address = HERE
        self.stream().received(10)
        self.stream().sent(20)
        with capturedLogs() as events:
            log_closed(Logger(), self.tunnel, 1002.5, code, reason)
        (event,) = events
        return event

    def test_closed(self) -> None:
        event = self.closing_line(Code.SHUTDOWN, "the server is stopping")
        self.assertEqual(
            "tunnel 1 of token:office/laptop closed after 2.5 s: received 10 bytes, "
            "sent 20 bytes: the server is stopping",
            event["log_format"].format(**event),
        )
        self.assertEqual("SHUTDOWN", event["code"])

    def test_closed_without_a_reason(self) -> None:
        event = self.closing_line(Code.LINK_LOST, "")
        self.assertEqual("link lost", event["reason"])
