"""
The file of an audit trail: opened, appended to, rotated. It blocks, and is used in one
thread at a time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from errno import EACCES, EBUSY
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from reitunnel.hooks.audit_chain import BrokenRecord, Link, encode, read_end

Fsync = Literal["batch", "close", "never"]

_OLD: Final = 8
"""Digits of a rotated file's number."""


class AuditFile:
    """
    Appends records. When the file is full, a number is put behind its name, that of its
    last record, and a new file goes on with the chain.
    """

    def __init__(self, path: Path, max_size: int, keep: int, fsync: Fsync) -> None:
        """
        Do nothing yet. The arguments are those of L{change}, too.
        """
        self._path = path
        self.change(max_size, keep, fsync)
        self._file: BinaryIO | None = None
        self._size = 0
        self._link = Link()

    def change(self, max_size: int, keep: int, fsync: Fsync) -> None:
        """
        Do otherwise from now on.

        @param max_size: bytes after which it is rotated.
        @param keep: how many rotated files are kept; 0 keeps all.
        @param fsync: when what is written must be on the disk.
        """
        self._max_size = max_size
        self._keep = keep
        self._fsync = fsync

    def probe(self) -> None:
        """
        See whether the file could be gone on with. Nothing is changed: another process
        may have it.

        @raise OSError: when it could not be written.
        @raise BrokenRecord: when the last line is no record.
        """
        if self._path.exists():
            with self._path.open("rb") as file:
                link, _, _ = read_end(file)
            if link is None:
                self._end_of_old()
            place, wanted = self._path, os.W_OK
        else:
            place, wanted = self._path.parent, os.W_OK | os.X_OK
            place.stat()
            self._end_of_old()
        if not os.access(place, wanted):
            raise PermissionError(EACCES, os.strerror(EACCES), str(place))

    def open(self) -> int:
        """
        Open the file, and find where the chain stands. What a crash has left of a line
        is cut off.

        @return: how many bytes were cut off.
        @raise OSError: when that cannot be done, or another process has the file.
        @raise BrokenRecord: when the last line is no record.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            _lock(file)
            link, size, rest = read_end(file)
            if link is None:
                link = self._end_of_old()
            if rest:
                file.truncate(size)
            file.seek(size)
        except BaseException:
            file.close()
            raise
        self._file, self._size, self._link = file, size, link
        return rest

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """
        Write records, all of them or, as far as the file can be mended, none.

        @param records: with C{time} and C{event}, at least one.
        @raise OSError: when that cannot be done.
        @raise BrokenRecord: when the file does not end with a record any more.
        """
        file, cut_off = self._opened()
        link = self._link
        lines = []
        if cut_off:
            first = {"time": records[0]["time"], "event": "cut_off", "bytes": cut_off}
            records = [first, *records]
        for record in records:
            line, link = encode(link, record)
            lines.append(line)
        data = b"".join(lines)
        try:
            _write(file, data)
            if self._fsync == "batch":
                os.fsync(file.fileno())
        except OSError:
            self._undo(file)
            raise
        self._size += len(data)
        self._link = link

    def close(self) -> None:
        """
        Close the file.

        @raise OSError: when what was written may not be on the disk.
        """
        file, self._file = self._file, None
        if file is not None:
            with file:
                if self._fsync != "never":
                    os.fsync(file.fileno())

    # The parts.

    def _opened(self) -> tuple[BinaryIO, int]:
        """
        Give a file that has room, and how many bytes were cut off from it.
        """
        if self._file is not None and self._size >= self._max_size:
            self._rotate()
        cut_off = self.open() if self._file is None else 0
        assert self._file is not None
        return self._file, cut_off

    def _undo(self, file: BinaryIO) -> None:
        """
        Take back what was written of a batch, or begin again with what is there.
        """
        try:
            file.truncate(self._size)
            file.seek(self._size)
        except OSError:
            self._file = None
            file.close()

    def _rotate(self) -> None:
        self.close()
        os.rename(self._path, f"{self._path}.{self._link.seq:0{_OLD}}")
        if self._keep:
            for old in self._old_files()[: -self._keep]:
                old.unlink(missing_ok=True)

    def _old_files(self) -> list[Path]:
        """
        The rotated files, oldest first.
        """
        prefix = f"{self._path.name}."
        numbered = [
            (int(path.name.removeprefix(prefix)), path)
            for path in self._path.parent.iterdir()
            if path.name.startswith(prefix)
            and path.name.removeprefix(prefix).isdecimal()
        ]
        return [path for _, path in sorted(numbered)]

    def _end_of_old(self) -> Link:
        old = self._old_files()
        if not old:
            return Link()
        with old[-1].open("rb") as file:
            link, _, rest = read_end(file)
        if link is None or rest:
            raise BrokenRecord(0, f"{old[-1].name} does not end with a record")
        return link


def _lock(file: BinaryIO) -> None:
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise OSError(EBUSY, "another process writes it") from None


def _write(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        # A disk that is nearly full takes a part.
        left = left[file.write(left) or 0 :]
