"""
Measures how long a client that was killed takes to serve again, and what becomes of a
thousand streams when the server is asked to stop.

Run C{python -m tests.integration.faults.measure --help}.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import react

from tests.integration.faults.processes import pause
from tests.integration.faults.soak import quantiles
from tests.integration.faults.truth import Order, Pace
from tests.integration.faults.world import CARRIERS, QUICK, TRANSPORTS, Terms, World
from tests.integration.processes import reactor

_LOOK_AGAIN: Final = 0.005
_PROBE: Final = Pace(100, 1, 0.01)
_SLOW: Final = Pace(15, 1, 1.0)
_DRAIN: Final = Terms(server={"timeouts.drain": 60.0})


async def restarts(world: World, count: int) -> list[str]:
    """
    Kill the client so many times, and start it at once.

    @return: what came of it.
    """
    [route] = world.routes
    number = 0
    times: list[float] = []
    for _ in range(count):
        await route.client.kill()
        begun = reactor.seconds()
        route.client.start()
        moved = False
        while not moved:
            number += 1
            order = Order(number, "probe", _PROBE, _PROBE)
            record = await world.truth.visit(route.port, order)
            while record is not None and not (record.over or moved):
                moved = record.visitor.got > 0
                await pause(_LOOK_AGAIN)
            await pause(_LOOK_AGAIN)
        times.append(reactor.seconds() - begun)
    return [f"from start of a killed client to bytes from its port: {quantiles(times)}"]


async def drain(world: World, count: int) -> list[str]:
    """
    Open so many streams, and ask the server to stop while they move.

    @return: what came of it.
    """
    [route] = world.routes
    orders = [Order(number, "drain", _SLOW, _SLOW) for number in range(1, count + 1)]
    begun = reactor.seconds()
    await DeferredList(
        [
            Deferred.fromCoroutine(world.truth.visit(route.port, order))
            for order in orders
        ],
        fireOnOneErrback=True,
    )
    records = world.truth.records.values()
    while any(each.visitor.got == 0 and not each.over for each in records):
        await pause(_LOOK_AGAIN)
    asked = reactor.seconds()
    still_open = len(world.truth.open())
    finished = await world.server.running.stop()
    ended = reactor.seconds()
    last = max(max(each.over_at) for each in records)
    complete = sum(each.complete for each in records)
    return [
        f"{still_open} streams open when the server is asked to stop",
        f"from the first visit to that: {asked - begun:.2f} s",
        f"{complete} of {count} complete; exit code {finished.code}",
        f"from the request to the last stream's end: {last - asked:.2f} s",
        f"from there to the exit: {ended - last:.2f} s",
    ]


async def _main(chosen: Namespace) -> None:
    directory = Path(mkdtemp(prefix="reitunnel-measure-"))
    restarting = chosen.what == "restarts"
    terms = QUICK if restarting else _DRAIN
    world = World(directory, ((chosen.transport, chosen.carrier),), terms)
    try:
        await world.start()
        measure = restarts if restarting else drain
        for line in await measure(world, chosen.count):
            sys.stdout.write(f"{line}\n")
    finally:
        await world.end()
        rmtree(directory)


def _run(_: Any, chosen: Namespace) -> Deferred[None]:
    return Deferred.fromCoroutine(_main(chosen))


def _parse() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.integration.faults.measure")
    parser.add_argument("what", choices=("restarts", "drain"))
    parser.add_argument("count", type=int, help="of restarts, or of streams")
    parser.add_argument("--transport", default="tls", choices=TRANSPORTS)
    parser.add_argument("--carrier", default="mux", choices=CARRIERS)
    return parser.parse_args()


if __name__ == "__main__":
    react(_run, [_parse()])
