"""
What clients have used today, and the file that keeps it over a restart.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

DAY: Final = 86400
"""Seconds."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_PRIVATE: Final = 0o600

_Number = Annotated[int, Meta(ge=0)]


class Counts(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a client has used in a day.

    @ivar bytes: bytes, in both directions.
    @ivar tunnels: how often it opened a tunnel.
    @ivar streams: how many visitors it had.
    """

    bytes: _Number
    tunnels: _Number
    streams: _Number


class UsageFile(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What the file has.

    @ivar version: the version of the format.
    @ivar day: the day, in UTC.
    @ivar clients: what was used, by identity.
    """

    version: Literal[1]
    day: date
    clients: dict[str, Counts]


class Usage:
    """
    What one client uses: all sessions of one identity.

    @ivar bytes: bytes today.
    @ivar tunnels: tunnels opened today.
    @ivar streams: visitors today.
    @ivar open_tunnels: tunnels that are open.
    @ivar open_streams: streams that are open.
    @ivar seats: sessions that are known.
    @ivar warned: whether the log says already that the bytes of today are used up.
    """

    __slots__ = (
        "bytes",
        "open_streams",
        "open_tunnels",
        "seats",
        "streams",
        "tunnels",
        "warned",
    )

    def __init__(self) -> None:
        self.open_tunnels = 0
        self.open_streams = 0
        self.seats = 0
        self.begin_day()

    def begin_day(self) -> None:
        """
        Nothing was used today.
        """
        self.bytes = 0
        self.tunnels = 0
        self.streams = 0
        self.warned = False

    @property
    def idle(self) -> bool:
        """
        Whether nothing is open.
        """
        return not (self.seats or self.open_tunnels or self.open_streams)


class UsageBook:
    """
    What all clients use, and which day it is.
    """

    def __init__(self, now: float) -> None:
        """
        @param now: the time, seconds since the epoch.
        """
        self._day = int(now // DAY)
        self._usages: dict[str, Usage] = {}

    def of(self, identity: str) -> Usage:
        """
        Find what a client uses, or begin to count.
        """
        usage = self._usages.get(identity)
        if usage is None:
            usage = self._usages[identity] = Usage()
        return usage

    def items(self) -> Iterable[tuple[str, Usage]]:
        """
        Give all, by identity.
        """
        return self._usages.items()

    def turn_to(self, now: float) -> None:
        """
        Begin a new day if it is one. What is of no use any more is forgotten.

        @param now: the time, seconds since the epoch.
        """
        day = int(now // DAY)
        if day == self._day:
            return
        self._day = day
        self._usages = {
            identity: usage
            for identity, usage in self._usages.items()
            if not usage.idle
        }
        for usage in self._usages.values():
            usage.begin_day()

    def forget_warnings(self) -> None:
        """
        Let the log say once more whose bytes of today are used up: there may be other
        limits.
        """
        for usage in self._usages.values():
            usage.warned = False

    def seconds_left(self, now: float) -> float:
        """
        Tell how long the day will last.
        """
        return (self._day + 1) * DAY - now

    def load(self, file: UsageFile) -> None:
        """
        Take over what a file has, if it is of today.
        """
        if file.day.toordinal() - _EPOCH == self._day:
            for identity, counts in file.clients.items():
                usage = self.of(identity)
                usage.bytes = counts.bytes
                usage.tunnels = counts.tunnels
                usage.streams = counts.streams

    def snapshot(self) -> UsageFile:
        """
        Give what a file is to have.
        """
        clients = {
            identity: Counts(usage.bytes, usage.tunnels, usage.streams)
            for identity, usage in self._usages.items()
            if usage.bytes or usage.tunnels or usage.streams
        }
        return UsageFile(1, date.fromordinal(self._day + _EPOCH), clients)


def read_usage(path: Path) -> UsageFile | None:
    """
    Read the file.

    @return: L{None} if there is none.
    @raise ValueError: if it cannot be read or is no such file; the message is for
        people and names it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    try:
        return msgspec.json.decode(content, type=UsageFile)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{path} is no file of quotas ({error}); without it, counting begins anew"
        ) from error


def write_usage(path: Path, file: UsageFile) -> None:
    """
    Write the file, all at once: whatever happens, there is the old one or the new one.
    It blocks.

    @raise OSError: if it cannot be written; the old one stays.
    """
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, _PRIVATE), "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(file)))
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def check_writable(path: Path) -> None:
    """
    See that the file can be written later.

    @raise ValueError: if not; the message is for people.
    """
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is not a directory")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ValueError(f"{path.parent} is not writable")
    if path.is_dir():
        raise ValueError(f"{path} is a directory")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
