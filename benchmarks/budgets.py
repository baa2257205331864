"""
The budgets, and whether a run keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.contenders.reitunnel import variant_name
from benchmarks.figures import TIMES, Spread, differences, ratios, spread
from benchmarks.micro.hooks import name_of, shipped, wrapped
from benchmarks.plan import FULL
from benchmarks.results import Key, Run
from benchmarks.rows import bandwidth, resumption

CARRIERS = ("mux", "direct", "auto")
DIRECTIONS = ("down", "up")
FLAT = 8.0
"""How many MiB memory may grow by and still be called flat."""


class Verdict(Enum):
    """
    What a run says of a budget.
    """

    KEPT = "pass"
    MISSED = "falls short"
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Judgement:
    """
    A budget next to what was measured.

    @ivar what: what was measured.
    @ivar budget: the budget, for people.
    @ivar verdict: the median decides.
    @ivar found: L{None} if it was not measured.
    @ivar unit: of what was found; L{TIMES} for ratios.
    @ivar reason: why it was not measured.
    """

    what: str
    budget: str
    verdict: Verdict
    found: Spread | None = None
    unit: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Budget:
    """
    One budget.

    @ivar what: what it is of.
    @ivar subject: what is judged.
    @ivar limit: the least or the most that it may be.
    @ivar at_least: which of both.
    @ivar unit: of the limit.
    @ivar reference: what it is compared with, if it is.
    @ivar compare: how.
    """

    what: str
    subject: Key
    limit: float
    at_least: bool
    unit: str = TIMES
    reference: Key | None = None
    compare: Callable[[Sequence[float | None], Sequence[float | None]], list[float]] = (
        ratios
    )

    @property
    def text(self) -> str:
        """
        The budget, for people.
        """
        sign = "≥" if self.at_least else "≤"
        other = f" {self.reference.contender}" if self.reference else ""
        joint = "over" if self.compare is differences else ""
        limit = " ".join(filter(None, (f"{self.limit:,g}", self.unit, joint)))
        return f"{sign} {limit}{other}"

    def judge(self, run: Run) -> Judgement:
        """
        Judge a run by it.
        """
        values: Sequence[float | None] = run.values(self.subject)
        missing = self.subject
        if self.reference is not None:
            if values:
                missing = self.reference
            values = self.compare(values, run.values(self.reference))
        found = spread(values)
        if found is None:
            reason = run.reason(missing.row, missing.contender)
            if missing is not self.subject:
                reason = f"{missing.contender}: {reason}"
            return Judgement(self.what, self.text, Verdict.UNKNOWN, reason=reason)
        kept = (
            found.median >= self.limit if self.at_least else found.median <= self.limit
        )
        verdict = Verdict.KEPT if kept else Verdict.MISSED
        return Judgement(self.what, self.text, verdict, found, self.unit)


def judge(run: Run) -> list[Judgement]:
    """
    Judge a run by every budget.
    """
    return [budget.judge(run) for budget in budgets(run)]


def budgets(run: Run) -> Iterator[Budget]:
    """
    Give every budget: docs/architecture.md, "Budgets".

    @param run: some rows are named for their size in it.
    """
    yield from _bulk()
    yield from _round_trips()
    yield from _visits()
    yield from _capacity(run)
    yield from _long_path()
    yield from _memory(run)
    yield from _resumption()
    yield from _bandwidth()


def _bulk() -> Iterator[Budget]:
    def bulk(contender: str, reference: str, least: float) -> Iterator[Budget]:
        for direction in DIRECTIONS:
            yield Budget(
                f"bulk {direction}, {contender}",
                Key("bulk", direction, contender, "rate"),
                least,
                at_least=True,
                reference=Key("bulk", direction, reference, "rate"),
            )

    yield from bulk("tcp direct", "socat", 1.15)
    yield from bulk("tcp direct", "none", 0.5)
    yield from bulk("tcp mux", "socat", 0.60)
    for carrier in ("direct", "auto"):
        for peer in ("stunnel", "ssh -R"):
            yield from bulk(f"tls {carrier}", peer, 1.4)
    yield from bulk("tls mux", "stunnel", 1.0)
    yield from bulk("ws mux", "tcp mux", 0.90)
    yield from bulk("wss mux", "tls mux", 0.90)


def _round_trips() -> Iterator[Budget]:
    def key(contender: str) -> Key:
        return Key("latency", "64 B", contender, "p50")

    for carrier in CARRIERS:
        for contender, peers in (
            (f"tcp {carrier}", (("socat", 2.0), ("ssh -R", 1.0))),
            (f"tls {carrier}", (("socat", 2.0), ("ssh -R", 1.0))),
        ):
            what = f"round trip of 64 B, p50, {contender}"
            for peer, most in peers:
                yield Budget(
                    what, key(contender), most, at_least=False, reference=key(peer)
                )
            yield Budget(
                what,
                key(contender),
                1000,
                at_least=False,
                unit="µs",
                reference=key("none"),
                compare=differences,
            )
    for carrier in CARRIERS:
        for transport in ("tcp", "tls"):
            for direction in DIRECTIONS:
                contender = f"{transport} {carrier}"
                yield Budget(
                    f"the same while bulk goes {direction}, {contender}",
                    Key("loaded", direction, contender, "p50"),
                    5000,
                    at_least=False,
                    unit="µs",
                )


def _visits() -> Iterator[Budget]:
    for contender, peer, least in (
        ("tcp mux", "socat", 1.5),
        ("tls mux", "stunnel", 2.0),
    ):
        yield Budget(
            f"new visitors a second, {contender}",
            Key("visits", "", contender, "rate"),
            least,
            at_least=True,
            reference=Key("visits", "", peer, "rate"),
        )


def _capacity(run: Run) -> Iterator[Budget]:
    case = case_of(run, "crowd", "10,000 visitors")
    for contender in ("tcp mux", "tls mux"):
        yield Budget(
            f"{case} at once: server memory, {contender}",
            Key("crowd", case, contender, "server memory"),
            40,
            at_least=False,
            unit="KiB each",
        )
    case = case_of(run, "tunnels", "1,000 tunnels")
    for transport in ("tcp", "tls"):
        yield Budget(
            f"{case} of one client open, {transport}",
            Key("tunnels", case, f"{transport} mux", "opening"),
            2,
            at_least=False,
            unit="s",
        )
    yield Budget(
        "one hook, one data event",
        Key("micro", "", f"hooks: {name_of(1)}", "time"),
        1000,
        at_least=False,
        unit="ns",
    )
    for name in (*wrapped(), *shipped()):
        yield Budget(
            name,
            Key("micro", "", f"hooks: {name}", "time"),
            3000,
            at_least=False,
            unit="ns",
        )


def _long_path() -> Iterator[Budget]:
    for direction in DIRECTIONS:
        for contender in ("tcp mux", "tls mux"):
            case = f"100 ms, {direction}"
            yield Budget(
                f"{case}, one stream, {contender}",
                Key("long path", case, contender, "rate"),
                0.80,
                at_least=True,
                reference=Key("long path", case, "none", "rate"),
            )


def _memory(run: Run) -> Iterator[Budget]:
    case = case_of(run, "memory", "10 GB")
    for carrier in CARRIERS:
        for transport in ("tcp", "tls"):
            for side in ("server", "client"):
                yield Budget(
                    f"memory, {case} to a slow reader, {transport} {carrier}, {side}",
                    Key("memory", case, f"{transport} {carrier}", f"{side} growth"),
                    FLAT,
                    at_least=False,
                    unit="MiB more",
                )


def _resumption() -> Iterator[Budget]:
    def key(kind: str, direction: str, variant: str) -> Key:
        return Key(resumption.ROW, direction, variant_name(kind, variant), "rate")

    for kind in resumption.KINDS:
        for direction in DIRECTIONS:
            yield Budget(
                f"bulk {direction}, {kind}, with resumption",
                key(kind, direction, resumption.ON),
                0.97,
                at_least=True,
                reference=key(kind, direction, resumption.OFF),
            )


def _bandwidth() -> Iterator[Budget]:
    for rate in FULL.rates:
        for kind in bandwidth.KINDS:
            case = bandwidth.case_of(rate)
            yield Budget(
                f"the bandwidth hook, {case}, {kind}",
                Key(bandwidth.ROW, case, kind, bandwidth.OFF),
                5,
                at_least=False,
                unit="% off",
            )


def case_of(run: Run, row: str, usual: str) -> str:
    """
    Name the size that a row had in a run.
    """
    return next((each.case for each in run.series if each.row == row), usual)
