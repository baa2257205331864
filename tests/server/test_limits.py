"""
Limits: what counts, what is refused, and that it is given back.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel import Client, Code, ServerConfig
from reitunnel.auth import new_token
from reitunnel.config.settings import (
    AuthSettings,
    ClientTimeouts,
    Limits,
    ServerTimeouts,
)
from reitunnel.config.values import Secret
from reitunnel.interfaces import ILinkAdmission, ISession
from reitunnel.server.limits import Admission, Gauge
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import TunnelEnded, TunnelOpened, known_code
from tests.auth.support import write_token_file
from tests.ledger import Decider
from tests.pair import Pair, client_config, server_config
from tests.server.raw import RawClient, raw_client


class GaugeTests(SynchronousTestCase):
    def test_edge(self) -> None:
        gauge = Gauge("limits.some", 2)
        self.assertEqual([True, True, False], [gauge.take() for _ in range(3)])
        self.assertEqual((2, True), (gauge.used, gauge.full))
        gauge.give()
        self.assertEqual((1, False), (gauge.used, gauge.full))
        self.assertEqual([True, False], [gauge.take() for _ in range(2)])

    def test_says_so_once(self) -> None:
        """
        Once when it is reached, and again after half of it was free.
        """
        gauge = Gauge("limits.some", 4)
        for _ in range(4):
            gauge.take()
        with capturedLogs() as logs:
            gauge.take()
            gauge.take()
            gauge.give()
            gauge.take()
            gauge.take()
        self.assertEqual(1, len(logs))
        self.assertEqual(("limits.some", 4), (logs[0]["key"], logs[0]["limit"]))
        gauge.give()
        gauge.give()
        gauge.take()
        gauge.take()
        with capturedLogs() as logs:
            gauge.take()
        self.assertEqual(1, len(logs))


def transport(address: IAddress) -> ITransport:
    made: ITransport = StringTransport(peerAddress=address)
    return made


def from_host(host: str) -> ITransport:
    return transport(IPv4Address("TCP", host, 50000))


class AdmissionTests(SynchronousTestCase):
    def test_provides(self) -> None:
        verifyObject(ILinkAdmission, Admission(1, 1))

    def test_all(self) -> None:
        admission = Admission(2, 2)
        first, second, third = (from_host(f"192.0.2.{n}") for n in (1, 2, 3))
        self.assertEqual(
            [True, True, False], [admission.admit(t) for t in (first, second, third)]
        )
        admission.gone(first)
        self.assertTrue(admission.admit(third))

    def test_one_address(self) -> None:
        admission = Admission(10, 2)
        first, second, third = (from_host("192.0.2.1") for _ in range(3))
        self.assertEqual(
            [True, True, False], [admission.admit(t) for t in (first, second, third)]
        )
        self.assertTrue(admission.admit(from_host("192.0.2.2")))
        admission.gone(second)
        self.assertTrue(admission.admit(third))
        self.assertFalse(admission.admit(from_host("192.0.2.1")))

    def test_one_network(self) -> None:
        """
        Of IPv6, the addresses of one network count together; those of IPv4 that come
        in the form of IPv6 count as what they are.
        """
        admission = Admission(10, 1)
        for host, admitted in (
            ("2001:db8:0:1::1", True),
            ("2001:db8:0:1:ffff::2", False),
            ("2001:db8:0:2::1", True),
            ("::ffff:192.0.2.1", True),
            ("::ffff:192.0.2.2", True),
            ("::ffff:192.0.2.1", False),
            ("::1", True),
            ("fe80::1%eth0", True),
        ):
            peer = transport(IPv6Address("TCP", host, 50000))
            self.assertIs(admitted, admission.admit(peer), host)
        self.assertFalse(admission.admit(from_host("192.0.2.1")))

    def test_twice(self) -> None:
        """
        A connection counts once, however often it is asked for or gone.
        """
        admission = Admission(2, 2)
        first, second = from_host("192.0.2.1"), from_host("192.0.2.1")
        self.assertTrue(admission.admit(first))
        self.assertTrue(admission.admit(first))
        self.assertTrue(admission.admit(second))
        admission.gone(first)
        admission.gone(first)
        self.assertTrue(admission.admit(from_host("192.0.2.1")))
        self.assertFalse(admission.admit(from_host("192.0.2.1")))

    def test_refused_is_not_counted(self) -> None:
        admission = Admission(1, 5)
        first, second = from_host("192.0.2.1"), from_host("192.0.2.1")
        admission.admit(first)
        self.assertFalse(admission.admit(second))
        admission.gone(second)
        self.assertFalse(admission.admit(second))
        admission.gone(first)
        self.assertTrue(admission.admit(second))

    def test_unix_socket(self) -> None:
        """
        Unix sockets have no address: they share nothing but the whole.
        """
        admission = Admission(3, 1)
        self.assertEqual(
            [True, True, True, False],
            [admission.admit(transport(UNIXAddress(None))) for _ in range(4)],
        )


class HandshakeLimitTests(SynchronousTestCase):
    """
    Links in their handshakes.
    """

    def serve(self, **limits: int) -> Pair:
        pair = Pair(
            server=server_config(
                limits=Limits(**limits), timeouts=ServerTimeouts(handshake=10.0)
            )
        ).start_server()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        return pair

    def test_all(self) -> None:
        pair = self.serve(max_handshakes=2)
        clients = [raw_client(pair.reactor, f"192.0.2.{n}") for n in (1, 2, 3)]
        self.assertEqual([True, True, False], [each.lost is None for each in clients])

    def test_one_address(self) -> None:
        pair = self.serve(max_handshakes_per_address=2)
        clients = [
            raw_client(pair.reactor, host)
            for host in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2")
        ]
        self.assertEqual(
            [True, True, False, True], [each.lost is None for each in clients]
        )

    def check_released(self, pair: Pair) -> None:
        """
        There is room for one more, and for one alone.
        """
        clients = [raw_client(pair.reactor) for _ in range(2)]
        self.assertEqual([True, False], [each.lost is None for each in clients])

    def test_released_by_welcome(self) -> None:
        """
        Authenticated clients do not count.
        """
        pair = self.serve(max_handshakes=1)
        raw_client(pair.reactor).log_in()
        self.check_released(pair)

    def test_released_by_refusal(self) -> None:
        pair = self.serve(max_handshakes=1)
        client = raw_client(pair.reactor)
        client.respond()
        self.assertEqual(Code.PROTOCOL, client.refused()[0])
        self.check_released(pair)

    def test_refused_but_still_there(self) -> None:
        """
        A client that is turned away counts until its connection is closed, which
        is a matter of seconds even if it does not want to.
        """
        pair = self.serve(max_handshakes=1)
        client = raw_client(pair.reactor)
        client.transport.pauseProducing()
        client.respond()
        second = raw_client(pair.reactor)
        self.assertIsNotNone(second.lost)
        pair.reactor.advance(5)
        self.check_released(pair)
        client.transport.resumeProducing()

    def test_released_by_time_out(self) -> None:
        pair = self.serve(max_handshakes=1)
        raw_client(pair.reactor)
        pair.reactor.advance(10)
        self.check_released(pair)

    def test_released_by_leaving(self) -> None:
        pair = self.serve(max_handshakes=1)
        raw_client(pair.reactor).transport.abortConnection()
        pair.reactor.settle()
        self.check_released(pair)

    def test_released_once(self) -> None:
        """
        The end of a session gives nothing back: the handshake did.
        """
        pair = self.serve(max_handshakes=1)
        client = raw_client(pair.reactor)
        client.log_in()
        client.transport.abortConnection()
        pair.reactor.settle()
        self.check_released(pair)


class ClientLimitTests(SynchronousTestCase):
    def test_edge(self) -> None:
        pair = Pair(server=server_config(limits=Limits(max_clients=2))).start_server()
        clients = [raw_client(pair.reactor) for _ in range(4)]
        clients[0].log_in("a")
        clients[1].log_in("b")
        self.turned_away(clients[2])
        self.assertEqual(["client+", "client+ 2"], pair.told_server.lines[1:])
        clients[0].transport.abortConnection()
        pair.reactor.settle()
        clients[3].log_in("d")
        self.assertEqual(["b", "d"], [each.instance for each in pair.server.sessions])
        self.assertEqual([], pair.stop())

    def test_undecided(self) -> None:
        """
        Two for the last place, on whom hooks decide: the first to be allowed gets
        it.
        """
        decisions: list[Deferred[None]] = []

        def decide(client: ISession) -> Deferred[None]:
            decisions.append(Deferred())
            return decisions[-1]

        pair = Pair(
            server=server_config(limits=Limits(max_clients=1)),
            server_hooks=[Decider(client=decide)],
        ).start_server()
        clients = [raw_client(pair.reactor) for _ in range(2)]
        for client, name in zip(clients, "ab", strict=True):
            client.hello(name)
            client.frames.clear()
            client.respond()
        for decision in decisions:
            decision.callback(None)
        pair.reactor.settle()
        self.assertEqual("a", pair.session.instance)
        self.assertEqual(
            (Code.LIMIT, "the server has too many clients"), clients[1].refused()
        )
        self.assertEqual(
            [
                "client+",
                "client+ 2",
                "client- 2 LIMIT: the server has too many clients",
            ],
            pair.told_server.lines[1:],
        )
        self.assertEqual([], pair.stop())

    def turned_away(self, client: RawClient) -> None:
        client.hello("c")
        client.frames.clear()
        client.respond()
        self.assertEqual(
            (Code.LIMIT, "the server has too many clients"), client.refused()
        )


class IdentityLimitTests(SynchronousTestCase):
    """
    C{max_clients_per_identity}: who has one token cannot take all places.
    """

    def setUp(self) -> None:
        path = Path(self.mktemp())
        tokens = {name: new_token(name) for name in ("ours", "theirs")}
        write_token_file(path, "".join(entry for _, entry in tokens.values()))
        self.tokens = {name: token for name, (token, _) in tokens.items()}
        self.auth = AuthSettings(tokens=path)
        self.pair = Pair(server=self.config(2)).start_server()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))

    def config(self, limit: int) -> ServerConfig:
        return server_config(
            insecure_no_auth=False,
            auth=self.auth,
            limits=Limits(max_clients=4, max_clients_per_identity=limit),
        )

    def connect(self, name: str, instance: str) -> Client:
        token = Secret(self.tokens[name])
        # Its session waits when its link is lost.
        config = client_config(
            token=token, client_id=instance, tunnels=(), timeouts=ClientTimeouts()
        )
        client = Client(self.pair.reactor, config)
        client.startService()
        self.pair.reactor.settle()

        def stop() -> None:
            client.stopService()
            self.pair.reactor.settle()

        self.addCleanup(stop)
        return client

    def instances(self) -> list[str]:
        return [each.instance for each in self.pair.server.sessions]

    def check_refused(self, client: Client) -> None:
        self.assertIsNone(client.session)
        self.assertIn("too many clients with these credentials", client.status)

    def test_edge(self) -> None:
        first = self.connect("ours", "a")
        self.connect("ours", "b")
        self.check_refused(self.connect("ours", "c"))
        self.connect("theirs", "d")
        self.assertEqual(["a", "b", "d"], self.instances())
        first.stopService()
        self.pair.reactor.settle()
        self.connect("ours", "e")
        self.assertEqual(["b", "d", "e"], self.instances())

    def test_own_place(self) -> None:
        """
        Take-over needs no other one.
        """
        self.connect("ours", "a")
        self.connect("ours", "b")
        self.assertIsNotNone(self.connect("ours", "b").session)
        self.assertEqual(["a", "b"], self.instances())

    def test_waiting_sessions(self) -> None:
        """
        They keep their places.
        """
        self.connect("ours", "a")
        self.connect("ours", "b")
        self.pair.reactor.unreachable.add("127.0.0.1")
        self.pair.link.cut()
        self.pair.reactor.advance(0.5)
        self.pair.reactor.unreachable.clear()
        self.check_refused(self.connect("ours", "c"))

    def test_reloaded(self) -> None:
        """
        Those above a new limit stay; 0 is no limit.
        """
        self.connect("ours", "a")
        self.connect("ours", "b")
        self.pair.server.reload(self.config(1))
        self.pair.reactor.settle()
        self.check_refused(self.connect("ours", "c"))
        self.assertEqual(["a", "b"], self.instances())
        self.pair.server.reload(self.config(0))
        self.pair.reactor.settle()
        self.connect("ours", "d")
        self.connect("ours", "e")
        self.assertEqual(["a", "b", "d", "e"], self.instances())

    def test_undecided(self) -> None:
        """
        Two for the last place, on whom hooks decide: the first to be allowed gets it.
        """
        decisions: list[Deferred[None]] = []

        def decide(client: ISession) -> Deferred[None]:
            decisions.append(Deferred())
            return decisions[-1]

        self.pair.server.hooks.register(Decider(client=decide))
        self.connect("ours", "a")
        self.connect("ours", "b")
        self.connect("ours", "c")
        for decision in decisions:
            decision.callback(None)
        self.pair.reactor.settle()
        self.assertEqual(["a", "b"], self.instances())


class TunnelLimitTests(SynchronousTestCase):
    """
    C{max_tunnels}. Those that are being decided on count; those that were refused or
    closed do not.
    """

    def setUp(self) -> None:
        self.pair = Pair(
            server=server_config(limits=Limits(max_tunnels=2))
        ).start_server()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.client = raw_client(self.pair.reactor)
        self.client.log_in()

    def refused(self) -> Code:
        ended = self.client.take(FrameKind.TUNNEL_REFUSED, TunnelEnded)
        self.client.send(FrameKind.TUNNEL_CLOSE, TunnelEnded(ended.tunnel, Code.CLOSED))
        return known_code(ended.code)

    def test_edge(self) -> None:
        for number in (1, 2):
            self.client.ask(number, 6000 + number)
            self.client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        self.client.ask(3, 6003)
        self.assertEqual(Code.LIMIT, self.refused())
        self.client.send(FrameKind.TUNNEL_CLOSE, TunnelEnded(1, Code.CLOSED))
        self.client.take(FrameKind.TUNNEL_CLOSE, TunnelEnded)
        self.client.ask(4, 6004)
        self.client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)

    def test_refused(self) -> None:
        for number in range(1, 5):
            self.client.ask(number, 80)
            self.assertEqual(Code.POLICY, self.refused())
        self.client.ask(9, 6000)
        self.client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
