"""
A crowd: very many visitors who stay, of whom a random one in a hundred talks.
"""

from __future__ import annotations

import resource

from benchmarks.bench import Bench, Measured, pause
from benchmarks.contenders import Opened
from benchmarks.contenders.reitunnel import Reitunnel
from benchmarks.rows.fresh import measure_fresh, ours
from benchmarks.rows.latency import round_trips
from benchmarks.running.procfs import descriptors, resident

ROW = "crowd"

_AT_ONCE = 64
_WARM_UP = 100
_SETTLE = 0.5
_LOOKS = 40
_PATIENCE = 300.0
_SPARE = 500
"""Descriptors that a process has besides those of visitors."""
_KIB = 1 << 10
_MIB = 1 << 20


def measure_crowd(bench: Bench) -> None:
    """
    Measure each carrier.
    """
    for contender in ours(bench):
        measure_fresh(bench, ROW, contender, measure_one)


def measure_one(bench: Bench, contender: Reitunnel, opened: Opened) -> None:
    """
    Measure one carrier.
    """
    size = crowd_size(bench, contender)
    server, client = (relay.pid for relay in opened.relays)
    port, worker = opened.ports[1], bench.worker()
    # The first visitors have code loaded and pools filled.
    worker.do("crowd", port=port, count=min(_WARM_UP, size), at_once=_AT_ONCE)
    worker.do("disperse")
    pause(_SETTLE)
    before = resident(server), resident(client)
    opened_at = descriptors(server)
    came = worker.do(
        "crowd", timeout=_PATIENCE, port=port, count=size, at_once=_AT_ONCE
    )
    pause(_SETTLE)
    held = resident(server), resident(client)
    seconds = bench.plan.crowd_talks
    talk = worker.do(
        "murmur",
        timeout=seconds + _PATIENCE,
        at_once=max(1, size // 100),
        seconds=seconds,
    )
    worker.do("disperse")
    wait_until_gone(server, opened_at)
    found = {
        "visitors": Measured("", came["count"]),
        "server memory": Measured("KiB each", (held[0] - before[0]) / size / _KIB),
        "client memory": Measured("KiB each", (held[1] - before[1]) / size / _KIB),
        "opening": Measured("/s", came["count"] / came["seconds"]),
        **round_trips(talk),
        "exchanges": Measured("/s", talk["count"] / seconds),
        "memory kept": Measured("MiB", (resident(server) - before[0]) / _MIB),
        "descriptors kept": Measured("", descriptors(server) - opened_at),
    }
    bench.record(ROW, f"{bench.plan.crowd:,} visitors", contender.name, found)


def wait_until_gone(server: int, before: int) -> None:
    """
    Wait until a server has no more descriptors than before, but not for ever.
    """
    for _ in range(_LOOKS):
        pause(_SETTLE)
        if descriptors(server) <= before:
            return


def crowd_size(bench: Bench, contender: Reitunnel) -> int:
    """
    How many visitors there can be: a process has only so many descriptors.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # One for the visitor or the target, and on the direct carrier a link.
    each = 2 if contender.carrier == "direct" else 1
    size = min(bench.plan.crowd, max(1, (most - _SPARE) // each))
    if size < bench.plan.crowd:
        bench.note(
            ROW,
            contender.name,
            f"{size} visitors: a process here may have {most} descriptors",
        )
    return size
