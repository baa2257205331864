"""
What the C{metrics} hook holds for many tunnels: C{python -m
benchmarks.micro.metrics_memory TUNNELS APART}.

It prints a line of JSON: C{kept}, the bytes that the hook holds while all tunnels are
open, and C{most}, what it holds when somebody asks for everything, the answer included.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc

from twisted.internet.address import IPv4Address

from reitunnel.hooks.metrics import MetricsHook, MetricsOptions
from reitunnel.interfaces import ITunnel
from tests.hooks.fakes import HOST, FakeSession, FakeTunnel

_STREAMED = 1 << 20


def many_tunnels(count: int) -> list[ITunnel]:
    """
    Make tunnels of one client, each with a port and bytes of its own.
    """
    session = FakeSession()
    return [
        FakeTunnel(
            id=number,
            session=session,
            address=IPv4Address("TCP", HOST.host, number % 65535 + 1),
            bytes_received=number * _STREAMED,
            bytes_sent=number * _STREAMED,
        )
        for number in range(count)
    ]


def measure(count: int, apart: int) -> dict[str, int]:
    """
    Measure it.

    @param count: how many tunnels there are.
    @param apart: how many the hook tells apart.
    """
    hook = MetricsHook(MetricsOptions(max_tunnels=apart))
    tunnels = many_tunnels(count)
    for session in {id(each.session): each.session for each in tunnels}.values():
        hook.on_client_connect(session)
    gc.collect()
    tracemalloc.start()
    try:
        for tunnel in tunnels:
            hook.on_tunnel_open(tunnel)
        # The rows are made when somebody asks.
        hook.get_metrics()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        hook.get_metrics()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return {"kept": kept, "most": most}


def main() -> None:
    """
    Run.
    """
    count, apart = map(int, sys.argv[1:])
    print(json.dumps(measure(count, apart)), flush=True)


if __name__ == "__main__":
    main()
