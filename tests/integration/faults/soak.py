"""
A soak: streams whose every byte is known, through real servers and clients, while
faults come at random.

Run C{python -m tests.integration.faults.soak --help}.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import react

from tests.integration.faults.audit import audit
from tests.integration.faults.plan import Kind, draw
from tests.integration.faults.processes import Peer, pause, together
from tests.integration.faults.striking import Striker, Tally
from tests.integration.faults.truth import Order, Pace, Record, draw_order
from tests.integration.faults.world import (
    CARRIERS,
    QUICK,
    TRANSPORTS,
    Route,
    Terms,
    World,
)
from tests.integration.processes import reactor

_LOOK_AGAIN: Final = 0.05
_LONG: Final = 4.0
_SHORT: Final = 1.0
"""
How long an interactive stream takes about, in seconds: less when faults soon end.
"""
_PATIENCE: Final = 60.0
"""How long streams may take to end once no fault comes any more."""
_KEPT_PIPES: Final = 32
"""How many empty pipes a process keeps at most."""
_CALLS_EACH: Final = {True: 3, False: 2}
"""
How many delayed calls an idle data link has: its heartbeat's two, and on the server
its retirement.
"""
_SLACK: Final = 48 << 20
"""How many bytes of memory a process may have more than before."""


@dataclass(frozen=True)
class SoakPlan:
    """
    What is done.

    @ivar seconds: how long faults come.
    @ivar seed: what everything is drawn from.
    @ivar ways: the transport and carrier of each route.
    @ivar streams: how many are open at a time, on each route.
    @ivar every: how many seconds lie between two faults, on average.
    @ivar kinds: what may go wrong.
    @ivar resumes: whether streams must live through the loss of a control link.
    @ivar terms: what servers and clients are told.
    """

    seconds: float
    seed: int
    ways: tuple[tuple[str, str], ...]
    streams: int = 4
    every: float = 0.5
    kinds: tuple[Kind, ...] = tuple(Kind)
    resumes: bool = False
    terms: Terms = QUICK


@dataclass
class Held:
    """
    What a process holds when it is idle. How many data links are idle, and how many
    pipes are kept, is chance.

    @ivar data_links: how many data links.
    @ivar pipes: how many pipes.
    @ivar descriptors: how many besides those of links and pipes.
    @ivar delayed: how many delayed calls besides those of data links.
    @ivar other_links: how many links that are no data links.
    @ivar streams: how many objects that streams are made of.
    """

    data_links: int
    pipes: int
    descriptors: int
    delayed: int
    other_links: int
    sessions: int
    streams: int
    memory: int


@dataclass
class Outcome:
    """
    What came of it.

    @ivar wrong: what must not be; empty if all is well.
    @ivar history: what was done, and when.
    """

    plan: SoakPlan
    tally: Tally
    records: list[Record]
    resets: Counter[str]
    wrong: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)

    @property
    def survived(self) -> int:
        """
        How many outages streams have lived through, each counted for each stream,
        with every byte in its place at both ends.
        """
        return sum(record.outages for record in self.records if record.complete)

    def lines(self) -> list[str]:
        """
        Say it to people.
        """
        tally, complete = self.tally, [each for each in self.records if each.complete]
        faults = ", ".join(f"{n} {kind}" for kind, n in sorted(tally.faults.items()))
        resets = ", ".join(f"{n} {why}" for why, n in sorted(self.resets.items()))
        moved = sum(
            end.got
            for record in self.records
            for end in (record.visitor, record.target)
            if end is not None
        )
        return [
            f"seed {self.plan.seed}, {self.plan.seconds:g} s over "
            + " ".join("-".join(way) for way in self.plan.ways),
            f"faults: {faults or 'none'}",
            f"outages of control links: {tally.outages}",
            f"streams: {len(self.records)}, complete: {len(complete)}, bytes: {moved}",
            f"outages survived, by stream: {self.survived}",
            "the most of one stream: "
            + str(max((each.outages for each in complete), default=0)),
            f"streams reset: {resets or 'none'}",
            f"from link back to streams moving: {quantiles(tally.moving)}",
            f"to find a silent link: {quantiles(tally.silences)}",
            f"from start of a killed client to its port: {quantiles(tally.serving)}",
            *(f"WRONG: {each}" for each in self.wrong[:50]),
            f"{len(self.wrong)} wrong" if self.wrong else "all is well",
        ]


def quantiles(values: Sequence[float]) -> str:
    """
    Say the median and the 99th percentile of times.
    """
    if not values:
        return "-"
    ordered = sorted(values)
    last = len(ordered) - 1
    p50, p99 = (ordered[round(last * share)] for share in (0.5, 0.99))
    return f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms of {len(ordered)}"


class Soak:
    """
    One run.
    """

    def __init__(
        self, plan: SoakPlan, directory: Path, say: Callable[[str], object] = len
    ) -> None:
        """
        @param directory: an empty directory.
        @param say: told how far it is.
        """
        self._plan = plan
        self._say = say
        self._world = World(directory, plan.ways, plan.terms)
        self._random = Random(plan.seed)
        self._routes_of: dict[int, Route] = {}
        self._striker = Striker(self._world, self._routes_of)
        self._next = 0
        self._feeding = False
        self._ends_at = 0.0
        self._gives_up_at = float("inf")

    async def run(self) -> Outcome:
        """
        Do it all.
        """
        try:
            return await self._run()
        finally:
            await self._world.end()

    async def _run(self) -> Outcome:
        world, plan = self._world, self._plan
        await world.start()
        self._say("all tunnels are open")
        await together(self._warm_up(route) for route in world.routes)
        await self._all_over()
        before = await together(self._at_rest(peer) for peer in self._peers)
        self._say("faults come")
        self._feeding = True
        self._ends_at = reactor.seconds() + plan.seconds
        feeders = [
            Deferred.fromCoroutine(self._feed(route))
            for route in world.routes
            for _ in range(plan.streams)
        ]
        await self._fire()
        self._feeding = False
        self._say("no more faults come")
        await self._striker.calm()
        self._say("no fault lasts")
        self._gives_up_at = reactor.seconds() + _PATIENCE
        for feeder in feeders:
            await feeder
        wrong = await self._all_over()
        self._say("all streams are over")
        for complaints in await together(map(self._settled, before, self._peers)):
            wrong += complaints
        self._say("all is settled")
        wrong += await world.finish()
        wrong += self._striker.tally.unfound
        findings = audit(world, self._routes_of, self._striker, plan.resumes)
        records = list(world.truth.records.values())
        return Outcome(
            plan,
            self._striker.tally,
            records,
            findings.resets,
            [*wrong, *world.truth.complaints(), *findings.wrong],
            self._history(),
        )

    def _history(self) -> list[str]:
        """
        Say what is needed to understand what went wrong.
        """
        return self._striker.history + [
            f"{strike.route.name}: data link from {connection.server_port}: may break "
            f"off after {strike.since:.3f}, lost: {connection.lost_at}"
            for connection, strike in self._striker.struck.items()
        ]

    @property
    def _peers(self) -> list[Peer]:
        return [self._world.server, *(each.client for each in self._world.routes)]

    # Streams.

    async def _warm_up(self, route: Route) -> None:
        """
        Open for good what is opened once.
        """
        paces = (Pace(10, 1, 0.01), Pace(3_000_000, 65536, 0.0))
        for pace in paces:
            await self._stream(route, Order(self._number(), "warm-up", pace, pace))

    async def _feed(self, route: Route) -> None:
        """
        Open one stream after the other.
        """
        while self._feeding:
            left = self._ends_at - reactor.seconds()
            seconds = min(_LONG, max(left, _SHORT))
            order = draw_order(self._number(), self._random, seconds)
            if not await self._stream(route, order):
                # Nobody listens there now.
                await pause(_LOOK_AGAIN)

    def _number(self) -> int:
        self._next += 1
        return self._next

    async def _stream(self, route: Route, order: Order) -> bool:
        self._routes_of[order.number] = route
        record = await self._world.truth.visit(route.port, order)
        if record is None:
            return False
        while not record.over and reactor.seconds() < self._gives_up_at:
            await pause(_LOOK_AGAIN)
        return True

    async def _all_over(self) -> list[str]:
        """
        Wait until no stream is left.

        @return: those that do not end.
        """
        deadline = min(self._gives_up_at, reactor.seconds() + _PATIENCE)
        while (left := self._world.truth.open()) and reactor.seconds() < deadline:
            await pause(_LOOK_AGAIN)
        return [
            f"stream {record.order.number} of "
            f"{self._routes_of[record.order.number].name} does not end, after "
            f"{record.outages} outages"
            for record in left
        ]

    # Faults.

    async def _fire(self) -> None:
        plan = self._plan
        end = self._ends_at
        faults = draw(
            plan.seed, routes=len(plan.ways), every=plan.every, kinds=plan.kinds
        )
        for fault in faults:
            left = end - reactor.seconds()
            await pause(max(0.0, min(left, fault.wait)))
            if fault.wait >= left:
                return
            self._striker.strike(fault)

    # What is held.

    async def _held(self, peer: Peer) -> Held:
        state = await peer.state()
        data_links, pipes = state["data_links"], state["pipes"]
        each = _CALLS_EACH[peer is self._world.server]
        return Held(
            data_links=data_links,
            pipes=pipes,
            descriptors=state["descriptors"] - data_links - 2 * pipes,
            delayed=state["delayed"] - each * data_links,
            other_links=state["other_links"],
            sessions=state["sessions"],
            streams=state["streams"],
            memory=peer.memory(),
        )

    async def _at_rest(self, peer: Peer) -> Held:
        """
        Wait until a process has nothing of any stream, and, unless that takes long
        because some were lost, all its data links.
        """
        begun = reactor.seconds()
        while True:
            now, waited = await self._held(peer), reactor.seconds() - begun
            full = now.data_links == self._most_links(peer)
            if not now.streams and (full or waited > _PATIENCE / 4):
                return now
            if waited > _PATIENCE:
                raise AssertionError(f"{peer.name} does not come to rest: {now}")
            await pause(0.2)

    def _most_links(self, peer: Peer) -> int:
        """
        How many idle data links a process has at most.
        """
        size = int(self._plan.terms.client["pool_size"])
        return size * sum(
            route.carrier != "mux"
            for route in self._world.routes
            if peer in (self._world.server, route.client)
        )

    async def _settled(self, old: Held, peer: Peer) -> list[str]:
        """
        Wait until a process holds no more than before.

        @return: what it holds more.
        """
        deadline = reactor.seconds() + _PATIENCE
        while True:
            now = await self._held(peer)
            more = _more(peer.name, old, now, self._most_links(peer))
            if not more or reactor.seconds() > deadline:
                return more
            await pause(0.5)


def _more(name: str, old: Held, now: Held, most_links: int) -> list[str]:
    # A pool that waits before it dials again has a call for that.
    waits = int(now.data_links < most_links)
    return [
        f"{name} has {after} {what}, {most} at most before"
        for what, most, after in (
            ("data links", most_links, now.data_links),
            ("pipes", _KEPT_PIPES, now.pipes),
            ("other descriptors", old.descriptors, now.descriptors),
            ("other delayed calls", old.delayed + waits, now.delayed),
            ("links that are no data links", old.other_links, now.other_links),
            ("sessions", old.sessions, now.sessions),
            ("parts of streams", old.streams, now.streams),
            ("bytes of memory", old.memory + _SLACK, now.memory),
        )
        if after > most
    ]


def _parse(arguments: Sequence[str]) -> SoakPlan:
    parser = ArgumentParser(prog="python -m tests.integration.faults.soak")
    add = parser.add_argument
    add("--seconds", type=float, default=60.0, help="how long faults come")
    add("--seed", type=int, default=1, help="what everything is drawn from")
    add("--transport", action="append", choices=TRANSPORTS, help="all if left out")
    add("--carrier", action="append", choices=CARRIERS, help="all if left out")
    add("--streams", type=int, default=4, help="open at a time, on each route")
    add("--every", type=float, default=0.5, help="seconds between two faults")
    add(
        "--fault",
        action="append",
        choices=[kind.value for kind in Kind],
        help="what may go wrong; everything if left out",
    )
    add("--resumes", action="store_true", help="streams must live through outages")
    chosen: Namespace = parser.parse_args(arguments)
    return SoakPlan(
        seconds=chosen.seconds,
        seed=chosen.seed,
        ways=tuple(
            (transport, carrier)
            for transport in chosen.transport or TRANSPORTS
            for carrier in chosen.carrier or CARRIERS
        ),
        streams=chosen.streams,
        every=chosen.every,
        kinds=tuple(Kind(each) for each in chosen.fault or [k.value for k in Kind]),
        resumes=chosen.resumes,
    )


async def _main(plan: SoakPlan) -> None:
    directory = Path(mkdtemp(prefix="reitunnel-soak-"))
    begun = reactor.seconds()

    def say(text: str) -> None:
        sys.stderr.write(f"{reactor.seconds() - begun:6.1f} s: {text}\n")

    outcome = await Soak(plan, directory, say).run()
    for line in outcome.lines():
        sys.stdout.write(f"{line}\n")
    if outcome.wrong:
        (directory / "history").write_text("\n".join(outcome.history))
        sys.stdout.write(f"history, ledgers, configurations: {directory}\n")
        raise SystemExit(1)
    rmtree(directory)


def _run(_: Any, plan: SoakPlan) -> Deferred[None]:
    return succeed(None).addCallback(lambda _: Deferred.fromCoroutine(_main(plan)))


if __name__ == "__main__":
    react(_run, [_parse(sys.argv[1:])])
