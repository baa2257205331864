"""
The records of an audit trail: lines of JSON, each chained to the one before by SHA-256.

A line is an object with C{hash}, C{seq} and C{prev} first. C{prev} is the hash of the
record before, and C{hash} that of the bytes behind it in the line, from C{"seq"} to
the end, with an opening brace before them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

START: Final = "0" * 64
"""What stands for the hash before the first record."""
MAX_LINE: Final = 1 << 20
"""Bytes that a line may have, at most."""

_BEFORE: Final = b'{"hash":"'
_AFTER: Final = b'",'
_BODY: Final = len(_BEFORE) + 64 + len(_AFTER)
_HEAD: Final = re.compile(r'\{"seq":([1-9][0-9]{0,17}),"prev":"([0-9a-f]{64})"[,}]')
_BLOCK: Final = 1 << 16
"""Bytes that are read at once to find the end of a file."""
_LONGEST_REST: Final = 1 << 26
"""
Bytes that a crash may leave behind the last line: a batch that was not written, such as
zeros in its place.
"""


@dataclass(frozen=True)
class Link:
    """
    Where a chain stands.

    @ivar seq: the number of the last record; 0 before the first.
    @ivar hash: its hash.
    """

    seq: int = 0
    hash: str = START


@dataclass(frozen=True)
class Record:
    """
    One record, as it is in a file.

    @ivar link: where the chain stands after it.
    @ivar before: the hash of the one before.
    @ivar fields: all of it but its hash.
    """

    link: Link
    before: str
    fields: Mapping[str, Any]


class BrokenRecord(Exception):
    """
    A record that is not what follows in the chain; the text says why, for people.

    @ivar line: the number of the line in its file, from 1; 0 if it is the last one, and
        nobody counted.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def encode(before: Link, fields: Mapping[str, Any]) -> tuple[bytes, Link]:
    """
    Make the record that follows.

    @param fields: of the record, apart from C{hash}, C{seq} and C{prev}.
    @return: the line, and where the chain stands then.
    @raise ValueError: when the line would be longer than L{MAX_LINE}.
    """
    seq = before.seq + 1
    numbered = {"seq": seq, "prev": before.hash, **fields}
    body = json.dumps(numbered, ensure_ascii=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(body).hexdigest()
    line = _BEFORE + digest.encode() + _AFTER + body[1:] + b"\n"
    if len(line) > MAX_LINE:
        raise ValueError(f"a record has {len(line)} bytes, and {MAX_LINE} are allowed")
    return line, Link(seq, digest)


def decode(line: bytes, number: int = 0) -> Record:
    """
    Read one record by itself.

    @raise BrokenRecord: when it was changed, or is no record.
    """
    if not line.endswith(b"\n"):
        what = "longer than any record" if len(line) >= MAX_LINE else "not complete"
        raise BrokenRecord(number, f"the line is {what}")
    if not line.startswith(_BEFORE) or line[_BODY - 2 : _BODY] != _AFTER:
        raise BrokenRecord(number, "it is no record")
    digest = line[len(_BEFORE) : _BODY - 2].decode("ascii", "replace")
    body = b"{" + line[_BODY:-1]
    if hashlib.sha256(body).hexdigest() != digest:
        raise BrokenRecord(number, "it was changed: its hash is another one")
    seq, before, fields = _read(body, number)
    if seq == 1 and before != START:
        raise BrokenRecord(number, "it has the number 1, and follows another record")
    if seq != 1 and before == START:
        raise BrokenRecord(number, f"it has the number {seq}, and follows no record")
    return Record(Link(seq, digest), before, fields)


def _read(body: bytes, number: int) -> tuple[int, str, Mapping[str, Any]]:
    """
    Read what a record says: its number, the hash before it, and all. Whoever reads it
    as JSON must get the same.
    """
    try:
        text = body.decode("ascii")
        record = json.loads(text)
    except (ValueError, RecursionError):
        raise BrokenRecord(number, "it is no record") from None
    head = _HEAD.match(text)
    if head is None:
        raise BrokenRecord(number, "it is no record")
    seq, before = int(head[1]), head[2]
    if (record["seq"], record["prev"]) != (seq, before) or "hash" in record:
        raise BrokenRecord(number, "it names its place twice")
    return seq, before, record


def verify(
    lines: BinaryIO,
    before: Link | None,
    seen: Callable[[int, Record], None] | None = None,
) -> tuple[int, Link | None]:
    """
    Follow the chain through a file.

    @param before: where it stands; L{None} if the file may begin anywhere.
    @param seen: told of each record that follows, and the number of its line.
    @return: how many records there are, and where the chain stands then.
    @raise BrokenRecord: the first record that does not follow.
    """
    number = 0
    while line := lines.readline(MAX_LINE):
        number += 1
        record = decode(line, number)
        link = record.link
        if before is None:
            before = Link(link.seq - 1, record.before)
        if link.seq != before.seq + 1:
            expected = before.seq + 1
            raise BrokenRecord(
                number, f"it has the number {link.seq}, and {expected} was to follow"
            )
        if record.before != before.hash:
            raise BrokenRecord(number, "it does not follow the record before it")
        before = link
        if seen is not None:
            seen(number, record)
    return number, before


def first_number(path: Path) -> int:
    """
    Give the number of a file's first record; 0 if it has none that can be read.

    @raise OSError: when the file cannot be read.
    """
    with path.open("rb") as file:
        line = file.readline(MAX_LINE)
    try:
        return decode(line).link.seq
    except BrokenRecord:
        return 0


def in_order(paths: Iterable[Path]) -> list[Path]:
    """
    Order files as their chain goes.

    @raise OSError: when one cannot be read.
    """
    return sorted(paths, key=first_number)


def read_end(file: BinaryIO) -> tuple[Link | None, int, int]:
    """
    Find where the chain of a file stands.

    @param file: at any place.
    @return: where it stands, or L{None} if it has no record; the size of its complete
        lines; and the bytes behind them, which a crash may have left.
    @raise BrokenRecord: when the last complete line is no record, or what is behind it
        is not the beginning of one.
    """
    size = file.seek(0, 2)
    complete = _after_line_feed(file, size)
    file.seek(complete)
    rest = file.read(len(_BEFORE))
    # Zeros are what a power cut leaves of what had a place on the disk, and no more.
    if not _BEFORE.startswith(rest) and rest.strip(b"\0"):
        raise BrokenRecord(0, "it is no record")
    if not complete:
        return None, 0, size
    begin = max(0, complete - MAX_LINE)
    file.seek(begin)
    tail = file.read(complete - begin)
    line = tail[tail.rfind(b"\n", 0, -1) + 1 :]
    return decode(line).link, complete, size - complete


def _after_line_feed(file: BinaryIO, size: int) -> int:
    """
    Find the place after the last line feed; 0 if there is none.

    @raise BrokenRecord: when it is too far from the end.
    """
    end = size
    while end and size - end < _LONGEST_REST:
        begin = max(0, end - _BLOCK)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    if end:
        raise BrokenRecord(0, "it is no record")
    return 0
