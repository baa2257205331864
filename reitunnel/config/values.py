"""
The small value types that settings are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=86400)]
"""A time in seconds, at most a day."""

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
"""How many of something."""

PortNumber = Annotated[int, Meta(ge=0, le=65535)]
"""A TCP port; 0 lets the server choose."""

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warn", "error", "critical"]
HookStrategy = Literal["stop_on_error", "collect_and_continue"]
ChannelBinding = Literal["require", "prefer", "never"]
Requirement = Literal["all", "any"]
TLSVersionName = Literal["1.2", "1.3"]
Carrier = Literal["auto", "mux"]
PresetName = Literal["throughput", "balanced", "latency"]


class Secret:
    """
    Text that never shows in a C{repr}, a log line or a traceback.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """
        The text itself.
        """
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class PortRange:
    """
    TCP ports from C{low} to C{high}, both included: C{"1024-65535"}, C{"8080"}.
    """

    low: int
    high: int

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """
        Read a range, or a single port.

        @raise ValueError: if it is neither; the message is for people.
        """
        first, dash, last = text.partition("-")
        low = _port(first, text)
        high = _port(last, text) if dash else low
        if low > high:
            raise ValueError(f'the range "{text}" ends before it begins')
        return cls(low, high)

    def __contains__(self, port: int) -> bool:
        return self.low <= port <= self.high

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def _port(digits: str, whole: str) -> int:
    # str.isdigit accepts digits of other scripts, and int() accepts signs,
    # spaces and underscores: neither is a port.
    if digits.isascii() and digits.isdigit() and 1 <= int(digits[:6]) <= 65535:
        return int(digits)
    raise ValueError(
        f'expected a port from 1 to 65535 or a range such as "1024-65535", '
        f'got "{whole}"'
    )
