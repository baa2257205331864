"""
Tests for the C{quota} hook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, providedBy
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, ConfigError, InvalidHook, QuotaFileError, Refused
from reitunnel.hooks import AggregatingHook, AsyncHook, HookManager, build_hooks
from reitunnel.hooks.client_rules import ClientRule
from reitunnel.hooks.quotas import QuotaHook, QuotaHookFactory, QuotaOptions, QuotaRule
from reitunnel.hooks.usage import DAY, Counts, read_usage
from reitunnel.interfaces import (
    IBackgroundHook,
    IClientHook,
    IDataHook,
    IHeirHook,
    IHookFactory,
    IReactorHook,
    IStreamHook,
    ITunnelHook,
)
from tests.hooks.fakes import ErrorRecorder, FakeSession, FakeStream, FakeTunnel
from tests.hooks.support import ManualThreads

NOON = 20_000 * DAY + DAY / 2
SPENT = "the bytes of today are used up"


class ClosableStream(FakeStream):
    """
    Writes down that it was closed.
    """

    closed: tuple[Code, str] | None = None
    error: Exception | None = None

    def close(self, code: Code = Code.ABORTED, reason: str = "") -> None:
        self.closed = (code, reason)
        if self.error is not None:
            raise self.error


class QuotaCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOON)
        self.threads = ManualThreads()
        self.path = Path(self.mktemp()).absolute()

    def hook(self, *rules: QuotaRule, **limits: Any) -> QuotaHook:
        """
        A hook with these rules, or one with these limits.
        """
        return self.with_options(rules=rules or (QuotaRule(**limits),))

    def saving_hook(self, **limits: Any) -> QuotaHook:
        """
        A hook that saves.
        """
        return self.with_options(
            rules=(QuotaRule(**limits),), file=self.path, save_interval=10.0
        )

    def with_options(self, **options: Any) -> QuotaHook:
        self.threads = ManualThreads()
        return QuotaHook(
            QuotaOptions(**options), self.clock, threads=lambda: self.threads
        )

    def connect(self, hook: QuotaHook, identity: str = "token:web") -> FakeSession:
        """
        A client.
        """
        session = FakeSession(identity=identity)
        hook.on_client_connect(session)
        return session

    def tunnel(self, session: FakeSession) -> FakeTunnel:
        """
        A tunnel of a client, which the hook is not asked about.
        """
        tunnel = FakeTunnel(session=session)
        session.tunnels = (*session.tunnels, tunnel)
        return tunnel

    def stream(self, tunnel: FakeTunnel) -> ClosableStream:
        """
        A stream of a tunnel, which the hook is not asked about.
        """
        stream = ClosableStream(tunnel=tunnel)
        tunnel.streams = (*tunnel.streams, stream)
        return stream

    def refused(self, method: Any, what: object) -> str:
        """
        Why something is refused; empty if it is not.
        """
        try:
            method(what)
        except Refused as refused:
            # A client may ask again: tomorrow, or when it uses less.
            self.assertTrue(refused.passing)
            return str(refused)
        return ""

    def saved(self) -> Mapping[str, Counts]:
        """
        What the file has.
        """
        file = read_usage(self.path)
        return {} if file is None else file.clients

    def save(self) -> None:
        """
        Let what is being saved be saved.
        """
        self.threads.run_all()

    def finish(self, hook: QuotaHook) -> None:
        """
        Stop the hook as a server does.
        """
        done = hook.finish()
        self.threads.run_all()
        if done is not None:
            self.successResultOf(done)


class LimitTests(QuotaCase):
    def test_tunnels_at_a_time(self) -> None:
        hook = self.hook(max_tunnels=2)
        session = self.connect(hook)
        tunnels = [self.tunnel(session) for _ in range(3)]
        answers = [self.refused(hook.on_tunnel_open, tunnel) for tunnel in tunnels]
        self.assertEqual(["", "", "no more than 2 tunnels at a time"], answers)
        hook.on_tunnel_close(tunnels[0], Code.NONE, "")
        self.assertEqual("", self.refused(hook.on_tunnel_open, tunnels[2]))

    def test_streams_at_a_time(self) -> None:
        hook = self.hook(max_streams=2)
        session = self.connect(hook)
        streams = [self.stream(self.tunnel(session)) for _ in range(3)]
        answers = [self.refused(hook.on_stream_open, stream) for stream in streams]
        self.assertEqual(["", "", "no more than 2 visitors at a time"], answers)
        hook.on_stream_close(streams[0], Code.NONE, "")
        self.assertEqual("", self.refused(hook.on_stream_open, streams[2]))

    def test_tunnels_a_day(self) -> None:
        hook = self.hook(tunnels_per_day=2)
        tunnel = self.tunnel(self.connect(hook))
        for _ in range(2):
            self.assertEqual("", self.refused(hook.on_tunnel_open, tunnel))
            hook.on_tunnel_close(tunnel, Code.NONE, "")
        words = "no more than 2 tunnels a day"
        self.assertEqual(words, self.refused(hook.on_tunnel_open, tunnel))
        self.clock.advance(DAY / 2)
        self.assertEqual("", self.refused(hook.on_tunnel_open, tunnel))

    def test_streams_a_day(self) -> None:
        hook = self.hook(streams_per_day=1)
        stream = self.stream(self.tunnel(self.connect(hook)))
        self.assertEqual("", self.refused(hook.on_stream_open, stream))
        hook.on_stream_close(stream, Code.NONE, "")
        words = "no more than 1 visitors a day"
        self.assertEqual(words, self.refused(hook.on_stream_open, stream))
        self.clock.advance(DAY / 2)
        self.assertEqual("", self.refused(hook.on_stream_open, stream))

    def test_none_at_all(self) -> None:
        hook = self.hook(max_tunnels=0, bytes_per_day=0)
        session = self.connect(hook)
        self.assertIn(
            "0 tunnels", self.refused(hook.on_tunnel_open, self.tunnel(session))
        )
        stream = self.stream(self.tunnel(session))
        self.assertEqual(SPENT, self.refused(hook.on_stream_open, stream))

    def test_all_sessions_of_an_identity(self) -> None:
        hook = self.hook(max_tunnels=1)
        one, two = self.connect(hook), self.connect(hook)
        other = self.connect(hook, "token:other")
        self.assertEqual("", self.refused(hook.on_tunnel_open, self.tunnel(one)))
        self.assertNotEqual("", self.refused(hook.on_tunnel_open, self.tunnel(two)))
        self.assertEqual("", self.refused(hook.on_tunnel_open, self.tunnel(other)))

    def test_first_rule_decides(self) -> None:
        hook = self.hook(
            QuotaRule(clients=(ClientRule(tokens=("ci-*",)),), max_tunnels=1),
            QuotaRule(clients=(ClientRule(tokens=("paying",)),)),
            QuotaRule(clients=(ClientRule(tokens=("*",)),), max_tunnels=2),
        )
        for identity, expected in (
            ("token:ci-1", 1),
            ("token:paying", 9),
            ("token:web", 2),
            ("anonymous", 9),
        ):
            session = self.connect(hook, identity)
            answers = [
                self.refused(hook.on_tunnel_open, self.tunnel(session))
                for _ in range(9)
            ]
            self.assertEqual(expected, answers.count(""), identity)


class ByteTests(QuotaCase):
    def test_streams_are_reset(self) -> None:
        """
        All of the session's, and not in the midst of the event.
        """
        hook = self.hook(bytes_per_day=100)
        session = self.connect(hook)
        first, second = self.tunnel(session), self.tunnel(session)
        streams = [self.stream(tunnel) for tunnel in (first, first, second)]
        for stream in streams:
            hook.on_stream_open(stream)
        hook.on_data_received(first, 60)
        hook.on_data_sent(second, 40)
        self.clock.advance(0)
        self.assertEqual([None] * 3, [stream.closed for stream in streams])
        hook.on_data_sent(first, 1)
        self.assertEqual([None] * 3, [stream.closed for stream in streams])
        self.clock.advance(0)
        self.assertEqual(
            [(Code.LIMIT, SPENT)] * 3, [stream.closed for stream in streams]
        )

    def test_new_ones_are_refused(self) -> None:
        hook = self.hook(bytes_per_day=100)
        tunnel = self.tunnel(self.connect(hook))
        hook.on_data_sent(tunnel, 99)
        self.assertEqual("", self.refused(hook.on_stream_open, self.stream(tunnel)))
        hook.on_data_sent(tunnel, 1)
        self.assertEqual(SPENT, self.refused(hook.on_stream_open, self.stream(tunnel)))
        self.assertEqual("", self.refused(hook.on_tunnel_open, tunnel))

    def test_other_clients_go_on(self) -> None:
        hook = self.hook(bytes_per_day=100)
        bad = self.tunnel(self.connect(hook, "token:bad"))
        good = self.stream(self.tunnel(self.connect(hook, "token:good")))
        hook.on_data_sent(bad, 1000)
        hook.on_data_sent(good.tunnel, 100)
        self.clock.advance(0)
        self.assertIsNone(good.closed)

    def test_sessions_share(self) -> None:
        """
        Each session's streams are reset when they move something more.
        """
        hook = self.hook(bytes_per_day=100)
        one = self.stream(self.tunnel(self.connect(hook)))
        two = self.stream(self.tunnel(self.connect(hook)))
        hook.on_data_sent(one.tunnel, 101)
        self.clock.advance(0)
        self.assertIsNotNone(one.closed)
        self.assertIsNone(two.closed)
        hook.on_data_sent(two.tunnel, 1)
        self.clock.advance(0)
        self.assertIsNotNone(two.closed)

    def test_tunnel_that_is_closing(self) -> None:
        """
        It is not among its session's tunnels, and its streams are reset all the same.
        """
        hook = self.hook(bytes_per_day=100)
        session = self.connect(hook)
        stream = self.stream(self.tunnel(session))
        session.tunnels = ()
        hook.on_data_sent(stream.tunnel, 101)
        self.clock.advance(0)
        self.assertEqual((Code.LIMIT, SPENT), stream.closed)

    def test_stream_that_fails_to_close(self) -> None:
        hook = self.hook(bytes_per_day=100)
        tunnel = self.tunnel(self.connect(hook))
        first, second = self.stream(tunnel), self.stream(tunnel)
        first.error = RuntimeError("cannot")
        hook.on_data_sent(tunnel, 101)
        self.clock.advance(0)
        self.assertIsNotNone(second.closed)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_new_day(self) -> None:
        hook = self.hook(bytes_per_day=100)
        stream = self.stream(self.tunnel(self.connect(hook)))
        hook.on_data_sent(stream.tunnel, 100)
        self.clock.advance(DAY / 2)
        self.assertEqual("", self.refused(hook.on_stream_open, stream))
        hook.on_data_sent(stream.tunnel, 100)
        self.clock.advance(0)
        self.assertIsNone(stream.closed)

    def test_midnight(self) -> None:
        """
        Bytes belong to the day in which they moved, whatever the interval.
        """
        hook = self.hook(bytes_per_day=100)
        tunnel = self.tunnel(self.connect(hook))
        self.clock.advance(DAY / 2 - 20)
        hook.on_data_sent(tunnel, 70)
        self.clock.advance(19.5)
        hook.on_data_sent(tunnel, 10)
        self.assertEqual(80, hook.usage("token:web").bytes)
        self.clock.advance(0.5)
        hook.on_data_sent(tunnel, 1)
        self.assertEqual(1, hook.usage("token:web").bytes)

    def test_no_rule(self) -> None:
        hook = self.hook(
            QuotaRule(clients=(ClientRule(tokens=("x",)),), bytes_per_day=1)
        )
        stream = self.stream(self.tunnel(self.connect(hook)))
        hook.on_data_sent(stream.tunnel, 10**15)
        self.clock.advance(0)
        self.assertIsNone(stream.closed)

    def test_session_from_before_the_hook(self) -> None:
        """
        It counts, and is forgotten once it has no tunnels.
        """
        hook = self.hook(bytes_per_day=100)
        session = FakeSession()
        stream = self.stream(self.tunnel(session))
        hook.on_data_sent(stream.tunnel, 101)
        self.clock.advance(0)
        self.assertIsNotNone(stream.closed)
        usage = hook.usage("token:web")
        self.clock.advance(60)
        self.assertEqual((101, 1), (usage.bytes, usage.seats))
        session.tunnels = ()
        hook.on_data_sent(stream.tunnel, 1)
        self.clock.advance(60)
        self.assertEqual((102, 0), (usage.bytes, usage.seats))

    def test_timer(self) -> None:
        """
        There is one while something is counted, and none later.
        """
        hook = self.hook(bytes_per_day=100)
        session = self.connect(hook)
        self.assertEqual([], self.clock.getDelayedCalls())
        for _ in range(10):
            hook.on_data_sent(self.tunnel(session), 1)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.clock.advance(60)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_forgotten_the_next_day(self) -> None:
        hook = self.hook(bytes_per_day=100)
        for number in range(5):
            session = self.connect(hook, f"token:{number}")
            hook.on_data_sent(self.tunnel(session), 1)
            hook.on_client_disconnect(session, Code.NONE, "")
        self.clock.advance(DAY)
        usage = hook.usage("token:0")
        self.assertEqual((0, 0), (usage.bytes, usage.seats))

    def test_with_an_aggregating_hook(self) -> None:
        manager = HookManager(self.clock)
        hook = self.hook(bytes_per_day=100)
        manager.register(AggregatingHook(hook, 5.0))
        stream = self.stream(self.tunnel(self.connect(hook)))
        for _ in range(11):
            assert manager.data_sent is not None
            manager.data_sent(stream.tunnel, 10)
        self.clock.pump([5, 0])
        self.assertEqual((Code.LIMIT, SPENT), stream.closed)


class SavingTests(QuotaCase):
    def test_after_a_restart(self) -> None:
        hook = self.saving_hook(bytes_per_day=100, tunnels_per_day=1)
        session = self.connect(hook)
        tunnel = self.tunnel(session)
        hook.on_tunnel_open(tunnel)
        hook.on_stream_open(self.stream(tunnel))
        hook.on_data_sent(tunnel, 100)
        self.finish(hook)
        self.assertEqual({"token:web": Counts(100, 1, 1)}, self.saved())
        again = self.saving_hook(bytes_per_day=100, tunnels_per_day=1)
        tunnel = self.tunnel(self.connect(again))
        self.assertEqual(SPENT, self.refused(again.on_stream_open, self.stream(tunnel)))
        self.assertIn("a day", self.refused(again.on_tunnel_open, tunnel))

    def test_restart_on_another_day(self) -> None:
        hook = self.saving_hook(bytes_per_day=100)
        hook.on_data_sent(self.tunnel(self.connect(hook)), 100)
        self.finish(hook)
        self.clock.advance(DAY)
        again = self.saving_hook(bytes_per_day=100)
        stream = self.stream(self.tunnel(self.connect(again)))
        self.assertEqual("", self.refused(again.on_stream_open, stream))

    def test_interval(self) -> None:
        """
        Nothing is written in the reactor's thread, nor more often than wanted.
        """
        hook = self.saving_hook(bytes_per_day=100)
        tunnel = self.tunnel(self.connect(hook))
        for second in range(10):
            self.assertEqual([], self.threads.jobs, second)
            hook.on_data_sent(tunnel, 1)
            self.clock.advance(1)
        self.assertEqual({}, self.saved())
        self.save()
        self.assertEqual({"token:web": Counts(10, 0, 0)}, self.saved())

    def test_one_write_at_a_time(self) -> None:
        """
        Of those that wait, the newest is written.
        """
        hook = self.saving_hook(bytes_per_day=100)
        tunnel = self.tunnel(self.connect(hook))
        for _ in range(4):
            hook.on_data_sent(tunnel, 1)
            self.clock.advance(10)
        self.assertEqual(1, len(self.threads.jobs))
        self.threads.work()
        self.assertEqual({"token:web": Counts(1, 0, 0)}, self.saved())
        self.threads.deliver()
        self.assertEqual(1, len(self.threads.jobs))
        self.save()
        self.assertEqual({"token:web": Counts(4, 0, 0)}, self.saved())
        self.assertEqual(1, self.threads.most)

    def test_finish_waits_for_the_disk(self) -> None:
        hook = self.saving_hook(bytes_per_day=100)
        tunnel = self.tunnel(self.connect(hook))
        hook.on_data_sent(tunnel, 1)
        self.clock.advance(10)
        hook.on_data_sent(tunnel, 1)
        done = hook.finish()
        assert done is not None
        self.assertNoResult(done)
        self.threads.work()
        self.threads.deliver()
        self.assertNoResult(done)
        self.save()
        self.successResultOf(done)
        self.assertEqual({"token:web": Counts(2, 0, 0)}, self.saved())
        self.assertTrue(self.threads.stopped)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_finish_with_nothing_to_save(self) -> None:
        hook = self.saving_hook(bytes_per_day=100)
        self.finish(hook)
        self.assertFalse(self.path.exists())

    def test_finish_is_given_up(self) -> None:
        """
        The disk takes too long for the manager. The write still ends in order.
        """
        hook = self.saving_hook(bytes_per_day=100)
        hook.on_data_sent(self.tunnel(self.connect(hook)), 1)
        done = hook.finish()
        assert done is not None
        done.cancel()
        self.failureResultOf(done)
        self.save()
        self.assertEqual({"token:web": Counts(1, 0, 0)}, self.saved())

    def test_goes_on_after_finish(self) -> None:
        """
        A server can be started again.
        """
        hook = self.saving_hook(bytes_per_day=100)
        session = self.connect(hook)
        for expected in (1, 2):
            hook.on_data_sent(self.tunnel(session), 1)
            self.finish(hook)
            self.assertEqual({"token:web": Counts(expected, 0, 0)}, self.saved())
            self.threads = ManualThreads()

    def test_failure(self) -> None:
        """
        It is reported once, and tried again.
        """
        recorder = ErrorRecorder()
        hook = self.saving_hook(bytes_per_day=100)
        manager = HookManager(self.clock)
        manager.register(hook, name="quota")
        manager.register(recorder)
        tunnel = self.tunnel(self.connect(hook))
        self.path.mkdir()
        with capturedLogs() as events:
            for _ in range(3):
                hook.on_data_sent(tunnel, 1)
                self.clock.advance(10)
                self.save()
        [(error, context)] = recorder.errors
        self.assertIsInstance(error, QuotaFileError)
        self.assertEqual(
            f"quotas cannot be saved to {self.path.resolve()}: Is a directory",
            str(error),
        )
        self.assertEqual("hook quota failed in save", context)
        # One line, and no traceback: a full disk is no defect.
        [said] = events
        self.assertEqual(str(error), formatEvent(said))
        self.assertNotIn("log_failure", said)
        self.path.rmdir()
        done = Deferred.fromCoroutine(manager.finish())
        self.save()
        self.successResultOf(done)
        self.assertEqual({"token:web": Counts(3, 0, 0)}, self.saved())

    def test_corrupt_file(self) -> None:
        self.path.write_text("{}")
        error = self.assertRaises(ValueError, self.saving_hook, bytes_per_day=1)
        self.assertIn(f"file: {self.path} is no file of quotas", str(error))


class OptionTests(QuotaCase):
    def build(self, tables: Iterable[Mapping[str, Any]]) -> list[object]:
        factory = QuotaHookFactory()
        verifyObject(IHookFactory, factory)
        return build_hooks(
            [{"name": "quota", **table} for table in tables],
            MemoryReactorClock(),
            factories={"quota": factory},
        )

    def test_only_what_is_needed(self) -> None:
        always: set[type[Interface]] = {
            IBackgroundHook,
            IHeirHook,
            IReactorHook,
            IClientHook,
        }
        cases: tuple[tuple[dict[str, Any], set[type[Interface]]], ...] = (
            ({}, set()),
            ({"max_tunnels": 1}, {ITunnelHook}),
            ({"tunnels_per_day": 1}, {ITunnelHook}),
            ({"max_streams": 1}, {IStreamHook}),
            ({"streams_per_day": 1}, {IStreamHook}),
            ({"bytes_per_day": 1}, {IStreamHook, IDataHook}),
        )
        for limits, faces in cases:
            hook = self.hook(QuotaRule(), QuotaRule(**limits))
            self.assertEqual(always | faces, set(providedBy(hook)))
            for face in always | faces:
                verifyObject(face, hook)

    def test_not_in_threads(self) -> None:
        self.assertRaises(InvalidHook, AsyncHook, self.hook(max_tunnels=1))

    def test_build(self) -> None:
        [hook] = self.build([{"rules": [{"max_tunnels": 1}], "file": str(self.path)}])
        self.assertIsInstance(hook, QuotaHook)

    def test_mistakes(self) -> None:
        for table, words in (
            ({}, "hooks[0].rules: missing"),
            ({"rules": []}, "hooks[0].rules: expected at least one"),
            ({"rules": [{"max_tunnels": -1}]}, "hooks[0].rules[0].max_tunnels: expect"),
            (
                {"rules": [{}], "file": f"{self.path}/quota.json"},
                f"hooks[0].file: {self.path} is not a directory",
            ),
        ):
            error = self.assertRaises(ConfigError, self.build, [table])
            self.assertIn(words, str(error))
