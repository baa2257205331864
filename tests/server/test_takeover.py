"""
A client that connects again takes its own place.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client, Code
from reitunnel.auth import new_token
from reitunnel.config.settings import AuthSettings, Limits
from reitunnel.config.values import Secret
from reitunnel.errors import Refused, SessionRefused
from reitunnel.interfaces import ISession
from tests.auth.support import write_token_file
from tests.ledger import Decider, Ledger
from tests.pair import PUBLIC_PORT, Pair, client_config, server_config


class TakeOverTests(SynchronousTestCase):
    def pair(self, pair: Pair | None = None) -> Pair:
        pair = (pair or Pair()).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        return pair

    def another(self, pair: Pair, **changes: object) -> tuple[Client, Ledger]:
        """
        Start another client.
        """
        ledger = Ledger()
        client = Client(pair.reactor, client_config(**changes), [ledger])
        client.startService()

        def stop() -> None:
            client.stopService()
            pair.reactor.settle()

        self.addCleanup(stop)
        return client, ledger

    def test_ports_are_free(self) -> None:
        """
        The new session gets the tunnels of the old one at once: nobody waits for a
        time-out, nor asks twice.
        """
        pair = self.pair()
        client, ledger = self.another(pair)
        over = client.when_over()
        pair.reactor.settle()
        self.assertEqual(["client+", "tunnel+ 1"], ledger.lines)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        self.assertEqual(0, pair.reactor.seconds())
        self.assertEqual([client.client_id], [pair.session.instance])
        visitor = pair.visit()
        self.assertIs(None, visitor.lost)
        self.assertEqual("stream+ 2", ledger.lines[-1])
        self.assertNoResult(over)

    def test_old_client_gives_up(self) -> None:
        """
        It does not take over again, and again.
        """
        pair = self.pair()
        over = pair.client.when_over()
        self.another(pair)
        pair.reactor.advance(300)
        error = self.failureResultOf(over, SessionRefused).value
        assert isinstance(error, SessionRefused)
        self.assertEqual(Code.TAKEN_OVER, error.code)
        self.assertEqual(1, len(list(pair.server.sessions)))

    def test_other_instance(self) -> None:
        pair = self.pair()
        self.another(pair, client_id="desktop", tunnels=())
        pair.reactor.settle()
        self.assertEqual(
            ["laptop", "desktop"], [each.instance for each in pair.server.sessions]
        )

    def test_other_identity(self) -> None:
        """
        The same instance with another token is another client: nobody takes a
        tunnel of somebody else's.
        """
        path = Path(self.mktemp())
        (ours, our_line), (theirs, their_line) = new_token("ours"), new_token("theirs")
        write_token_file(path, f"{our_line}\n{their_line}\n")
        pair = self.pair(
            Pair(
                server=server_config(
                    insecure_no_auth=False, auth=AuthSettings(tokens=path)
                ),
                client=client_config(token=Secret(ours)),
            )
        )
        self.another(pair, token=Secret(theirs), tunnels=())
        pair.reactor.settle()
        self.assertEqual(
            ["token:ours", "token:theirs"],
            [each.identity for each in pair.server.sessions],
        )
        self.assertEqual([PUBLIC_PORT], pair.public_ports)

    def test_full_server(self) -> None:
        """
        The last place is its own.
        """
        pair = self.pair(Pair(server=server_config(limits=Limits(max_clients=1))))
        _, ledger = self.another(pair)
        pair.reactor.settle()
        self.assertEqual(["client+", "tunnel+ 1"], ledger.lines)

    def test_refused_by_hook(self) -> None:
        """
        A client that hooks refuse does not end the session that is there.
        """
        seen: list[ISession] = []

        def only_once(client: ISession) -> None:
            seen.append(client)
            if len(seen) > 1:
                raise Refused

        pair = self.pair(Pair(server_hooks=[Decider(client=only_once)]))
        client, _ = self.another(pair)
        over = client.when_over()
        pair.reactor.settle()
        self.failureResultOf(over, SessionRefused)
        self.assertIs(seen[0], pair.session)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)

    def test_undecided_session(self) -> None:
        """
        Two at once, on which hooks decide: the last to be let in stays.
        """
        decisions: list[Deferred[None]] = []

        def decide(client: ISession) -> Deferred[None] | None:
            decisions.append(Deferred())
            return decisions[-1]

        pair = Pair(server_hooks=[Decider(client=decide)]).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        second, second_ledger = self.another(pair)
        third, third_ledger = self.another(pair)
        overs = [each.when_over() for each in (pair.client, second, third)]
        pair.reactor.settle()
        for decision in decisions:
            decision.callback(None)
        pair.reactor.settle()
        self.assertEqual(["client+", "tunnel+ 1"], third_ledger.lines)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        self.assertEqual(1, len(list(pair.server.sessions)))
        for over in overs[:2]:
            self.failureResultOf(over, SessionRefused)
        self.assertNoResult(overs[2])
        self.assertEqual([], second_ledger.broken_rules())

    def test_two_at_once(self) -> None:
        """
        Two that arrive in the same turn: one of them stays, with the port.
        """
        pair = self.pair()
        second, _ = self.another(pair)
        third, _ = self.another(pair)
        overs = [second.when_over(), third.when_over()]
        pair.reactor.settle()
        self.failureResultOf(overs[0], SessionRefused)
        self.assertNoResult(overs[1])
        self.assertEqual([PUBLIC_PORT], pair.public_ports)

    def test_lost_while_the_ports_are_closing(self) -> None:
        """
        The old client's ports are closed, even if the new one is lost in the same
        turn.
        """
        pair = self.pair()
        other, _ = self.another(pair)
        pair.reactor.settle()
        waiting = pair.link
        waiting.cut()
        other.stopService()
        pair.reactor.settle()
        self.assertEqual([], pair.public_ports)

    def test_silent_link(self) -> None:
        """
        A client whose link died without a word, and which is back before the server
        has noticed.
        """
        pair = self.pair()
        pair.link.silence()
        assert pair.client.session is not None
        pair.client.session.close()
        pair.reactor.advance(8)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        [session] = pair.server.sessions
        self.assertEqual("laptop", session.instance)
        taken_over = "TAKEN_OVER: the same client connected again"
        self.assertEqual(
            [
                "client+ 2",
                f"tunnel- 1 {taken_over} (0/0)",
                f"client- 1 {taken_over}",
                "tunnel+ 1",
            ],
            pair.told_server.lines[3:],
        )
