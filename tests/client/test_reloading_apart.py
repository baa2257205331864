"""
A client whose session waits for a link, and that changes to another configuration, or
is told to stop.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import TunnelSettings
from reitunnel.config.settings import ClientLimits, ClientTimeouts, Retry
from tests.pair import (
    LINK_PORT,
    PUBLIC_PORT,
    TARGET_PORT,
    Pair,
    client_config,
    server_config,
)

AWAY = "127.0.0.2"
ELSEWHERE = "127.0.0.3"
OTHER = TunnelSettings(port=PUBLIC_PORT + 1, target=f"127.0.0.1:{TARGET_PORT}")


class ApartTests(SynchronousTestCase):
    """
    A client that does not reach its server for 20 s, and tries again a minute later.
    """

    def setUp(self) -> None:
        server = server_config(
            listen=(f"tcp://0.0.0.0:{LINK_PORT}",), insecure_plaintext=True
        )
        self.pair = Pair(server=server, client=self.config()).start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.reactor = self.pair.reactor
        self.visitor, self.target = self.pair.open_stream()
        self.session = self.pair.client.session
        self.reactor.unreachable.add(AWAY)
        self.pair.link.cut()
        self.reactor.advance(20)
        assert self.session is not None
        self.assertFalse(self.session.link_up)
        self.assertIs(self.session, self.pair.client.session)

    def config(self, **changes: Any) -> Any:
        fields: dict[str, Any] = {
            "server": f"tcp://{AWAY}:{LINK_PORT}",
            "timeouts": ClientTimeouts(),
            "carrier": "mux",
            "retry": Retry(jitter=0.0, initial_delay=60.0, max_delay=60.0),
            **changes,
        }
        return client_config(**fields)

    def reload(self, **changes: Any) -> tuple[str, ...]:
        kept = self.pair.client.reload(self.config(**changes))
        self.reactor.settle()
        return kept

    def check_goes_on(self) -> None:
        self.assertIs(self.session, self.pair.client.session)
        self.assertTrue(self.pair.session.link_up)
        self.visitor.say(b"question")
        self.target.say(b"answer")
        self.reactor.settle()
        self.assertTrue(self.target.received.endswith(b"question"))
        self.assertTrue(self.visitor.received.endswith(b"answer"))

    def test_tries_at_once(self) -> None:
        """
        As any client that is not connected; the session goes on.
        """
        self.reactor.unreachable.clear()
        self.assertEqual((), self.reload())
        self.check_goes_on()

    def test_fails_again(self) -> None:
        """
        It waits on, for as long as it would have.
        """
        self.reload()
        self.reactor.advance(30)
        self.assertIs(self.session, self.pair.client.session)
        self.reactor.advance(10)
        self.assertIsNone(self.pair.client.session)
        self.assertTrue(self.target.reset)

    def test_tunnels(self) -> None:
        """
        They change when the link is back.
        """
        [tunnel] = self.pair.client.config.tunnels
        self.reload(tunnels=(tunnel, OTHER))
        self.reload(tunnels=(OTHER,))
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)
        self.reactor.unreachable.clear()
        self.reload(tunnels=(OTHER,))
        self.assertEqual([PUBLIC_PORT + 1], self.pair.public_ports)
        self.assertTrue(self.visitor.reset)
        self.assertIs(self.session, self.pair.client.session)

    def test_another_server(self) -> None:
        """
        The session is over, and the client goes there at once.
        """
        self.reload(server=f"tcp://{ELSEWHERE}:{LINK_PORT}")
        self.assertTrue(self.target.reset)
        self.assertIsNot(self.session, self.pair.client.session)
        self.assertTrue(self.pair.session.link_up)
        self.assertTrue(self.visitor.reset)
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)

    def test_another_id(self) -> None:
        """
        The same, as another client: the server lets the session wait on.
        """
        self.reactor.unreachable.clear()
        self.reload(client_id="desk")
        self.assertEqual(
            ["laptop", "desk"], [each.instance for each in self.pair.server.sessions]
        )
        self.reactor.advance(60)
        self.assertEqual("desk", self.pair.session.instance)

    def test_while_it_resumes(self) -> None:
        """
        Wherever the handshake is, it is begun again.
        """
        self.reactor.unreachable.clear()
        for turns in range(1, 12):
            self.pair.client.reload(self.config())
            for _ in range(turns):
                self.reactor.turn()
            self.reload()
            self.check_goes_on()
            self.pair.link.cut()
            self.reactor.turn()
            self.reactor.turn()

    def test_of_the_session(self) -> None:
        """
        How long it waits, and how much it keeps, are the session's own.
        """
        kept = self.reload(
            timeouts=ClientTimeouts(resume=0.0),
            limits=ClientLimits(max_unacknowledged=1 << 20),
        )
        self.assertEqual({"timeouts.resume", "limits.max_unacknowledged"}, {*kept})
        self.reactor.unreachable.clear()
        self.reload(timeouts=ClientTimeouts(resume=0.0))
        self.check_goes_on()

    def test_stopped_twice(self) -> None:
        """
        It waits for streams that may yet go on, and not when it is told again.
        """
        stopping = self.pair.client.stopService()
        self.reactor.settle()
        self.assertNoResult(stopping)
        self.pair.client.stop_now()
        self.reactor.settle()
        self.successResultOf(stopping)
        self.assertTrue(self.target.reset)

    def test_comes_back_while_it_stops(self) -> None:
        stopping = self.pair.client.stopService()
        self.reactor.unreachable.clear()
        self.reactor.settle()
        self.assertNoResult(stopping)
        self.reload()
        self.visitor.hang_up()
        self.target.hang_up()
        self.reactor.advance(10)
        self.successResultOf(stopping)
