"""
Tests of hooks that go on with what those hold whose place they take in a reload.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, Refused
from reitunnel.hooks import (
    AggregatingHook,
    AsyncHook,
    BaseHook,
    CombinedHook,
    HookManager,
    Opened,
    SampledHook,
)
from reitunnel.hooks.audit import AuditHook, AuditOptions
from reitunnel.hooks.audit_chain import Link, verify
from reitunnel.hooks.quotas import QuotaHook, QuotaOptions, QuotaRule
from reitunnel.hooks.usage import DAY, Counts, read_usage
from reitunnel.interfaces import IBackgroundHook, IHeirHook, IHookHost, ITunnel
from tests.hooks.fakes import FakeServer, FakeSession, FakeStream, FakeTunnel
from tests.hooks.support import ManualThreads


@implementer(IHeirHook, IBackgroundHook)
class Heir(BaseHook):
    """
    Takes what another one of its kind has.

    @ivar has: that.
    """

    def __init__(self, has: str = "") -> None:
        self.has = has
        self.attached_with: list[str] = []

    def inherit(self, former: object) -> bool:
        if not isinstance(former, Heir):
            return False
        self.has = former.has
        return True

    def attach(self, host: IHookHost) -> None:
        self.attached_with.append(self.has)

    def finish(self) -> None:
        pass

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        pass


class Other(BaseHook):
    """
    Has nothing to give.
    """


class ManagerTests(SynchronousTestCase):
    """
    Who inherits from whom.
    """

    def setUp(self) -> None:
        self.manager = HookManager(Clock())

    def welcome(self, hooks: Sequence[object], going: Sequence[object]) -> None:
        self.successResultOf(
            Deferred.fromCoroutine(self.manager.welcome(hooks, FakeServer(), going))
        )

    def test_heir(self) -> None:
        verifyObject(IHeirHook, Heir())

    def test_replaced(self) -> None:
        """
        It has it before it is attached; a hook that stays gives nothing.
        """
        stays, goes, heir = Heir("stays"), Heir("goes"), Heir()
        self.manager.replace([], [stays, Other(), goes])
        self.manager.replace(self.manager.hooks, [stays, heir])
        self.assertEqual(["goes"], heir.attached_with)

    def test_welcomed(self) -> None:
        """
        The same once, if it is asked before it is registered.
        """
        goes, heir = Heir("goes"), Heir()
        self.manager.replace([], [goes])
        self.welcome([heir], [goes])
        goes.has = "something else"
        self.manager.replace([goes], [heir])
        self.assertEqual("goes", heir.has)

    def test_in_order(self) -> None:
        """
        Each gets what one other has.
        """
        going = [Heir("a"), Heir("b")]
        heirs = [Heir(), Heir(), Heir("nothing")]
        self.manager.replace([], going)
        self.manager.replace(going, heirs)
        self.assertEqual(["a", "b", "nothing"], [heir.has for heir in heirs])

    def test_wrapped(self) -> None:
        """
        Wrappers are in the way of neither.
        """
        goes = Heir("goes")
        former = CombinedHook(Other(), SampledHook(goes, 2))
        self.manager.replace([], [former])
        heir = Heir()
        threads = ManualThreads()
        hook = AggregatingHook(AsyncHook(heir, threads=lambda: threads), 1.0)
        self.manager.replace([former], [hook])
        self.assertEqual("goes", heir.has)

    def test_away_and_back(self) -> None:
        """
        A hook that was taken away gives what it has as long as it is there.
        """
        goes, heir = Heir("goes"), Heir()
        self.manager.replace([], [goes])
        self.manager.replace([goes], [])
        self.manager.replace([], [heir])
        self.assertEqual("goes", heir.has)
        self.manager.replace([heir], [])
        # It does not inherit from itself.
        self.manager.replace([], [heir])
        self.assertEqual(["goes", "goes"], heir.attached_with)

    def test_registered_in_code(self) -> None:
        """
        Nothing is taken from hooks that stay.
        """
        heir = Heir()
        self.manager.register(Heir("stays"))
        self.manager.register(heir)
        self.assertEqual([""], heir.attached_with)


class ReloadCase(SynchronousTestCase):
    """
    A manager whose hooks are changed as a server's reload does it.
    """

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.path = directory.absolute() / "file"
        self.clock = Clock()
        self.clock.advance(DAY * 1.5)
        self.manager = HookManager(self.clock)
        self.server = FakeServer()
        self.threads: list[ManualThreads] = []

    def new_threads(self) -> ManualThreads:
        self.threads.append(ManualThreads())
        return self.threads[-1]

    def work(self) -> None:
        for threads in self.threads:
            threads.run_all()

    def welcome(self, hook: object) -> Opened:
        return self.successResultOf(
            Deferred.fromCoroutine(
                self.manager.welcome([hook], self.server, self.manager.hooks)
            )
        )

    def come(self, hook: object) -> Opened:
        """
        Put a hook in the place of all that there are.
        """
        opened = self.welcome(hook)
        self.manager.replace(self.manager.hooks, [hook])
        return opened

    def finished(self, finishing: Any) -> None:
        finishing = Deferred.fromCoroutine(finishing)
        self.work()
        self.successResultOf(finishing)

    def refuse(self, hook: object) -> None:
        """
        Let a hook come, and have the reload fail after that.
        """
        opened = self.welcome(hook)
        self.manager.notify_server_stop(opened, self.server)
        self.manager.dismiss()
        self.finished(self.manager.finish_removed())

    def stop(self) -> None:
        self.finished(self.manager.finish())


class AuditTests(ReloadCase):
    def hook(self, **options: Any) -> AuditHook:
        return AuditHook(
            AuditOptions(**{"file": self.path, **options}), self.new_threads
        )

    def events(self, path: Path | None = None) -> list[str]:
        data = (path or self.path).read_bytes()
        first = json.loads(data.splitlines()[0])
        verify(BytesIO(data), Link(first["seq"] - 1, first["prev"]))
        return [json.loads(line)["event"] for line in data.splitlines()]

    def test_taken_over(self) -> None:
        """
        Both write the one trail, by one thread; the last to finish closes it.
        """
        old, new = self.hook(), self.hook()
        stop = self.come(old)
        old.on_tunnel_open(FakeTunnel())
        self.work()
        with capturedLogs() as logged:
            started = self.come(new)
            new.on_tunnel_open(FakeTunnel())
            self.manager.notify_server_stop(stop, self.server)
            self.finished(self.manager.finish_removed())
            self.assertFalse(self.threads[0].stopped)
            old.on_tunnel_close(FakeTunnel(), Code.NONE, "")
            self.work()
            new.on_tunnel_close(FakeTunnel(), Code.NONE, "")
            self.manager.notify_server_stop(started, self.server)
            self.stop()
        self.assertEqual([], logged)
        self.assertEqual(1, len(self.threads))
        self.assertTrue(self.threads[0].stopped)
        self.assertEqual(
            [
                "server_start",
                *["tunnel_open"] * 2,
                *["tunnel_close"] * 2,
                "server_stop",
            ],
            self.events(),
        )

    def test_refused(self) -> None:
        """
        The other goes on as before, by its own terms, and its stop is one.
        """
        old, new = self.hook(), self.hook(max_size=4096, keep=1)
        stop = self.come(old)
        self.work()
        self.refuse(new)
        self.assertFalse(self.threads[0].stopped)
        for _ in range(50):
            old.on_tunnel_open(FakeTunnel())
            self.work()
        self.manager.notify_server_stop(stop, self.server)
        self.stop()
        self.assertEqual(
            ["server_start", *["tunnel_open"] * 50, "server_stop"], self.events()
        )
        self.assertEqual([self.path], list(self.path.parent.iterdir()))

    def test_other_terms(self) -> None:
        """
        They hold from the reload on, for what the former has to say too.
        """
        old, new = self.hook(), self.hook(max_size=4096, capacity=100)
        self.come(old)
        for _ in range(50):
            old.on_tunnel_open(FakeTunnel())
            self.work()
        self.come(new)
        self.finished(self.manager.finish_removed())
        old.on_tunnel_close(FakeTunnel(), Code.NONE, "")
        self.work()
        self.assertEqual(["tunnel_close"], self.events())
        [rotated] = set(self.path.parent.iterdir()) - {self.path}
        self.assertEqual(51, len(self.events(rotated)))
        with capturedLogs():
            for _ in range(102):
                new.on_tunnel_open(FakeTunnel())
        self.work()
        new.on_tunnel_open(FakeTunnel())
        self.stop()
        self.assertEqual(["lost", "tunnel_open"], self.events())

    def test_stopped_while_it_is_asked(self) -> None:
        """
        Whoever is last writes the stop, and closes the file.
        """
        old, new = self.hook(), self.hook()
        stop = self.come(old)
        opened = self.welcome(new)
        self.manager.notify_server_stop(stop, self.server)
        self.stop()
        self.manager.notify_server_stop(opened, self.server)
        self.manager.dismiss()
        self.finished(self.manager.finish_removed())
        self.assertEqual(["server_start", "server_stop"], self.events())
        self.assertTrue(all(threads.stopped for threads in self.threads))

    def test_started_again(self) -> None:
        """
        After a reload and a stop it is a start as any other.
        """
        old, new = self.hook(), self.hook()
        self.come(old)
        self.come(new)
        self.finished(self.manager.finish_removed())
        for _ in range(2):
            self.stop()
            opened = self.successResultOf(
                Deferred.fromCoroutine(self.manager.decide_server_start(self.server))
            )
            self.manager.notify_server_stop(opened, self.server)
        self.stop()
        self.assertEqual(
            ["server_start", *["server_start", "server_stop"] * 2], self.events()
        )

    def test_another_file(self) -> None:
        """
        There it begins, and here it ends.
        """
        old, new = self.hook(), self.hook(file=Path(f"{self.path}2"))
        stop = self.come(old)
        self.come(new)
        self.manager.notify_server_stop(stop, self.server)
        self.finished(self.manager.finish_removed())
        self.assertEqual(["server_start", "server_stop"], self.events())
        self.stop()
        self.assertEqual(["server_start"], self.events(Path(f"{self.path}2")))

    def test_same_file_by_another_name(self) -> None:
        link = self.path.with_name("link")
        link.symlink_to(self.path.parent)
        old, new = self.hook(), self.hook(file=link / self.path.name)
        self.come(old)
        self.work()
        with capturedLogs() as logged:
            self.come(new)
            new.on_tunnel_open(FakeTunnel())
            self.work()
        self.assertEqual([], logged)


class QuotaTests(ReloadCase):
    def hook(self, file: bool = True, **rule: Any) -> QuotaHook:
        options = QuotaOptions(
            rules=(QuotaRule(**rule),), file=self.path if file else None
        )
        return QuotaHook(options, self.clock, threads=self.new_threads)

    def check_counts_on(self, old: QuotaHook, new: QuotaHook) -> FakeStream:
        """
        What was used and what is open counts on, and what was open ends.
        """
        session = FakeSession()
        tunnel = FakeTunnel(session=session)
        stream = FakeStream(tunnel=tunnel)
        self.come(old)
        old.on_client_connect(session)
        old.on_stream_open(stream)
        old.on_data_sent(tunnel, 60)
        self.come(new)
        self.finished(self.manager.finish_removed())
        self.assertRaises(Refused, new.on_stream_open, FakeStream(tunnel=tunnel))
        old.on_stream_close(stream, Code.NONE, "")
        new.on_stream_open(stream)
        self.assertEqual((60, 2), (new.usage("token:web").bytes, 2))
        self.assertEqual(2, new.usage("token:web").streams)
        self.assertEqual(1, new.usage("token:web").open_streams)
        return stream

    def test_counts_on(self) -> None:
        old, new = self.hook(bytes_per_day=100), self.hook(max_streams=1)
        self.check_counts_on(old, new)
        self.stop()
        file = read_usage(self.path)
        assert file is not None
        self.assertEqual({"token:web": Counts(60, 0, 2)}, file.clients)

    def test_without_a_file(self) -> None:
        old = self.hook(file=False, bytes_per_day=100)
        self.check_counts_on(old, self.hook(file=False, max_streams=1))

    def test_refused(self) -> None:
        """
        The other counts on, and saves.
        """
        old = self.hook(bytes_per_day=100)
        tunnel = FakeTunnel()
        self.come(old)
        old.on_data_sent(tunnel, 60)
        self.refuse(self.hook(bytes_per_day=5))
        old.on_data_sent(tunnel, 30)
        self.stop()
        file = read_usage(self.path)
        assert file is not None
        self.assertEqual({"token:web": Counts(90, 0, 0)}, file.clients)

    def test_forgets_clients(self) -> None:
        """
        What was counted for sessions that nobody will tell the end of is not kept for
        ever.
        """
        hooks = [self.hook(bytes_per_day=count) for count in (100, 101, 102)]
        session = FakeSession()
        self.come(hooks[0])
        for hook in hooks[1:]:
            self.manager.hooks[0].on_data_sent(FakeTunnel(session=session), 1)  # type: ignore[attr-defined]  # it is one of them
            self.come(hook)
            self.finished(self.manager.finish_removed())
        self.assertEqual(0, hooks[-1].usage("token:web").seats)
        self.assertEqual(2, hooks[-1].usage("token:web").bytes)

    def test_another_file(self) -> None:
        old = self.hook(bytes_per_day=100)
        new = self.hook(file=False, bytes_per_day=100)
        self.come(old)
        old.on_data_sent(FakeTunnel(), 60)
        self.come(new)
        self.assertEqual(0, new.usage("token:web").bytes)

    def test_away_and_back(self) -> None:
        """
        Without a file, what one knew that was taken away is gone.
        """
        for file, bytes_then in ((True, 60), (False, 0)):
            old = self.hook(file, bytes_per_day=100)
            self.come(old)
            old.on_data_sent(FakeTunnel(), 60)
            self.manager.replace([old], [])
            self.finished(self.manager.finish_removed())
            new = self.hook(file, bytes_per_day=99)
            self.come(new)
            self.assertEqual(bytes_then, new.usage("token:web").bytes)
            self.manager.replace([new], [])
            self.finished(self.manager.finish_removed())

    def test_said_again(self) -> None:
        """
        That the bytes are used up is news under another limit.
        """
        old, new = self.hook(bytes_per_day=1), self.hook(bytes_per_day=2)
        self.come(old)
        for hook in (old, new):
            with capturedLogs() as logged:
                hook.on_data_sent(FakeTunnel(), 5)
                hook.on_data_sent(FakeTunnel(), 5)
            self.assertEqual(1, len(logged), logged)
            if hook is old:
                self.come(new)
