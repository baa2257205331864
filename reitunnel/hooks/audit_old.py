"""
The files of an audit trail that are not written any more: how they are called, which
there are, and where their chain ends.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from reitunnel.hooks.audit_chain import BrokenRecord, Link, read_end

_DIGITS: Final = 8
"""Digits of a rotated file's number."""
_ROTATED: Final = re.compile(rf"\.([0-9]{{{_DIGITS},18}})(?:\.([0-9]{{1,18}}))?")
"""What is behind the name of the file, in the name of a rotated one."""


class OldFiles:
    """
    Those of one trail. They have its name, and more behind it.
    """

    def __init__(self, path: Path) -> None:
        """
        @param path: the file that is written.
        """
        self._path = path

    def name(self, seq: int, ending: str = "") -> Path:
        """
        Give a name that is not taken, for a file that is not written any more.

        @param seq: the number of the last record that is known to be in it.
        @raise OSError: when no file could have it.
        """
        wanted = f"{self._path}.{seq:0{_DIGITS}}{ending}"
        names = (wanted if not number else f"{wanted}.{number}" for number in count())
        return next(Path(name) for name in names if not _is_taken(name))

    def rotated(self) -> list[Path]:
        """
        Give those that were full, oldest first.

        @raise OSError: when the directory cannot be read.
        """
        found = []
        for path in self._siblings():
            match = _ROTATED.fullmatch(path.name, len(self._path.name))
            if match is not None:
                found.append((int(match[1]), int(match[2] or 0), path))
        return [path for _, _, path in sorted(found)]

    def end(self) -> Link:
        """
        Find where the chain stands if the file that is written is gone or empty.
        Another program may have given it any name that begins with its own.

        @raise OSError: when the directory cannot be read, or the newest of those that
            were full.
        @raise BrokenRecord: when that one does not end with a record.
        """
        last = Link()
        rotated = self.rotated()
        if rotated:
            name = rotated[-1].name
            try:
                link = _end_of(rotated[-1])
            except OSError as error:
                raise OSError(error.errno, f"{name}: {error.strerror}") from error
            if link is None:
                raise BrokenRecord(0, f"{name} does not end with a record")
            last = link
        for path in self._siblings():
            # Nobody says that the others are of the trail.
            with suppress(OSError):
                link = _end_of(path)
                if link is not None and link.seq > last.seq:
                    last = link
        return last

    # The parts.

    def _siblings(self) -> Iterator[Path]:
        own = self._path.name
        for path in self._path.parent.iterdir():
            if path.name.startswith(own) and path.name != own:
                yield path


def _is_taken(name: str) -> bool:
    try:
        os.lstat(name)
    except FileNotFoundError:
        return False
    return True


def _end_of(path: Path) -> Link | None:
    """
    Find where the chain of a file stands, if it ends with a record.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        # To read a pipe could take for ever.
        return None
    try:
        with path.open("rb") as file:
            link, _, rest = read_end(file)
    except BrokenRecord:
        return None
    return None if rest else link
