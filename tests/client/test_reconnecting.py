"""
When a client tries again, how long it waits, and when it gives up.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client, Code
from reitunnel.config.settings import Limits, Retry
from reitunnel.errors import SessionRefused, TransportError
from reitunnel.interfaces import ISession
from tests.ledger import Decider
from tests.pair import PUBLIC_PORT, Pair, client_config, outcome, server_config


class ReconnectCase(SynchronousTestCase):
    def pair(self, pair: Pair | None = None) -> Pair:
        """
        Take a pair; when the test is over it must stop in order.
        """
        pair = pair or Pair()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        return pair


class DelayTests(ReconnectCase):
    """
    C{[retry]}.
    """

    def delays(self, retry: Retry, count: int) -> list[float]:
        """
        How long a client waits that never finds a server.
        """
        pair = self.pair(Pair(client=client_config(retry=retry)))
        with capturedLogs() as logs:
            pair.start_client()
            while len(said := [e["delay"] for e in logs if _is_retry(e)]) < count:
                # An attempt in vain takes a moment.
                pair.reactor.advance(said[-1] + 1 if said else 1)
        return said[:count]

    def test_backoff(self) -> None:
        retry = Retry(initial_delay=1.0, factor=2.0, max_delay=10.0, jitter=0.0)
        self.assertEqual([1, 2, 4, 8, 10, 10], self.delays(retry, 6))

    def test_no_growth(self) -> None:
        retry = Retry(initial_delay=1.0, factor=1.0, max_delay=10.0, jitter=0.0)
        self.assertEqual([1, 1, 1], self.delays(retry, 3))

    def test_for_long(self) -> None:
        """
        No number grows without bound.
        """
        retry = Retry(initial_delay=1.0, factor=10.0, max_delay=2.0, jitter=0.0)
        self.assertEqual(2, self.delays(retry, 500)[-1])

    def test_jitter(self) -> None:
        """
        Up to so much longer and shorter.
        """
        retry = Retry(initial_delay=10.0, factor=1.0, max_delay=10.0, jitter=0.5)
        delays = self.delays(retry, 200)
        self.assertTrue(all(5 <= delay <= 15 for delay in delays))
        self.assertTrue(min(delays) < 8)
        self.assertTrue(max(delays) > 12)
        self.assertTrue(len(set(delays)) > 100)

    def test_begins_again(self) -> None:
        """
        A session that began makes the next delay short again.
        """
        pair = self.pair()
        with capturedLogs() as logs:
            pair.start_client()
            pair.reactor.advance(100)
            pair.start_server()
            pair.reactor.advance(30)
            self.assertIsNot(None, pair.client.session)
            before = len(logs)
            pair.link.cut()
            pair.reactor.settle()
        [delay] = [event["delay"] for event in logs[before:] if _is_retry(event)]
        self.assertEqual(0.5, delay)

    def test_says_why(self) -> None:
        pair = self.pair()
        with capturedLogs() as logs:
            pair.start_client()
            pair.reactor.advance(0.5)
        [event] = [each for each in logs if _is_retry(each)]
        self.assertEqual("the connection was refused", event["reason"])


def _is_retry(event: object) -> bool:
    return isinstance(event, dict) and "delay" in event and "server" in event


class LossTests(ReconnectCase):
    """
    Sessions that end are followed by others.
    """

    def check_back(self, end: Callable[[Pair], None]) -> None:
        pair = self.pair().start()
        first = pair.client.session
        end(pair)
        pair.reactor.settle()
        self.assertIs(None, pair.client.session)
        self.assertEqual([], list(pair.client.tunnels))
        pair.reactor.advance(0.5)
        self.assertIsNot(None, pair.client.session)
        self.assertIsNot(first, pair.client.session)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        self.assertIs(None, pair.visit().lost)

    def test_link_cut(self) -> None:
        self.check_back(lambda pair: pair.link.cut())

    def test_closed_by_the_server(self) -> None:
        self.check_back(lambda pair: pair.session.close(Code.POLICY, "enough"))

    def test_closed_by_the_client(self) -> None:
        def close(pair: Pair) -> None:
            assert pair.client.session is not None
            pair.client.session.close()

        self.check_back(close)

    def test_protocol_broken(self) -> None:
        self.check_back(lambda pair: pair.link.server.write(b"\xff" * 10))

    def test_silent_link(self) -> None:
        pair = self.pair().start()
        pair.link.silence()
        pair.reactor.advance(29)
        self.assertIsNot(None, pair.client.session)
        pair.reactor.advance(2)
        self.assertIsNot(None, pair.client.session)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)

    def test_server_restarted(self) -> None:
        pair = self.pair().start()
        stopping = pair.server.stopService()
        pair.reactor.advance(20)
        self.successResultOf(stopping)
        self.assertIs(None, pair.client.session)
        pair.start_server()
        pair.reactor.advance(36)
        self.assertIsNot(None, pair.client.session)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)


class HopelessTests(ReconnectCase):
    """
    A client that was never let in gives up when trying again will not help; one that
    was let in before tries on.
    """

    def test_unknown_name(self) -> None:
        pair = self.pair(
            Pair(
                client=client_config(
                    server="tcp://server.example:7000", insecure_plaintext=True
                )
            )
        )
        over = pair.client.when_over()
        connected = pair.client.when_connected()
        pair.start_client()
        error = self.failureResultOf(over, TransportError).value
        self.assertEqual(
            "tcp://server.example:7000: the name 'server.example' cannot be resolved",
            str(error),
        )
        self.assertIs(error, self.failureResultOf(connected).value)
        # Whoever asks later is told too.
        self.assertIs(error, self.failureResultOf(pair.client.when_over()).value)
        self.assertIs(error, self.failureResultOf(pair.client.when_connected()).value)

    def test_name_lost_later(self) -> None:
        pair = self.pair(
            Pair(
                client=client_config(
                    server="tcp://server.example:7000", insecure_plaintext=True
                )
            )
        )
        pair.reactor.names["server.example"] = ["127.0.0.1"]
        over = pair.client.when_over()
        pair.start()
        self.assertIsNot(None, pair.client.session)
        del pair.reactor.names["server.example"]
        pair.link.cut()
        pair.reactor.advance(100)
        self.assertNoResult(over)
        pair.reactor.names["server.example"] = ["127.0.0.1"]
        pair.reactor.advance(36)
        self.assertIsNot(None, pair.client.session)

    def test_refused_later(self) -> None:
        """
        The server's policy may change back.
        """
        allowed = [True]

        def decide(client: ISession) -> None:
            if not allowed[0]:
                raise ZeroDivisionError

        pair = self.pair(Pair(server_hooks=[Decider(client=decide)])).start()
        over = pair.client.when_over()
        allowed[0] = False
        pair.link.cut()
        pair.reactor.advance(10)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.assertNoResult(over)
        allowed[0] = True
        pair.reactor.advance(36)
        self.assertIsNot(None, pair.client.session)

    def test_own_hook(self) -> None:
        """
        A hook of the client's that refuses is as good as the server's.
        """

        def refuse(client: ISession) -> None:
            raise ZeroDivisionError

        pair = self.pair(Pair(client_hooks=[Decider(client=refuse)]))
        over = pair.client.when_over()
        pair.start()
        self.flushLoggedErrors(ZeroDivisionError)
        error = self.failureResultOf(over, SessionRefused).value
        self.assertEqual(
            "a hook of this client refused the session: refused by a hook", str(error)
        )

    def test_nobody_there(self) -> None:
        """
        A server may be started later than its client.
        """
        pair = self.pair()
        over = pair.client.when_over()
        pair.start_client()
        pair.reactor.advance(3600)
        self.assertNoResult(over)
        pair.start_server()
        pair.reactor.advance(36)
        self.assertIsNot(None, pair.client.session)

    def test_full_server(self) -> None:
        pair = self.pair(Pair(server=server_config(limits=Limits(max_clients=1))))
        pair.start_server()
        other = Client(pair.reactor, client_config(client_id="other", tunnels=()))
        other.startService()
        pair.reactor.settle()
        pair.start_client()
        over = pair.client.when_over()
        pair.reactor.advance(60)
        self.assertNoResult(over)
        other.stopService()
        pair.reactor.advance(36)
        self.assertIsNot(None, pair.client.session)

    def test_tunnels(self) -> None:
        """
        Who waits for a tunnel is told, before and after.
        """
        pair = self.pair(
            Pair(
                client=client_config(
                    server="tcp://server.example:7000", insecure_plaintext=True
                )
            )
        )
        over = pair.client.when_over()
        opening = [pair.client.open_tunnel("127.0.0.1:8080") for _ in range(3)]
        pair.start_client()
        opening.append(pair.client.open_tunnel("127.0.0.1:8080"))
        opening.append(pair.client.wanted[0].when_open())
        self.failureResultOf(over)
        for waiting in opening:
            error = self.failureResultOf(waiting).value
            self.assertIn("cannot be resolved", str(error))
        self.assertEqual(1, len(pair.client.wanted))

    def test_nobody_waits(self) -> None:
        """
        Then the log has it, in one line, and no word of a next attempt.
        """
        pair = self.pair(
            Pair(
                client=client_config(
                    server="tcp://server.example:7000", insecure_plaintext=True
                )
            )
        )
        with capturedLogs() as logs:
            pair.start_client()
            pair.reactor.advance(60)
        said = [e for e in logs if "cannot be resolved" in str(e.get("reason"))]
        self.assertEqual(1, len(said))
        self.assertEqual([], [event for event in logs if _is_retry(event)])

    def test_started_again(self) -> None:
        """
        A client that has given up and was stopped can be started again.
        """
        pair = self.pair(
            Pair(
                client=client_config(
                    server="tcp://server.example:7000", insecure_plaintext=True
                )
            )
        )
        over = pair.client.when_over()
        pair.start()
        self.failureResultOf(over)
        self.assertEqual(None, outcome(pair.client.stopService(), pair.reactor))
        pair.reactor.names["server.example"] = ["127.0.0.1"]
        connected = pair.client.when_connected()
        pair.start_client()
        self.assertIs(pair.client.session, self.successResultOf(connected))


class WaitingTests(ReconnectCase):
    """
    C{when_connected} and C{when_over}.
    """

    def test_connected(self) -> None:
        pair = self.pair()
        early: Deferred[ISession] = pair.client.when_connected()
        pair.start_client()
        self.assertNoResult(early)
        pair.start_server()
        pair.reactor.advance(1)
        self.assertIs(pair.client.session, self.successResultOf(early))
        late = pair.client.when_connected()
        self.assertIs(pair.client.session, self.successResultOf(late))

    def test_connected_after_hooks(self) -> None:
        """
        A session on which hooks decide is none yet.
        """
        decision: Deferred[None] = Deferred()
        pair = self.pair(Pair(client_hooks=[Decider(client=lambda _: decision)]))
        connected = pair.client.when_connected()
        pair.start()
        self.assertNoResult(connected)
        self.assertIs(None, pair.client.session)
        decision.callback(None)
        pair.reactor.settle()
        self.assertIs(pair.client.session, self.successResultOf(connected))

    def test_cancelled(self) -> None:
        """
        Who waits no longer is not told.
        """
        pair = self.pair()
        connected, over = pair.client.when_connected(), pair.client.when_over()
        for waiting in (connected, over):
            waiting.cancel()
            self.failureResultOf(waiting)
        pair.start()
        self.assertEqual([], pair.stop())

    def test_cancelled_by_another(self) -> None:
        """
        One who is told cancels the next: the session begins all the same.
        """
        pair = self.pair()
        first, second = pair.client.when_connected(), pair.client.when_connected()
        first.addCallback(lambda _: second.cancel())
        pair.start()
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assertEqual(1, len(pair.client.tunnels))
        self.assertEqual([], pair.stop())

    def test_over(self) -> None:
        pair = self.pair()
        over = pair.client.when_over()
        pair.start()
        self.assertNoResult(over)
        stopping = pair.client.stopService()
        pair.reactor.settle()
        self.successResultOf(stopping)
        self.successResultOf(over)
        self.successResultOf(pair.client.when_over())

    def test_over_after_restart(self) -> None:
        pair = self.pair().start()
        pair.client.stopService()
        pair.reactor.settle()
        pair.start_client()
        self.assertNoResult(pair.client.when_over())
        self.assertIsNot(None, pair.client.session)
