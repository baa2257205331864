"""
C{python -m benchmarks}: runs benchmarks, keeps what was measured, and shows it.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import report, results
from benchmarks.bench import Bench, reason_of
from benchmarks.contenders import Contender, every_contender
from benchmarks.contenders.reitunnel import TRANSPORTS, kind_of, variant_of
from benchmarks.errors import BenchmarkError
from benchmarks.load.starting import ROOT
from benchmarks.machine import describe
from benchmarks.pages import page_of
from benchmarks.plan import PLANS, Plan
from benchmarks.rows import EVERY, GROUPS
from benchmarks.running.procfs import PROC
from benchmarks.running.programs import Programs, kill_descendants

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RESULTS = ROOT / "benchmarks" / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run.

    @return: the exit code.
    """
    asked = parse(arguments)
    if asked.list:
        _list()
        return 0
    if not (PROC / "self" / "stat").exists():
        return _complain("the benchmarks read /proc, which this system does not have")
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        plan = chosen_plan(asked)
        contenders = chosen_contenders(asked, plan)
    except BenchmarkError as error:
        return _complain(str(error))
    _raise_descriptor_limit()
    run = results.Run(
        plan.name,
        datetime.now(UTC).isoformat(timespec="seconds"),
        describe(ROOT),
    )
    try:
        measure(run, plan, contenders, asked.only or rows_of(plan))
    finally:
        kill_descendants()
    path = asked.output or RESULTS / f"{run.started.replace(':', '')}-{plan.name}.json"
    results.save(run, path)
    print(report.terminal(run))
    print(f"kept in {path}")
    if asked.publish:
        page = page_of(run)
        report.publish(run, page, page.path, page.latest)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """
    Read the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--plan", choices=tuple(PLANS), default="quick", help="how much [quick]"
    )
    parser.add_argument(
        "--only", action="append", choices=tuple(EVERY), help="this benchmark; repeats"
    )
    parser.add_argument(
        "--contender", action="append", metavar="NAME", help="this one; repeats"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a size of the plan; repeats",
    )
    for side in ("server", "client"):
        parser.add_argument(
            f"--{side}-key",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help=f"a key of each reitunnel {side}'s configuration, as TOML; repeats",
        )
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="WORD=DIRECTORY",
        help="another checkout, whose Reitunnel is measured too; repeats",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="for the results")
    parser.add_argument(
        "--publish", action="store_true", help="write the page of these results too"
    )
    parser.add_argument("--list", action="store_true", help="what there is, and exit")
    return parser.parse_args(arguments)


def chosen_plan(asked: argparse.Namespace) -> Plan:
    """
    Give the plan, with the sizes that were asked for.

    @raise BenchmarkError: if one of them is none.
    """
    plan = PLANS[asked.plan]
    changes = read_keys(asked.set)
    for name, value in changes.items():
        kind = type(getattr(plan, name, None))
        if kind not in (int, float) or not isinstance(value, int | float):
            raise BenchmarkError(f"--set {name}: not a size, or not a number")
        changes[name] = kind(value)
    if asked.contender:
        # Whoever is named is measured in every row.
        changes.update(few=(), transports=TRANSPORTS)
    return replace(plan, **changes)


def chosen_contenders(asked: argparse.Namespace, plan: Plan) -> list[Contender]:
    """
    Give the contenders that were asked for, or else the plan's.

    @raise BenchmarkError: if there is no such contender.
    """
    others = {word: Path(where) for word, where in read_keys(asked.against).items()}
    for where in others.values():
        if not (where / "reitunnel" / "__init__.py").is_file():
            raise BenchmarkError(f"{where} is no checkout of Reitunnel")
    every = every_contender(
        read_keys(asked.server_key), read_keys(asked.client_key), others
    )
    wanted = asked.contender or plan.contenders
    names = [each.name for each in every]
    for name in wanted:
        if name not in names:
            raise BenchmarkError(f"no contender {name!r}; there are {', '.join(names)}")

    def chosen(name: str) -> bool:
        kind, variant = kind_of(name), variant_of(name)
        return not wanted or name in wanted or (variant in others and kind in wanted)

    return [each for each in every if chosen(each.name)]


def rows_of(plan: Plan) -> list[str]:
    """
    Name the benchmarks of a plan.
    """
    return [name for name in GROUPS[plan.group] if name not in plan.skip]


def read_keys(texts: Sequence[str]) -> dict[str, Any]:
    """
    Read C{KEY=VALUE}, with a value as TOML has it, or a plain word.

    @raise BenchmarkError: if there is no C{=}.
    """
    keys = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise BenchmarkError(f"{text!r} is not KEY=VALUE")
        try:
            keys[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            keys[key.strip()] = value
    return keys


def measure(
    run: results.Run, plan: Plan, contenders: Sequence[Contender], rows: Sequence[str]
) -> None:
    """
    Measure.

    @param run: where the results go.
    @param rows: what is measured, by name.
    """
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="reitunnel-bench-") as directory,
        Programs(Path(directory)) as programs,
    ):
        bench = Bench(plan, run, programs, contenders, _say)
        for name in rows:
            started = time.monotonic()
            _say(f"{name} ...")
            try:
                EVERY[name](bench)
            except Exception as error:
                bench.note(name, "", reason_of(error))
            _say(f"{name}: {time.monotonic() - started:.0f} s")
    run.seconds = time.monotonic() - begun


def _list() -> None:
    contenders: Mapping[str, str] = {
        each.name: _why_not(each) for each in every_contender({}, {}, {})
    }
    for group, rows in GROUPS.items():
        print(f"{group}:", ", ".join(rows))
    print("contenders:")
    for name, reason in contenders.items():
        print(f"  {name}" + (f" (left out: {reason})" if reason else ""))


def _why_not(contender: Contender) -> str:
    try:
        contender.check()
    except BenchmarkError as error:
        return str(error)
    return ""


def _raise_descriptor_limit() -> None:
    """
    Let each program have as many descriptors as it may.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stop(number: int, frame: FrameType | None) -> None:
    """
    End in order, so that every program is ended too. Another signal does not hurry
    that.
    """
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    _complain("stopped; nothing is kept")
    sys.exit(128 + number)


def _say(line: str) -> None:
    print(line, flush=True)


def _complain(line: str) -> int:
    print(line, file=sys.stderr)
    return 1
