"""
Many tunnels of one client: how long they take to open, and whether each works.
"""

from __future__ import annotations

import time

from benchmarks.bench import Bench, Measured
from benchmarks.contenders.reitunnel import Reitunnel
from benchmarks.rows.fresh import ours

ROW = "tunnels"

_PATIENCE = 120.0


def measure_tunnels(bench: Bench) -> None:
    """
    Measure each transport. Carriers make no difference here.
    """
    for contender in ours(bench):
        if contender.carrier == "mux":

            def once(contender: Reitunnel = contender) -> None:
                measure_one(bench, contender)

            bench.attempt(ROW, contender, once)


def measure_one(bench: Bench, contender: Reitunnel) -> None:
    """
    Measure one transport.
    """
    count = bench.plan.tunnels
    targets = [bench.echo_target.port] * count
    with bench.new_site() as site:
        directory = site.new_directory()
        _, port = contender.start_server(site, directory)
        started = time.monotonic()
        client = contender.start_client(site, directory, port, targets)
        ((connected, _),) = client.lines_like("connected to ", timeout=_PATIENCE)
        lines = client.lines_like(r" is open: \S+:(\d+) ->", count, _PATIENCE)
        opened = lines[-1][0]
        visited = bench.worker().do(
            "visit_each", timeout=_PATIENCE, ports=[int(match[1]) for _, match in lines]
        )
    found = {
        "opening": Measured("s", opened - connected),
        "with the client's start": Measured("s", opened - started),
        "work": Measured("", visited["count"]),
    }
    bench.record(ROW, f"{count:,} tunnels", contender.name, found)
