"""
Tests of the C{audit} hook.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, ConfigError
from reitunnel.hooks import HookManager, build_hooks
from reitunnel.hooks.audit import AuditHook, AuditHookFactory, AuditOptions
from reitunnel.hooks.audit_chain import Link, verify
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
from tests.hooks.fakes import (
    FakeServer,
    FakeSession,
    FakeStream,
    FakeTunnel,
)
from tests.hooks.support import ManualThreads
from tests.pair import Pair

EVENTS = [IServerHook, IClientHook, ITunnelHook, IStreamHook, IErrorHook]


class AuditCase(SynchronousTestCase):
    """
    A hook that is registered, its clock and its threads.
    """

    def setUp(self) -> None:
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        self.path = directory.absolute() / "audit.jsonl"
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
        hook = AuditHook(AuditOptions(file=self.path, **options), self.new_threads)
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


class InterfaceTests(AuditCase):
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


class ReloadTests(AuditCase):
    def test_comes_and_goes(self) -> None:
        """
        A hook that a reload brings opens its file once; when it goes, all is written
        and the file is closed.
        """
        hook = AuditHook(
            AuditOptions(file=self.path, events=("server",)), self.new_threads
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


class OptionsTests(AuditCase):
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
            f"hooks[0]: {self.path} cannot be gone on with: its last line is broken: "
            "it is no record",
            self.mistake(file=str(self.path)),
        )

    def test_rotated_is_no_trail(self) -> None:
        rotated = self.path.with_name("audit.jsonl.00000002")
        rotated.write_text("something else\n", encoding="utf-8")
        self.assertEqual(
            f"hooks[0]: {self.path} cannot be gone on with: audit.jsonl.00000002 does "
            "not end with a record",
            self.mistake(file=str(self.path)),
        )

    def test_no_name(self) -> None:
        """
        What no file can be called is found before anything begins.
        """
        self.assertIn("hooks[0].file: expected a path", self.mistake(file="a\0b"))
        options = AuditOptions(file=Path("/a\0b"))
        error = self.assertRaises(ValueError, AuditHook, options)
        self.assertEqual("no file has such a name: '/a\\x00b'", str(error))


class NoText(Exception):
    """
    Cannot be shown.
    """

    def __str__(self) -> str:
        raise ValueError


class RecordTests(AuditCase):
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

    def test_long_texts(self) -> None:
        """
        Whatever others write into a text, the record can be read.
        """
        text = "\N{GRINNING FACE}" * 200_000
        tunnel = FakeTunnel(target=text, bind=text)
        self.hook.on_tunnel_open(tunnel)
        self.hook.on_tunnel_close(tunnel, Code.REFUSED, text)
        self.hook.on_stream_close(FakeStream(tunnel=tunnel), Code.REFUSED, text)
        self.hook.on_client_disconnect(FakeSession(), Code.REFUSED, text)
        self.hook.on_error(ValueError(text), text)
        self.threads.run_all()
        opened, *closed, error = self.records()
        for cut in (opened["target"], opened["bind"], error["error"], error["context"]):
            self.assertEqual(text[:2000], cut)
        self.assertEqual([text[:2000]] * 3, [record["reason"] for record in closed])

    def test_no_texts(self) -> None:
        """
        What a program puts in the place of a text does not end the trail.
        """
        reason: Any = b"bytes"
        self.hook.on_tunnel_close(FakeTunnel(), Code.CLOSED, reason)
        self.hook.on_tunnel_close(FakeTunnel(), Code.CLOSED, "\ud800")
        self.hook.on_error(NoText(), "somewhere")
        self.threads.run_all()
        closed, odd, error = self.records()
        self.assertEqual(("bytes", "\ud800"), (closed["reason"], odd["reason"]))
        self.assertIn("NoText", error["error"])

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


class ThroughATunnelTests(AuditCase):
    def test_records(self) -> None:
        hook = AuditHook(AuditOptions(file=self.path), self.new_threads)
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
