"""
Inputs as scripts: bytes of the wire, and commands to the one who runs them.

A command has the form of a frame whose kind no version of the protocol uses, so that
a conversation with commands in it stays a row of frames for whoever mutates it.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

FIRST_COMMAND: Final = 0xE0
"""The least kind that is a command."""
MOST_STEPS: Final = 400
"""How many steps of a script are taken."""

_HEADER: Final = Struct(">BBII")


class Step(NamedTuple):
    """
    One step of a script.

    @ivar command: the command; 0 for bytes of the wire.
    @ivar number: the command's number, at the place of a frame's stream.
    @ivar data: the bytes, or the command's payload.
    """

    command: int
    number: int
    data: bytes


def command(kind: int, number: int = 0, data: bytes = b"") -> bytes:
    """
    Encode a command.
    """
    return _HEADER.pack(kind, 0, number, len(data)) + data


def steps(script: bytes) -> Iterator[Step]:
    """
    Take a script apart: whatever bytes it has, something can be done with them.
    """
    position = 0
    for _ in range(MOST_STEPS):
        if len(script) - position < _HEADER.size:
            break
        kind, _, number, length = _HEADER.unpack_from(script, position)
        start = position + _HEADER.size
        stop = min(len(script), start + length)
        if kind >= FIRST_COMMAND:
            yield Step(kind, number, script[start:stop])
        else:
            yield Step(0, 0, script[position:stop])
        position = stop
    if position < len(script):
        yield Step(0, 0, script[position:])


def edited(message: bytes, edit: bytes) -> bytes:
    """
    Change a message as a command's payload says: where (two bytes), how many bytes to
    take out (one byte), and what to put there. An empty edit changes nothing.
    """
    if len(edit) < 3:
        return message
    where = int.from_bytes(edit[:2], "big") % (len(message) + 1)
    return message[:where] + edit[3:] + message[where + edit[2] % 8 :]
