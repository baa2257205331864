"""
Memory: one long stream to a reader that is slower than the tunnel.
"""

from __future__ import annotations

import time
from threading import Event, Thread

from benchmarks.bench import Bench, Measured
from benchmarks.contenders import Opened
from benchmarks.contenders.reitunnel import Reitunnel
from benchmarks.errors import BenchmarkError
from benchmarks.figures import growth, spread
from benchmarks.plan import GB
from benchmarks.results import Key
from benchmarks.rows.bulk import GIGABIT
from benchmarks.rows.fresh import measure_fresh, ours
from benchmarks.running.procfs import resident

ROW = "memory"
SAMPLES = "samples"
"""What ends the names of series over time, which no table shows."""

_EVERY = 0.1
_SLOWER = 0.6
_LEAST_IDLE = 0.1
_SHOWN = 100
_MIB = 1 << 20


def measure_memory(bench: Bench) -> None:
    """
    Measure each carrier.
    """
    for contender in ours(bench):
        measure_fresh(bench, ROW, contender, measure_one)


def measure_one(bench: Bench, contender: Reitunnel, opened: Opened) -> None:
    """
    Measure one carrier.
    """
    size, pace = bench.plan.memory, reader_pace(bench, contender)
    number = bench.new_number()
    watch = Watch({"server": opened.relays[0].pid, "client": opened.relays[1].pid})
    with watch:
        seen = bench.worker().do(
            "down",
            timeout=60 + 4 * size / pace,
            port=opened.ports[0],
            number=number,
            size=size,
            rate=pace,
        )
    bench.bulk_target.report(number)
    if seen["idle"] < _LEAST_IDLE * seen["seconds"]:
        text = "the reader was hardly slower than the tunnel; see its pauses"
        bench.note(ROW, contender.name, text)
    if seen["bytes"] != size:
        raise BenchmarkError(f"{seen['bytes']} of {size} bytes came")
    case = f"{size / GB:g} GB"
    found = {
        "rate": Measured("Gbit/s", seen["counted"] / seen["seconds"] / GIGABIT),
        "reader's pauses": Measured("%", 100 * seen["idle"] / seen["seconds"]),
    }
    for side, samples in watch.samples.items():
        found[f"{side} most"] = Measured("MiB", max(samples) / _MIB)
        found[f"{side} growth"] = Measured("MiB", growth(samples) / _MIB)
        step = max(1, len(samples) // _SHOWN)
        for place, sample in enumerate(samples[::step]):
            name = f"{side} {SAMPLES}"
            bench.record(
                ROW, case, contender.name, {name: Measured("MiB", sample / _MIB)}, place
            )
    bench.record(ROW, case, contender.name, found)


def reader_pace(bench: Bench, contender: Reitunnel) -> float:
    """
    Choose how fast the reader is, in bytes a second: slower than the tunnel.
    """
    bulk = spread(bench.run.values(Key("bulk", "down", contender.name, "rate")))
    most = bench.plan.memory_rate
    return most if bulk is None else min(most, _SLOWER * bulk.median * GIGABIT)


class Watch:
    """
    Looks at the memory of processes while a C{with} block runs.

    @ivar samples: what each held, in bytes, at regular intervals.
    """

    def __init__(self, pids: dict[str, int]) -> None:
        """
        @param pids: the processes, by name.
        """
        self.samples: dict[str, list[int]] = {name: [] for name in pids}
        self._pids = pids
        self._over = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        """
        Begin.
        """
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """
        Look no more.
        """
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            for name, pid in self._pids.items():
                self.samples[name].append(resident(pid))
            due += _EVERY
            if self._over.wait(max(0.0, due - time.monotonic())):
                return
