"""
Tests of how the records of an audit trail are written, and of what is said when they
cannot be.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable
from errno import ENOSPC
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from reitunnel.errors import Code, Refused
from reitunnel.hooks import BaseHook, HookManager
from reitunnel.hooks.audit import AuditHook, AuditOptions
from reitunnel.hooks.audit_chain import BrokenRecord, Link, verify
from reitunnel.hooks.audit_writer import AGAIN, TOO_LONG
from tests.hooks.fakes import (
    FakeServer,
    FakeSession,
    FakeStream,
    FakeTunnel,
    RecordingHook,
)
from tests.hooks.support import ManualThreads
from tests.hooks.test_audit import AuditCase


class StopTests(AuditCase):
    def test_nothing_is_lost(self) -> None:
        for _ in range(3):
            self.hook.on_client_connect(FakeSession())
        self.hook.on_server_stop(FakeServer())
        finished = self.hook.finish()
        assert isinstance(finished, Deferred)
        self.assertNoResult(finished)
        self.threads.run_all()
        self.successResultOf(finished)
        self.assertEqual([*["client_connect"] * 3, "server_stop"], self.events())
        self.assertTrue(self.threads.stopped)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nothing_to_do(self) -> None:
        self.assertIsNone(
            AuditHook(AuditOptions(file=self.path)).finish(),
        )

    def test_started_again(self) -> None:
        """
        The chain goes on.
        """
        for _ in range(2):
            self.hook.on_server_start(FakeServer())
            self.hook.finish()
            self.threads.run_all()
        self.assertEqual(["server_start"] * 2, self.events())

    def test_what_comes_late(self) -> None:
        """
        What happens while the file is being closed is written too.
        """
        self.hook.on_server_stop(FakeServer())
        finished = self.hook.finish()
        self.threads.work()
        self.threads.deliver()
        self.hook.on_server_start(FakeServer())
        self.threads.run_all()
        assert isinstance(finished, Deferred)
        self.successResultOf(finished)
        self.assertEqual(["server_stop", "server_start"], self.events())

    def test_disk_is_gone(self) -> None:
        """
        It does not hang, and says what is lost.
        """
        self.break_disk()
        self.hook.on_server_stop(FakeServer())
        with capturedLogs() as events:
            finished = self.hook.finish()
            self.threads.run_all()
        assert isinstance(finished, Deferred)
        self.successResultOf(finished)
        self.assertEqual(
            [
                f"cannot write the audit trail {self.path}: No such file or directory",
                f"the audit trail {self.path} lacks the last 1 records",
            ],
            [formatEvent(event) for event in events],
        )


class NoThreads(ManualThreads):
    """
    Of a process that may have no more.
    """

    def run(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        raise RuntimeError("can't start new thread")


class FailureTests(AuditCase):
    def test_written_later(self) -> None:
        """
        What cannot be written waits, which is said once, and once that it is over.
        """
        self.break_disk()
        with capturedLogs() as events:
            for _ in range(3):
                self.hook.on_client_connect(FakeSession())
                self.threads.run_all()
                self.clock.advance(AGAIN)
            self.threads.run_all()
            self.mend_disk()
            self.clock.advance(AGAIN)
            self.threads.run_all()
        self.assertEqual(["client_connect"] * 3, self.events())
        self.assertEqual(
            [
                f"cannot write the audit trail {self.path}: No such file or directory",
                f"the audit trail {self.path} is written again",
            ],
            [formatEvent(event) for event in events],
        )

    def test_open(self) -> None:
        """
        By default, nobody is refused for it.
        """
        self.break_disk()
        self.hook.on_client_connect(FakeSession())
        self.threads.run_all()
        self.hook.on_client_connect(FakeSession())

    def test_fail_closed(self) -> None:
        hook = self.make(fail_closed=True)
        self.break_disk()
        hook.on_client_connect(FakeSession())
        self.threads.run_all()
        self.assertRaises(Refused, hook.on_client_connect, FakeSession())
        self.assertRaises(Refused, hook.on_tunnel_open, FakeTunnel())
        self.assertRaises(Refused, hook.on_stream_open, FakeStream())
        self.mend_disk()
        self.clock.advance(AGAIN)
        self.threads.run_all()
        hook.on_client_connect(FakeSession())

    def test_too_many(self) -> None:
        """
        What is above the capacity is lost, and the trail says how much.
        """
        hook = self.make(capacity=100, fail_closed=True)
        for _ in range(100):
            hook.on_tunnel_close(FakeTunnel(), Code.NONE, "")
        with capturedLogs() as events:
            hook.on_tunnel_close(FakeTunnel(), Code.NONE, "")
            hook.on_tunnel_close(FakeTunnel(), Code.NONE, "")
        self.assertEqual(1, len(events))
        self.assertRaises(Refused, hook.on_client_connect, FakeSession())
        self.threads.run_all()
        hook.on_client_connect(FakeSession())
        self.threads.run_all()
        records = self.records()
        self.assertEqual(102, len(records))
        self.assertEqual(("lost", 2), (records[100]["event"], records[100]["records"]))

    def test_any_failure(self) -> None:
        """
        Whatever goes wrong in the thread, it is said, and tried again.
        """
        hook = self.make(fail_closed=True)
        fdopen = os.fdopen

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("odd")

        self.patch(os, "fdopen", fail)
        with capturedLogs() as events:
            hook.on_client_connect(FakeSession())
            self.threads.run_all()
        self.assertEqual(
            [f"cannot write the audit trail {self.path}: RuntimeError: odd"],
            [formatEvent(event) for event in events],
        )
        self.assertRaises(Refused, hook.on_client_connect, FakeSession())
        self.patch(os, "fdopen", fdopen)
        self.clock.advance(AGAIN)
        self.threads.run_all()
        self.assertEqual(["client_connect"], self.events())

    def test_hangs(self) -> None:
        """
        A disk that does not answer is one that cannot be written.
        """
        hook = self.make(fail_closed=True)
        hook.on_client_connect(FakeSession())
        self.clock.advance(TOO_LONG - 1)
        hook.on_client_connect(FakeSession())
        with capturedLogs() as events:
            self.clock.advance(1)
            self.clock.advance(TOO_LONG)
            self.assertRaises(Refused, hook.on_client_connect, FakeSession())
            self.threads.run_all()
        self.assertEqual(
            f"cannot write the audit trail {self.path}: it takes more than 10 seconds\n"
            f"the audit trail {self.path} is written again",
            "\n".join(str(formatEvent(event)) for event in events),
        )
        hook.on_client_connect(FakeSession())
        self.threads.run_all()
        self.assertEqual(["client_connect"] * 3, self.events())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_no_threads(self) -> None:
        """
        That there are no more threads is no worse than a full disk.
        """
        threads = [NoThreads(), self.threads]
        hook = AuditHook(AuditOptions(file=self.path), lambda: threads.pop(0))
        HookManager(self.clock).register(hook)
        hook.on_client_connect(FakeSession())
        with capturedLogs() as events:
            self.clock.advance(0)
        self.assertEqual(
            [f"cannot write the audit trail {self.path}: can't start new thread"],
            [formatEvent(event) for event in events],
        )
        self.clock.advance(AGAIN)
        self.threads.run_all()
        self.assertEqual(["client_connect"], self.events())

    def test_lost_at_a_stop(self) -> None:
        """
        What a stop could not write is recorded as lost if there is a start after it.
        """
        self.break_disk()
        self.hook.on_server_stop(FakeServer())
        self.hook.finish()
        self.threads.run_all()
        self.mend_disk()
        self.hook.on_server_start(FakeServer())
        self.threads.run_all()
        self.assertEqual(["lost", "server_start"], self.events())


class ToldTests(AuditCase):
    """
    Who is told of what goes wrong.
    """

    def setUp(self) -> None:
        super().setUp()
        self.manager = HookManager(self.clock)
        self.hook = AuditHook(AuditOptions(file=self.path), self.new_threads)
        self.others = RecordingHook()
        self.manager.register(self.hook, name="audit")
        self.manager.register(self.others)

    def failures(self) -> int:
        return sum(
            figures.failures
            for figures in self.manager.statistics()
            if figures.hook == "audit"
        )

    def errors(self) -> list[str]:
        return [str(call[2]) for call in self.others.calls if call[1] == "on_error"]

    def record(self) -> None:
        self.hook.on_client_connect(FakeSession())
        self.threads.run_all()

    def test_cannot_be_written(self) -> None:
        """
        One outage is one failure of the hook.
        """
        self.record()
        self.break_disk()
        with capturedLogs() as events:
            self.record()
            for _ in range(3):
                self.clock.advance(AGAIN)
                self.threads.run_all()
        text = f"cannot write the audit trail {self.path}: No such file or directory"
        self.assertEqual([text], [formatEvent(event) for event in events])
        self.assertNotIn("log_failure", events[0])
        self.assertEqual((1, [text]), (self.failures(), self.errors()))
        self.mend_disk()
        self.clock.advance(AGAIN)
        self.threads.run_all()
        self.assertEqual(["client_connect"] * 2, self.events())

    def test_changed(self) -> None:
        """
        So is each change by others. The trail goes on, with a gap.
        """
        self.record()
        self.path.unlink()
        with capturedLogs() as events:
            self.record()
            self.record()
        text = (
            f"the audit trail {self.path} is gone: another program has moved or "
            "deleted it. A new file goes on from record 2"
        )
        self.assertEqual([text], [formatEvent(event) for event in events])
        self.assertEqual((1, [text]), (self.failures(), self.errors()))
        data = self.path.read_bytes()
        self.assertRaises(BrokenRecord, verify, BytesIO(data), Link())
        self.assertEqual((3, 4), (verify(BytesIO(data), None)[0], last_of(data)))

    def test_changed_and_full(self) -> None:
        """
        Both are said, in their order.
        """
        self.record()
        os.truncate(self.path, 3)
        fsync = os.fsync

        def fail(*_: object) -> None:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

        self.patch(os, "fsync", fail)
        with capturedLogs() as events:
            self.record()
        self.patch(os, "fsync", fsync)
        self.assertEqual(2, len(events))
        self.assertEqual(2, self.failures())
        self.assertIn("was changed by another program", self.errors()[0])
        self.assertIn("No space left on device", self.errors()[1])

    def test_answers_with_a_record(self) -> None:
        """
        A program that is told may have something recorded at once.
        """

        class Closing(BaseHook):
            def on_error(_self, error: BaseException, context: str) -> None:
                self.hook.on_tunnel_close(FakeTunnel(), Code.CLOSED, "")

        self.manager.register(Closing())
        self.record()
        self.break_disk()
        self.record()
        self.mend_disk()
        self.clock.advance(AGAIN)
        self.threads.run_all()
        self.assertEqual(["client_connect"] * 2 + ["tunnel_close"], self.events())
        self.assertEqual(1, self.threads.most)

    def test_let_go(self) -> None:
        """
        When the hook is not there any more, it is in the log still.
        """
        self.record()
        self.break_disk()
        self.hook.on_client_connect(FakeSession())
        del self.hook
        self.manager = HookManager(self.clock)
        gc.collect()
        with capturedLogs() as events:
            self.threads.run_all()
        self.assertEqual(
            [f"cannot write the audit trail {self.path}: No such file or directory"],
            [formatEvent(event) for event in events],
        )


def last_of(data: bytes) -> int:
    """
    The number of the last record.
    """
    number: int = json.loads(data.splitlines()[-1])["seq"]
    return number
