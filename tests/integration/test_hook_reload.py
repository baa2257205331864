"""
Hooks that hold a file, in a real server whose reload changes their tables.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.logger import LogLevel, capturedLogs, formatEvent

from reitunnel import ConfigError, TransportError
from reitunnel.config import HookSettings
from reitunnel.hooks.audit_chain import Link, verify
from reitunnel.hooks.usage import Counts, read_usage
from tests.integration.streaming import Program, StreamTestCase, until


class ReloadTestCase(StreamTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.file = directory.absolute() / "file"

    async def reload(
        self, *hooks: dict[str, Any], listen: Sequence[str] | None = None
    ) -> None:
        """
        Change to other hooks, and listeners.
        """
        settings = tuple(
            HookSettings(
                name=table["name"],
                options={key: table[key] for key in table if key != "name"},
            )
            for table in hooks
        )
        config = replace(self.server.config, hooks=settings)
        if listen is not None:
            config = replace(config, listen=tuple(listen), insecure_plaintext=True)
        await self.server.reload(config)

    async def hang_up(self, visitor: Program, target: Program) -> None:
        """
        End a stream in order.
        """
        visitor.transport.loseConnection()
        await target.finished
        target.transport.loseConnection()
        await visitor.lost


class AuditTests(ReloadTestCase):
    def audit(self, **options: Any) -> dict[str, Any]:
        return {"name": "audit", "file": str(self.file), **options}

    def events(self) -> Counter[str]:
        """
        How many records there are of each event, in a chain that must be whole.
        """
        data = self.file.read_bytes()
        verify(BytesIO(data), Link())
        return Counter(json.loads(line)["event"] for line in data.splitlines())

    async def written(self, event: str) -> None:
        """
        Wait until there is a record.
        """
        await until(lambda: self.file.exists() and self.events()[event] > 0)

    async def test_other_options(self) -> None:
        """
        One trail goes on, and each event is in it once: also the ends of what was
        there before the reload, and the stop.
        """
        with capturedLogs() as logged:
            await self.start()
            await self.reload(self.audit())
            old = await self.pair()
            await self.written("stream_open")
            await self.reload(self.audit(max_size=1 << 20, fail_closed=True))
            new = await self.pair()
            await self.hang_up(*old)
            await self.written("stream_close")
            await self.reload(self.audit(capacity=500))
            await self.hang_up(*new)
            await self.over()
            await self.client.stopService()
            await self.server.stopService()
        self.assertEqual(
            {
                "server_start": 1,
                "client_connect": 0,
                "tunnel_open": 2,
                "stream_open": 2,
                "stream_close": 2,
                "tunnel_close": 2,
                "client_disconnect": 0,
                "server_stop": 1,
            },
            {
                # The client may have come before the hook, or after it.
                **self.events(),
                "client_connect": 0,
                "client_disconnect": 0,
            },
        )
        self.assertEqual([], _complaints(logged))

    async def test_refused(self) -> None:
        """
        The hook that stays writes on, with its own options.
        """
        with capturedLogs() as logged:
            await self.start()
            await self.reload(self.audit())
            visitor, target = await self.pair()
            await self.written("stream_open")
            for hook, listen in (
                ({"name": "nosuch"}, self.server.config.listen),
                ({"name": "logging"}, ("tcp://192.0.2.1:1",)),
            ):
                with self.assertRaises((ConfigError, TransportError)):
                    await self.reload(self.audit(max_size=4096), hook, listen=listen)
            await self.hang_up(visitor, target)
            await self.written("stream_close")
            for _ in range(30):
                await self.hang_up(*await self.pair())
            await self.over()
            await self.server.stopService()
        self.assertEqual([], _complaints(logged))
        # It was not rotated: all is in one file.
        events = self.events()
        self.assertEqual((31, 31), (events["stream_open"], events["stream_close"]))
        self.assertEqual((1, 1), (events["server_start"], events["server_stop"]))

    async def test_away_and_back(self) -> None:
        """
        A hook that was taken away still records ends, and one that comes again goes
        on with the same trail.
        """
        with capturedLogs() as logged:
            await self.start()
            await self.reload(self.audit())
            first = await self.pair()
            second = await self.pair()
            await self.written("stream_open")
            await self.reload()
            await self.hang_up(*first)
            await self.written("stream_close")
            await self.reload(self.audit(keep=3))
            third = await self.pair()
            await self.hang_up(*second)
            await self.hang_up(*third)
            await self.over()
            await self.server.stopService()
        events = self.events()
        self.assertEqual((3, 3), (events["stream_open"], events["stream_close"]))
        self.assertEqual([], _complaints(logged))


class QuotaTests(ReloadTestCase):
    def quota(self, **rule: Any) -> dict[str, Any]:
        return {"name": "quota", "file": str(self.file), "rules": [rule]}

    async def check_kept(self, **more: Any) -> None:
        """
        What was used before the reload counts after it.
        """
        await self.start()
        await self.reload({**self.quota(max_streams=5, bytes_per_day=99), **more})
        visitor, target = await self.pair()
        visitor.transport.write(b"x" * 30)
        await target.got(30)
        await self.reload({**self.quota(max_streams=1, bytes_per_day=99), **more})
        refused = await self.visit(next(iter(self.client.wanted)))
        await refused.lost
        await self.hang_up(visitor, target)
        await self.over()
        again = await self.visit(next(iter(self.client.wanted)))
        again.transport.write(b"x" * 30)
        await until(lambda: sum(t.bytes_received for t in self.server.tunnels) == 60)

    async def test_counts(self) -> None:
        await self.check_kept()
        await self.server.stopService()
        file = read_usage(self.file)
        assert file is not None
        self.assertEqual({"anonymous": Counts(60, 0, 2)}, file.clients)

    async def test_counts_without_a_file(self) -> None:
        await self.check_kept(file=None)

    async def test_refused(self) -> None:
        """
        The hook that stays counts on.
        """
        await self.start()
        await self.reload(self.quota(max_streams=1))
        await self.pair()
        with self.assertRaises(TransportError):
            await self.reload(self.quota(max_streams=9), listen=("tcp://192.0.2.1:1",))
        refused = await self.visit(next(iter(self.client.wanted)))
        await refused.lost
        await self.server.stopService()
        file = read_usage(self.file)
        assert file is not None
        self.assertEqual({"anonymous": Counts(0, 0, 1)}, file.clients)


def _complaints(logged: Any) -> list[str]:
    return [
        formatEvent(event) for event in logged if event["log_level"] >= LogLevel.warn
    ]
