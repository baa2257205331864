"""
What was measured, as it is kept in files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec


class Key(NamedTuple):
    """
    What one series of measurements is of.

    @ivar row: the benchmark, such as C{bulk}.
    @ivar case: one of its cases, such as C{down}.
    @ivar contender: what was measured.
    @ivar quantity: what of it, such as C{rate}.
    """

    row: str
    case: str
    contender: str
    quantity: str


class Series(msgspec.Struct):
    """
    The measurements of one thing, one a round.

    @ivar values: L{None} where it failed.
    """

    row: str
    case: str
    contender: str
    quantity: str
    unit: str
    values: list[float | None]

    @property
    def key(self) -> Key:
        """
        What it is of.
        """
        return Key(self.row, self.case, self.contender, self.quantity)


class Note(msgspec.Struct, frozen=True):
    """
    What could not be measured, or not as meant.

    @ivar contender: empty if it concerns all of them.
    """

    row: str
    contender: str
    text: str


class Run(msgspec.Struct):
    """
    One run of the benchmarks.

    @ivar plan: C{full} or C{quick}.
    @ivar started: when, in UTC.
    @ivar seconds: how long it took.
    @ivar machine: what it ran on, by the name of each fact.
    """

    plan: str
    started: str
    machine: dict[str, str]
    seconds: float = 0.0
    series: list[Series] = []
    notes: list[Note] = []

    def record(self, key: Key, unit: str, number: int, value: float) -> None:
        """
        Add a measurement.

        @param number: of the round, from 0.
        """
        series = self.find(key)
        if series is None:
            series = Series(*key, unit, [])
            self.series.append(series)
        missing = number + 1 - len(series.values)
        series.values.extend([None] * missing)
        series.values[number] = value

    def find(self, key: Key) -> Series | None:
        """
        Find a series.
        """
        return next((each for each in self.series if each.key == key), None)

    def values(self, key: Key) -> Sequence[float | None]:
        """
        Give the measurements of a thing; none if there are none.
        """
        series = self.find(key)
        return series.values if series else ()

    def note(self, row: str, contender: str, text: str) -> None:
        """
        Say what could not be measured, once.
        """
        note = Note(row, contender, text)
        if note not in self.notes:
            self.notes.append(note)

    def reason(self, row: str, contender: str) -> str:
        """
        Say why something was not measured.
        """
        for note in self.notes:
            if note.row in ("", row) and note.contender == contender:
                return note.text
        return "not part of this run"


def save(run: Run, path: Path) -> None:
    """
    Write a run to a file.
    """
    text = msgspec.json.format(msgspec.json.encode(run), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text + b"\n")


def load(path: Path) -> Run:
    """
    Read a run from a file.

    @raise msgspec.DecodeError: if it holds none.
    """
    return msgspec.json.decode(path.read_bytes(), type=Run)
