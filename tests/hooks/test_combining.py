"""
Tests for several hooks as one.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, InvalidHook, Refused
from reitunnel.hooks import BaseHook, CombinedHook, HookManager, Opened
from reitunnel.interfaces import (
    IBackgroundHook,
    IDataHook,
    IErrorHook,
    IServerHook,
    IStreamHook,
    ITunnel,
)
from tests.captured import captured_logs
from tests.hooks.fakes import (
    ErrorRecorder,
    FakeServer,
    FakeStream,
    FakeTunnel,
    RecordingHook,
)
from tests.hooks.support import BackgroundHook, manager_with
from tests.hooks.test_ledger import ANSWERS, BrokenHook, Decider, check_told


class Broken(Exception):
    pass


class BrokenEverywhere(RecordingHook):
    """
    Fails in what it is told.
    """

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        raise Broken("data")

    def on_server_stop(self, server: object) -> None:
        raise Broken("stop")

    def on_error(self, error: BaseException, context: str) -> None:
        raise Broken("error")


class ShapeTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        hook = CombinedHook(RecordingHook(), ErrorRecorder())
        for interface in (IServerHook, IStreamHook, IDataHook, IErrorHook):
            verifyObject(interface, hook)
        verifyObject(IBackgroundHook, hook)

    def test_only_what_one_wants(self) -> None:
        hook = CombinedHook(ErrorRecorder(), BaseHook())
        manager = manager_with(hook)
        self.assertFalse(manager.decides_stream_open)
        self.assertIsNone(manager.data_sent)
        self.assertFalse(IDataHook.providedBy(CombinedHook(ErrorRecorder())))

    def test_none(self) -> None:
        self.assertRaises(ValueError, CombinedHook)

    def test_no_hook(self) -> None:
        self.assertRaises(InvalidHook, CombinedHook, BaseHook(), object())

    def test_name(self) -> None:
        manager = HookManager(Clock())
        manager.register(CombinedHook(RecordingHook(), ErrorRecorder()))
        self.assertEqual(
            {"RecordingHook+ErrorRecorder"},
            {each.hook for each in manager.statistics()},
        )


class NotificationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.errors = ErrorRecorder()
        self.manager = HookManager(Clock())
        self.manager.register(self.errors)

    def test_order(self) -> None:
        hooks = [RecordingHook(label, self.calls) for label in "abc"]
        self.manager.register(CombinedHook(*hooks))
        tunnel = FakeTunnel()
        assert self.manager.data_sent is not None
        assert self.manager.data_received is not None
        self.manager.data_sent(tunnel, 5)
        self.manager.data_received(tunnel, 6)
        self.assertEqual(
            [(label, "on_data_sent", tunnel, 5) for label in "abc"]
            + [(label, "on_data_received", tunnel, 6) for label in "abc"],
            self.calls,
        )

    def test_failures(self) -> None:
        """
        The others are told all the same, and the failure is reported.
        """
        hooks = [BrokenEverywhere(), RecordingHook("it", self.calls)]
        self.manager.register(CombinedHook(*hooks), name="both")
        server = FakeServer()
        opened = self.successResultOf(
            Deferred.fromCoroutine(self.manager.decide_server_start(server))
        )
        assert self.manager.data_sent is not None
        self.manager.data_sent(FakeTunnel(), 5)
        self.manager.notify_server_stop(opened, server)
        self.assertEqual(
            ["hook both failed in on_data_sent", "hook both failed in on_server_stop"],
            [context for _, context in self.errors.errors],
        )
        self.assertEqual(
            [
                "on_server_start",
                "on_error",
                "on_data_sent",
                "on_error",
                "on_server_stop",
            ],
            [call[1] for call in self.calls],
        )
        self.flushLoggedErrors(Broken, ExceptionGroup)

    def test_background(self) -> None:
        waits: list[Deferred[None]] = [Deferred(), Deferred()]
        hooks = [BackgroundHook(lambda: waits[0]), BackgroundHook(lambda: waits[1])]
        self.manager.register(CombinedHook(*hooks), name="both")
        finished = Deferred.fromCoroutine(self.manager.finish())
        for hook in hooks:
            self.assertEqual(["both"], [host.name for host in hook.hosts])
            self.assertEqual(1, hook.finishes)
        waits[1].callback(None)
        self.assertNoResult(finished)
        waits[0].errback(Broken("not finished"))
        self.successResultOf(finished)
        self.assertEqual(
            ["hook both failed in finish"],
            [context for _, context in self.errors.errors],
        )
        self.flushLoggedErrors(Broken)


class DecisionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.stream = FakeStream()

    def decide(self, *hooks: object) -> Deferred[Opened]:
        self.manager = manager_with(CombinedHook(*hooks))
        return Deferred.fromCoroutine(self.manager.decide_stream_open(self.stream))

    def test_refused(self) -> None:
        def refuse() -> None:
            raise Refused("not now")

        failure = self.failureResultOf(
            self.decide(
                RecordingHook("a", self.calls),
                RecordingHook("b", self.calls, refuse),
                RecordingHook("c", self.calls),
            ),
            Refused,
        )
        self.assertEqual("not now", str(failure.value))
        self.assertEqual(
            [
                ("a", "on_stream_open", self.stream),
                ("b", "on_stream_open", self.stream),
                ("a", "on_stream_close", self.stream, Code.REFUSED, "not now"),
            ],
            self.calls,
        )

    def test_given_up(self) -> None:
        pending: Deferred[None] = Deferred()
        decision = self.decide(
            RecordingHook("a", self.calls),
            RecordingHook("b", self.calls, lambda: pending),
        )
        decision.cancel()
        self.failureResultOf(decision, CancelledError)
        self.assertEqual(
            ("a", "on_stream_close", self.stream, Code.ABORTED), self.calls[-1][:4]
        )

    def test_nonsense(self) -> None:
        self.failureResultOf(
            self.decide(RecordingHook(decide=lambda: True)),  # type: ignore[arg-type,return-value]  # that is tested
            Refused,
        )
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))

    @given(
        st.lists(ANSWERS, min_size=1, max_size=5),
        st.none() | st.integers(0, 8),
    )
    def test_one_close_for_each_allowed_open(
        self, answers: list[str], gives_up_at: int | None
    ) -> None:
        clock = Clock()
        deciders = [Decider(answer, clock) for answer in answers]
        hooks = [RecordingHook(decide=decider) for decider in deciders]
        manager = manager_with(CombinedHook(*hooks), clock)
        stream = FakeStream()
        outcome: list[Opened | None] = []
        with captured_logs():
            deferred = Deferred.fromCoroutine(manager.decide_stream_open(stream))
            deferred.addCallbacks(outcome.append, lambda failure: outcome.append(None))
            for second in range(20):
                if second == gives_up_at:
                    deferred.cancel()
                clock.advance(1)
        self.flushLoggedErrors(BrokenHook)
        [opened] = outcome
        self.assertEqual([], clock.getDelayedCalls())
        if opened is not None:
            manager.notify_stream_close(opened, stream, Code.NONE, "")
        check_told(self, hooks, deciders)
