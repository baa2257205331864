"""
Tests for hooks that get sums: every so many events, and every few seconds.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, InvalidHook
from reitunnel.hooks import AggregatingHook, BaseHook, HookManager, SampledHook
from reitunnel.interfaces import (
    IBackgroundHook,
    IClientHook,
    IDataHook,
    IErrorHook,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)
from tests.hooks.fakes import ErrorRecorder, FakeTunnel, RecordingHook
from tests.hooks.support import (
    BackgroundHook,
    SummingHook,
    manager_with,
    open_tunnel,
)


class SentOnly(BaseHook):
    """
    Wants nothing but the bytes to visitors.
    """

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.counts.append(count)


class BrokenHook(BaseHook):
    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        raise ValueError(count)


class CommonTests(SynchronousTestCase):
    """
    What both do.
    """

    def wrappers(self, hook: object) -> list[SampledHook | AggregatingHook]:
        return [SampledHook(hook, 10), AggregatingHook(hook, 5.0)]

    def test_interfaces(self) -> None:
        for wrapper in self.wrappers(RecordingHook()):
            for interface in (
                IClientHook,
                ITunnelHook,
                IStreamHook,
                IDataHook,
                IErrorHook,
                IBackgroundHook,
            ):
                verifyObject(interface, wrapper)

    def test_only_what_the_hook_wants(self) -> None:
        """
        Tunnels are followed too: what is held is handed on at their close.
        """
        for wrapper in self.wrappers(SentOnly()):
            manager = manager_with(wrapper)
            self.assertTrue(manager.decides_tunnel_open)
            self.assertFalse(manager.decides_client_connect)
            self.assertFalse(manager.decides_stream_open)
            self.assertIsNone(manager.data_received)
            self.assertIsNotNone(manager.data_sent)

    def test_hook_without_data(self) -> None:
        """
        It costs nothing at all: its methods are called as if there were no wrapper.
        """
        for wrapper in self.wrappers(ErrorRecorder()):
            self.assertFalse(IDataHook.providedBy(wrapper))
            self.assertFalse(ITunnelHook.providedBy(wrapper))
            manager = manager_with(wrapper)
            self.assertIsNone(manager.data_sent)
            self.assertFalse(manager.decides_tunnel_open)

    def test_others_pass(self) -> None:
        for kind in (SampledHook, AggregatingHook):
            hook = RecordingHook("it")
            manager = manager_with(kind(hook, 3))
            tunnel = FakeTunnel()
            opened = self.successResultOf(open_tunnel(manager, tunnel))
            manager.notify_tunnel_close(opened, tunnel, Code.CLOSED, "end")
            self.assertEqual(
                [
                    ("it", "on_tunnel_open", tunnel),
                    ("it", "on_tunnel_close", tunnel, Code.CLOSED, "end"),
                ],
                hook.calls,
            )

    def test_no_hook(self) -> None:
        self.assertRaises(InvalidHook, SampledHook, object(), 3)
        self.assertRaises(InvalidHook, AggregatingHook, object(), 3)

    def test_bad_numbers(self) -> None:
        self.assertRaises(ValueError, SampledHook, BaseHook(), 0)
        for interval in (0.0, -1.0, float("nan")):
            self.assertRaises(ValueError, AggregatingHook, BaseHook(), interval)

    def test_name(self) -> None:
        """
        A wrapper is called what its hook is called.
        """
        for wrapper in self.wrappers(SampledHook(SentOnly(), 2)):
            manager = HookManager(Clock())
            manager.register(wrapper)
            self.assertEqual({"SentOnly"}, {each.hook for each in manager.statistics()})

    def test_background_hook_inside(self) -> None:
        for kind in (SampledHook, AggregatingHook):
            hook = BackgroundHook()
            manager = manager_with(kind(hook, 3))
            self.assertEqual(["it"], [host.name for host in hook.hosts])
            self.successResultOf(Deferred.fromCoroutine(manager.finish()))
            self.assertEqual(1, hook.finishes)

    def test_failure_at_the_close(self) -> None:
        """
        It is reported, and does not keep the close from the hook.
        """
        for kind in (SampledHook, AggregatingHook):
            errors = ErrorRecorder()
            manager = manager_with(kind(BrokenHook(), 3))
            manager.register(errors)
            tunnel = FakeTunnel()
            opened = self.successResultOf(open_tunnel(manager, tunnel))
            assert manager.data_sent is not None
            manager.data_sent(tunnel, 7)
            manager.notify_tunnel_close(opened, tunnel, Code.CLOSED, "")
            [(error, context)] = errors.errors
            self.assertEqual(
                ("7", "hook it failed in on_data_sent"), (str(error), context)
            )
            self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
            [figures] = [
                each for each in manager.statistics() if each.event == "on_data_sent"
            ]
            self.assertEqual(1, figures.failures)


class SampledTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hook = SentOnly()
        self.manager = manager_with(SampledHook(self.hook, 3))
        self.tunnel = FakeTunnel()

    def send(self, *counts: int, tunnel: ITunnel | None = None) -> None:
        assert self.manager.data_sent is not None
        for count in counts:
            self.manager.data_sent(tunnel or self.tunnel, count)

    def test_one_in_three(self) -> None:
        self.send(1, 2)
        self.assertEqual([], self.hook.counts)
        self.send(3, 4, 5, 6, 7)
        self.assertEqual([6, 15], self.hook.counts)

    def test_tunnels_apart(self) -> None:
        other = FakeTunnel()
        self.send(1, 2)
        self.send(10, 20, tunnel=other)
        self.assertEqual([], self.hook.counts)
        self.send(30, tunnel=other)
        self.assertEqual([60], self.hook.counts)

    def test_rest_at_the_close(self) -> None:
        opened = self.successResultOf(open_tunnel(self.manager, self.tunnel))
        self.send(1, 2, 3, 4)
        self.manager.notify_tunnel_close(opened, self.tunnel, Code.CLOSED, "")
        self.assertEqual([6, 4], self.hook.counts)

    def test_rest_at_the_end(self) -> None:
        """
        Of a tunnel too whose close is not told to this hook.
        """
        self.send(1, 2)
        self.successResultOf(Deferred.fromCoroutine(self.manager.finish()))
        self.assertEqual([3], self.hook.counts)
        self.successResultOf(Deferred.fromCoroutine(self.manager.finish()))
        self.assertEqual([3], self.hook.counts)

    def test_every_one(self) -> None:
        manager = manager_with(SampledHook(self.hook, 1))
        assert manager.data_sent is not None
        manager.data_sent(self.tunnel, 5)
        manager.data_sent(self.tunnel, 6)
        self.assertEqual([5, 6], self.hook.counts)


class ClosingHook(SummingHook):
    """
    Closes tunnels when it is told of their bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.close = lambda: None

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        super().on_data_received(tunnel, count)
        self.close()


class AggregatingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.hook = RecordingHook("it")
        self.manager = manager_with(AggregatingHook(self.hook, 5.0), self.clock)
        self.tunnel = FakeTunnel()

    def move(self, received: int, sent: int) -> None:
        assert self.manager.data_received is not None
        assert self.manager.data_sent is not None
        if received:
            self.manager.data_received(self.tunnel, received)
        if sent:
            self.manager.data_sent(self.tunnel, sent)

    def test_sums(self) -> None:
        for _ in range(4):
            self.move(1, 10)
        self.clock.advance(4.9)
        self.assertEqual([], self.hook.calls)
        self.clock.advance(0.1)
        self.assertEqual(
            [
                ("it", "on_data_received", self.tunnel, 4),
                ("it", "on_data_sent", self.tunnel, 40),
            ],
            self.hook.calls,
        )

    def test_only_what_moved(self) -> None:
        self.move(3, 0)
        self.clock.advance(5)
        self.assertEqual([("it", "on_data_received", self.tunnel, 3)], self.hook.calls)

    def test_no_timer_while_nothing_moves(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())
        self.move(1, 1)
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.clock.advance(5)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.move(2, 2)
        self.clock.advance(5)
        self.assertEqual([1, 1, 2, 2], [call[3] for call in self.hook.calls])

    def test_at_the_end(self) -> None:
        self.move(1, 2)
        self.successResultOf(Deferred.fromCoroutine(self.manager.finish()))
        self.assertEqual([1, 2], [call[3] for call in self.hook.calls])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_after_the_end(self) -> None:
        """
        A server that is started again goes on.
        """
        self.successResultOf(Deferred.fromCoroutine(self.manager.finish()))
        self.move(1, 2)
        self.clock.advance(5)
        self.assertEqual([1, 2], [call[3] for call in self.hook.calls])

    def test_closed_in_the_call(self) -> None:
        """
        A hook that closes tunnels when it is told of bytes is told the rest of each
        before its close.
        """
        hook = ClosingHook()
        manager = manager_with(AggregatingHook(hook, 5.0), self.clock)
        tunnels = [FakeTunnel(id=number) for number in (1, 2)]
        opened = [self.successResultOf(open_tunnel(manager, each)) for each in tunnels]
        assert manager.data_received is not None
        assert manager.data_sent is not None
        for tunnel in tunnels:
            manager.data_received(tunnel, 10)
            manager.data_sent(tunnel, 20)

        def close() -> None:
            while tunnels:
                manager.notify_tunnel_close(
                    opened.pop(), tunnels.pop(), Code.CLOSED, ""
                )

        hook.close = close
        self.clock.advance(5)
        self.assertEqual({1, 2}, hook.closed)
        self.assertEqual({10, 20}, set(hook.totals.values()))
        self.assertEqual((4, 0), (len(hook.totals), hook.late))


class AnyOrderTests(SynchronousTestCase):
    """
    Nothing is lost and nothing doubled, whatever happens in which order.
    """

    @given(
        st.lists(
            st.tuples(st.sampled_from(["sample", "aggregate"]), st.integers(1, 6)),
            min_size=1,
            max_size=4,
        ),
        st.lists(
            st.one_of(
                st.tuples(
                    st.sampled_from(["received", "sent"]),
                    st.integers(0, 3),
                    st.integers(1, 1000),
                ),
                st.tuples(st.just("close"), st.integers(0, 3), st.just(0)),
                st.tuples(st.just("wait"), st.just(0), st.integers(1, 8)),
                st.tuples(st.just("finish"), st.just(0), st.just(0)),
            )
        ),
    )
    def test_totals(
        self,
        layers: list[tuple[str, int]],
        steps: list[tuple[str, int, int]],
    ) -> None:
        clock = Clock()
        hook = SummingHook()
        wrapper: object = hook
        for kind, number in layers:
            wrapper = (SampledHook if kind == "sample" else AggregatingHook)(
                wrapper, number
            )
        manager = manager_with(wrapper, clock)
        assert manager.data_received is not None
        assert manager.data_sent is not None
        tunnels = [FakeTunnel(id=number) for number in range(4)]
        # The last one was open before the hook was registered.
        opened = {
            tunnel.id: self.successResultOf(open_tunnel(manager, tunnel))
            for tunnel in tunnels[:3]
        }
        expected: Counter[tuple[int, str]] = Counter()
        for step, number, count in steps:
            tunnel = tunnels[number]
            if step == "wait":
                clock.advance(count)
            elif step == "finish":
                self.successResultOf(Deferred.fromCoroutine(manager.finish()))
                self.assertEqual(expected, hook.totals)
            elif step == "close":
                if number in opened:
                    manager.notify_tunnel_close(
                        opened.pop(number), tunnel, Code.CLOSED, ""
                    )
                    self.assertIn(number, hook.closed)
                    for way in ("received", "sent"):
                        self.assertEqual(
                            expected[number, way], hook.totals[number, way]
                        )
            elif number in opened or number == 3:
                sink = getattr(manager, f"data_{step}")
                sink(tunnel, count)
                expected[number, step] += count
        self.successResultOf(Deferred.fromCoroutine(manager.finish()))
        self.assertEqual(+expected, +hook.totals)
        self.assertEqual(0, hook.late)
        self.assertEqual([], clock.getDelayedCalls())
