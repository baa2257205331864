"""
Tests for hooks that come and go, and for a strategy that changes, while events fire:
in a hook's own call, and while a decision waits.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, Refused
from reitunnel.hooks import NOTHING_OPENED, HookManager, Opened, Strategy
from reitunnel.interfaces import Decision, IServer, ITunnel
from tests.hooks.fakes import FakeServer, FakeStream, FakeTunnel, RecordingHook


class Broken(Exception):
    pass


class ActingHook(RecordingHook):
    """
    Does something in each call.
    """

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(decide=self._acts)
        self.act = act

    def _acts(self) -> Decision:
        self.act()
        return None

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        super().on_data_sent(tunnel, count)
        self.act()

    def on_error(self, error: BaseException, context: str) -> None:
        super().on_error(error, context)
        self.act()

    def on_server_stop(self, server: IServer) -> None:
        super().on_server_stop(server)
        self.act()


class FailingData(RecordingHook):
    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        raise Broken(count)


class ChangeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.manager = HookManager(Clock())
        self.stream = FakeStream()

    def send(self, count: int = 1) -> None:
        assert self.manager.data_sent is not None
        self.manager.data_sent(self.stream.tunnel, count)

    def decide(self) -> Deferred[Opened]:
        return Deferred.fromCoroutine(self.manager.decide_stream_open(self.stream))

    def events(self, hook: RecordingHook) -> list[object]:
        return [call[1] for call in hook.calls]


class InACallTests(ChangeTestCase):
    def test_register_in_a_data_event(self) -> None:
        """
        What is under way goes on as it began.
        """
        late = RecordingHook()
        first = ActingHook(lambda: self.manager.register(late))
        self.manager.register(first)
        self.send()
        self.assertEqual([], late.calls)
        first.act = lambda: None
        self.send()
        self.assertEqual(["on_data_sent"], self.events(late))

    def test_unregister_in_a_data_event(self) -> None:
        first = ActingHook(lambda: self.manager.unregister(second))
        second = RecordingHook()
        self.manager.register(first)
        self.manager.register(second)
        self.send()
        first.act = lambda: None
        self.send()
        self.assertEqual(["on_data_sent"], self.events(second))

    def test_unregister_itself(self) -> None:
        """
        In each kind of event.
        """
        for fire in (
            self.send,
            self.decide,
            lambda: self.manager.notify_error(Broken(), "here"),
        ):
            hook = ActingHook(lambda: None)
            hook.act = lambda hook=hook: self.manager.unregister(hook)  # type: ignore[misc]  # mypy does not infer a default
            self.manager.register(hook)
            fire()
            self.assertEqual((), self.manager.hooks)
            self.assertEqual(1, len(hook.calls))

    def test_register_in_a_decision(self) -> None:
        late = RecordingHook()
        self.manager.register(ActingHook(lambda: self.manager.register(late)))
        opened = self.successResultOf(self.decide())
        self.manager.notify_stream_close(opened, self.stream, Code.NONE, "")
        self.assertEqual([], late.calls)

    def test_unregister_in_a_decision(self) -> None:
        """
        Who is unregistered while others decide is asked all the same, and owed the
        close.
        """
        second = RecordingHook()
        self.manager.register(ActingHook(lambda: self.manager.unregister(second)))
        self.manager.register(second)
        opened = self.successResultOf(self.decide())
        self.manager.notify_stream_close(opened, self.stream, Code.NONE, "")
        self.assertEqual(["on_stream_open", "on_stream_close"], self.events(second))

    def test_register_in_a_close(self) -> None:
        late = RecordingHook()
        hook = ActingHook(lambda: None)
        self.manager.register(hook)
        server = FakeServer()
        opened = self.successResultOf(
            Deferred.fromCoroutine(self.manager.decide_server_start(server))
        )
        hook.act = lambda: self.manager.register(late)
        self.manager.notify_server_stop(opened, server)
        self.assertEqual([], late.calls)
        self.assertEqual((hook, late), self.manager.hooks)

    def test_change_while_failures_are_told(self) -> None:
        """
        When the server stops, counted failures are told; who hears of them may
        register and unregister hooks.
        """
        broken = [FailingData(), FailingData()]
        hook = ActingHook(lambda: None)
        for each in (hook, *broken):
            self.manager.register(each)
        for _ in range(3):
            self.send()

        def change() -> None:
            for each in broken:
                if each in self.manager.hooks:
                    self.manager.unregister(each)
            self.manager.register(RecordingHook())

        hook.act = change
        self.manager.notify_server_stop(NOTHING_OPENED, FakeServer())
        self.assertNotIn(broken[0], self.manager.hooks)
        told = [call[3] for call in hook.calls if call[1] == "on_error"]
        self.assertEqual(4, len(told), told)
        self.flushLoggedErrors(Broken)


class StrategyTests(ChangeTestCase):
    def refuse(self) -> None:
        raise Refused("no")

    def asked(self) -> int:
        """
        How many of three hooks that refuse are asked.
        """
        hooks = [RecordingHook(decide=self.refuse) for _ in range(3)]
        for hook in hooks:
            self.manager.register(hook)
        self.failureResultOf(self.decide(), Refused)
        for hook in hooks:
            self.manager.unregister(hook)
        return sum(len(hook.calls) for hook in hooks)

    def test_changed(self) -> None:
        self.assertEqual(1, self.asked())
        self.manager.strategy = Strategy.COLLECT_AND_CONTINUE
        self.assertEqual(3, self.asked())
        self.manager.strategy = Strategy.STOP_ON_ERROR
        self.assertEqual(1, self.asked())

    def test_while_a_decision_waits(self) -> None:
        """
        It ends as it began.
        """
        pending: Deferred[None] = Deferred()
        last = RecordingHook(decide=self.refuse)
        self.manager.register(RecordingHook(decide=lambda: pending))
        self.manager.register(last)
        decision = self.decide()
        self.manager.strategy = Strategy.COLLECT_AND_CONTINUE
        pending.errback(Refused("not I"))
        failure = self.failureResultOf(decision, Refused)
        self.assertEqual("not I", str(failure.value))
        self.assertEqual([], last.calls)

    def test_in_a_call(self) -> None:
        def change() -> None:
            self.manager.strategy = Strategy.COLLECT_AND_CONTINUE
            raise Refused("no")

        last = RecordingHook(decide=self.refuse)
        self.manager.register(RecordingHook(decide=change))
        self.manager.register(last)
        self.failureResultOf(self.decide(), Refused)
        self.assertEqual([], last.calls)
        self.failureResultOf(self.decide(), Refused)
        self.assertEqual(["on_stream_open"], self.events(last))


class AnyOrderTests(SynchronousTestCase):
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["register", "unregister", "data", "open", "close"]),
                st.integers(0, 3),
                # What a hook does in the call: registers or unregisters this one.
                st.none() | st.integers(0, 3),
            ),
            max_size=30,
        )
    )
    def test_ledger_and_registration(
        self, steps: list[tuple[str, int, int | None]]
    ) -> None:
        """
        Whoever is registered or not, and whoever changes that in whatever call: one
        close for each open, and data for those that are registered.
        """
        manager = HookManager(Clock())
        hooks = [ActingHook(lambda: None) for _ in range(4)]
        stream, tunnel = FakeStream(), FakeTunnel()
        waiting: list[Opened] = []

        def toggle(number: int) -> None:
            hook = hooks[number]
            known = any(each is hook for each in manager.hooks)
            (manager.unregister if known else manager.register)(hook)

        for step, number, inside in steps:
            once = [] if inside is None else [inside]

            def act(once: list[int] = once) -> None:
                if once:
                    toggle(once.pop())

            for hook in hooks:
                hook.act = act
            known = any(each is hooks[number] for each in manager.hooks)
            if step == "register" and not known:
                manager.register(hooks[number])
            elif step == "unregister" and known:
                manager.unregister(hooks[number])
            elif step == "data" and manager.data_sent is not None:
                before = manager.hooks
                counts = [len(hook.calls) for hook in hooks]
                manager.data_sent(tunnel, 1)
                for hook, count in zip(hooks, counts, strict=True):
                    told = any(each is hook for each in before)
                    self.assertEqual(count + told, len(hook.calls))
            elif step == "open":
                waiting.append(
                    self.successResultOf(
                        Deferred.fromCoroutine(manager.decide_stream_open(stream))
                    )
                )
            elif step == "close" and waiting:
                manager.notify_stream_close(waiting.pop(), stream, Code.NONE, "")
        while waiting:
            manager.notify_stream_close(waiting.pop(), stream, Code.NONE, "")
        for hook in hooks:
            events = [call[1] for call in hook.calls]
            self.assertEqual(
                events.count("on_stream_open"), events.count("on_stream_close")
            )
