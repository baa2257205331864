"""
What a visitor asks of the target for bulk, in the first bytes of a connection.
"""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

SIZE = 256
"""A request is always so many bytes."""

_KINDS = ("send", "receive", "answer")


class Request(NamedTuple):
    """
    What the target is to do with a connection.

    @ivar number: tells its report from others.
    @ivar do: send, until C{seconds} have passed or C{size} bytes are sent; receive,
        to the end; or answer each C{size} bytes with as many, to the end.
    @ivar skip: a receiver does not count the first so many seconds.
    @ivar until: a receiver cuts the stream off after so many seconds.
    """

    number: int
    do: Literal["send", "receive", "answer"]
    seconds: float | None = None
    size: int | None = None
    skip: float = 0.0
    until: float | None = None

    def encode(self) -> bytes:
        """
        Give the bytes that stand for it.
        """
        return json.dumps(self._asdict()).encode().ljust(SIZE)

    @classmethod
    def decode(cls, data: bytes) -> Request:
        """
        Read one.

        @raise ValueError: if it is none.
        """
        fields = json.loads(data)
        if not isinstance(fields, dict) or fields.get("do") not in _KINDS:
            raise ValueError("not a request")
        return cls(**fields)
