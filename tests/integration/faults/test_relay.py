"""
Tests of the faulty relay, over real sockets.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    connectProtocol,
)
from twisted.internet.interfaces import IListeningPort
from twisted.trial.unittest import TestCase

from tests.integration.faults.relay import Connection, FaultRelay
from tests.integration.processes import reactor
from tests.integration.streaming import (
    Program,
    Programs,
    close,
    port_of,
    stopped_growing,
    until,
)


class RelayTests(TestCase):
    timeout = 60

    async def connect(self) -> tuple[Program, Program, Connection]:
        """
        Connect a client through the relay.

        @return: the client, the server, and the connection.
        """
        self.programs = Programs()
        endpoint = TCP4ServerEndpoint(reactor, 0, 50, "127.0.0.1")
        port: IListeningPort = await endpoint.listen(self.programs)
        self.addCleanup(port.stopListening)
        self.relay = FaultRelay(reactor, port_of(port.getHost()))
        self.dialled = await self.relay.start()
        self.addCleanup(self.stop)
        arriving = self.programs.next()
        client = await self.dial()
        server = await arriving
        self.addCleanup(close, server)
        (connection,) = self.relay.connections
        await until(lambda: connection.alive)
        return client, server, connection

    async def stop(self) -> None:
        await self.relay.stop()
        await until(lambda: not self.relay.connections)

    async def dial(self) -> Program:
        client = Program()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.dialled)
        await connectProtocol(endpoint, client)
        self.addCleanup(close, client)
        return client

    async def check(self, client: Program, server: Program) -> None:
        """
        Both directions work.
        """
        before = client.count, server.count
        client.transport.write(b"up")
        server.transport.write(b"down")
        await server.got(before[1] + 2)
        await client.got(before[0] + 4)

    async def test_nothing(self) -> None:
        client, server, connection = await self.connect()
        await self.check(client, server)
        sender = client.send(5_000_000)
        await server.finished
        self.assertEqual(5_000_002, server.count)
        self.assertEqual(connection.up.passed, server.count)
        await sender.done
        server.transport.loseWriteConnection()
        await client.finished
        client.transport.loseConnection()
        server.transport.loseConnection()
        await client.lost
        await server.lost
        self.assertFalse(client.was_reset or server.was_reset)
        await until(lambda: connection.gone)
        self.assertEqual([], self.relay.connections)

    async def test_found_by_its_port(self) -> None:
        _, server, connection = await self.connect()
        port = port_of(server.transport.getPeer())
        self.assertIs(connection, self.relay.from_port(port))
        self.assertIsNone(self.relay.from_port(1))

    async def test_cut(self) -> None:
        client, server, connection = await self.connect()
        connection.cut()
        await client.finished
        await server.finished

    async def test_reset(self) -> None:
        client, server, connection = await self.connect()
        connection.reset()
        await client.lost
        await server.lost
        self.assertTrue(client.was_reset and server.was_reset)

    async def test_reset_passes(self) -> None:
        client, server, _ = await self.connect()
        client.transport.abortConnection()
        await server.lost
        self.assertTrue(server.was_reset)

    async def test_half_close(self) -> None:
        client, server, connection = await self.connect()
        connection.half_close(up=True)
        await server.finished
        server.transport.write(b"still")
        await client.got(5)
        self.assertFalse(client.finished.called)

    async def test_half_close_and_the_other_half(self) -> None:
        """
        An end that is told that no more comes, and then says so itself, is done.
        """
        client, server, connection = await self.connect()
        connection.half_close(down=True)
        await client.finished
        client.transport.loseConnection()
        await server.finished
        await until(lambda: connection.gone)
        self.assertEqual({"client", "server"}, set(connection.lost_at))

    async def test_half_close_of_a_full_direction(self) -> None:
        """
        The end of one whose bytes were not read is seen.
        """
        client, server, connection = await self.connect()
        server.transport.pauseProducing()
        client.transport.write(b"x" * 20_000_000)
        await until(lambda: "paused True" in str(connection.up))
        connection.half_close(up=True, down=True)
        client.transport.abortConnection()
        await until(lambda: connection.gone)

    async def swallows(
        self, hole: Callable[[Connection], None], *, up: bool, down: bool
    ) -> None:
        client, server, connection = await self.connect()
        hole(connection)
        client.transport.write(b"x" * 100_000)
        server.transport.write(b"x" * 100_000)
        for swallowed, flow, end in (
            (up, connection.up, server),
            (down, connection.down, client),
        ):
            if swallowed:
                await until(lambda flow=flow: flow.swallowed == 100_000)  # type: ignore[misc]
                self.assertEqual(0, end.count)
            else:
                await end.got(100_000)
        self.assertTrue(connection.alive)

    async def test_black_hole_up(self) -> None:
        await self.swallows(lambda it: it.black_hole(up=True), up=True, down=False)

    async def test_black_hole_down(self) -> None:
        await self.swallows(lambda it: it.black_hole(down=True), up=False, down=True)

    async def test_black_hole_both(self) -> None:
        await self.swallows(
            lambda it: it.black_hole(up=True, down=True), up=True, down=True
        )

    async def test_black_hole_swallows_ends(self) -> None:
        """
        Who cannot be heard can leave, and the other does not notice.
        """
        client, server, connection = await self.connect()
        connection.black_hole(up=True)
        client.transport.abortConnection()
        await client.lost
        await until(lambda: "client" in connection.lost_at)
        self.assertFalse(server.lost.called)
        self.relay.heal()
        await server.lost
        self.assertTrue(server.was_reset)

    async def test_corrupt(self) -> None:
        client, server, connection = await self.connect()
        connection.up.weather.corrupt = 2
        client.transport.write(b"\x00\x01\x02")
        await server.got(3)
        self.assertEqual(b"\xff\xfe\x02", bytes(server.received))

    async def test_replay(self) -> None:
        client, server, connection = await self.connect()
        connection.down.weather.replay = 2
        server.transport.write(b"abc")
        await client.got(5)
        self.assertEqual(b"abcbc", bytes(client.received))

    async def test_delay(self) -> None:
        client, server, connection = await self.connect()
        connection.up.weather.delay = 0.3
        start = reactor.seconds()
        client.transport.write(b"late")
        server.transport.write(b"soon")
        await client.got(4)
        await server.got(4)
        self.assertGreaterEqual(reactor.seconds() - start, 0.3)

    async def test_limit(self) -> None:
        client, server, connection = await self.connect()
        connection.up.weather.rate = 200_000
        start = reactor.seconds()
        client.send(100_000)
        await server.finished
        self.assertEqual(100_000, server.count)
        self.assertGreaterEqual(reactor.seconds() - start, 0.4)

    async def test_delay_keeps_the_order_and_the_end(self) -> None:
        client, server, connection = await self.connect()
        connection.up.weather.delay = 0.2
        client.transport.write(b"first")
        await until(lambda: connection.up.waiting == 5)
        connection.up.weather.delay = 0
        client.transport.write(b"second")
        client.transport.loseWriteConnection()
        await server.finished
        self.assertEqual(b"firstsecond", bytes(server.received))

    async def test_clear(self) -> None:
        """
        What has waited goes on at once.
        """
        client, server, connection = await self.connect()
        connection.up.weather.rate = 1000
        client.send(500_000)
        await server.got(1)
        connection.clear()
        await server.finished
        self.assertEqual(500_000, server.count)

    async def test_refusing(self) -> None:
        await self.connect()
        self.relay.refusing = True
        refused = await self.dial()
        await refused.lost
        self.assertTrue(refused.was_reset)
        self.relay.heal()
        arriving = self.programs.next()
        client = await self.dial()
        await self.check(client, await arriving)

    async def test_swallowing(self) -> None:
        await self.connect()
        self.relay.swallowing = True
        client = await self.dial()
        client.transport.write(b"lost")
        await until(lambda: self.relay.connections[-1].up.swallowed == 4)
        self.assertEqual(2, self.relay.made)

    async def test_back_pressure(self) -> None:
        """
        Who does not read stops who sends.
        """
        client, server, connection = await self.connect()
        server.transport.pauseProducing()
        client.send(50_000_000)
        await stopped_growing(lambda: connection.up.passed)
        self.assertLess(connection.up.waiting, 2_000_000)
        server.transport.resumeProducing()
        await server.finished
        self.assertEqual(50_000_000, server.count)
