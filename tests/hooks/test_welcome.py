"""
Tests of hooks that a reload brings and takes away: they are welcomed, or dismissed, and
what is removed finishes.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.errors import InvalidHook, Refused
from reitunnel.hooks import BaseHook, HookManager, Opened, Strategy
from reitunnel.interfaces import Decision, IBackgroundHook, IHookHost, IServer
from tests.hooks.fakes import FakeServer


@implementer(IBackgroundHook)
class Worker(BaseHook):
    """
    Writes down what it is told.

    @ivar answer: what it says of the start.
    @ivar ending: what C{finish} returns.
    """

    def __init__(
        self, answer: Exception | None = None, attaching: Exception | None = None
    ) -> None:
        self.told: list[str] = []
        self.hosts: list[IHookHost] = []
        self.answer = answer
        self.attaching = attaching
        self.ending: Decision = None

    def attach(self, host: IHookHost) -> None:
        if self.attaching is not None:
            raise self.attaching
        self.hosts.append(host)
        self.told.append("attach")

    def finish(self) -> Decision:
        self.told.append("finish")
        return self.ending

    def on_server_start(self, server: IServer) -> None:
        self.told.append("start")
        if self.answer is not None:
            raise self.answer

    def on_server_stop(self, server: IServer) -> None:
        self.told.append("stop")


class WelcomeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.manager = HookManager(self.clock)
        self.server = FakeServer()

    def welcome(self, *hooks: object) -> Deferred[Opened]:
        return Deferred.fromCoroutine(self.manager.welcome(hooks, self.server))

    def finish_removed(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.manager.finish_removed())

    def test_welcomed(self) -> None:
        """
        A hook is attached and asked before it is registered, and attached once.
        """
        first, second = Worker(), Worker()
        self.manager.register(first)
        opened = self.successResultOf(self.welcome(second))
        self.assertEqual((first,), self.manager.hooks)
        self.assertEqual(["attach", "start"], second.told)
        self.manager.replace([first], [second])
        self.assertEqual((second,), self.manager.hooks)
        self.manager.notify_server_stop(opened, self.server)
        self.assertEqual(["attach", "start", "stop"], second.told)
        # Nobody asks those that are registered already.
        self.assertEqual(["attach"], first.told)

    def test_names(self) -> None:
        """
        No two hooks have the same, welcomed or registered.
        """
        hooks = [Worker() for _ in range(4)]
        self.manager.register(hooks[0])
        self.successResultOf(self.welcome(hooks[1], hooks[2]))
        self.manager.register(hooks[3])
        self.manager.replace([hooks[0]], hooks[1:3])
        names = [hook.hosts[0].name for hook in hooks]
        self.assertEqual(4, len(set(names)), names)

    def test_refused(self) -> None:
        """
        Who had allowed it is told; dismissed, all of them finish once.
        """
        calm, strict = Worker(), Worker(Refused("not today"))
        self.failureResultOf(self.welcome(calm, strict), Refused)
        self.assertEqual(["attach", "start", "stop"], calm.told)
        self.manager.dismiss()
        self.successResultOf(self.finish_removed())
        self.assertEqual(["attach", "start", "stop", "finish"], calm.told)
        self.assertEqual(["attach", "start", "finish"], strict.told)
        self.assertEqual((), self.manager.hooks)
        self.assertEqual((), self.manager.statistics())

    def test_cannot_be_attached(self) -> None:
        """
        Those before it finish.
        """
        fine, broken = Worker(), Worker(attaching=InvalidHook("no file"))
        self.failureResultOf(self.welcome(fine, broken), InvalidHook)
        self.manager.dismiss()
        self.successResultOf(self.finish_removed())
        self.assertEqual(["attach", "finish"], fine.told)
        self.assertEqual([], broken.told)

    def test_welcomed_again(self) -> None:
        """
        A hook that was dismissed can come again, and does not finish while it is here.
        """
        worker = Worker(Refused("not yet"))
        self.failureResultOf(self.welcome(worker), Refused)
        self.manager.dismiss()
        worker.answer = None
        self.successResultOf(self.welcome(worker))
        self.manager.replace([], [worker])
        self.successResultOf(self.finish_removed())
        self.assertEqual(["attach", "start", "attach", "start"], worker.told)

    def test_finish_removed(self) -> None:
        """
        Only what is not registered any more finishes, for as long as it may take.
        """
        stays, goes = Worker(), Worker()
        goes.ending = Deferred()
        self.manager.replace([], [stays, goes])
        self.manager.replace([stays, goes], [stays])
        finishing = self.finish_removed()
        self.assertEqual(["attach", "finish"], goes.told)
        self.assertNoResult(finishing)
        self.clock.advance(5.0)
        self.successResultOf(finishing)
        self.assertEqual(["attach"], stays.told)

    def test_all_are_asked(self) -> None:
        """
        The strategy holds here too.
        """
        self.manager.strategy = Strategy.COLLECT_AND_CONTINUE
        strict, last = Worker(Refused("not today")), Worker()
        self.failureResultOf(self.welcome(strict, last), Refused)
        self.assertEqual(["attach", "start", "stop"], last.told)
        self.manager.dismiss()
