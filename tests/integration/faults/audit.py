"""
Compares what the ledgers of all processes say with the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.integration.faults.ledger import Book, StreamEntry
from tests.integration.faults.processes import Peer
from tests.integration.faults.striking import Striker
from tests.integration.faults.truth import Fate, Record
from tests.integration.faults.world import Route, World

_HEADER: Final = 4
"""How many bytes a visitor sends before its part."""
_BEFORE: Final = 0.5
_AFTER: Final = 5.0
"""
How long before and after the end of a data link, as the relay sees it, its stream may
end, in seconds: a process may be stopped in between.
"""
_NEVER: Final = frozenset({"INTERNAL", "TARGET_REFUSED", "TARGET_UNREACHABLE"})
"""What no fault here is a reason for."""


@dataclass
class Findings:
    """
    What came of it.

    @ivar resets: how many streams were reset, by the reason.
    @ivar wrong: what must not be.
    """

    resets: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def audit(
    world: World,
    routes: Mapping[int, Route],
    striker: Striker,
    resumes: bool,
) -> Findings:
    """
    Compare, when every process has stopped.

    @param routes: the route of each stream, by number.
    @param striker: knows which streams may be reset though sessions resume.
    @param resumes: whether no other stream may.
    """
    excused = _excuses(world, routes, striker)
    findings = Findings()
    server = _read(world.server, findings)
    clients = {route.name: _read(route.client, findings) for route in world.routes}
    for number, record in world.truth.records.items():
        host = record.order.host
        at_server = server.get(host)
        at_client = clients[routes[number].name].get(host)
        if record.complete:
            _check_complete(record, at_server, at_client, findings)
            continue
        why = _reason(at_server, at_client, excused.get(number))
        findings.resets[why] += 1
        if why.split()[-1] in _NEVER:
            findings.wrong.append(f"stream {number} was reset: {why}")
        _check_reset(record, at_server, at_client, findings)
        # A visitor waits for so long, and no longer, until its stream is accepted: but
        # without a fault it does not take so long.
        too_late = (
            why == "TARGET_TIMEOUT"
            and record.visitor.got == 0
            and striker.struck_lately(routes[number], *record.over_at)
        )
        reached = record.target is not None and not too_late
        if resumes and number not in excused and reached:
            first, last = record.over_at
            findings.wrong.append(
                f"stream {number} of {routes[number].name} was reset ({why}), "
                f"after {record.outages} outages, at {first:.3f} and {last:.3f}"
            )
    return findings


def _excuses(
    world: World, routes: Mapping[int, Route], striker: Striker
) -> dict[int, str]:
    """
    Say why streams may be reset though sessions resume: a process was killed, or the
    stream's data link has died. One data link is reason enough for one stream, which
    ended about when it did.
    """
    excused = dict.fromkeys(striker.killed, "killed")
    # By route: from when to when the stream of each that is dead may end.
    dead: dict[str, list[tuple[float, float]]] = {}
    for connection, strike in striker.struck.items():
        if lost_at := connection.lost_at.values():
            since = min(strike.since, min(lost_at) - _BEFORE)
            span = (since, max(lost_at) + _AFTER)
            dead.setdefault(strike.route.name, []).append(span)
    for route in world.routes:
        if route.carrier != "mux":
            ends = {
                number: record.over_at
                for number, record in world.truth.records.items()
                if routes[number] is route
                and not record.complete
                and record.target is not None
                and number not in excused
            }
            pairs = _pairs(ends, dead.get(route.name, []))
            excused.update(dict.fromkeys(pairs, "data link"))
    return excused


def _pairs(
    ends: Mapping[int, tuple[float, float]], spans: Sequence[tuple[float, float]]
) -> set[int]:
    """
    Find for as many as possible of some times a span of its own that has a part of it.

    @return: the keys of those that have one.
    """
    owners: dict[int, int] = {}

    def find(key: int, tried: set[int]) -> bool:
        first, last = ends[key]
        for place, (since, until) in enumerate(spans):
            if place not in tried and since <= last and first <= until:
                tried.add(place)
                if place not in owners or find(owners[place], tried):
                    owners[place] = key
                    return True
        return False

    return {key for key in ends if find(key, set())}


def _read(peer: Peer, findings: Findings) -> dict[str, StreamEntry]:
    """
    Read all ledgers of a peer, and check that they balance: but for those of killed
    processes, which had no time to close.
    """
    entries: dict[str, StreamEntry] = {}
    for pid, book in peer.books().items():
        findings.wrong += [f"{peer.name}: {each}" for each in book.mistakes]
        if pid not in peer.killed:
            findings.wrong += _unbalanced(peer.name, book)
        entries.update(book.streams)
    return entries


def _unbalanced(name: str, book: Book) -> list[str]:
    return [
        f"{name}: {count} opens of a {what} without a close"
        for what, count in book.open.items()
        if count
    ]


def _reason(
    server: StreamEntry | None, client: StreamEntry | None, excuse: str | None
) -> str:
    codes = {entry.code for entry in (server, client) if entry is not None}
    codes.discard("")
    known = "/".join(sorted(codes)) or "not closed"
    return f"{excuse} {known}" if excuse else known


def _check_complete(
    record: Record,
    server: StreamEntry | None,
    client: StreamEntry | None,
    findings: Findings,
) -> None:
    """
    Every byte came through: all agree on how many.
    """
    truth = (record.order.up.total + _HEADER, record.order.down.total)
    for name, entry in (("server", server), ("client", client)):
        if entry is None:
            findings.wrong.append(
                f"stream {record.order.number} is complete, and the {name} has not "
                "heard of it"
            )
        elif entry.code and (entry.received, entry.sent) != truth:
            findings.wrong.append(
                f"stream {record.order.number} is complete: {truth}, and the {name} "
                f"counts {entry.received, entry.sent}"
            )


def _check_reset(
    record: Record,
    server: StreamEntry | None,
    client: StreamEntry | None,
    findings: Findings,
) -> None:
    """
    Nobody has more than was sent, and nobody took a part for the whole.
    """
    number, visitor, target = record.order.number, record.visitor, record.target
    if server is not None and server.code:
        if server.received > visitor.sent + _HEADER:
            findings.wrong.append(f"stream {number}: the server has heard too much")
        if server.sent < visitor.got:
            findings.wrong.append(f"stream {number}: the server has sent too little")
    if client is not None and client.code and target is not None:
        if client.sent > target.sent:
            findings.wrong.append(f"stream {number}: the client has heard too much")
        if client.received < target.got:
            findings.wrong.append(f"stream {number}: the client has sent too little")
    for name, entry in (("server", server), ("client", client)):
        if entry is not None and entry.code == "NONE":
            other = client if name == "server" else server
            if Fate.RESET in (visitor.fate, target.fate if target else Fate.OPEN):
                findings.wrong.append(
                    f"stream {number}: the {name} says that it ended in order, and "
                    f"the other {other.code if other else 'nothing'}: "
                    f"visitor {visitor.fate.value} ({visitor}), target "
                    f"{target.fate.value if target else 'never reached'} ({target})"
                )
