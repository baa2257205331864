"""
Parts of Reitunnel by themselves, timed with pyperf.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Measured
from benchmarks.errors import BenchmarkError, ProgramFailed
from benchmarks.load.starting import start_module

ROW = "micro"

_PATIENCE = 600.0
_NANO = 1e9


def measure_micro(bench: Bench) -> None:
    """
    Run the micro-benchmarks in processes of their own.
    """
    if find_spec("pyperf") is None:
        bench.note(ROW, "", "pyperf is not installed: pip install -e '.[bench]'")
        return
    output = bench.site.new_directory() / "micro.json"
    program = start_module(
        bench.site.programs,
        "pyperf",
        "benchmarks.micro",
        "--quiet",
        "--copy-env",
        f"--output={output}",
        *bench.plan.micro,
    )
    try:
        program.finish(_PATIENCE)
        found = read_pyperf(output)
    except BenchmarkError as error:
        bench.note(ROW, "", str(error))
        return
    for name, values in found.items():
        for number, value in enumerate(values):
            bench.record(ROW, "", name, {"time": Measured("ns", value * _NANO)}, number)


def read_pyperf(path: Path) -> dict[str, list[float]]:
    """
    Read what pyperf wrote.

    @return: the seconds that one operation took, by the benchmark's name.
    @raise ProgramFailed: if it is not what pyperf writes.
    """
    try:
        suite: dict[str, Any] = json.loads(path.read_bytes())
        return {
            benchmark["metadata"]["name"]: [
                float(value)
                for run in benchmark["runs"]
                for value in run.get("values", ())
            ]
            for benchmark in suite["benchmarks"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProgramFailed(f"pyperf's file: {error!r}") from None
