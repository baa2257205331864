"""
The small value types that settings are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from reitunnel.config.addresses import (
    parse_bind,
    parse_link_address,
    parse_monitor_address,
    parse_port,
    parse_target,
)


def _checked(check: Callable[[str], object]) -> Callable[[str], str]:
    """
    Make a parser of a checker: the text is kept as it is.
    """

    def parse(text: str) -> str:
        check(text)
        return text

    return parse


def _check_client_id(text: str) -> None:
    if not text or not text.isprintable() or text != text.strip():
        raise ValueError("expected printable text without spaces around it")


def _parsed(parse: Callable[[str], str], **bounds: Any) -> Meta:
    """
    Text that C{parse} has passed. The reader of configuration files calls it.
    """
    return Meta(extra={"parse": parse}, **bounds)


Seconds = Annotated[float, Meta(gt=0, le=86400)]
"""A time in seconds, at most a day."""

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
"""How many of something."""

PortNumber = Annotated[int, Meta(ge=0, le=65535)]
"""A TCP port; 0 lets the server choose."""

BindAddress = Annotated[str, _parsed(parse_bind)]
"""A public address: an IP address, or C{"*"} for every address."""

ListenAddress = Annotated[
    str, _parsed(_checked(lambda text: parse_link_address(text, listening=True)))
]
DialAddress = Annotated[
    str, _parsed(_checked(lambda text: parse_link_address(text, listening=False)))
]
TargetAddress = Annotated[str, _parsed(_checked(parse_target), max_length=1024)]
MonitorAddress = Annotated[str, _parsed(_checked(parse_monitor_address))]
ClientId = Annotated[str, _parsed(_checked(_check_client_id), max_length=128)]

Name = Annotated[str, Meta(max_length=255)]
Text = Annotated[str, Meta(max_length=1024)]
Metadata = Annotated[Mapping[Name, Text], Meta(max_length=32)]
"""What a client says of a tunnel: the bounds are the wire's."""

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warn", "error", "critical"]
HookStrategy = Literal["stop_on_error", "collect_and_continue"]
ChannelBinding = Literal["require", "prefer", "never"]
Requirement = Literal["all", "any"]
TLSVersionName = Literal["1.2", "1.3"]
Carrier = Literal["auto", "mux", "direct"]
PresetName = Literal["throughput", "balanced", "latency"]
TimeoutPresetName = Literal["lan", "wan", "unreliable"]


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
    port = parse_port(digits)
    if not port:
        raise ValueError(
            f'expected a port from 1 to 65535 or a range such as "1024-65535", '
            f'got "{whole}"'
        )
    return port
