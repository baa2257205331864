"""
The C{quota} hook writes its file in a real thread, and is waited for at the stop.
"""

from __future__ import annotations

from pathlib import Path
from threading import enumerate as all_threads
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from reitunnel.hooks import HookManager
from reitunnel.hooks.quotas import QuotaHook, QuotaOptions, QuotaRule
from reitunnel.hooks.threads import WorkerThreads
from reitunnel.hooks.usage import Counts, read_usage
from tests.hooks.fakes import FakeSession, FakeTunnel

PATIENCE = 60.0


class QuotaFileTests(TestCase):
    timeout = 2 * PATIENCE

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    async def test_saved_at_the_stop(self) -> None:
        """
        What was used is in the file when the manager has finished, every time, and no
        thread is left.
        """
        options = QuotaOptions(rules=(QuotaRule(bytes_per_day=10**9),), file=self.path)
        real: Any = reactor
        # A clock, because a real day may end in the midst of the test.
        hook = QuotaHook(options, Clock(), threads=lambda: WorkerThreads(real, "quota"))
        manager = HookManager(reactor, timeout=PATIENCE)
        manager.register(hook)
        session = FakeSession()
        await manager.decide_client_connect(session)
        tunnel = FakeTunnel(session=session)
        for used in (1000, 2000):
            assert manager.data_sent is not None
            manager.data_sent(tunnel, 1000)
            await manager.finish()
            file = read_usage(self.path)
            assert file is not None
            self.assertEqual({"token:web": Counts(used, 0, 0)}, file.clients)
        while any(thread.name.startswith("quota-") for thread in all_threads()):
            await deferLater(reactor, 0.01)
