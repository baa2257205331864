"""
Log lines: as short text for people, or as JSON objects for programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from io import FileIO, TextIOWrapper
from math import isfinite
from typing import Any, BinaryIO, Final, cast

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.config.values import LogFormat
from reitunnel.config.values import LogLevel as LogLevelName
from reitunnel.relay import joined

QUIET: Final = ("twisted", "log_legacy", "autobahn", "txaio")
"""
The namespaces that say much that is of no use here. Unless everything is wanted
(C{debug}), only their warnings and above are logged. C{log_legacy} is what Twisted
gives to events of its older interface.
"""

_NOT_FIELDS: Final = frozenset(
    # What JSON lines have themselves, and what the older interface adds.
    {"time", "level", "namespace", "message", "failure", "traceback"}
    | {"system", "format", "isError", "why"}
)
_DEPTH: Final = 5
"""How deep the values of fields are looked into."""


def text_line(event: LogEvent) -> str | None:
    """
    Write an event as one line for people: the time, the level unless it is
    C{info}, and the message. A traceback follows on lines of its own, indented.

    @return: the line with its end; L{None} for an event without a message.
    """
    text = text_of(event)
    if not text.strip():
        return None
    moment = datetime.fromtimestamp(event.get("log_time", 0.0)).astimezone()
    level = level_of(event)
    word = "" if level is LogLevel.info else f"{level.name.upper()} "
    return f"{moment:%Y-%m-%dT%H:%M:%S%z} {word}{text}\n"


def text_of(event: LogEvent) -> str:
    """
    The message of an event and its traceback, as text that does to a terminal,
    and to who reads a log line by line, nothing but show itself.
    """
    message = message_of(event)
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        message = f"{message}\n{failure.getTraceback().rstrip()}"
    return "\n\t".join(_printable(line) for line in message.split("\n"))


def json_line(event: LogEvent) -> str | None:
    """
    Write an event as one JSON object on a line: C{time} (UTC), C{level},
    C{namespace} and C{message}, C{failure} and C{traceback} if something failed,
    and the event's own fields.

    @return: the line with its end; L{None} for an event without a message.
    """
    message = message_of(event)
    failure = event.get("log_failure")
    if not message.strip() and failure is None:
        return None
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    line: dict[str, Any] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level_of(event).name,
        "namespace": str(event.get("log_namespace", "")),
        "message": message,
    }
    if isinstance(failure, Failure):
        line["failure"] = f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
        line["traceback"] = failure.getTraceback()
    for name, value in event.items():
        if not name.startswith("log_") and name not in _NOT_FIELDS:
            line[name] = _plain(value, _DEPTH)
    return json.dumps(line, allow_nan=False) + "\n"


def message_of(event: LogEvent) -> str:
    """
    The message of an event, with addresses as people write them.
    """
    shown = {
        name: _address(value)
        if isinstance(value, IPv4Address | IPv6Address | UNIXAddress)
        else value
        for name, value in event.items()
    }
    return formatEvent(shown)


def is_wanted(event: LogEvent, least: LogLevelName) -> bool:
    """
    Whether an event is logged.

    @param least: the least level that is.
    """
    level = level_of(event)
    if level < LogLevel.levelWithName(least):
        return False
    if level >= LogLevel.warn or least == "debug":
        return True
    return str(event.get("log_namespace", "")).partition(".")[0] not in QUIET


def level_of(event: LogEvent) -> Any:
    """
    The level of an event, one of L{LogLevel}.
    """
    level = event.get("log_level")
    return LogLevel.info if level is None else level


LINES: Final = {"text": text_line, "json": json_line}
"""How each C{log_format} writes a line."""


@implementer(ILogObserver)
class LineObserver:
    """
    Writes the events that are wanted to a file. What cannot be written, because the
    disk is full, is lost; how much that was is the first thing that is written again.
    """

    def __init__(self, file: Any, form: LogFormat, least: LogLevelName) -> None:
        """
        @param file: takes text or bytes; it is flushed after each line.
        """
        if isinstance(file, TextIOWrapper):
            file = _unbuffered(file)
        self._file = file
        self._lost = 0
        self._why: str | None = None
        self.change(form, least)

    def change(self, form: LogFormat, least: LogLevelName) -> None:
        """
        Write otherwise from now on.
        """
        self._least = least
        self._write = FileLogObserver(self._file, LINES[form])

    def __call__(self, event: LogEvent) -> None:
        """
        Write an event, if it is wanted.
        """
        if not is_wanted(event, self._least):
            return
        try:
            if self._lost:
                self._write(self._gap(event))
                self._lost = 0
            self._write(event)
        except OSError as error:
            # To say so would come to nothing too.
            self._lost += 1
            self._why = error.strerror

    def _gap(self, event: LogEvent) -> LogEvent:
        return {
            "log_time": event.get("log_time", 0.0),
            "log_level": LogLevel.warn,
            "log_namespace": __name__,
            "log_format": "{count} events before this could not be logged: {reason}",
            "count": self._lost,
            "reason": self._why,
        }


def _unbuffered(file: TextIOWrapper) -> TextIOWrapper:
    """
    Give a file that writes where another one does, at once: what a full disk does not
    take must not be kept until the end, and make that a failure. A terminal may not
    have every character.
    """
    try:
        descriptor = file.fileno()
    except OSError:
        file.reconfigure(errors="backslashreplace")
        return file
    file.flush()
    return TextIOWrapper(
        # It knows no text, and has no buffer.
        cast("BinaryIO", FileIO(descriptor, "w", closefd=False)),
        encoding=file.encoding,
        errors="backslashreplace",
        write_through=True,
    )


def _printable(line: str) -> str:
    return "".join(
        character
        if character.isprintable() or character == "\t"
        else character.encode("unicode_escape").decode()
        for character in line
    )


def _plain(value: object, depth: int) -> Any:
    """
    A value as JSON can say it.
    """
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, IPv4Address | IPv6Address | UNIXAddress):
        return _address(value)
    if depth and isinstance(value, Mapping):
        return {str(key): _plain(each, depth - 1) for key, each in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, depth - 1) for each in _ordered(value)]
    try:
        return str(value)
    except Exception:
        # What is logged may be anybody's object.
        return f"<{type(value).__name__}>"


def _ordered(values: Iterable[object]) -> Iterable[object]:
    return sorted(values, key=str) if isinstance(values, set | frozenset) else values


def _address(address: IPv4Address | IPv6Address | UNIXAddress) -> str:
    if isinstance(address, UNIXAddress):
        name = address.name
        return f"unix:{name.decode(errors='backslashreplace')}" if name else "unix"
    return joined(address.host, address.port)
