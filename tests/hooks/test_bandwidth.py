"""
Tests of the C{bandwidth} hook.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.config.values import Carrier
from reitunnel.errors import Code, ConfigError, InvalidHook
from reitunnel.hooks import AsyncHook, HookManager
from reitunnel.hooks.bandwidth import (
    BandwidthHook,
    BandwidthHookFactory,
    BandwidthOptions,
    DirectionRates,
)
from reitunnel.interfaces import (
    IBackgroundHook,
    IHookFactory,
    IReactorHook,
    IStreamHook,
)
from tests.hooks.building import built
from tests.hooks.fakes import FakeSession, FakeStream, FakeTunnel
from tests.pair import Pair

MEGABIT = 125_000


def build(**options: Any) -> BandwidthHook:
    """
    Build it as a configuration file does.
    """
    hook = built(BandwidthHookFactory(), **options)
    assert isinstance(hook, BandwidthHook)
    return hook


class InterfaceTests(SynchronousTestCase):
    def test_hook(self) -> None:
        hook = build(total={"sent": 1})
        for interface in (IStreamHook, IBackgroundHook, IReactorHook):
            verifyObject(interface, hook)

    def test_factory(self) -> None:
        verifyObject(IHookFactory, BandwidthHookFactory())

    def test_not_in_threads(self) -> None:
        self.assertRaises(InvalidHook, AsyncHook, build(total={"sent": 1}))


class OptionsTests(SynchronousTestCase):
    def mistakes(self, **options: Any) -> list[str]:
        error = self.assertRaises(ConfigError, build, **options)
        return [str(mistake) for mistake in error.mistakes]

    def test_nothing(self) -> None:
        self.assertEqual(
            ["hooks[0]: one of tunnel, client, identity, total is needed"],
            self.mistakes(),
        )

    def test_no_direction(self) -> None:
        self.assertEqual(
            ["hooks[0].tunnel: one of received and sent is needed"],
            self.mistakes(tunnel={}),
        )

    def test_bounds(self) -> None:
        self.assertEqual(1, len(self.mistakes(tunnel={"sent": 0})))
        self.assertEqual(1, len(self.mistakes(tunnel={"sent": 1}, burst=0)))
        self.assertEqual(1, len(self.mistakes(tunnel={"snt": 1})))


class SharingTests(SynchronousTestCase):
    """
    Which streams share a rate.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def held(self, *streams: FakeStream, **options: Any) -> list[bool]:
        """
        Let the first stream send a second's worth, and open the others then.

        @return: which of the streams are held: those that share a rate with it.
        """
        hook = build(**options)
        manager = HookManager(self.reactor)
        manager.register(hook)
        first, *others = streams
        hook.on_stream_open(first)
        first.brakes["sent"].moved(MEGABIT)
        for stream in others:
            hook.on_stream_open(stream)
        return [stream.brakes["sent"].held for stream in streams]

    def streams(self) -> list[FakeStream]:
        """
        Two of one tunnel; one of another of the same client; of another client of the
        same identity; of another identity.
        """
        session = FakeSession()
        tunnel = FakeTunnel(session=session)
        return [
            FakeStream(tunnel=tunnel),
            FakeStream(tunnel=tunnel),
            FakeStream(tunnel=FakeTunnel(id=4, session=session)),
            FakeStream(
                tunnel=FakeTunnel(session=FakeSession(id="2", instance="other"))
            ),
            FakeStream(
                tunnel=FakeTunnel(session=FakeSession(id="3", identity="token:b"))
            ),
        ]

    def test_levels(self) -> None:
        rates = {"sent": 1.0}
        for level, sharing in [
            ("tunnel", [True, True, False, False, False]),
            ("client", [True, True, True, False, False]),
            ("identity", [True, True, True, True, False]),
            ("total", [True, True, True, True, True]),
        ]:
            self.assertEqual(
                sharing, self.held(*self.streams(), **{level: rates}), level
            )

    def test_new_session(self) -> None:
        """
        A client that comes again goes on with the rate of its old session.
        """
        again = FakeStream(tunnel=FakeTunnel(session=FakeSession(id="again")))
        rates = {"sent": 1.0}
        self.assertEqual([True, True], self.held(FakeStream(), again, client=rates))

    def test_directions(self) -> None:
        """
        Each has its own rate, and what has none is not paced.
        """
        hook = build(total={"received": 1.0, "sent": 1.0})
        HookManager(self.reactor).register(hook)
        stream = FakeStream()
        hook.on_stream_open(stream)
        stream.brakes["sent"].moved(MEGABIT)
        self.assertEqual(
            (False, True),
            (stream.brakes["received"].held, stream.brakes["sent"].held),
        )
        only = FakeStream()
        hook = build(total={"received": 1.0})
        HookManager(self.reactor).register(hook)
        hook.on_stream_open(only)
        self.assertEqual(["received"], list(only.brakes))

    def test_nothing_is_left(self) -> None:
        hook = build(total={"sent": 1.0}, tunnel={"received": 1.0})
        manager = HookManager(self.reactor)
        manager.register(hook)
        stream = FakeStream()
        hook.on_stream_open(stream)
        stream.brakes["sent"].moved(MEGABIT)
        stream.brakes["received"].moved(MEGABIT)
        hook.on_stream_close(stream, Code.NONE, "")
        hook.finish()
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_not_registered(self) -> None:
        self.assertRaises(
            RuntimeError,
            BandwidthHook(
                BandwidthOptions(total=DirectionRates(sent=1.0))
            ).on_stream_open,
            FakeStream(),
        )


class ThroughATunnelTests(SynchronousTestCase):
    """
    The whole way, in memory: the rate is kept, by a hook on either side.
    """

    SIZE: ClassVar = 20 * MEGABIT
    carrier: ClassVar[Carrier] = "mux"

    def measure(self, *, received: bool, on: str) -> float:
        """
        Send for some seconds through a tunnel with a rate of 2 Mbit/s.

        @return: what came, in Mbit/s.
        """
        rates = DirectionRates(received=2.0) if received else DirectionRates(sent=2.0)
        hook = BandwidthHook(BandwidthOptions(tunnel=rates))

        class Carried(Pair):
            carrier = self.carrier

        if on == "server":
            pair = Carried(server_hooks=[hook]).start()
        else:
            pair = Carried(client_hooks=[hook]).start()
        visitor, target = pair.open_stream()
        sender, receiver = (visitor, target) if received else (target, visitor)
        sender.say(bytes(self.SIZE))
        pair.reactor.advance(1)
        before = len(receiver.received)
        for _ in range(200):
            pair.reactor.advance(0.02)
        came = len(receiver.received) - before
        for _ in range(400):
            pair.reactor.advance(0.02)
        self.assertEqual(self.SIZE, len(receiver.received))
        self.assertEqual([], pair.stop())
        return came / 4 / MEGABIT

    def test_received_on_the_server(self) -> None:
        measured = self.measure(received=True, on="server")
        self.assertApproximates(2, measured, 0.1)

    def test_sent_on_the_server(self) -> None:
        measured = self.measure(received=False, on="server")
        self.assertApproximates(2, measured, 0.1)

    def test_received_on_the_client(self) -> None:
        measured = self.measure(received=True, on="client")
        self.assertApproximates(2, measured, 0.1)

    def test_sent_on_the_client(self) -> None:
        measured = self.measure(received=False, on="client")
        self.assertApproximates(2, measured, 0.1)


class ThroughADataLinkTests(ThroughATunnelTests):
    carrier = "direct"
