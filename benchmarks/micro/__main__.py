"""
Runs the micro-benchmarks; the arguments are pyperf's.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable

import pyperf

from benchmarks.micro import codec, hooks, scheduler, session

_PARTS = {"codec": codec, "scheduler": scheduler, "session": session, "hooks": hooks}


def timed(run: Callable[[int], None]) -> Callable[[int], float]:
    """
    Make what pyperf calls: it does something so many times, and tells how long that
    took.
    """

    def time_it(loops: int) -> float:
        begun = time.perf_counter()
        run(loops)
        return time.perf_counter() - begun

    return time_it


def pass_on(command: list[str], arguments: Namespace) -> None:
    """
    Tell pyperf's workers which parts are wanted: they must count as this process does.
    """
    for part in arguments.part or ():
        command += ("--part", part)


def main() -> None:
    """
    Run.
    """
    runner = pyperf.Runner(
        # pyperf starts its workers with these.
        program_args=("-m", "benchmarks.micro"),
        add_cmdline_args=pass_on,
    )
    runner.argparser.add_argument(
        "--part",
        action="append",
        choices=tuple(_PARTS),
        help="only this part; repeats",
    )
    wanted = runner.parse_args().part or _PARTS
    for part in wanted:
        for name, case in _PARTS[part].cases().items():
            runner.bench_time_func(
                f"{part}: {name}", timed(case.run), inner_loops=case.operations
            )


if __name__ == "__main__":
    main()
