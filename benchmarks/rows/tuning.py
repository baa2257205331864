"""
What tuning does: Reitunnel next to itself with another value of one key, the same on
both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.bench import Bench, Measure, Measured
from benchmarks.contenders import Contender, Opened, Via
from benchmarks.rows.bulk import streaming
from benchmarks.rows.latency import pinging, round_trips
from benchmarks.rows.loaded import pinging_beside
from benchmarks.rows.long_path import CASE as FAR
from benchmarks.rows.long_path import LongPath, streaming_far
from benchmarks.rows.variants import Keys, chosen, on_both, variants
from benchmarks.rows.visits import visiting

_SOON = 1.0
_KIB, _MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Subject:
    """
    What is measured.

    @ivar row: the row that it is for.
    @ivar contenders: who.
    @ivar path: puts a long path in front of ports.
    """

    bench: Bench
    row: str
    contenders: Sequence[Contender]
    path: Via

    def near(self, case: str, measure: Measure, count: int | None = None) -> None:
        """
        Measure it.
        """
        self.bench.rounds(
            self.row, case, measure, contenders=self.contenders, count=count
        )

    def far(self, case: str, measure: Measure) -> None:
        """
        Measure it over the long path.
        """
        self.bench.rounds(
            self.row,
            f"{FAR}, {case}",
            measure,
            contenders=self.contenders,
            count=1,
            via=self.path,
        )


Case = Callable[[Subject], None]


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
        subject = Subject(bench, self.row, contenders, LongPath(bench).put)
        with bench.opening():
            for case in self.cases:
                case(subject)


def bulk(subject: Subject) -> None:
    """
    One stream.
    """
    subject.near("bulk down", streaming(subject.bench, "down"))


def pings(subject: Subject) -> None:
    """
    Round trips, and nothing else.
    """
    subject.near("64 B", pinging(subject.bench))


def questions(subject: Subject) -> None:
    """
    Round trips of questions that are asked in two writes.
    """
    bench = subject.bench

    def measure(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        number = bench.new_number()
        seconds = bench.plan.pings
        port = opened.ports[0]
        found = bench.worker().do("ask", port=port, number=number, seconds=seconds)
        bench.bulk_target.report(number)
        return round_trips(found)

    subject.near("128 B in two writes", measure)


def loaded(subject: Subject) -> None:
    """
    Round trips beside a bulk stream.
    """
    bench = subject.bench
    measure = pinging_beside(bench, "down")
    subject.near("64 B while bulk goes down", measure, bench.plan.loaded_rounds)


def visits(subject: Subject) -> None:
    """
    Visitors that come and go.
    """
    subject.near("new visitors", visiting(subject.bench))


def far(subject: Subject) -> None:
    """
    One stream over the long path: how fast it is at first, and later.
    """
    bench = subject.bench
    soon = streaming_far(bench, "down", seconds=_SOON, skip=0)
    subject.far("bulk, the first second", soon)
    subject.far("bulk down", streaming_far(bench, "down"))


def far_loaded(subject: Subject) -> None:
    """
    Round trips over the long path, beside a bulk stream.
    """
    bench = subject.bench
    measure = pinging_beside(bench, "down", bench.plan.path_bulk)
    subject.far("64 B while bulk goes down", measure)


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
        (bulk, loaded),
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
