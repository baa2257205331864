"""
A server tells its hooks who has failed, so that the C{block} hook can do its work.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.config.settings import ClientTimeouts, Policy
from reitunnel.config.values import PortRange
from reitunnel.errors import CodedError, Refused
from reitunnel.hooks import BaseHook
from reitunnel.hooks.blocking import BlockHook, BlockOptions
from reitunnel.hooks.rate_limit import Rate, RateHook, RateOptions
from reitunnel.interfaces import ISession, ITunnel
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import Challenge
from tests.memory import MemoryReactor
from tests.pair import PUBLIC_PORT, Pair, client_config, server_config
from tests.server.raw import raw_client
from tests.server.test_handshake import HandshakeCase

BAD = "192.0.2.66"
GOOD = "192.0.2.1"


class RefusingHook(BaseHook):
    """
    Refuses clients, tunnels, or nothing.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def on_client_connect(self, client: ISession) -> None:
        if self.what == "clients":
            raise Refused("no clients")

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        if self.what == "tunnels":
            raise Refused("no tunnels")


class BlockingTests(HandshakeCase):
    def begin(self, *others: object, **changes: object) -> None:
        """
        Start a server with the hook, and hooks after it.
        """
        reactor = MemoryReactor()
        self.hook = BlockHook(BlockOptions(failures=2), reactor)
        self.pair = self.serve(
            Pair(
                server=server_config(**changes),
                client=client_config(tunnels=()),
                server_hooks=[self.hook, *others],
                reactor=reactor,
            )
        )

    def fail_to_authenticate(self, source: str) -> None:
        client = raw_client(self.pair.reactor, source)
        client.hello()
        client.take(FrameKind.CHALLENGE, Challenge)
        client.respond("PLAIN", b"")
        self.assertEqual(Code.AUTHENTICATION, client.refused()[0])

    def lets_in(self, source: str) -> bool:
        """
        Whether a client from there that is what it should be comes in.
        """
        before = len(self.pair.server.sessions)
        client = raw_client(self.pair.reactor, source)
        client.hello(instance=f"raw {before}")
        client.take(FrameKind.CHALLENGE, Challenge)
        client.respond()
        return len(self.pair.server.sessions) > before

    def test_failed_authentication(self) -> None:
        self.begin()
        self.fail_to_authenticate(BAD)
        self.assertTrue(self.lets_in(BAD))
        self.fail_to_authenticate(BAD)
        self.assertFalse(self.lets_in(BAD))
        self.assertTrue(self.lets_in(GOOD))
        # What is open stays open.
        self.assertEqual(2, len(self.pair.server.sessions))

    def test_refused_clients(self) -> None:
        refusing = RefusingHook("clients")
        self.begin(refusing)
        for _ in range(2):
            self.assertFalse(self.lets_in(BAD))
        refusing.what = ""
        self.assertTrue(self.hook.is_blocked(BAD))
        self.assertFalse(self.lets_in(BAD))

    def test_refused_tunnels(self) -> None:
        """
        By a hook after it, or by the server's policy.
        """
        policy = Policy(ports=(PortRange(PUBLIC_PORT, PUBLIC_PORT),))
        self.begin(RefusingHook("tunnels"), policy=policy)
        client = raw_client(self.pair.reactor, BAD)
        client.log_in("raw", ())
        client.ask(1, PUBLIC_PORT)
        self.pair.reactor.settle()
        self.assertFalse(self.hook.is_blocked(BAD))
        client.ask(2, PUBLIC_PORT + 1)
        self.pair.reactor.settle()
        self.assertTrue(self.hook.is_blocked(BAD))

    def test_who_is_told_of(self) -> None:
        self.begin()
        self.fail_to_authenticate(BAD)
        [(error, _)] = self.pair.told_server.errors
        assert isinstance(error, CodedError)
        assert isinstance(error.peer, IPv4Address)
        self.assertEqual(BAD, error.peer.host)


class ResumptionTests(SynchronousTestCase):
    """
    A session goes on on another link, whatever is said now of clients that connect,
    unless a hook asks to be asked about those that come back.
    """

    def check_stays(
        self, pair: Pair, forbid: Callable[[], object] = lambda: None
    ) -> None:
        """
        Lose the link a few times; then see that the next session is judged.

        @param forbid: makes the rules stricter, once the client is in.
        """
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        pair.start()
        visitor, target = pair.open_stream()
        session = pair.session
        forbid()
        for count in range(1, 6):
            pair.link.cut()
            pair.reactor.settle()
            self.assertEqual([session], list(pair.server.sessions))
            visitor.say(b"x")
            pair.reactor.settle()
            self.assertEqual(b"x" * count, target.received)
            self.assertTrue(pair.data_links)
        session.close()
        pair.reactor.advance(5)
        self.assertEqual((), pair.server.sessions)

    def pair(self, hook: object, reactor: MemoryReactor) -> Pair:
        return Pair(
            client=client_config(timeouts=ClientTimeouts(), carrier="direct"),
            server_hooks=[hook],
            reactor=reactor,
        )

    def test_too_often(self) -> None:
        reactor = MemoryReactor()
        once = Rate(rate=0.001, burst=1)
        hook = RateHook(RateOptions(clients_per_address=once), reactor)
        self.check_stays(self.pair(hook, reactor))

    def test_refused_from_now_on(self) -> None:
        refusing = RefusingHook("")

        def forbid() -> None:
            refusing.what = "clients"

        self.check_stays(self.pair(refusing, MemoryReactor()), forbid)
