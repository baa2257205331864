"""
Hooks that work in the background, in a server and a client that stop.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks import AggregatingHook, AsyncHook, SampledHook
from tests.hooks.support import BackgroundHook, ManualThreads, SummingHook
from tests.pair import Pair


class FinishingTests(SynchronousTestCase):
    def test_waited_for(self) -> None:
        """
        Neither side is stopped before its hooks have finished.
        """
        pair = Pair()
        for side in (pair.server, pair.client):
            pending: Deferred[None] = Deferred()
            hook = BackgroundHook(lambda pending=pending: pending)  # type: ignore[misc]  # mypy does not infer a default
            side.hooks.register(hook)
            side.privilegedStartService()
            side.startService()
            pair.reactor.settle()
            stopped = side.stopService()
            pair.reactor.settle()
            assert stopped is not None
            self.assertEqual(1, hook.finishes)
            self.assertNoResult(stopped)
            pending.callback(None)
            self.successResultOf(stopped)
        self.assertEqual([], pair.stop())

    def test_not_for_ever(self) -> None:
        pair = Pair(
            server_hooks=[BackgroundHook(Deferred)],
            client_hooks=[BackgroundHook(Deferred)],
        ).start()
        left = pair.stop()
        self.assertEqual([], left)

    def test_nothing_is_lost(self) -> None:
        """
        The sums of wrapped hooks are the tunnels' totals, on both sides.
        """
        made: list[ManualThreads] = []

        def threads() -> ManualThreads:
            made.append(ManualThreads())
            return made[-1]

        sums = [SummingHook() for _ in range(3)]
        pair = Pair(
            server_hooks=[SampledHook(sums[0], 7), AggregatingHook(sums[1], 2.0)],
            client_hooks=[
                AsyncHook(AggregatingHook(sums[2], 5.0), workers=1, threads=threads)
            ],
        )
        pair.start_server()
        pair.client.startService()
        # The hook of the client decides in a thread.
        while not pair.public_ports:
            pair.reactor.settle()
            made[-1].run_all()
        visitor = pair.arrive()
        for _ in range(10):
            pair.reactor.settle()
            made[-1].run_all()
        target = pair.targets.newest
        for _ in range(5):
            visitor.transport.write(b"x" * 100)
            target.transport.write(b"y" * 1000)
            pair.reactor.settle()
        stopped = [pair.client.stopService(), pair.server.stopService()]
        for _ in range(60):
            pair.reactor.advance(1)
            made[-1].run_all()
        for each in stopped:
            assert each is not None
            self.successResultOf(each)
        for hook in sums:
            self.assertEqual(
                {"received": 500, "sent": 5000},
                {way: count for (_, way), count in hook.totals.items()},
            )
