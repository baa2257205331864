"""
Tests for wrappers of one's own.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import InvalidHook
from reitunnel.hooks import AsyncHook, BaseHook, HookManager, HookWrapper
from reitunnel.interfaces import (
    IBackgroundHook,
    IDataHook,
    IErrorHook,
    ITunnel,
    ITunnelHook,
)
from tests.hooks.fakes import ErrorRecorder, FakeTunnel
from tests.hooks.support import ManualThreads, SummingHook, manager_with


class Doubling(HookWrapper):
    """
    Tells twice as much as was sent.
    """

    def __init__(self, hook: object) -> None:
        super().__init__(hook, changes=["on_data_sent"], also=[IDataHook])

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.tell(self.wrapped_hook.on_data_sent, "on_data_sent", tunnel, 2 * count)  # type: ignore[attr-defined]  # any hook


class Movable(Doubling):
    def around(self, change: object) -> Movable:
        return Movable(change(self.wrapped_hook))  # type: ignore[operator]  # a Rewrap


class Broken(Exception):
    pass


class BrokenHook(BaseHook):
    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        raise Broken(count)


class WrapperTests(SynchronousTestCase):
    def test_changed(self) -> None:
        hook = SummingHook()
        manager = manager_with(Doubling(hook))
        assert manager.data_sent is not None
        manager.data_sent(FakeTunnel(), 5)
        self.assertEqual([10], list(hook.totals.values()))

    def test_as_it_is(self) -> None:
        """
        What is not changed is the other hook's own method.
        """
        hook = SummingHook()
        wrapper = Doubling(hook)
        self.assertEqual(hook.on_error, wrapper.on_error)  # type: ignore[attr-defined]  # found at run time
        verifyObject(IErrorHook, wrapper)
        verifyObject(IBackgroundHook, wrapper)

    def test_other_interfaces(self) -> None:
        wrapper = HookWrapper(ErrorRecorder(), also=[ITunnelHook])
        verifyObject(ITunnelHook, wrapper)
        self.assertFalse(IDataHook.providedBy(wrapper))
        self.assertFalse(manager_with(wrapper).decides_tunnel_open)

    def test_no_hook(self) -> None:
        self.assertRaises(InvalidHook, HookWrapper, object())

    def test_failure_is_reported(self) -> None:
        manager = HookManager(Clock())
        errors = ErrorRecorder()
        manager.register(errors)
        manager.register(Doubling(BrokenHook()), name="it")
        assert manager.data_sent is not None
        manager.data_sent(FakeTunnel(), 5)
        [(error, context)] = errors.errors
        self.assertEqual("10", str(error))
        self.assertEqual("hook it failed in on_data_sent", context)
        self.flushLoggedErrors(Broken)

    def test_failure_before_it_is_registered(self) -> None:
        with capturedLogs() as events:
            Doubling(BrokenHook()).on_data_sent(FakeTunnel(), 5)
        [line] = [str(formatEvent(event)) for event in events]
        self.assertEqual("a hook failed in on_data_sent: Broken(10)", line)

    def test_in_a_queue(self) -> None:
        made: list[ManualThreads] = []

        def threads() -> ManualThreads:
            made.append(ManualThreads())
            return made[-1]

        hook, clock = SummingHook(), Clock()
        manager = manager_with(AsyncHook(Movable(hook), threads=threads), clock)
        assert manager.data_sent is not None
        manager.data_sent(FakeTunnel(), 5)
        clock.advance(1)
        made[0].run_all()
        self.assertEqual([10], list(hook.totals.values()))

    def test_that_cannot_be_moved(self) -> None:
        error = self.assertRaises(
            NotImplementedError, AsyncHook, Doubling(SummingHook())
        )
        self.assertEqual("Doubling.around", str(error))
