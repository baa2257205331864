"""
What Linux tells of processes: time, memory, descriptors, children.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """
    One process, as it was when it was looked at.

    @ivar started: when, in ticks since the machine started: the same number is
        given to another process sooner or later, but not with the same start.
    @ivar cpu: seconds that it and its ended children have used.
    """

    pid: int
    parent: int
    started: int
    cpu: float


def parse_stat(text: str) -> Process:
    """
    Read C{/proc/PID/stat}.
    """
    # The name stands in parentheses and may hold anything, spaces too.
    number, _, rest = text.partition(" (")
    fields = rest[rest.rindex(")") + 2 :].split()
    ticks = sum(int(fields[index]) for index in range(11, 15))
    return Process(int(number), int(fields[1]), int(fields[19]), ticks / _TICKS)


def processes(proc: Path = PROC) -> Iterator[Process]:
    """
    Look at every process.
    """
    for entry in proc.iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield parse_stat((entry / "stat").read_text())


def family(roots: Iterable[int], proc: Path = PROC) -> list[Process]:
    """
    Find processes and all that descend from them.

    @param roots: the process ids to begin with.
    """
    known = {process.pid: process for process in processes(proc)}
    found = {pid: known[pid] for pid in roots if pid in known}
    while True:
        more = {
            process.pid: process
            for process in known.values()
            if process.parent in found and process.pid not in found
        }
        if not more:
            return list(found.values())
        found |= more


def cpu_seconds(roots: Iterable[int]) -> float:
    """
    How much processor time these processes and their descendants have used, in
    user and in system mode, to a hundredth of a second each.
    """
    return sum(process.cpu for process in family(roots))


def resident(pid: int) -> int:
    """
    How much memory a process holds, in bytes.
    """
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE


def peak(pid: int) -> int:
    """
    How much memory a process has held at most, in bytes, since it began or since
    L{forget_peak}.
    """
    return parse_peak((PROC / str(pid) / "status").read_text())


def forget_peak(pid: int) -> None:
    """
    Have L{peak} begin anew. Where the kernel cannot do that, nothing happens.
    """
    with suppress(OSError):
        (PROC / str(pid) / "clear_refs").write_text("5")


def parse_peak(text: str) -> int:
    """
    Read C{/proc/PID/status}.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    number, unit = fields["VmHWM"].split()
    assert unit == "kB", unit
    return int(number) << 10


def descriptors(pid: int) -> int:
    """
    How many file descriptors a process has open.
    """
    return len(os.listdir(PROC / str(pid) / "fd"))
