"""
Hooks that write files in threads, in a real server that starts and stops.
"""

from __future__ import annotations

import json
from pathlib import Path

from reitunnel.hooks.audit import AuditHook, AuditOptions
from reitunnel.hooks.audit_chain import Link, verify
from reitunnel.hooks.metrics import MetricsHook, MetricsOptions
from tests.integration.streaming import StreamTestCase


class FileTests(StreamTestCase):
    def directory(self) -> Path:
        directory = Path(self.mktemp())
        directory.mkdir()
        return directory

    async def test_nothing_is_lost(self) -> None:
        """
        When the server has stopped, all is in the files.
        """
        directory = self.directory()
        trail, sums = directory / "audit.jsonl", directory / "metrics.jsonl"
        await self.start()
        self.server.hooks.register(AuditHook(AuditOptions(file=trail)))
        self.server.hooks.register(MetricsHook(MetricsOptions(file=sums)))
        visitor, target = await self.pair()
        visitor.transport.write(b"hello")
        await target.got(5)
        visitor.transport.loseConnection()
        await target.finished
        target.transport.loseConnection()
        await self.over()
        await self.server.stopService()
        self.check(trail, sums)

    def check(self, trail: Path, sums: Path) -> None:
        """
        See that the trail is whole, and that the sums are right.
        """
        with trail.open("rb") as file:
            count, _ = verify(file, Link())
        self.assertGreaterEqual(count, 5)
        [line] = sums.read_text(encoding="utf-8").splitlines()
        self.assertEqual(5, json.loads(line)["total"]["received"])
