"""
How much is measured: the sizes of C{make bench} and of C{make bench-quick}.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

GB = 10**9

Group = Literal["results", "tuning"]
"""Benchmarks that run together, and are shown on one page."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    Sizes. Times are in seconds.

    @ivar group: the benchmarks that run.
    @ivar skip: those of them that do not.
    @ivar contenders: those that are measured; all if it is empty.
    @ivar few: those that are measured where Reitunnel is the subject; all of its
        over L{transports} if it is empty.
    @ivar transports: those of these rows: WebSocket adds to their bytes, not to their
        states.
    @ivar rounds: how often each is measured, besides the rounds to warm up.
    @ivar pairs: the same for rows that compare Reitunnel with itself, where differences
        are small.
    @ivar fine_pairs: the same where the budget is finest.
    @ivar loaded_rounds: the same for the row that takes longest.
    @ivar bulk: one bulk stream.
    @ivar ramp: its start, which is not counted.
    @ivar pings: round trips on one connection.
    @ivar loaded: the bulk stream that keystrokes pass.
    @ivar visits: how long visitors come and go.
    @ivar crowd: visitors at once.
    @ivar crowd_talks: how long one in a hundred of them talk.
    @ivar streams: how many share one session.
    @ivar sharing: how long that is counted, after as long a start.
    @ivar tunnels: tunnels of one client.
    @ivar memory: bytes of the long stream.
    @ivar memory_rate: bytes a second that its reader takes at most.
    @ivar handshakes: of each kind in a round.
    @ivar far_handshakes: the same over the long path.
    @ivar path_bulk: a bulk stream over the long path.
    @ivar path_ramp: its start, which is not counted.
    @ivar rates: those of the hook that slows streams down, in Mbit/s.
    @ivar paced: how long each is measured.
    @ivar metered: tunnels that are counted by a hook.
    @ivar micro: what pyperf is told.
    """

    name: str
    group: Group = "results"
    skip: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()
    few: tuple[str, ...] = ()
    transports: tuple[str, ...] = ("tcp", "tls")
    rounds: int
    pairs: int
    fine_pairs: int
    loaded_rounds: int
    warm_up: int = 1
    bulk: float
    ramp: float
    pings: float
    loaded: float
    visits: float
    crowd: int
    crowd_talks: float
    streams: int
    sharing: float
    tunnels: int
    memory: int
    memory_rate: float
    handshakes: int
    far_handshakes: int
    path_bulk: float
    path_ramp: float
    rates: tuple[int, ...]
    paced: float
    metered: int
    micro: tuple[str, ...]


FULL = Plan(
    name="full",
    rounds=5,
    pairs=5,
    fine_pairs=11,
    loaded_rounds=3,
    bulk=0.5,
    ramp=0.1,
    pings=0.2,
    loaded=0.7,
    visits=0.5,
    crowd=10_000,
    crowd_talks=2.0,
    streams=500,
    sharing=3.0,
    tunnels=1000,
    memory=10 * GB,
    memory_rate=0.5 * GB,
    handshakes=40,
    far_handshakes=3,
    path_bulk=4.0,
    path_ramp=1.5,
    rates=(1, 10, 100, 1000),
    paced=14.0,
    metered=10_000,
    micro=("--processes=3", "--values=3", "--warmups=1"),
)
QUICK = replace(
    FULL,
    name="quick",
    contenders=(
        *("none", "socat", "stunnel", "ssh -R"),
        *("tcp mux", "tcp direct", "tls mux", "tls auto"),
    ),
    few=("tcp mux", "tls auto"),
    # These need many rounds to show anything.
    skip=("resumption", "data hooks", "monitoring"),
    rounds=2,
    pairs=2,
    fine_pairs=2,
    loaded_rounds=1,
    warm_up=0,
    bulk=0.25,
    ramp=0.05,
    pings=0.05,
    loaded=0.4,
    visits=0.2,
    crowd=500,
    crowd_talks=0.5,
    streams=50,
    sharing=0.5,
    tunnels=100,
    memory=GB // 5,
    handshakes=10,
    far_handshakes=1,
    path_bulk=0.9,
    path_ramp=0.4,
    rates=(10, 100),
    paced=1.0,
    metered=1000,
    micro=(
        *("--part=hooks", "--processes=1", "--values=2"),
        *("--warmups=1", "--loops=32768"),
    ),
)
TINY = replace(
    QUICK,
    name="tiny",
    contenders=("none", "tcp mux"),
    rounds=1,
    pairs=1,
    fine_pairs=1,
    bulk=0.1,
    ramp=0.02,
    pings=0.05,
    loaded=0.3,
    visits=0.3,
    crowd=50,
    crowd_talks=0.1,
    streams=5,
    sharing=0.3,
    tunnels=10,
    memory=20_000_000,
    memory_rate=GB // 20,
    handshakes=2,
    path_bulk=0.5,
    path_ramp=0.25,
    rates=(100,),
    paced=0.5,
    metered=100,
    micro=("--part=hooks", "--debug-single-value"),
)
"""Enough to see that everything runs."""

TUNING = replace(
    FULL,
    name="tuning",
    group="tuning",
    contenders=("tcp mux", "tcp direct", "tls mux", "tls direct"),
    rounds=4,
)
"""What tuning does."""

PLANS = {plan.name: plan for plan in (FULL, QUICK, TINY, TUNING)}
