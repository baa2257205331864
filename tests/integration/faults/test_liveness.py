"""
Links that go silent while their sockets stay open: in one direction, in the other, in
both. Real processes, with short heartbeats, and a relay that swallows.
"""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import TestCase

from tests.integration.faults.processes import pause
from tests.integration.faults.relay import Connection
from tests.integration.faults.truth import Order, Pace, Record
from tests.integration.faults.world import QUICK, Terms, World
from tests.integration.processes import reactor

_INTERVAL = 0.5
_TIMEOUT = 2.0
_TERMS = Terms(
    both={
        "timeouts.heartbeat_interval": _INTERVAL,
        "timeouts.heartbeat_timeout": _TIMEOUT,
    },
    server=QUICK.server,
    client=QUICK.client,
)
_BOUND = 2 * _TIMEOUT + 10.0
"""A link is found before so many seconds are over, however busy the machine is."""
_STEADY = Pace(1000, 1, 0.1)


class LivenessTests(TestCase):
    timeout = 180

    async def begin(self, *ways: tuple[str, str]) -> World:
        directory = Path(mkdtemp(prefix="reitunnel-liveness-"))
        self.addCleanup(rmtree, directory)
        world = World(directory, ways, _TERMS)
        self.addCleanup(world.end)
        await world.start()
        return world

    async def silent(self, connection: Connection, *, up: bool, down: bool) -> None:
        """
        Let a link bring nothing, wait until both ends have let go of it, and see that
        that is soon, and that neither was told by the other: each has found out by
        itself.
        """
        connection.black_hole(up=up, down=down)
        bound = reactor.callLater(_BOUND, list)
        while not connection.gone and bound.active():
            await pause(0.02)
        self.assertTrue(bound.active(), "the link was not found in time")
        bound.cancel()
        self.assertEqual({"client", "server"}, set(connection.lost_at))

    async def visit(self, world: World, number: int) -> Record:
        """
        Visit the first route, and wait until the stream moves both ways.
        """
        order = Order(number, "interactive", _STEADY, _STEADY)
        while True:
            record = await world.truth.visit(world.routes[0].port, order)
            if record is not None:
                while record.visitor.got < 3 and not record.over:
                    await pause(0.02)
                if not record.over:
                    return record
            await pause(0.1)

    async def silent_control_link(self, *, up: bool, down: bool) -> None:
        world = await self.begin(("tls", "mux"))
        [route] = world.routes
        await self.visit(world, 1)
        connection = world.control(route)
        assert connection is not None
        begun = reactor.seconds()
        await self.silent(connection, up=up, down=down)
        for at in connection.lost_at.values():
            # An answer to the last ping may just have come.
            self.assertGreaterEqual(at - begun, _TIMEOUT - _INTERVAL - 0.1)
        # Another link has taken its place.
        await self.visit(world, 2)
        self.assertEqual([], world.truth.strays)

    async def test_control_link_up(self) -> None:
        await self.silent_control_link(up=True, down=False)

    async def test_control_link_down(self) -> None:
        await self.silent_control_link(up=False, down=True)

    async def test_control_link_both(self) -> None:
        await self.silent_control_link(up=True, down=True)

    async def silent_resumed_link(self, *, up: bool, down: bool) -> None:
        """
        The same of a link on which a session has just gone on.
        """
        world = await self.begin(("tls", "mux"))
        [route] = world.routes
        record = await self.visit(world, 1)
        first = world.control(route)
        assert first is not None
        first.reset()
        while (resumed := world.control(route)) in (None, first):
            await pause(0.005)
        assert resumed is not None
        await self.silent(resumed, up=up, down=down)
        # The stream goes on on the third one.
        moved = record.visitor.got
        while record.visitor.got < moved + 3:
            self.assertFalse(record.over)
            await pause(0.02)

    async def test_resumed_link_up(self) -> None:
        await self.silent_resumed_link(up=True, down=False)

    async def test_resumed_link_down(self) -> None:
        await self.silent_resumed_link(up=False, down=True)

    async def silent_data_link(self, *, up: bool, down: bool) -> None:
        world = await self.begin(("tls", "auto"))
        [route] = world.routes
        record = await self.visit(world, 1)
        while len(world.data_links(route)) < 3:
            await pause(0.02)
        silent, *others = world.data_links(route)
        await self.silent(silent, up=up, down=down)
        # The pool is full again, and nothing else has noticed.
        while len(world.data_links(route)) < 3:
            await pause(0.02)
        self.assertTrue(all(each.alive for each in others))
        moved = record.visitor.got
        while record.visitor.got < moved + 3:
            self.assertFalse(record.over)
            await pause(0.02)

    async def test_idle_data_link_up(self) -> None:
        await self.silent_data_link(up=True, down=False)

    async def test_idle_data_link_down(self) -> None:
        await self.silent_data_link(up=False, down=True)

    async def test_idle_data_link_both(self) -> None:
        await self.silent_data_link(up=True, down=True)
