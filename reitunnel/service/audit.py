"""
C{reitunnel audit}: verify an audit trail.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar, Final, TextIO

from twisted.python.usage import UsageError

from reitunnel.hooks.audit_chain import (
    BrokenRecord,
    Link,
    Record,
    in_order,
    verify,
)
from reitunnel.service.exits import FAILED, STOPPED
from reitunnel.service.options import CommandOptions


class AuditOptions(CommandOptions):
    """
    C{reitunnel audit verify FILE...}.

    @ivar files: the files to verify.
    """

    synopsis = "reitunnel audit verify FILE..."
    longdesc = (
        "Verifies that the records of an audit trail follow each other and were not "
        "changed, over all files that are given, in whatever order. The first record "
        "that is broken is named."
    )
    optParameters: ClassVar[list[object]] = []

    def parseArgs(self, *arguments: str) -> None:
        """
        Take what to do, and the files.
        """
        if not arguments or arguments[0] != "verify":
            raise UsageError("say: audit verify FILE...")
        if len(arguments) < 2:
            raise UsageError("verify: a file is missing")
        self.files = [Path(argument) for argument in arguments[1:]]


_CHANGED: Final = {
    "gone": "another program had moved or deleted the file",
    "emptied": "another program had emptied the file",
    "another": "another program had put another file in its place",
    "changed": "another program had changed the file",
}


def verify_trail(options: AuditOptions, out: TextIO) -> int:
    """
    Verify files, and say what came of it.

    @return: the exit code: 0 when all records follow each other, or 1.
    """
    before: Link | None = None
    first: int | None = None
    place: Path | None = None
    try:
        for place in in_order(options.files):
            with place.open("rb") as file:
                count, after = verify(file, before, partial(_say, out, place))
            if count and after is not None:
                out.write(f"{place}: records {after.seq - count + 1} to {after.seq}\n")
                first = after.seq - count + 1 if first is None else first
                before = after
    except BrokenRecord as broken:
        out.write(f"{place}:{broken.line}: broken: {broken}\n")
        return FAILED
    except OSError as error:
        out.write(f"cannot read {error.filename}: {error.strerror}\n")
        return FAILED
    if first is None or before is None:
        out.write("no records\n")
        return STOPPED
    if first > 1:
        out.write(f"what was before record {first} was not given\n")
    out.write(f"whole, to record {before.seq} with the hash {before.hash}\n")
    return STOPPED


def _say(out: TextIO, place: Path, number: int, record: Record) -> None:
    """
    Say what a record tells of the trail itself.
    """
    fields = record.fields
    event = fields.get("event")
    if event == "file_changed":
        text = _CHANGED.get(
            str(fields.get("found")), "another program had a part in it"
        )
        if "aside" in fields:
            text += f"; what it was is {_shown(fields['aside'])}"
    elif event == "cut_off":
        text = (
            f"{_shown(fields.get('bytes'))} bytes of what a crash had left were cut off"
        )
    elif event == "lost":
        text = f"{_shown(fields.get('records'))} records before it were lost"
    else:
        return
    out.write(f"{place}:{number}: record {record.link.seq}: {text}\n")


def _shown(value: object) -> str:
    """
    Show a value that anybody may have written.
    """
    text = str(value)[:200]
    return text if text.isprintable() else ascii(text)
