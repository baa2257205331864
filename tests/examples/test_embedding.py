"""
Tests of what docs/embedding.md promises and no example shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from reitunnel import (
    AuthSettings,
    Client,
    ClientConfig,
    ClientTunnel,
    Secret,
    Server,
    ServerConfig,
    SessionRefused,
    TransportError,
    shown,
)
from reitunnel.auth import new_token
from reitunnel.config import ServerTimeouts
from tests.certificates import write_private


class Target(Protocol):
    """
    Says who the visitor is, and closes.
    """

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(shown(self.transport.getPeer()).encode())
        self.transport.loseConnection()


class Visitor(Protocol):
    """
    Takes what comes.
    """

    def __init__(self) -> None:
        self.text = ""
        self.done: Deferred[str] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.text += data.decode()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.check(ConnectionDone)
        self.done.callback(self.text)


class CountedFactory(Factory):
    """
    Counts how often it was started and stopped.
    """

    protocol = Target
    noisy = False
    started = stopped = 0

    def startFactory(self) -> None:
        self.started += 1

    def stopFactory(self) -> None:
        self.stopped += 1


class BrokenFactory(CountedFactory):
    """
    Cannot be started.
    """

    def startFactory(self) -> None:
        raise ValueError("on purpose")


class EmbeddingTestCase(TestCase):
    timeout = 30

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        self.token, lines = new_token("office")
        self.tokens = write_private(directory / "tokens.toml", lines.encode())

    def server(self, listen: str = "tcp://127.0.0.1:0") -> Server:
        """
        A server that has been started.
        """
        server = Server(
            reactor,
            ServerConfig(
                listen=(listen,) if listen else (),
                auth=AuthSettings(tokens=self.tokens),
                timeouts=ServerTimeouts(drain=0),
            ),
        )
        server.startService()
        self.addCleanup(server.stopService)
        return server

    async def client(self, server: Server, token: str) -> Client:
        """
        A client that has been started.
        """
        [address] = await server.when_listening()
        url = f"tcp://{shown(address)}"
        client = Client(reactor, ClientConfig(server=url, token=Secret(token)))
        client.startService()
        self.addCleanup(client.stopService)
        return client


async def visit(tunnel: ClientTunnel) -> tuple[str, str]:
    """
    Visit a tunnel.

    @return: what the target said, and this visitor's own address.
    """
    address = tunnel.address
    assert address is not None
    endpoint = TCP4ClientEndpoint(reactor, address.host, address.port)
    visitor = await connectProtocol(endpoint, Visitor())
    assert visitor.transport is not None
    own = shown(visitor.transport.getHost())
    return await visitor.done, own


async def until(check: Callable[[], bool]) -> None:
    """
    Wait until something is true; the test's time-out is the bound.
    """
    while not check():
        await deferLater(reactor, 0.01)


class InProcessTargetTests(EmbeddingTestCase):
    async def test_visitor(self) -> None:
        """
        The target's peer is the visitor.
        """
        client = await self.client(self.server(), self.token)
        said, own = await visit(await client.open_tunnel(CountedFactory()))
        self.assertEqual(own, said)

    async def test_factory_is_started_and_stopped(self) -> None:
        """
        As by a port, when the tunnel opens and when it is over.
        """
        client = await self.client(self.server(), self.token)
        factory = CountedFactory()
        first = await client.open_tunnel(factory)
        second = await client.open_tunnel(factory)
        self.assertEqual((1, 0), (factory.started, factory.stopped))
        first.close()
        await visit(second)
        self.assertEqual((1, 0), (factory.started, factory.stopped))
        second.close()
        # The visitor's stream may not be over on this side yet.
        await until(lambda: factory.stopped > 0)
        self.assertEqual((1, 1), (factory.started, factory.stopped))

    async def test_factory_is_stopped_with_the_session(self) -> None:
        """
        And started again with the next one.
        """
        server = self.server()
        client = await self.client(server, self.token)
        factory = CountedFactory()
        tunnel = await client.open_tunnel(factory)
        for session in server.sessions:
            session.close()
        await until(lambda: tunnel.address is None)
        self.assertEqual((1, 1), (factory.started, factory.stopped))
        await tunnel.when_open()
        self.assertEqual((2, 1), (factory.started, factory.stopped))

    async def test_factory_that_cannot_be_started(self) -> None:
        """
        That is logged, and harms nothing else.
        """
        client = await self.client(self.server(), self.token)
        await client.open_tunnel(BrokenFactory())
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        await visit(await client.open_tunnel(CountedFactory()))


class NobodyWaitsTests(EmbeddingTestCase):
    """
    What nobody waits for is logged.
    """

    async def test_server_that_cannot_listen(self) -> None:
        [address] = await self.server().when_listening()
        with capturedLogs() as logs:
            self.server(f"tcp://{shown(address)}")
            await deferLater(reactor, 0)
        errors = [each for each in logs if each["log_level"] >= LogLevel.error]
        self.assertEqual(1, len(errors))
        self.assertIn("cannot listen", errors[0]["reason"])

    async def test_somebody_asks_later(self) -> None:
        [address] = await self.server().when_listening()
        with capturedLogs() as logs:
            server = self.server(f"tcp://{shown(address)}")
            waiting = server.when_listening()
            await deferLater(reactor, 0)
        self.assertEqual([], [e for e in logs if e["log_level"] >= LogLevel.error])
        await self.assertFailure(waiting, TransportError)

    async def test_client_that_gives_up(self) -> None:
        other, _ = new_token("office")
        with capturedLogs() as logs:
            client = await self.client(self.server(), other)
            with self.assertRaises(SessionRefused):
                await client.when_connected()
        errors = [each for each in logs if each["log_level"] >= LogLevel.error]
        self.assertEqual(["authentication failed"], [e["reason"] for e in errors])

    async def test_client_that_somebody_waits_for(self) -> None:
        other, _ = new_token("office")
        with capturedLogs() as logs:
            client = await self.client(self.server(), other)
            with self.assertRaises(SessionRefused):
                await client.when_over()
        self.assertEqual([], [e for e in logs if e["log_level"] >= LogLevel.error])


class WithoutListenersTests(EmbeddingTestCase):
    async def test_it_starts(self) -> None:
        """
        And does not say that it listens.
        """
        with capturedLogs() as logs:
            self.assertEqual((), await self.server("").when_listening())
        self.assertEqual([], [e for e in logs if "addresses" in e])
