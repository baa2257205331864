"""
Tests of the pages that cost little, and of who may ask for them.
"""

from __future__ import annotations

from typing import Any
from unittest import skipIf

from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer

from reitunnel.config import Monitoring, TunnelSettings
from reitunnel.errors import ConfigError, TransportError
from reitunnel.hooks import AggregatingHook, BaseHook, CombinedHook
from reitunnel.interfaces import IMetricsSource
from reitunnel.monitoring import Monitor, Watched
from tests.monitoring.asking import LISTEN, MONITOR_PORT, AskingTestCase
from tests.pair import Pair, client_config

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None  # type: ignore[assignment]


class PageTests(AskingTestCase):
    def test_index(self) -> None:
        """
        Every page that is listed is there.
        """
        index = self.ask("/")
        self.assertEqual(200, index.code)
        listed = []
        for line in index.text.splitlines():
            path = next(word for word in line.split() if word.startswith("/"))
            listed.append(path)
            if "seconds=" not in path:
                peer = self.begin(path, method="DELETE")
                self.assertEqual(405, self.answer(peer).code, path)
        self.assertIn("/metrics", listed)
        self.assertIn("/debug/heap/start", listed)

    def test_no_such_page(self) -> None:
        for path in (
            "/nothing",
            "/debug/nothing",
            "/debug/heap/nothing",
            "/metrics/nothing",
        ):
            answer = self.ask(path)
            self.assertEqual(404, answer.code, path)
            self.assertEqual("no such page: / lists them\n", answer.text, path)

    def test_slash_at_the_end(self) -> None:
        """
        With one or without one, it is the same page.
        """
        for path in ("/health", "/status", "/debug", "/debug/heap"):
            answer, same = self.ask(path), self.ask(f"{path}/")
            self.assertEqual(answer.code, same.code, path)
            self.assertEqual(answer.text, same.text, path)
        self.assertEqual(self.ask("/").text, self.ask("/debug").text)

    def test_unknown_argument(self) -> None:
        """
        One that is misspelt is a mistake; a page that has none takes any.
        """
        answer = self.ask("/debug/profile?secnods=30")
        self.assertEqual(400, answer.code)
        self.assertEqual(
            "secnods: unknown; there are seconds, hz, format, clock\n", answer.text
        )
        for path in (
            "/status?stream=yes",
            "/debug/trace?hz=1",
            "/debug/heap?frames=2",
            "/debug/heap/diff?x=1",
        ):
            self.assertEqual(400, self.ask(path).code, path)
        self.assertEqual(400, self.ask("/debug/heap/start?top=1", method="POST").code)
        self.assertEqual(200, self.ask("/health?_=12").code)

    def test_health(self) -> None:
        self.pair.reactor.advance(1)
        answer = self.ask("/health")
        self.assertEqual(200, answer.code)
        self.assertEqual("application/json", answer.headers["content-type"])
        self.assertEqual({"healthy": True, "lag": 0.0}, answer.json)

    def test_head(self) -> None:
        answer = self.ask("/health", method="HEAD")
        self.assertEqual((200, b""), (answer.code, answer.body))

    def test_ready(self) -> None:
        """
        A server is ready while it listens and takes clients.
        """
        before = self.ask("/ready")
        self.assertEqual(503, before.code)
        self.assertEqual("the server has not started", before.json["reason"])
        self.pair.start()
        self.assertEqual({"ready": True}, self.ask("/ready").json)
        self.pair.open_stream()
        self.pair.server.stopService()
        self.pair.reactor.settle()
        draining = self.ask("/ready")
        self.assertEqual(503, draining.code)
        self.assertEqual("the server is stopping", draining.json["reason"])

    def test_status(self) -> None:
        self.pair.start()
        visitor, target = self.pair.open_stream()
        visitor.say(b"hello")
        target.say(b"you")
        self.pair.reactor.settle()
        status = self.ask("/status").json
        self.assertEqual("server", status["side"])
        self.assertEqual("", status["unready"])
        self.assertEqual((5, 3), (status["bytes_received"], status["bytes_sent"]))
        self.assertEqual(
            {
                "sessions": 1,
                "tunnels": 1,
                "streams": 1,
                "sessions_ever": 1,
                "tunnels_ever": 1,
            },
            status["counts"],
        )
        [session] = status["sessions"]
        self.assertEqual("anonymous/laptop", session["client"])
        self.assertTrue(session["link_up"])
        self.assertFalse(session["link_full"])
        self.assertEqual({"idle": 10, "used": 0, "in_kernel": 0}, session["data_links"])
        [tunnel] = session["tunnels"]
        self.assertEqual("127.0.0.1:6000", tunnel["public"])
        self.assertEqual("127.0.0.1:8080", tunnel["target"])
        self.assertEqual(1, tunnel["streams"])
        self.assertNotIn("list", tunnel)

    def test_status_with_streams(self) -> None:
        """
        What a target does not read is seen where it waits.
        """
        self.pair.start()
        visitor, target = self.pair.open_stream()
        target.transport.pauseProducing()
        visitor.say(b"x" * 1000)
        self.pair.reactor.settle()
        status = self.ask("/status?streams=yes").json
        [stream] = status["sessions"][0]["tunnels"][0]["list"]
        self.assertEqual("mux", stream["carrier"])
        self.assertEqual({"received": False, "sent": False}, stream["in_kernel"])
        self.assertEqual("open", stream["local"])
        self.assertEqual(1000, stream["bytes_received"])
        self.assertEqual(262144, stream["window"])
        self.assertEqual(262144 - 1000, stream["send_credit"] % 262144 or 262144 - 1000)

    def test_totals_after_close(self) -> None:
        """
        The bytes of what is closed still count.
        """
        self.pair.start()
        visitor, _ = self.pair.open_stream()
        visitor.say(b"hello")
        self.pair.reactor.settle()
        self.pair.client.stopService()
        self.pair.reactor.advance(60)
        status = self.ask("/status").json
        self.assertEqual([], status["sessions"])
        self.assertEqual(5, status["bytes_received"])
        self.assertEqual(1, status["counts"]["tunnels_ever"])

    def test_arguments(self) -> None:
        for path in (
            "/status?streams=maybe",
            "/debug/profile?seconds=0",
            "/debug/profile?seconds=nan",
            "/debug/profile?seconds=301",
            "/debug/profile?seconds=soon",
            "/debug/profile?hz=5000",
            "/debug/profile?format=gif",
            "/debug/trace?seconds=1000",
        ):
            answer = self.ask(path)
            self.assertEqual(400, answer.code, path)
            self.assertIn("expected", answer.text)

    def test_stopping_ends_what_goes_on(self) -> None:
        peer = self.begin("/debug/trace?seconds=5")
        self.assertIsNone(peer.lost)
        stopping = self.monitor.stopService()
        self.pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertTrue(peer.reset)


class ClientTests(AskingTestCase):
    def watched(self, pair: Pair) -> Watched:
        return pair.client

    def test_ready(self) -> None:
        """
        A client is ready when visitors can reach its targets.
        """
        self.assertEqual(503, self.ask("/ready").code)
        self.pair.start()
        self.assertEqual({"ready": True}, self.ask("/ready").json)
        self.assertEqual("client", self.ask("/status").json["side"])
        self.pair.server.stopService()
        self.pair.reactor.advance(1)
        self.assertRegex(self.ask("/ready").json["reason"], "not connected")


class RefusedTunnelTests(AskingTestCase):
    tunnels = (
        TunnelSettings(port=6000, target="h:1"),
        TunnelSettings(port=80, target="h:1"),
    )

    def make_pair(self) -> Pair:
        return Pair(client=client_config(tunnels=self.tunnels))

    def watched(self, pair: Pair) -> Watched:
        return pair.client

    def test_not_ready(self) -> None:
        """
        A client whose tunnel the server refuses is not ready.
        """
        self.pair.start()
        self.assertEqual(
            {"ready": False, "reason": "1 of 2 tunnels are not open"},
            self.ask("/ready").json,
        )


class GuardTests(AskingTestCase):
    """
    Who may ask.
    """

    def test_names_of_this_machine(self) -> None:
        for host in ("localhost", "127.0.0.1:9100", "[::1]:9100", "LOCALHOST:1"):
            self.assertEqual(200, self.ask("/health", host=host).code, host)

    def test_other_names(self) -> None:
        """
        A name that somebody has made to lead here does not work.
        """
        for host in ("evil.example", "localhost.evil.example", "192.0.2.1", "[", ""):
            self.assertEqual(403, self.ask("/health", host=host).code, host)

    def test_other_sites(self) -> None:
        for headers in (
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
        ):
            self.assertEqual(403, self.ask("/status", **headers).code, headers)
        self.assertEqual(
            200,
            self.ask(
                "/status", Sec_Fetch_Site="same-origin", Origin="http://localhost"
            ).code,
        )

    def test_answers_are_not_stored_or_framed(self) -> None:
        headers = self.ask("/status").headers
        self.assertEqual("no-store", headers["cache-control"])
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        self.assertEqual("nosniff", headers["x-content-type-options"])


class WithoutDebugTests(AskingTestCase):
    settings = Monitoring(listen=LISTEN.listen, debug=False)

    def test_no_pages(self) -> None:
        self.assertNotIn("debug", self.ask("/").text)
        for path in ("/debug/", "/debug/reactor", "/debug/heap"):
            self.assertEqual(404, self.ask(path).code)
        self.assertEqual(200, self.ask("/status").code)


class ListeningTests(AskingTestCase):
    def test_taken(self) -> None:
        other = Monitor(self.pair.reactor, self.pair.client, LISTEN)
        for _ in range(2):
            failure = self.failureResultOf(other.start_listening(), TransportError)
            self.assertRegex(
                str(failure.value),
                rf"127.0.0.1:{MONITOR_PORT}: cannot listen for monitoring: .*in use",
            )

    def test_beyond_this_machine(self) -> None:
        exposed = Monitoring(listen="0.0.0.0:9101")
        self.assertRaises(
            ConfigError, Monitor, self.pair.reactor, self.pair.client, exposed
        )
        self.assertRaises(
            ConfigError, Monitor, self.pair.reactor, self.pair.client, Monitoring()
        )

    def test_address(self) -> None:
        self.assertEqual(MONITOR_PORT, getattr(self.monitor.address, "port", None))

    def test_unix(self) -> None:
        settings = Monitoring(listen="unix:/run/reitunnel.sock")
        other = Monitor(self.pair.reactor, self.pair.client, settings)
        self.successResultOf(other.start_listening())
        self.assertEqual(b"/run/reitunnel.sock", getattr(other.address, "name", b""))
        stopping = other.stopService()
        self.pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertIsNone(other.address)


@implementer(IMetricsSource)
class Meter(BaseHook):
    """
    A hook with metrics.
    """

    broken = False
    given: Any = None

    def __init__(self, name: str = "visitors") -> None:
        self.name = name

    def exposition(self) -> bytes:
        """
        Give one.
        """
        if self.broken:
            raise ValueError("no metrics today")
        return self.given or f"# TYPE {self.name} gauge\n{self.name} 3.0\n".encode()


@skipIf(text_string_to_metric_families is None, "needs prometheus-client")
class MetricsTests(AskingTestCase):
    def samples(self) -> dict[tuple[str, ...], float]:
        """
        Every sample, by its name and the values of its labels.
        """
        answer = self.ask("/metrics")
        self.assertEqual(200, answer.code)
        self.assertIn("version=0.0.4", answer.headers["content-type"])
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def test_before_the_start(self) -> None:
        samples = self.samples()
        self.assertEqual(0, samples["reitunnel_ready",])
        self.assertNotIn(("reitunnel_round_trip_seconds", "most"), samples)

    def test_values(self) -> None:
        self.pair.start()
        visitor, _ = self.pair.open_stream()
        visitor.say(b"hello")
        self.pair.reactor.advance(2)
        samples = self.samples()
        for name, value in {
            ("reitunnel_ready",): 1,
            ("reitunnel_sessions", "tcp"): 1,
            ("reitunnel_tunnels",): 1,
            ("reitunnel_streams", "mux"): 1,
            ("reitunnel_streams", "direct"): 0,
            ("reitunnel_data_links", "idle"): 10,
            ("reitunnel_bytes_total", "received"): 5,
            ("reitunnel_bytes_total", "sent"): 0,
            ("reitunnel_hook_calls_total", "Ledger", "on_data_received"): 1,
            ("reitunnel_hook_drops_total", "Ledger", "on_stream_open"): 0,
            ("reitunnel_reactor_lag_seconds_count",): 4,
        }.items():
            self.assertEqual(value, samples[name], name)

    def test_hooks_of_their_own(self) -> None:
        """
        Those of hooks follow; one that cannot give them leaves the others.
        """
        meter = Meter()
        self.pair.server.hooks.register(meter)
        self.assertEqual(3, self.samples()["visitors",])
        self.pair.server.hooks.register(
            AggregatingHook(CombinedHook(Meter("wrapped"), Meter("other")), 1.0)
        )
        self.assertEqual(3, self.samples()["other",])
        self.assertEqual(3, self.samples()["wrapped",])
        meter.broken = True
        self.assertNotIn(("visitors",), self.samples())
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_hooks_that_give_nonsense(self) -> None:
        """
        They cost no others their metrics. It is logged once, with the hook's name.
        """
        meter, other = Meter(), Meter("other")
        self.pair.server.hooks.register(meter)
        self.pair.server.hooks.register(other)
        for given in ("# TYPE visitors gauge\nvisitors 3.0\n", 3, [b"visitors 3.0"]):
            meter.given = given
            with capturedLogs() as events:
                for _ in range(3):
                    samples = self.samples()
                    self.assertEqual(3, samples["other",])
                    self.assertNotIn(("visitors",), samples)
            [said] = [
                each for each in events if "gives no metrics" in formatEvent(each)
            ]
            self.assertEqual("hook Meter gives no metrics", formatEvent(said))
            meter.given = None
            self.assertEqual(3, self.samples()["visitors",])
        self.assertEqual(3, len(self.flushLoggedErrors(TypeError)))
        # The end of a line that it has forgotten.
        meter.given = b"# TYPE visitors gauge\nvisitors 4.0"
        samples = self.samples()
        self.assertEqual((4, 3), (samples["visitors",], samples["other",]))

    def test_two_of_a_kind(self) -> None:
        """
        The same metrics twice would make all of the page useless.
        """
        for _ in range(2):
            self.pair.server.hooks.register(Meter())
        self.pair.server.hooks.register(Meter("reitunnel_sessions"))
        text = self.ask("/metrics").text
        self.assertEqual(1, text.count("# TYPE visitors "))
        self.assertEqual(1, text.count("# TYPE reitunnel_sessions "))
        self.assertEqual(2, len(self.flushLoggedErrors(ValueError)))
