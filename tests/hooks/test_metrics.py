"""
Tests of the C{metrics} hook.
"""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code, ConfigError
from reitunnel.hooks import HookManager, build_hooks
from reitunnel.hooks.metric_rows import Durations, Kinds, Rows
from reitunnel.hooks.metrics import MetricsHook, MetricsHookFactory, MetricsOptions
from reitunnel.hooks.metrics_export import Exporter
from reitunnel.interfaces import (
    IBackgroundHook,
    IClientHook,
    IErrorHook,
    IHookFactory,
    IMetricsSource,
    IReactorHook,
    IStreamHook,
    ITunnelHook,
)
from tests.hooks.fakes import FakeSession, FakeStream, FakeTunnel
from tests.hooks.support import BackgroundHook, ManualThreads
from tests.pair import Pair


def public(port: int) -> IPv4Address:
    return IPv4Address("TCP", "198.51.100.1", port)


class InterfaceTests(SynchronousTestCase):
    def test_hook(self) -> None:
        for interface in (
            IClientHook,
            ITunnelHook,
            IStreamHook,
            IErrorHook,
            IBackgroundHook,
            IReactorHook,
            IMetricsSource,
        ):
            verifyObject(interface, MetricsHook())

    def test_factory(self) -> None:
        verifyObject(IHookFactory, MetricsHookFactory())

    def test_options(self) -> None:
        factories = {"metrics": MetricsHookFactory()}
        reactor = MemoryReactorClock()
        [hook] = build_hooks(
            [{"name": "metrics", "max_tunnels": 5}], reactor, factories=factories
        )
        self.assertIsInstance(hook, MetricsHook)
        for wrong in ({"interval": 0}, {"max_tunnels": 0}, {"max_clients": "many"}):
            self.assertRaises(
                ConfigError,
                build_hooks,
                [{"name": "metrics", **wrong}],
                reactor,
                factories=factories,
            )


class CountingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.register(MetricsHook())

    def register(self, hook: MetricsHook) -> None:
        self.hook = hook
        HookManager(self.clock).register(hook)

    def connect(self, instance: str = "laptop") -> FakeSession:
        session = FakeSession(instance=instance)
        self.hook.on_client_connect(session)
        return session

    def open(self, session: FakeSession, port: int = 6000) -> FakeTunnel:
        tunnel = FakeTunnel(session=session)
        self.hook.on_tunnel_open(tunnel)
        tunnel.address = public(port)
        return tunnel

    def row(self, of: str, **key: str) -> dict[str, Any]:
        """
        The one row with this key.
        """
        [row] = [
            {name: value for name, value in row.items() if name not in key}
            for row in self.hook.get_metrics()[of]
            if key.items() <= row.items()
        ]
        return row

    def test_while_it_is_open(self) -> None:
        """
        Bytes are those of the tunnel, as they are now.
        """
        tunnel = self.open(self.connect())
        stream = FakeStream(tunnel=tunnel)
        self.hook.on_stream_open(stream)
        tunnel.bytes_received, tunnel.bytes_sent = 3, 4
        expected = {
            "received": 3,
            "sent": 4,
            "streams": 1,
            "open_streams": 1,
            "open": 1,
        }
        self.assertEqual(
            expected,
            self.row("tunnels", client="token:web/laptop", tunnel="198.51.100.1:6000"),
        )
        self.assertEqual(expected, self.row("clients", client="token:web/laptop"))
        total = self.hook.get_metrics()["total"]
        self.assertEqual(
            (1, 1, 3), tuple(map(total.get, ("sessions", "open_tunnels", "received")))
        )

    def test_once_it_is_closed(self) -> None:
        """
        Sums stay, over all tunnels of one client at one address.
        """
        session = self.connect()
        for _ in range(2):
            tunnel = self.open(session)
            stream = FakeStream(tunnel=tunnel)
            self.hook.on_stream_open(stream)
            tunnel.bytes_received, tunnel.bytes_sent = 3, 4
            self.hook.on_stream_close(stream, Code.NONE, "")
            self.hook.on_tunnel_close(tunnel, Code.CLOSED, "")
        self.hook.on_client_disconnect(session, Code.LINK_LOST, "")
        expected = {
            "received": 6,
            "sent": 8,
            "streams": 2,
            "open_streams": 0,
            "open": 0,
        }
        names = {"client": "token:web/laptop", "tunnel": "198.51.100.1:6000"}
        self.assertEqual(expected, self.row("tunnels", **names))
        self.assertEqual(expected, self.row("clients", client="token:web/laptop"))
        self.assertEqual(
            {
                "client": {"link_lost": 1},
                "tunnel": {"closed": 2},
                "stream": {"none": 2},
            },
            self.hook.get_metrics()["ended"],
        )

    def test_never_opened(self) -> None:
        """
        A tunnel that was asked for and got no address has no row.
        """
        tunnel = FakeTunnel(session=self.connect())
        self.hook.on_tunnel_open(tunnel)
        self.assertEqual(1, len(self.hook.get_metrics()["tunnels"]))
        self.hook.on_tunnel_close(tunnel, Code.REFUSED, "")
        self.assertEqual(1, len(self.hook.get_metrics()["tunnels"]))

    def test_bounded(self) -> None:
        """
        What is above the maximum is summed, and nothing is lost.
        """
        self.register(MetricsHook(MetricsOptions(max_tunnels=2, max_clients=1)))
        for number in range(10):
            session = self.connect(str(number))
            tunnel = self.open(session, 6000 + number)
            tunnel.bytes_sent = 1
            self.hook.on_tunnel_close(tunnel, Code.CLOSED, "")
            self.hook.on_client_disconnect(session, Code.CLOSED, "")
        metrics = self.hook.get_metrics()
        self.assertEqual(
            [("198.51.100.1:6008", 1), ("198.51.100.1:6009", 1), ("other", 8)],
            [(row["tunnel"], row["sent"]) for row in metrics["tunnels"]],
        )
        self.assertEqual(
            [("token:web/9", 1), ("other", 9)],
            [(row["client"], row["sent"]) for row in metrics["clients"]],
        )
        self.assertEqual(10, metrics["total"]["sent"])

    def test_bounded_while_open(self) -> None:
        """
        A row that is used is not given up.
        """
        self.register(MetricsHook(MetricsOptions(max_tunnels=1)))
        session = self.connect()
        first, second = self.open(session, 6000), self.open(session, 6001)
        first.bytes_sent, second.bytes_sent = 1, 2
        self.assertEqual(1, self.row("tunnels", tunnel="198.51.100.1:6000")["sent"])
        self.assertEqual(2, self.row("tunnels", tunnel="other")["sent"])
        self.hook.on_tunnel_close(second, Code.CLOSED, "")
        self.hook.on_tunnel_close(first, Code.CLOSED, "")
        self.assertEqual(1, self.row("tunnels", tunnel="198.51.100.1:6000")["sent"])
        self.assertEqual(2, self.row("tunnels", tunnel="other")["sent"])

    def test_late(self) -> None:
        """
        What belongs to sessions and tunnels from before is no trouble.
        """
        tunnel = self.open(FakeSession())
        tunnel.bytes_sent = 5
        old = FakeStream()
        self.hook.on_stream_open(old)
        self.hook.on_stream_close(old, Code.NONE, "")
        self.assertEqual(5, self.row("clients", client="other")["sent"])
        self.hook.on_tunnel_close(tunnel, Code.CLOSED, "")
        self.assertEqual(5, self.row("clients", client="other")["sent"])

    def test_errors(self) -> None:
        """
        By kind, of which there are so many and no more.
        """
        self.hook.on_error(ValueError("a secret"), "somewhere")
        for number in range(100):
            self.hook.on_error(type(f"E{number}", (Exception,), {})(), "somewhere")
        errors = self.hook.get_metrics()["errors"]
        self.assertEqual(51, len(errors))
        self.assertEqual((1, 51), (errors["ValueError"], errors["other"]))

    def test_json(self) -> None:
        self.open(self.connect())
        metrics = self.hook.get_metrics()
        self.assertEqual(metrics, json.loads(json.dumps(metrics)))

    def test_memory(self) -> None:
        """
        10,000 open tunnels cost less than 5 MB.
        """
        session = self.connect()
        tunnels = [FakeTunnel(session=session) for _ in range(10_000)]
        for number, tunnel in enumerate(tunnels):
            tunnel.address = public(number)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for tunnel in tunnels:
            self.hook.on_tunnel_open(tunnel)
        self.hook.get_metrics()
        self.assertLess(tracemalloc.get_traced_memory()[0], 5 << 20)

    def families(self) -> dict[str, dict[tuple[str, ...], float]]:
        """
        Read the page as Prometheus does.
        """
        text = self.hook.exposition().decode()
        self.assertTrue(text.endswith("\n"))
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = tuple(sample.labels.values())
                series = found.setdefault(sample.name, {})
                self.assertNotIn(key, series)
                series[key] = sample.value
        return found

    def test_exposition(self) -> None:
        session = self.connect('with "quotes"')
        tunnel = self.open(session)
        stream = FakeStream(tunnel=tunnel, opened_at=0.0)
        self.hook.on_stream_open(stream)
        tunnel.bytes_received, tunnel.bytes_sent = 3, 4
        self.hook.on_error(ValueError(), "somewhere")
        self.clock.advance(5)
        self.hook.on_stream_close(stream, Code.ABORTED, "")
        found = self.families()
        client = 'token:web/with "quotes"'
        of_tunnel = (client, "198.51.100.1:6000")
        moved = found["reitunnel_tunnel_bytes_total"]
        self.assertEqual(3, moved[client, "received", of_tunnel[1]])
        self.assertEqual(4, moved[client, "sent", of_tunnel[1]])
        self.assertEqual(4, found["reitunnel_client_bytes_total"][client, "sent"])
        self.assertEqual(1, found["reitunnel_tunnel_streams_total"][of_tunnel])
        self.assertEqual(0, found["reitunnel_tunnel_open_streams"][of_tunnel])
        self.assertEqual(1, found["reitunnel_client_open"][(client,)])
        self.assertEqual(1, found["reitunnel_ended_total"]["aborted", "stream"])
        self.assertEqual(1, found["reitunnel_errors_total"][("ValueError",)])
        buckets = found["reitunnel_stream_seconds_bucket"]
        self.assertEqual((0, 1, 1), tuple(buckets[b,] for b in ("1.0", "10.0", "+Inf")))
        self.assertEqual(5, found["reitunnel_stream_seconds_sum"][()])

    def test_names_are_escaped(self) -> None:
        name = 'with "quotes", a \\ and a\nline'
        self.open(self.connect(name))
        found = self.families()
        self.assertEqual(1, found["reitunnel_client_open"][(f"token:web/{name}",)])

    def test_heads(self) -> None:
        """
        Each metric has a type and a word of help, and all of them stand together.
        """
        self.open(self.connect())
        types = {
            family.name: (family.type, bool(family.documentation))
            for family in text_string_to_metric_families(
                self.hook.exposition().decode()
            )
        }
        for of in ("tunnel", "client"):
            self.assertEqual(("counter", True), types[f"reitunnel_{of}_bytes"])
            self.assertEqual(("counter", True), types[f"reitunnel_{of}_streams"])
            self.assertEqual(("gauge", True), types[f"reitunnel_{of}_open_streams"])
            self.assertEqual(("gauge", True), types[f"reitunnel_{of}_open"])

    def test_addresses(self) -> None:
        tunnel = self.open(self.connect())
        tunnel.address = IPv6Address("TCP", "2001:db8::1", 6000)
        self.assertTrue(self.row("tunnels", tunnel="[2001:db8::1]:6000"))


class PartsTests(SynchronousTestCase):
    def test_rows_go_oldest_first(self) -> None:
        """
        A row that is used again is not the oldest any more.
        """
        rows: Rows[tuple[str]] = Rows(2)
        for key in (("a",), ("b",), ("a",)):
            rows.give(key, rows.take(key))
        rows.take(("c",))
        self.assertEqual([("a",), ("c",)], [key for key, _ in rows.items()])

    def test_kinds(self) -> None:
        kinds = Kinds(1)
        for kind in ("a", "b", "a", "c"):
            kinds.count(kind)
        self.assertEqual({"a": 2, "other": 2}, kinds.counts)

    def test_durations(self) -> None:
        """
        A bound belongs to its bucket.
        """
        durations = Durations()
        for seconds in (0.1, 0.2, 1.0, 9999.0):
            durations.add(seconds)
        self.assertEqual([1, 2, 0, 0, 0, 0, 1], durations.buckets)


class ExportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = ManualThreads()
        self.path = Path(self.mktemp()).absolute()
        self.lines = 0
        background = BackgroundHook()
        HookManager(self.clock).register(background)
        [self.host] = background.hosts

    def new_threads(self) -> ManualThreads:
        self.threads = ManualThreads()
        return self.threads

    def measure(self) -> dict[str, Any]:
        self.lines += 1
        names = ("sessions", "open_tunnels", "open_streams", "streams", "received")
        return {"line": self.lines, "total": dict.fromkeys([*names, "sent"], 7)}

    def exporter(self, file: Path | None = None, log: bool = False) -> Exporter:
        exporter = Exporter(
            self.host, self.measure, 10.0, file, log, threads=self.new_threads
        )
        exporter.begin()
        exporter.begin()
        return exporter

    def written(self) -> list[int]:
        return [json.loads(line)["line"] for line in self.path.read_text().splitlines()]

    def test_new_file_is_for_its_owner(self) -> None:
        self.exporter(self.path)
        self.clock.advance(10)
        self.threads.run_all()
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)

    def test_every_interval(self) -> None:
        self.exporter(self.path)
        for _ in range(3):
            self.clock.advance(10)
            self.threads.run_all()
        self.assertEqual([1, 2, 3], self.written())

    def test_started_again(self) -> None:
        """
        After a stop it goes on.
        """
        exporter = self.exporter(self.path)
        for _ in range(2):
            exporter.begin()
            exporter.finish()
            self.threads.run_all()
        self.assertEqual([1, 2], self.written())

    def test_no_file_at_all(self) -> None:
        """
        A name that no file can have is said, and keeps nothing waiting.
        """
        with capturedLogs() as events:
            exporter = self.exporter(Path("/a\0b"))
            self.clock.advance(10)
            self.threads.run_all()
            finished = exporter.finish()
            assert isinstance(finished, Deferred)
            self.threads.run_all()
            self.successResultOf(finished)
        [said] = [formatEvent(event) for event in events]
        self.assertEqual("cannot write metrics to /a\0b: embedded null byte", said)

    def test_last_line(self) -> None:
        exporter = self.exporter(self.path)
        finished = exporter.finish()
        assert isinstance(finished, Deferred)
        self.assertNoResult(finished)
        self.threads.run_all()
        self.successResultOf(finished)
        self.assertEqual([1], self.written())
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertTrue(self.threads.stopped)
        self.assertIsNone(exporter.finish())

    def test_last_line_behind_another(self) -> None:
        """
        What is being written is older than the last line.
        """
        exporter = self.exporter(self.path)
        self.clock.advance(10)
        finished = exporter.finish()
        assert isinstance(finished, Deferred)
        self.threads.run_all()
        self.successResultOf(finished)
        self.assertEqual([1, 2], self.written())

    def test_slow_disk(self) -> None:
        """
        It costs lines.
        """
        self.exporter(self.path)
        for _ in range(5):
            self.clock.advance(10)
        self.threads.run_all()
        self.assertEqual([1], self.written())

    def test_cannot_write(self) -> None:
        """
        That is said once, and once when it is well again.
        """
        self.exporter(self.path / "metrics.json")
        with capturedLogs() as events:
            for _ in range(2):
                self.clock.advance(10)
                self.threads.run_all()
            self.path.mkdir()
            for _ in range(2):
                self.clock.advance(10)
                self.threads.run_all()
        self.assertEqual(2, len(events))
        self.assertEqual("No such file or directory", events[0]["reason"])

    def test_log(self) -> None:
        exporter = self.exporter(log=True)
        with capturedLogs() as events:
            self.clock.advance(10)
            self.assertIsNone(exporter.finish())
        self.assertEqual([7, 7], [event["received"] for event in events])


class ThroughATunnelTests(SynchronousTestCase):
    def test_counts(self) -> None:
        """
        Both sides count the same.
        """
        server, client = MetricsHook(), MetricsHook()
        pair = Pair(server_hooks=[server], client_hooks=[client]).start()
        visitor, target = pair.open_stream()
        visitor.say(b"12345")
        target.say(b"123")
        pair.reactor.settle()
        for hook in (server, client):
            metrics = hook.get_metrics()
            total = metrics["total"]
            self.assertEqual((5, 3), (total["received"], total["sent"]))
            self.assertEqual((1, 1), (total["open_streams"], total["open_tunnels"]))
            self.assertEqual("127.0.0.1:6000", metrics["tunnels"][0]["tunnel"])
        visitor.hang_up()
        self.assertEqual([], pair.stop())
        for hook in (server, client):
            total = hook.get_metrics()["total"]
            self.assertEqual(
                (5, 3, 0), (total["received"], total["sent"], total["sessions"])
            )
