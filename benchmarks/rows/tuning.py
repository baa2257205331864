"""
What tuning does: Reitunnel next to itself with another value of one key, the same on
both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.bench import Bench, Measured
from benchmarks.contenders import Contender, Opened
from benchmarks.rows.bulk import streaming
from benchmarks.rows.latency import pinging, round_trips
from benchmarks.rows.loaded import pinging_beside
from benchmarks.rows.long_path import CASE as FAR
from benchmarks.rows.long_path import LongPath, streaming_far
from benchmarks.rows.variants import Keys, chosen, on_both, variants
from benchmarks.rows.visits import visiting

_SOON = 1.0
_KIB, _MIB = 1 << 10, 1 << 20

Case = Callable[[Bench, str, Sequence[Contender]], None]
"""Measures contenders for a row."""


@dataclass(frozen=True)
class Comparison:
    """
    A key, and some of its values.

    @ivar row: what the row is called.
    @ivar kinds: the contenders that have it.
    @ivar choices: the values, by what they are called.
    @ivar base: the one that the others are compared with.
    @ivar cases: what is measured.
    """

    row: str
    kinds: Sequence[str]
    choices: Mapping[str, Keys]
    base: str
    cases: Sequence[Case]

    def measure(self, bench: Bench) -> None:
        """
        Measure it.
        """
        contenders = variants(chosen(bench, *self.kinds), self.choices)
        with bench.opening():
            for case in self.cases:
                case(bench, self.row, contenders)


def bulk(bench: Bench, row: str, contenders: Sequence[Contender]) -> None:
    """
    One stream.
    """
    bench.rounds(row, "bulk down", streaming(bench, "down"), contenders=contenders)


def pings(bench: Bench, row: str, contenders: Sequence[Contender]) -> None:
    """
    Round trips, and nothing else.
    """
    bench.rounds(row, "64 B", pinging(bench), contenders=contenders)


def questions(bench: Bench, row: str, contenders: Sequence[Contender]) -> None:
    """
    Round trips of questions that are asked in two writes.
    """

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        number = bench.new_number()
        seconds = bench.plan.pings
        port = opened.ports[0]
        found = bench.worker().do("ask", port=port, number=number, seconds=seconds)
        bench.bulk_target.report(number)
        return round_trips(found)

    bench.rounds(row, "128 B in two writes", measure, contenders=contenders)


def loaded(bench: Bench, row: str, contenders: Sequence[Contender]) -> None:
    """
    Round trips beside a bulk stream.
    """
    bench.rounds(
        row,
        "64 B while bulk goes down",
        pinging_beside(bench, "down"),
        contenders=contenders,
        count=bench.plan.loaded_rounds,
    )


def visits(bench: Bench, row: str, contenders: Sequence[Contender]) -> None:
    """
    Visitors that come and go.
    """
    bench.rounds(row, "new visitors", visiting(bench), contenders=contenders)


def far(bench: Bench, row: str, contenders: Sequence[Contender]) -> None:
    """
    One stream over a long path: how fast it is at first, and later.
    """
    path = LongPath(bench).put
    for case, measure in (
        ("bulk, the first second", streaming_far(bench, "down", seconds=_SOON, skip=0)),
        ("bulk down", streaming_far(bench, "down")),
    ):
        bench.rounds(
            row, f"{FAR}, {case}", measure, contenders=contenders, count=1, via=path
        )


def far_loaded(bench: Bench, row: str, contenders: Sequence[Contender]) -> None:
    """
    Round trips over a long path, beside a bulk stream.
    """
    bench.rounds(
        row,
        f"{FAR}, 64 B while bulk goes down",
        pinging_beside(bench, "down", bench.plan.path_bulk),
        contenders=contenders,
        count=1,
        via=LongPath(bench).put,
    )


def _values(key: str, values: Mapping[str, object]) -> dict[str, Keys]:
    return {name: on_both({key: value}) for name, value in values.items()}


def _buffers(size: int) -> Keys:
    return on_both({"tuning.send_buffer": size, "tuning.receive_buffer": size})


COMPARISONS = (
    Comparison(
        "preset",
        ("tcp mux", "tls mux"),
        _values(
            "tuning.preset",
            {name: name for name in ("balanced", "throughput", "latency")},
        ),
        "balanced",
        (bulk, pings, loaded, far, far_loaded),
    ),
    Comparison(
        "buffer_size",
        ("tcp mux", "tls mux"),
        _values(
            "tuning.buffer_size",
            {f"{size} KiB": size * _KIB for size in (8, 16, 32, 64, 128)},
        ),
        "64 KiB",
        (bulk, pings, loaded),
    ),
    Comparison(
        "stream_window",
        ("tcp mux",),
        _values(
            "tuning.stream_window",
            {
                "64 KiB": 64 * _KIB,
                "256 KiB": 256 * _KIB,
                "1 MiB": _MIB,
                "4 MiB": 4 * _MIB,
            },
        ),
        "256 KiB",
        (bulk, loaded, far),
    ),
    Comparison(
        "socket buffers",
        ("tcp mux", "tcp direct"),
        {"0": _buffers(0), "64 KiB": _buffers(64 * _KIB), "1 MiB": _buffers(_MIB)},
        "0",
        (bulk, loaded, far_loaded),
    ),
    Comparison(
        "nodelay",
        ("tcp mux", "tcp direct"),
        _values("tuning.nodelay", {"on": True, "off": False}),
        "on",
        (pings, questions, visits),
    ),
    Comparison(
        "pool_size",
        ("tcp direct", "tls direct"),
        {
            "1 link": Keys(client={"pool_size": 1}),
            "10 links": Keys(client={"pool_size": 10}),
            "100 links": Keys(client={"pool_size": 100}),
        },
        "10 links",
        (visits,),
    ),
)
"""Every comparison, in the order in which they are measured."""

TUNING_ROWS: Mapping[str, Callable[[Bench], None]] = {
    each.row: partial(Comparison.measure, each) for each in COMPARISONS
}
