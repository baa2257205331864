"""
Tests of the C{audit} hook, and of how its records are written.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, ConfigError, Refused
from reitunnel.hooks import HookManager, build_hooks
from reitunnel.hooks.audit import AuditHook, AuditHookFactory, AuditOptions
from reitunnel.hooks.audit_chain import Link, verify
from reitunnel.hooks.audit_writer import AGAIN
from reitunnel.interfaces import (
    IBackgroundHook,
    IClientHook,
    IErrorHook,
    IHeirHook,
    IHookFactory,
    IReactorHook,
    IServerHook,
    IStreamHook,
    ITunnelHook,
)
from tests.hooks.fakes import FakeServer, FakeSession, FakeStream, FakeTunnel
from tests.hooks.support import ManualThreads
from tests.pair import Pair

EVENTS = [IServerHook, IClientHook, ITunnelHook, IStreamHook, IErrorHook]


class AuditTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.path = directory / "audit.jsonl"
        self.clock = Clock()
        self.threads = ManualThreads()
        self.hook = self.make()

    def new_threads(self) -> ManualThreads:
        self.threads = ManualThreads()
        return self.threads

    def make(self, **options: Any) -> AuditHook:
        """
        Make a hook, and register it.
        """
        hook = AuditHook(AuditOptions(file=str(self.path), **options), self.new_threads)
        HookManager(self.clock).register(hook)
        return hook

    def records(self) -> list[dict[str, Any]]:
        """
        Read the records, which must be whole.
        """
        data = self.path.read_bytes()
        verify(BytesIO(data), Link())
        return [json.loads(line) for line in data.splitlines()]

    def events(self) -> list[str]:
        return [record["event"] for record in self.records()]

    def break_disk(self) -> None:
        """
        Let the directory be gone.
        """
        self.path.parent.rename(self.path.parent.with_suffix(".away"))

    def mend_disk(self) -> None:
        self.path.parent.with_suffix(".away").rename(self.path.parent)


class InterfaceTests(AuditTests):
    def test_all(self) -> None:
        for interface in (*EVENTS, IBackgroundHook, IHeirHook, IReactorHook):
            verifyObject(interface, self.hook)

    def test_only_what_is_asked(self) -> None:
        hook = self.make(events=("error", "client"))
        self.assertEqual(
            [IClientHook, IErrorHook],
            [interface for interface in EVENTS if interface.providedBy(hook)],
        )

    def test_factory(self) -> None:
        verifyObject(IHookFactory, AuditHookFactory())


class ReloadTests(AuditTests):
    def test_comes_and_goes(self) -> None:
        """
        A hook that a reload brings opens its file once; when it goes, all is written
        and the file is closed.
        """
        hook = AuditHook(
            AuditOptions(file=str(self.path), events=("server",)), self.new_threads
        )
        manager, server = HookManager(self.clock), FakeServer()
        opened = self.successResultOf(
            Deferred.fromCoroutine(manager.welcome([hook], server))
        )
        threads = self.threads
        manager.replace([], [hook])
        threads.run_all()
        self.assertEqual(["server_start"], self.events())
        manager.replace([hook], [])
        manager.notify_server_stop(opened, server)
        # Had it been attached again, it would have made other threads.
        self.assertIs(threads, self.threads)
        finishing = Deferred.fromCoroutine(manager.finish_removed())
        self.assertNoResult(finishing)
        threads.run_all()
        self.successResultOf(finishing)
        self.assertTrue(threads.stopped)
        self.assertEqual(["server_start", "server_stop"], self.events())


class OptionsTests(AuditTests):
    def mistake(self, **options: Any) -> str:
        error = self.assertRaises(
            ConfigError,
            build_hooks,
            [{"name": "audit", **options}],
            MemoryReactorClock(),
            factories={"audit": AuditHookFactory()},
        )
        return str(error)

    def test_good(self) -> None:
        [hook] = build_hooks(
            [{"name": "audit", "file": str(self.path), "fsync": "close"}],
            MemoryReactorClock(),
            factories={"audit": AuditHookFactory()},
        )
        self.assertIsInstance(hook, AuditHook)

    def test_no_file(self) -> None:
        self.assertEqual("hooks[0].file: missing", self.mistake())

    def test_unwritable(self) -> None:
        path = self.path.parent / "none" / "audit.jsonl"
        self.assertEqual(
            f"hooks[0]: cannot write {path}: No such file or directory",
            self.mistake(file=str(path)),
        )

    def test_no_trail(self) -> None:
        self.path.write_text("something else\n", encoding="utf-8")
        self.assertEqual(
            f"hooks[0]: {self.path} cannot be gone on with, its last line: it is no "
            "record",
            self.mistake(file=str(self.path)),
        )


class RecordTests(AuditTests):
    def test_records(self) -> None:
        """
        Each event is a record, in order, with its facts and its time.
        """
        hook, session = self.hook, FakeSession()
        tunnel = FakeTunnel(session=session)
        stream = FakeStream(tunnel=tunnel, bytes_received=3, bytes_sent=4)
        self.clock.advance(1)
        hook.on_server_start(FakeServer())
        hook.on_client_connect(session)
        hook.on_tunnel_open(tunnel)
        hook.on_stream_open(stream)
        hook.on_error(ValueError("no " * 10_000), "somewhere")
        hook.on_stream_close(stream, Code.NONE, "")
        hook.on_tunnel_close(tunnel, Code.CLOSED, "enough")
        hook.on_client_disconnect(session, Code.SHUTDOWN, "")
        hook.on_server_stop(FakeServer())
        self.threads.run_all()
        records = self.records()
        self.assertEqual(
            [
                "server_start",
                "client_connect",
                "tunnel_open",
                "stream_open",
                "error",
                "stream_close",
                "tunnel_close",
                "client_disconnect",
                "server_stop",
            ],
            [record["event"] for record in records],
        )
        for record in records:
            self.assertEqual("1970-01-01T00:00:01.000000+00:00", record["time"])
        closed = records[5]
        expected = {
            "client": "token:web",
            "instance": "laptop",
            "session": "5e55",
            "tunnel": 3,
            "stream": 9,
            "visitor": "203.0.113.9:50000",
            "received": 3,
            "sent": 4,
            "code": "none",
            "reason": "",
        }
        self.assertEqual(expected, {name: closed[name] for name in expected})
        self.assertEqual(2000, len(records[4]["error"]))

    def test_off_the_hot_path(self) -> None:
        """
        Nothing is written in the reactor's thread.
        """
        self.hook.on_server_start(FakeServer())
        self.assertFalse(self.path.exists())
        self.threads.run_all()
        self.assertEqual(["server_start"], self.events())

    def test_one_thread(self) -> None:
        for _ in range(2500):
            self.hook.on_client_connect(FakeSession())
        self.threads.run_all()
        self.assertEqual(2500, len(self.records()))
        self.assertEqual(1, self.threads.most)


class StopTests(AuditTests):
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
            AuditHook(AuditOptions(file=str(self.path))).finish(),
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


class FailureTests(AuditTests):
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


class ThroughATunnelTests(AuditTests):
    def test_records(self) -> None:
        hook = AuditHook(AuditOptions(file=str(self.path)), self.new_threads)
        pair = Pair(server_hooks=[hook]).start()
        visitor, _ = pair.open_stream()
        visitor.hang_up()
        pair.reactor.settle()
        self.threads.run_all()
        self.assertEqual(
            [
                "server_start",
                "client_connect",
                "tunnel_open",
                "stream_open",
                "stream_close",
            ],
            self.events(),
        )
        pair.client.stopService()
        pair.server.stopService()
        pair.reactor.settle()
        self.threads.run_all()
        self.assertEqual([], pair.stop())
        self.assertEqual("server_stop", self.events()[-1])
