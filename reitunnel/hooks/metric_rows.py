"""
What the C{metrics} hook counts, in rows of which there are so many and no more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

OTHER: Final = "other"
"""What stands for all that have no row of their own."""

SECONDS: Final = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
"""The upper bounds of the buckets for how long streams last."""


class Row:
    """
    The sums of one tunnel or client, of what is closed.

    @ivar received: bytes from visitors.
    @ivar sent: bytes to visitors.
    @ivar streams: how many streams have been opened.
    @ivar used: by how many open tunnels or sessions; a row that is not used may be
        given up for another one.
    """

    __slots__ = ("received", "sent", "streams", "used")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.streams = 0
        self.used = 0

    def add(self, other: Row) -> None:
        """
        Take over what another row has counted.
        """
        self.received += other.received
        self.sent += other.sent
        self.streams += other.streams
        self.used += other.used


_Key = TypeVar("_Key", bound=tuple[str, ...])


class Rows(Generic[_Key]):
    """
    A row for each key. When there are too many, one that is not used, the one that has
    been so for longest, is added to the row of the others; if all are used, a new key
    has no row of its own.

    @ivar others: the row of all that have none of their own.
    """

    __slots__ = ("_free", "_limit", "_rows", "others")

    def __init__(self, limit: int) -> None:
        self.others = Row()
        self._limit = limit
        self._rows: dict[_Key, Row] = {}
        self._free: dict[_Key, None] = {}

    def take(self, key: _Key) -> Row:
        """
        Use the row of a key, until L{give}.
        """
        row = self._rows.get(key)
        if row is None:
            row = self._make(key)
        self._free.pop(key, None)
        row.used += 1
        return row

    def give(self, key: _Key, row: Row) -> None:
        """
        Use a row no more.
        """
        row.used -= 1
        if not row.used and row is not self.others:
            self._free[key] = None

    def items(self) -> Iterator[tuple[_Key, Row]]:
        """
        The rows that keys have of their own.
        """
        yield from self._rows.items()

    def _make(self, key: _Key) -> Row:
        if len(self._rows) >= self._limit:
            if not self._free:
                return self.others
            oldest = next(iter(self._free))
            del self._free[oldest]
            self.others.add(self._rows.pop(oldest))
        row = self._rows[key] = Row()
        return row


class Kinds:
    """
    How often things of different kinds happened. Kinds above the limit are counted
    as L{OTHER}.
    """

    __slots__ = ("_limit", "counts")

    def __init__(self, limit: int) -> None:
        self.counts: dict[str, int] = {}
        self._limit = limit

    def count(self, kind: str) -> None:
        """
        One more of a kind.
        """
        if kind not in self.counts and len(self.counts) >= self._limit:
            kind = OTHER
        self.counts[kind] = self.counts.get(kind, 0) + 1


class Durations:
    """
    How long things took: how many were within each of L{SECONDS}, and their sum.

    @ivar buckets: how many, for each bound and above the last one; not cumulated.
    @ivar total: all together, in seconds.
    """

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """
        One more.
        """
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds
