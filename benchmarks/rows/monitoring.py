"""
What it costs to be looked at: the pages of L{reitunnel.monitoring} while nobody asks,
and while a profile, a trace of events or one of allocations is taken of both sides.
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection

from benchmarks.bench import Bench, Measure, Measured
from benchmarks.contenders import Contender, Opened
from benchmarks.contenders.reitunnel import variant_of
from benchmarks.errors import BenchmarkError
from benchmarks.rows.bulk import streaming
from benchmarks.rows.latency import pinging
from benchmarks.rows.variants import Keys, chosen, variants
from benchmarks.running.ports import LOOPBACK, free_port

ROW = "monitoring"
KINDS = ("tcp mux",)
NONE = "not monitored"

_PATIENCE = 10.0


@dataclass(frozen=True)
class Look:
    """
    A way to look at both sides.

    @ivar page: a page whose answer takes longer than anything here: it is left before.
    @ivar begin: a page to post to before.
    @ivar end: a page to post to after.
    @ivar ports: where the pages of the server and of the client are.
    """

    page: str = ""
    begin: str = ""
    end: str = ""
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))

    @property
    def keys(self) -> Keys:
        """
        What has both sides show their pages there.
        """
        server, client = (
            {"monitoring.listen": f"{LOOPBACK}:{port}"} for port in self.ports
        )
        return Keys(server, client)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """
        Look at both sides while a C{with} block runs.
        """
        with ExitStack() as stack:
            for port in self.ports:
                stack.enter_context(self._one(port))
            yield

    @contextmanager
    def _one(self, port: int) -> Iterator[None]:
        with closing(HTTPConnection(LOOPBACK, port, timeout=_PATIENCE)) as connection:
            if self.begin:
                post(connection, self.begin)
            if self.page:
                connection.request("GET", self.page)
            yield
            if self.page and select.select([connection.sock], [], [], 0)[0]:
                status = connection.getresponse().status
                raise BenchmarkError(f"{self.page} was over: it answered {status}")
            if self.end:
                post(connection, self.end)


def looks() -> dict[str, Look]:
    """
    Give the ways, by what they are called.
    """
    return {
        "idle": Look(),
        "CPU profile": Look(page="/debug/profile?seconds=300&hz=100"),
        "event trace": Look(page="/debug/trace?seconds=60"),
        "heap traced": Look(begin="/debug/heap/start", end="/debug/heap/stop"),
    }


def measure_monitoring(bench: Bench) -> None:
    """
    Measure a bulk stream and round trips.
    """
    ways = looks()
    choices = {NONE: Keys(), **{name: look.keys for name, look in ways.items()}}
    contenders = variants(chosen(bench, *KINDS), choices)
    with bench.opening():
        for case, measure in (
            ("down", streaming(bench, "down")),
            ("64 B", pinging(bench)),
        ):
            bench.rounds(
                ROW,
                case,
                looked_at(ways, measure),
                contenders=contenders,
                count=bench.plan.pairs,
                warm_up=bench.plan.warm_up,
            )


def looked_at(ways: Mapping[str, Look], measure: Measure) -> Measure:
    """
    Give what measures each variant while it is looked at.
    """

    def looking(contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        look = ways.get(variant_of(contender.name))
        if look is None:
            return measure(contender, opened)
        with look.under_way():
            return measure(contender, opened)

    return looking


def post(connection: HTTPConnection, page: str) -> None:
    """
    Have a page do something.

    @raise BenchmarkError: if it does not.
    """
    connection.request("POST", page)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise BenchmarkError(f"{page}: {response.status} {answer!r}")
