"""
The file of an audit trail: opened, appended to, rotated. It blocks, and is used in one
thread at a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES, EBUSY, EINVAL, EISDIR
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from reitunnel.hooks.audit_chain import BrokenRecord, Link, encode, read_end
from reitunnel.hooks.audit_old import OldFiles

Fsync = Literal["batch", "close", "never"]

_CHANGED: Final = ".changed"
"""Behind the name of a file that was put aside."""

_FOUND: Final = {
    "gone": "is gone: another program has moved or deleted it. A new file goes on",
    "emptied": "was emptied by another program. It goes on",
    "another": "is another file now. It goes on there",
    "changed": "was changed by another program. It goes on",
}
_ASIDE: Final = (
    "was changed by another program. What was there is {aside} now, and a new file "
    "goes on"
)


class AuditFile:
    """
    Appends records. When the file is full, a number is put behind its name, that of its
    last record, and a new file goes on with the chain.

    Until it is closed it goes on with its own chain, whatever others do to the file:
    what they take away is missing then, and what they change does not fit. It looks
    before it appends. What it finds is a record C{file_changed}, and a notice.
    """

    def __init__(self, path: Path, max_size: int, keep: int, fsync: Fsync) -> None:
        """
        Do nothing yet. The arguments are those of L{change}, too.
        """
        self._path = path
        self._old = OldFiles(path)
        self.change(max_size, keep, fsync)
        self._file: BinaryIO | None = None
        # What the file has, and where the chain stands; None until that is known.
        self._size = 0
        self._link: Link | None = None
        # Where it may stand too: some of these may have been written.
        self._tried: tuple[Link, ...] = ()
        self._owed: list[dict[str, Any]] = []
        self._notices: list[str] = []
        self._complaints: set[str] = set()

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
        @raise ValueError: when no file can have the name.
        """
        # A rotated one has a longer name.
        self._old.name(10**17)
        directory = self._path.parent
        directory.stat()
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(EACCES, "nothing may be made in its directory")
        try:
            mode = self._path.stat().st_mode
        except FileNotFoundError:
            self._old.end()
            return
        _see_that_it_is_regular(mode)
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise PermissionError(EACCES, os.strerror(EACCES))
        with self._path.open("rb") as file:
            link, _, _ = _end_of(file)
        if link is None:
            self._old.end()

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """
        Write records, all of them or, as far as the file can be mended, none.

        @param records: with C{time} and C{event}, at least one.
        @raise OSError: when that cannot be done, or another has the file.
        @raise BrokenRecord: when there is no chain yet, and the file does not end with
            a record.
        @raise ValueError: when a record is too long.
        """
        file, link = self._ready()
        owed = [{"time": records[0]["time"], **record} for record in self._owed]
        lines, links = [], []
        for record in (*owed, *records):
            line, link = encode(link, record)
            lines.append(line)
            links.append(link)
        data = b"".join(lines)
        try:
            _write(file, data)
            if self._fsync == "batch":
                os.fsync(file.fileno())
        except OSError:
            self._undo(file, links)
            raise
        self._size += len(data)
        self._link = link
        self._owed.clear()

    def notices(self) -> list[str]:
        """
        Give what people should know and were not told yet: a line each.
        """
        notices, self._notices = self._notices, []
        return notices

    def close(self) -> None:
        """
        Close the file, and leave it to others. The next record follows what is in the
        file then.

        @raise OSError: when what was written may not be on the disk.
        """
        file, self._file = self._file, None
        size, self._size = self._size, 0
        link, self._link = self._link, None
        self._tried = ()
        if file is None or link is None:
            return
        with file:
            if self._fsync != "never":
                os.fsync(file.fileno())
            if not _is_as_left(file, self._stat(), size):
                self._notices.append(
                    f"the audit trail {self._path} was moved, deleted or changed by "
                    f"another program after record {link.seq}"
                )

    # The parts.

    def _ready(self) -> tuple[BinaryIO, Link]:
        """
        Give a file that has room, and where the chain stands.
        """
        held, there = self._file, self._stat()
        if self._link is None:
            self._file, self._link = self._open()
        elif held is None or not _is_as_left(held, there, self._size):
            self._file, self._link = self._reopen(self._link, there)
            self._tried = ()
        elif self._size >= self._max_size and self._rotated(held, self._link):
            self._file = self._open_path(os.O_EXCL)
        assert self._file is not None
        return self._file, self._link

    def _open(self) -> tuple[BinaryIO, Link]:
        """
        Open the file, and find where the chain stands. What a crash has left of a line
        is cut off.
        """
        file = self._open_path()
        with _closed_if_it_fails(file):
            link, size, rest = _end_of(file)
            if link is None:
                link = self._old.end()
            self._go_to_end(file, size, rest)
        return file, link

    def _reopen(
        self, link: Link, there: os.stat_result | None
    ) -> tuple[BinaryIO, Link]:
        """
        Go on with the own chain, in what is there now or beside it.
        """
        held, self._file = self._file, None
        if held is None:
            file, found = None, "gone" if there is None and self._size else None
        elif _is_at(held, there):
            file, found = held, "changed"
        else:
            held.close()
            file, found = None, "gone" if there is None else "another"
        if there is not None and not stat.S_ISREG(there.st_mode):
            # To read a pipe could take for ever.
            return self._put_aside(link), link
        file = file or self._open_path()
        with _closed_if_it_fails(file):
            link_there = self._followed(file, link, found)
            if link_there is not None:
                return file, link_there
            new = self._put_aside(link)
        file.close()
        return new, link

    def _followed(self, file: BinaryIO, link: Link, found: str | None) -> Link | None:
        """
        Go to the end of a file if the own chain ends there, or nothing is in it.

        @param found: what it is; L{None} if the file before was given up.
        @return: where the chain stands; L{None} if the file has something else.
        """
        try:
            end, size, rest = read_end(file)
        except BrokenRecord:
            return None
        missing = end is None and self._size > 0
        if end is not None and end != link and end not in self._tried:
            return None
        if rest and (missing or not self._tried):
            return None
        self._go_to_end(file, size, rest)
        if missing:
            # Without the former file it could be either.
            missed = "emptied" if found == "changed" else found or "another"
            self._notice(missed, link)
        elif end is not None and found is not None:
            self._notice(found, link)
        return end or link

    def _put_aside(self, link: Link) -> BinaryIO:
        """
        Leave what is there to people, and begin a new file.
        """
        aside = self._old.name(link.seq, _CHANGED)
        os.rename(self._path, aside)
        self._size, self._tried = 0, ()
        self._notice("changed", link, aside)
        return self._open_path(os.O_EXCL)

    def _notice(self, found: str, link: Link, aside: Path | None = None) -> None:
        record = {"event": "file_changed", "found": found}
        what = _FOUND[found]
        if aside is not None:
            record["aside"] = aside.name
            what = _ASIDE.format(aside=aside.name)
        self._owed.append(record)
        self._notices.append(
            f"the audit trail {self._path} {what} from record {link.seq + 1}"
        )

    def _go_to_end(self, file: BinaryIO, size: int, rest: int) -> None:
        if rest:
            file.truncate(size)
            self._owed.append({"event": "cut_off", "bytes": rest})
        file.seek(size)
        self._size = size

    def _undo(self, file: BinaryIO, tried: Sequence[Link]) -> None:
        """
        Take back what was written of a batch, or begin again with what is there.
        """
        try:
            file.truncate(self._size)
            file.seek(self._size)
        except OSError:
            self._tried = tuple(tried)
            self._file = None
            file.close()

    def _rotated(self, file: BinaryIO, link: Link) -> bool:
        """
        Rotate the file. If that cannot be done, it is better to go on in it.
        """
        if self._fsync != "never":
            os.fsync(file.fileno())
        try:
            os.rename(self._path, self._old.name(link.seq))
        except OSError as error:
            self._complain(
                "rotate",
                f"cannot rotate the audit trail {self._path}: {error.strerror}. It "
                "goes on in the same file",
            )
            return False
        self._complaints.discard("rotate")
        self._file, self._size = None, 0
        file.close()
        if self._keep:
            self._delete_old()
        return True

    def _delete_old(self) -> None:
        try:
            for old in self._old.rotated()[: -self._keep]:
                old.unlink(missing_ok=True)
        except OSError as error:
            self._complain(
                "delete",
                f"cannot delete old files of the audit trail {self._path}: "
                f"{error.strerror}",
            )
        else:
            self._complaints.discard("delete")

    def _complain(self, what: str, notice: str) -> None:
        """
        Say what cannot be done, once until it can be done.
        """
        if what not in self._complaints:
            self._complaints.add(what)
            self._notices.append(notice)

    def _stat(self) -> os.stat_result | None:
        try:
            return self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _open_path(self, flags: int = 0) -> BinaryIO:
        flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        file = os.fdopen(os.open(self._path, flags, 0o600), "r+b", buffering=0)
        with _closed_if_it_fails(file):
            status = os.fstat(file.fileno())
            _see_that_it_is_regular(status.st_mode)
            _lock(file)
            if not status.st_size and self._fsync != "never":
                _keep_name(self._path)
        return file


def _end_of(file: BinaryIO) -> tuple[Link | None, int, int]:
    """
    See L{read_end}. Its error says where that is.
    """
    try:
        return read_end(file)
    except BrokenRecord as broken:
        raise BrokenRecord(0, f"its last line is broken: {broken}") from None


def _is_at(file: BinaryIO, there: os.stat_result | None) -> bool:
    return there is not None and os.path.samestat(os.fstat(file.fileno()), there)


def _is_as_left(file: BinaryIO, there: os.stat_result | None, size: int) -> bool:
    return _is_at(file, there) and os.fstat(file.fileno()).st_size == size


def _see_that_it_is_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(EINVAL, "it is no regular file")


@contextmanager
def _closed_if_it_fails(file: BinaryIO) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.close()
        raise


def _keep_name(path: Path) -> None:
    """
    Have the name of a new file on the disk, as its records will be.
    """
    # Some file systems and some directories do not allow it.
    with suppress(OSError):
        directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _lock(file: BinaryIO) -> None:
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise OSError(EBUSY, "another process or hook writes it") from None


def _write(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        # A disk that is nearly full takes a part.
        left = left[file.write(left) or 0 :]
