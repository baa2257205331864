"""
Strikes with faults, and keeps count of what they did to links and streams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList

from tests.integration.faults.plan import HARMLESS, Fault, Kind, Where
from tests.integration.faults.processes import pause
from tests.integration.faults.relay import Connection
from tests.integration.faults.truth import Record
from tests.integration.faults.world import Route, World
from tests.integration.processes import PATIENCE, reactor

_UNDONE: Final = frozenset({Kind.CORRUPT, Kind.REPLAY})
"""What a link without TLS does not find out: there it is a reset instead."""
_LONGEST_SILENCE: Final = 8.0
"""How long a data link is silent at most, in seconds."""
_LATELY: Final = 15.0
"""For how long a fault may keep a new stream from being accepted, in seconds."""


@dataclass
class Tally:
    """
    What was done.

    @ivar faults: how many of each kind.
    @ivar outages: how many times a control link was struck with what kills links.
    @ivar silences: how long each end took to find that its link is silent.
    @ivar unfound: the silent control links that were not found.
    @ivar moving: how long after its link could be had again each stream moved.
    @ivar serving: how long after a killed process was started again its port served.
    """

    faults: Counter[str] = field(default_factory=Counter)
    outages: int = 0
    silences: list[float] = field(default_factory=list)
    unfound: list[str] = field(default_factory=list)
    moving: list[float] = field(default_factory=list)
    serving: list[float] = field(default_factory=list)


@dataclass
class Outage:
    """
    An outage of a route that goes on.

    @ivar back_at: when the link could be had again; 0 before.
    @ivar links: how many links the relay had made by then.
    @ivar waiting: the streams that have not moved since.
    """

    route: Route
    back_at: float
    links: int
    waiting: set[int]


@dataclass
class Strike:
    """
    What was done to a data link.

    @ivar since: since when its stream may be reset, if that may be before it is seen
        to die.
    """

    route: Route
    since: float


class Striker:
    """
    Does what a plan says to a world.

    @ivar tally: what was done.
    @ivar killed: the numbers of the streams one of whose processes was killed.
    @ivar struck: the data links that were struck, or had an end that was stopped for
        a while: with each that has died, one stream may have.
    @ivar history: what was done, and when, a line each.
    """

    def __init__(self, world: World, routes_of: dict[int, Route]) -> None:
        """
        @param routes_of: the route of each stream, by number.
        """
        self.tally = Tally()
        self.killed: set[int] = set()
        self.struck: dict[Connection, Strike] = {}
        self.history: list[str] = []
        # When a fault began or was over, by the name of the route.
        self._strikes: dict[str, list[float]] = {}
        self._world = world
        self._routes_of = routes_of
        self._outages: list[Outage] = []
        self._busy: set[str] = set()
        self._lasting: set[Deferred[Any]] = set()
        world.truth.on_moved = self._moved

    def strike(self, fault: Fault) -> None:
        """
        Strike, and do not wait until it is over.
        """
        route = self._world.routes[fault.route % len(self._world.routes)]
        self.history.append(f"{reactor.seconds():.3f} {route.name} {fault}")
        self._keep(self._strike(fault, route))

    def struck_lately(self, route: Route, since: float, until: float) -> bool:
        """
        Whether a fault has struck a route, or the server, between two times or shortly
        before.
        """
        return any(
            since - _LATELY <= at <= until for at in self._strikes.get(route.name, ())
        )

    async def calm(self) -> None:
        """
        Wait until every fault is over, and do no more harm.
        """
        await DeferredList(tuple(self._lasting), fireOnOneErrback=True)
        for route in self._world.routes:
            route.relay.heal()
            route.client.thaw()
        self._world.server.thaw()

    # The parts.

    def _keep(self, doing: Coroutine[Deferred[Any], Any, None]) -> None:
        """
        Remember what is not over.
        """
        lasting = Deferred.fromCoroutine(doing)
        self._lasting.add(lasting)
        lasting.addBoth(self._over, lasting)

    def _over(self, result: Any, lasting: Deferred[Any]) -> Any:
        self._lasting.discard(lasting)
        return result

    async def _strike(self, fault: Fault, route: Route) -> None:
        self._note(fault, route)
        await self._do(fault, route)
        self._note(fault, route)

    def _note(self, fault: Fault, route: Route) -> None:
        for each in self._struck_by(fault, route):
            self._strikes.setdefault(each.name, []).append(reactor.seconds())

    async def _do(self, fault: Fault, route: Route) -> None:
        kind = fault.kind
        if kind in _UNDONE and not route.secure:
            kind = Kind.RESET
        if kind is Kind.STOP:
            await self._stop(fault, route)
        elif kind is Kind.KILL:
            await self._kill(fault, route)
        elif kind is Kind.UNREACHABLE:
            await self._unreachable(fault, route)
        else:
            await self._harm(kind, fault, route)

    def _chosen(self, where: Where, route: Route) -> list[Connection]:
        control = self._world.control(route)
        data = self._world.data_links(route)
        if where is Where.DATA and data:
            # The oldest are the busy ones.
            return data[:1]
        if where is Where.ALL or control is None:
            return route.relay.alive()
        return [control]

    async def _harm(self, kind: Kind, fault: Fault, route: Route) -> None:
        chosen = self._chosen(fault.where, route)
        control = self._world.control(route)
        self.tally.faults[kind.value] += 1
        outage: Outage | None = None
        if kind not in HARMLESS and (control is None or control in chosen):
            outage = self._outage(route)
        # An idle one may die of being slow, too.
        self._strike_data_links(route, chosen, kills=kind not in HARMLESS)
        # One that is silent already is waited for.
        heard = [
            each
            for each in chosen
            if not (each.up.weather.swallow or each.down.weather.swallow)
        ]
        for connection in chosen:
            self._harm_one(kind, fault, connection)
        if outage is not None and kind not in (Kind.CORRUPT, Kind.REPLAY):
            self._back(outage)
        if kind is Kind.BLACK_HOLE:
            await DeferredList(
                [
                    self._found(each, route if each is control else None)
                    for each in heard
                ],
                fireOnOneErrback=True,
                consumeErrors=True,
            )
        elif kind in HARMLESS:
            await pause(fault.seconds)
            for connection in chosen:
                if not (
                    connection.up.weather.swallow or connection.down.weather.swallow
                ):
                    connection.clear()
        elif outage is not None and outage.back_at == 0:
            for connection in chosen:
                while connection.alive and (
                    connection.up.weather.corrupt or connection.down.weather.corrupt
                ):
                    await pause(0.02)
            self._back(outage)

    def _harm_one(self, kind: Kind, fault: Fault, connection: Connection) -> None:
        if kind is Kind.CUT:
            connection.cut()
        elif kind is Kind.RESET:
            connection.reset()
        elif kind is Kind.HALF_CLOSE:
            connection.half_close(up=fault.up, down=fault.down)
        elif kind is Kind.BLACK_HOLE:
            connection.black_hole(up=fault.up, down=fault.down)
        for weather in connection.weathers(up=fault.up, down=fault.down):
            if kind is Kind.DELAY:
                weather.delay = min(fault.seconds / 3, 1.0)
            elif kind is Kind.LIMIT:
                weather.rate = max(fault.amount, 4096)
            elif kind is Kind.CORRUPT:
                weather.corrupt = fault.amount
            elif kind is Kind.REPLAY:
                weather.replay = fault.amount

    def _found(self, connection: Connection, route: Route | None) -> Deferred[None]:
        """
        Wait until both ends have found that a link is silent. A data link that
        carries a stream has no heartbeat: it is reset in the end.

        @param route: whose control link it is, if it is one.
        """
        begun = reactor.seconds()

        async def wait() -> None:
            while not connection.gone:
                waited = reactor.seconds() - begun
                if waited > (PATIENCE if route else _LONGEST_SILENCE):
                    if route is not None:
                        found = sorted(connection.lost_at) or ["nobody"]
                        self.tally.unfound.append(
                            f"{route.name}: a silent link was found by "
                            f"{' and '.join(found)} alone: {connection}"
                        )
                    connection.reset()
                    return
                await pause(0.02)
            self.tally.silences += [
                at - begun for at in connection.lost_at.values() if at > begun
            ]

        return Deferred.fromCoroutine(wait())

    async def _unreachable(self, fault: Fault, route: Route) -> None:
        """
        All links of a route are reset, and no other can be had for a while.
        """
        if route.relay.refusing:
            return
        self.tally.faults[fault.kind.value] += 1
        outage = self._outage(route)
        self._strike_data_links(route, route.relay.connections, kills=True)
        route.relay.refusing = True
        for connection in tuple(route.relay.connections):
            connection.reset()
        await pause(fault.seconds)
        route.relay.refusing = False
        self._back(outage)

    async def _stop(self, fault: Fault, route: Route) -> None:
        peer = self._world.server if fault.where is Where.SERVER else route.client
        if peer.name in self._busy:
            return
        self.tally.faults[fault.kind.value] += 1
        self._busy.add(peer.name)
        # It may be stopped for longer than the heartbeat allows, or not.
        struck = self._struck_by(fault, route)
        for each in struck:
            self._strike_data_links(each, each.relay.connections, kills=False)
        peer.freeze()
        await pause(fault.seconds)
        peer.thaw()
        self._busy.discard(peer.name)

    async def _kill(self, fault: Fault, route: Route) -> None:
        peer = self._world.server if fault.where is Where.SERVER else route.client
        if peer.name in self._busy:
            return
        self.tally.faults[fault.kind.value] += 1
        self._busy.add(peer.name)
        begun = reactor.seconds()
        await peer.kill()
        # Some may have come, and ended, in the meantime.
        self._crash(fault, route, begun)
        if fault.where is Where.SERVER:
            await self._world.start_server()
        else:
            begun = reactor.seconds()
            await peer.start().wait_for("is open: ")
            self.tally.serving.append(reactor.seconds() - begun)
        self._busy.discard(peer.name)

    def _crash(self, fault: Fault, route: Route, begun: float) -> None:
        """
        A process is killed.

        @param begun: since when.
        """
        end = "visitor" if fault.where is Where.SERVER else "target"
        if end == "target":
            self._world.truth.crashed_at = reactor.seconds()
        for each in self._struck_by(fault, route):
            for number, record in self._world.truth.records.items():
                if self._routes_of[number] is each and record.over_at[1] >= begun:
                    self.killed.add(number)
                    record.crashed.add(end)

    def _struck_by(self, fault: Fault, route: Route) -> list[Route]:
        return self._world.routes if fault.where is Where.SERVER else [route]

    def _streams(self, route: Route) -> list[Record]:
        return [
            record
            for record in self._world.truth.open()
            if self._routes_of.get(record.order.number) is route
        ]

    def _strike_data_links(
        self, route: Route, chosen: Iterable[Connection], *, kills: bool
    ) -> None:
        control = self._world.control(route)
        since = reactor.seconds() if kills else float("inf")
        for connection in chosen:
            if connection is not control:
                strike = self.struck.setdefault(connection, Strike(route, since))
                strike.since = min(strike.since, since)

    def _outage(self, route: Route) -> Outage:
        self.tally.outages += 1
        streams = self._streams(route)
        for record in streams:
            record.outages += 1
        outage = Outage(
            route, 0.0, route.relay.made, {record.order.number for record in streams}
        )
        self._outages = [each for each in self._outages if each.route is not route]
        self._outages.append(outage)
        return outage

    def _back(self, outage: Outage) -> None:
        if not outage.back_at:
            outage.back_at = reactor.seconds()

    def _moved(self, record: Record) -> None:
        number = record.order.number
        for outage in self._outages:
            if (
                number in outage.waiting
                and outage.back_at
                and outage.route.relay.made > outage.links
            ):
                outage.waiting.discard(number)
                self.tally.moving.append(reactor.seconds() - outage.back_at)
