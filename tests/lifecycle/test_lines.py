"""
What the log says of sessions and tunnels: one line for each beginning and end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.config.settings import ClientTimeouts, ServerTimeouts, TunnelSettings
from tests.pair import PUBLIC_PORT, TARGET_PORT, Pair, client_config, server_config

LABEL = "tunnel 1 of anonymous/laptop"


class LineTestCase(SynchronousTestCase):
    def said(self, act: Callable[[], object]) -> list[str]:
        """
        The lines that are logged of what Reitunnel does, but for debugging.
        """
        with capturedLogs() as logs:
            act()
        return [formatEvent(event) for event in logs if _is_ours(event)]


class LineTests(LineTestCase):
    def test_all(self) -> None:
        pair = Pair()
        self.assertEqual(
            ["listening on tcp://127.0.0.1:7000"], self.said(pair.start_server)
        )
        server = [
            "client anonymous/laptop connected from 127.0.0.1:40001 over tcp",
            f"{LABEL} is open: 127.0.0.1:{PUBLIC_PORT} -> 127.0.0.1:{TARGET_PORT}",
        ]
        client = [
            "connected to tcp://127.0.0.1:7000 as anonymous/laptop",
            f"{LABEL} is open: 127.0.0.1:{PUBLIC_PORT} -> 127.0.0.1:{TARGET_PORT}",
        ]
        self.assertEqual(sorted(server + client), sorted(self.said(pair.start_client)))

        def visit() -> None:
            visitor, target = pair.open_stream()
            visitor.say(b"hello")
            target.say(b"world!!")
            pair.reactor.settle()
            visitor.hang_up()
            pair.reactor.advance(2)

        self.assertEqual([], self.said(visit))
        closed = (
            f"{LABEL} closed after 2.0 s: received 5 bytes, sent 7 bytes: "
            "the server is stopping"
        )

        def stop() -> None:
            pair.server.stopService()
            pair.reactor.settle()

        lines = self.said(stop)
        self.assertEqual(2, lines.count(closed))
        self.assertIn(
            "client anonymous/laptop disconnected: the server is stopping", lines
        )
        self.assertIn("stopped", lines)
        self.assertEqual([], pair.stop())

    def test_refused(self) -> None:
        """
        Both sides say why.
        """
        target = f"127.0.0.1:{TARGET_PORT}"
        tunnel = TunnelSettings(port=80, target=target)
        pair = Pair(client=client_config(tunnels=(tunnel,)))
        lines = self.said(pair.start)
        self.assertIn(f"{LABEL} refused: port 80 is not allowed", lines)
        self.assertIn(f"tunnel 80 -> {target} refused: port 80 is not allowed", lines)
        self.assertEqual([], pair.stop())

    def test_streams_are_for_debugging(self) -> None:
        pair = Pair().start()
        with capturedLogs() as logs:
            pair.visit().hang_up()
            pair.reactor.settle()
        lines = [formatEvent(e) for e in logs if "stream" in e and "visitor" in e]
        self.assertEqual(2, len(lines))
        for line in lines:
            self.assertIn(f"{LABEL}: stream 2", line)
            self.assertIn("received 0 bytes, sent 0 bytes: NONE", line)
        self.assertEqual([], pair.stop())


class StopLineTests(LineTestCase):
    """
    A server and a client are stopped while there is a stream.
    """

    def stop(self, pair: Pair, name: str) -> None:
        """
        Stop the server or the client.
        """
        getattr(pair, name).stopService()
        pair.reactor.settle()

    def stopping(self, seconds: float) -> list[str]:
        """
        What each of them says, if streams have so long to end.
        """
        lines = []
        for name in ("server", "client"):
            pair = Pair(
                server=server_config(timeouts=ServerTimeouts(drain=seconds)),
                client=client_config(timeouts=ClientTimeouts(drain=seconds)),
            ).start()
            pair.open_stream()
            lines += self.said(partial(self.stop, pair, name))
            self.assertEqual([], pair.stop())
        return [line for line in lines if "waiting" in line]

    def test_patient(self) -> None:
        self.assertEqual(["waiting up to 20 s for 1 stream"] * 2, self.stopping(20.0))

    def test_at_once(self) -> None:
        """
        Nobody waits, and nobody says so.
        """
        self.assertEqual([], self.stopping(0.0))


class SilenceTests(LineTestCase):
    def test_no_reason(self) -> None:
        """
        A session that ends without a reason is said to have ended for its code.
        """
        pair = Pair().start()
        [session] = pair.server.sessions

        def close() -> None:
            session.close(Code.LINK_LOST)
            pair.reactor.settle()

        lines = self.said(close)
        self.assertIn("client anonymous/laptop disconnected: link lost", lines)
        [retry] = [line for line in lines if line.startswith("not connected")]
        self.assertIn(": link lost; next attempt", retry)
        self.assertEqual([], pair.stop())


def _is_ours(event: LogEvent) -> bool:
    namespace = str(event["log_namespace"])
    return namespace.startswith("reitunnel.") and event["log_level"].name != "debug"
