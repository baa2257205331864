"""
Hooks that block, in a real reactor with real threads.
"""

from __future__ import annotations

from threading import Event

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from reitunnel.hooks import AggregatingHook, AsyncHook, BaseHook, HookManager
from reitunnel.interfaces import IStream, ITunnel
from tests.hooks.fakes import FakeSession, FakeStream, FakeTunnel

PATIENCE = 60.0


class BlockingHook(BaseHook):
    """
    Blocks until somebody else has run.
    """

    def __init__(self) -> None:
        self.go_on = Event()
        # To append is atomic, to add is not.
        self.sent: list[int] = []

    def on_stream_open(self, stream: IStream) -> None:
        if not self.go_on.wait(PATIENCE):
            raise TimeoutError

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.on_stream_open(FakeStream())
        self.sent.append(count)


class ThreadTests(TestCase):
    timeout = 2 * PATIENCE

    def setUp(self) -> None:
        self.hook = BlockingHook()
        self.addCleanup(self.hook.go_on.set)
        self.manager = HookManager(reactor, timeout=PATIENCE)

    async def test_the_reactor_goes_on(self) -> None:
        """
        A decision blocks until the reactor has had a turn: so it has.
        """
        self.manager.register(AsyncHook(self.hook, workers=1))
        decision = Deferred.fromCoroutine(self.manager.decide_stream_open(FakeStream()))
        reactor.callLater(0, self.hook.go_on.set)
        await decision
        await self.manager.finish()

    async def test_drained(self) -> None:
        """
        What waits when everything stops is done first, and nothing is lost.
        """
        self.manager.register(AsyncHook(AggregatingHook(self.hook, 0.02), workers=3))
        sink = self.manager.data_sent
        assert sink is not None
        tunnels = [FakeTunnel(session=FakeSession()) for _ in range(10)]
        for _ in range(20):
            for tunnel in tunnels:
                sink(tunnel, 5)
            await deferLater(reactor, 0.005)
        finished = Deferred.fromCoroutine(self.manager.finish())
        self.hook.go_on.set()
        await finished
        self.assertEqual(20 * 10 * 5, sum(self.hook.sent))
        self.assertEqual(0, sum(each.drops for each in self.manager.statistics()))
