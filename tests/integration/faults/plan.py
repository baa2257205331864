"""
Draws faults from a seed: the same seed gives the same faults in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final


class Kind(Enum):
    """
    What can go wrong.
    """

    DELAY = "delay"
    LIMIT = "limit"
    CUT = "cut"
    RESET = "reset"
    HALF_CLOSE = "half-close"
    BLACK_HOLE = "black-hole"
    CORRUPT = "corrupt"
    REPLAY = "replay"
    UNREACHABLE = "unreachable"
    STOP = "stop"
    KILL = "kill"


class Where(Enum):
    """
    What it strikes: for a fault of the link, some of its connections; for a fault
    of a process, one of the two.
    """

    CONTROL = "control"
    DATA = "data"
    ALL = "all"
    CLIENT = "client"
    SERVER = "server"


LINK_KINDS: Final = tuple(kind for kind in Kind if kind not in (Kind.STOP, Kind.KILL))
"""The faults of links."""
HARMLESS: Final = frozenset({Kind.DELAY, Kind.LIMIT})
"""Those that no link dies of."""


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One fault.

    @ivar wait: how long after the one before it strikes, in seconds.
    @ivar route: the number of the route that it strikes.
    @ivar kind: what it is.
    @ivar where: what it strikes.
    @ivar up: whether it strikes what goes to the server.
    @ivar down: whether it strikes what goes to the client.
    @ivar seconds: how long it lasts, if it does.
    @ivar amount: how many bytes it strikes, or lets through in a second.
    """

    wait: float
    route: int
    kind: Kind
    where: Where
    up: bool
    down: bool
    seconds: float
    amount: int


def draw(
    seed: int,
    *,
    routes: int,
    every: float,
    kinds: Sequence[Kind] = tuple(Kind),
    longest: float = 3.0,
) -> Iterator[Fault]:
    """
    Draw faults, without an end.

    @param routes: how many routes there are.
    @param every: how many seconds lie between two faults, on average.
    @param kinds: what may go wrong.
    @param longest: how long a fault lasts at most, in seconds.
    """
    random = Random(seed)
    while True:
        kind = random.choice(kinds)
        # Every draw takes the same steps, so that a list of kinds more or less does
        # not change the rest of the plan.
        side = random.choice((Where.CLIENT, Where.SERVER))
        link = random.choice((Where.CONTROL, Where.CONTROL, Where.DATA, Where.ALL))
        up, down = random.choice(((True, False), (False, True), (True, True)))
        yield Fault(
            wait=min(random.expovariate(1 / every), 5 * every),
            route=random.randrange(routes),
            kind=kind,
            where=side if kind in (Kind.STOP, Kind.KILL) else link,
            up=up,
            down=down,
            seconds=random.uniform(0.1, longest),
            amount=random.choice((1, 7, 100, 4096, 65536)),
        )
