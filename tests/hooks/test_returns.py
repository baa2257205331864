"""
Tests for the decision on clients that come back.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.errors import InvalidHook, Refused
from reitunnel.hooks import (
    AsyncHook,
    BaseHook,
    CombinedHook,
    HookManager,
    SampledHook,
    Strategy,
)
from reitunnel.hooks.addresses import AddressHook, AddressLists, AddressOptions
from reitunnel.hooks.auth import AuthHook, AuthOptions
from reitunnel.hooks.blocking import BlockHook
from reitunnel.hooks.client_rules import ClientRule
from reitunnel.interfaces import IReturnHook, ISession
from tests.hooks.fakes import ErrorRecorder, FakeFacts, FakeSession, RecordingHook
from tests.hooks.queue_case import QueueTestCase

AWAY = FakeSession(facts=FakeFacts(peer=IPv4Address("TCP", "192.0.2.1", 40000)))


def refuse() -> None:
    raise Refused("not from there")


@implementer(IReturnHook)
class Only:
    """
    Wants to know nothing else.
    """

    def on_client_return(self, client: ISession) -> None:
        refuse()


class ManagerTests(SynchronousTestCase):
    strategy = Strategy.STOP_ON_ERROR

    def setUp(self) -> None:
        self.clock = Clock()
        self.manager = HookManager(self.clock, strategy=self.strategy, timeout=2.0)
        self.calls: list[tuple[object, ...]] = []

    def add(self, label: str, decide: Any = lambda: None) -> None:
        hook = RecordingHook(label, self.calls, decide)
        self.manager.register(hook, name=label)

    def decide(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.manager.decide_client_return(AWAY))

    def refusal(self) -> str:
        return str(self.failureResultOf(self.decide(), Refused).value)

    @property
    def asked(self) -> list[object]:
        """
        Who was asked; nobody is told anything.
        """
        calls = [call for call in self.calls if call[1] != "on_error"]
        self.assertEqual({"on_client_return"}, {call[1] for call in calls})
        self.assertEqual({AWAY}, {call[2] for call in calls})
        return [call[0] for call in calls]

    def test_nobody(self) -> None:
        """
        A hook that has not overridden it costs nothing.
        """
        self.manager.register(BaseHook())
        self.manager.register(ErrorRecorder())
        self.assertFalse(self.manager.decides_client_return)
        self.assertIsNone(self.successResultOf(self.decide()))

    def test_interface_alone(self) -> None:
        hook = Only()
        verifyObject(IReturnHook, hook)
        self.manager.register(hook)
        self.assertTrue(self.manager.decides_client_return)
        self.assertFalse(self.manager.decides_client_connect)
        self.assertEqual("not from there", self.refusal())
        self.manager.unregister(hook)
        self.assertFalse(self.manager.decides_client_return)

    def test_allowed(self) -> None:
        self.add("a")
        self.add("b")
        self.successResultOf(self.decide())
        self.assertEqual(["a", "b"], self.asked)

    def test_refused(self) -> None:
        """
        Nothing is taken back of those who had allowed it.
        """
        self.add("a")
        self.add("b", refuse)
        self.add("c", refuse)
        self.assertEqual("not from there", self.refusal())
        self.assertEqual(["a", "b"], self.asked)
        [figures] = [
            each
            for each in self.manager.statistics()
            if (each.hook, each.event) == ("b", "on_client_return")
        ]
        self.assertEqual((1, 1, 0), (figures.calls, figures.refusals, figures.failures))

    def test_collected(self) -> None:
        self.manager.strategy = Strategy.COLLECT_AND_CONTINUE
        self.add("a", refuse)
        self.add("b")
        self.assertEqual("not from there", self.refusal())
        self.assertEqual(["a", "b"], self.asked)

    def test_given_up(self) -> None:
        pending: Deferred[None] = Deferred()
        self.add("a")
        self.add("b", lambda: pending)
        decision = self.decide()
        self.assertNoResult(decision)
        decision.cancel()
        self.failureResultOf(decision, CancelledError)
        self.assertTrue(pending.called)
        self.assertEqual(["a", "b"], self.asked)

    def test_time_out(self) -> None:
        self.add("a", Deferred)
        decision = self.decide()
        self.clock.advance(2)
        self.failureResultOf(decision, Refused)

    def test_generator(self) -> None:
        class Wrong(BaseHook):
            async def on_client_return(self, client: ISession) -> Any:
                yield

        self.assertRaises(InvalidHook, self.manager.register, Wrong())


class WrapperTests(QueueTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.calls: list[tuple[object, ...]] = []

    def come_back(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.manager.decide_client_return(AWAY))

    def hook(self, label: str, decide: Any = lambda: None) -> RecordingHook:
        return RecordingHook(label, self.calls, decide)

    def check(self, *labels: str) -> None:
        expected = [(label, "on_client_return", AWAY) for label in labels]
        self.assertEqual(expected, self.calls)

    def test_combined(self) -> None:
        """
        The first that refuses decides, and nobody is told of it.
        """
        hooks = self.hook("a"), self.hook("b", refuse), self.hook("c")
        combined = CombinedHook(BaseHook(), *hooks)
        verifyObject(IReturnHook, combined)
        self.manager.register(combined)
        self.failureResultOf(self.come_back(), Refused)
        self.check("a", "b")

    def test_combined_later(self) -> None:
        pending: Deferred[None] = Deferred()
        hooks = self.hook("a", lambda: pending), self.hook("b")
        self.manager.register(CombinedHook(*hooks))
        decision = self.come_back()
        self.assertNoResult(decision)
        pending.callback(None)
        self.successResultOf(decision)
        self.check("a", "b")

    def test_combined_without_interest(self) -> None:
        self.manager.register(CombinedHook(BaseHook(), ErrorRecorder()))
        self.assertFalse(self.manager.decides_client_return)

    def test_handed_on(self) -> None:
        self.manager.register(SampledHook(self.hook("a", refuse), 2))
        self.failureResultOf(self.come_back(), Refused)
        self.check("a")

    def test_in_a_thread(self) -> None:
        wrapper = self.register(self.hook("a", refuse))
        verifyObject(IReturnHook, wrapper)
        decision = self.come_back()
        self.assertNoResult(decision)
        self.check()
        self.made[0].run_all()
        self.failureResultOf(decision, Refused)
        self.check("a")
        self.assertEqual(1, self.figures("on_client_return").refusals)

    def test_given_up_in_a_thread(self) -> None:
        self.register(self.hook("a"))
        decision = self.come_back()
        self.made[0].work()
        decision.cancel()
        self.made[0].run_all()
        self.failureResultOf(decision, CancelledError)
        self.check("a")

    def test_coroutine_is_left_in_the_reactor(self) -> None:
        class Later(BaseHook):
            async def on_client_return(self, client: ISession) -> None:
                refuse()

        self.manager.register(AsyncHook(Later(), threads=self.threads))
        self.failureResultOf(self.come_back(), Refused)


class ShippedTests(SynchronousTestCase):
    """
    What holds for a client that connects holds for one that comes back.
    """

    def refusal(self, hook: Any) -> Refused:
        verifyObject(IReturnHook, hook)
        refused: Refused = self.assertRaises(Refused, hook.on_client_return, AWAY)
        return refused

    def test_auth(self) -> None:
        rules = (ClientRule(tokens=("web",)),)
        self.assertIn("denied", str(self.refusal(AuthHook(AuthOptions(deny=rules)))))
        self.assertIsNone(AuthHook(AuthOptions(allow=rules)).on_client_return(AWAY))

    def test_validator(self) -> None:
        def validator(client: ISession) -> None:
            refuse()

        hook = AuthHook(validator=validator)
        self.assertEqual("not from there", str(self.refusal(hook)))

    def test_addresses(self) -> None:
        lists = AddressLists(deny=("192.0.2.0/24",))
        self.refusal(AddressHook(AddressOptions(clients=lists)))
        visitors = AddressHook(AddressOptions(visitors=lists))
        self.assertFalse(IReturnHook.providedBy(visitors))

    def test_block(self) -> None:
        hook = BlockHook(None, Clock())
        hook.on_client_return(AWAY)
        hook.block("192.0.2.1")
        self.assertTrue(self.refusal(hook).passing)
