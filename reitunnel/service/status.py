"""
C{reitunnel status}: what a running process does, in a table that refreshes.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, ClassVar, Final, TextIO

from twisted.python.usage import CompleteFiles, CompleteList, Completions, UsageError

from reitunnel.config import parse_monitor_address
from reitunnel.service.asking import NotAnswered, ask_status
from reitunnel.service.exits import STOPPED
from reitunnel.service.options import CommandOptions

DEFAULT_SOCKET: Final = "/run/reitunnel/monitor.sock"
_FORMATS: Final = ("table", "json")
_CLEAR: Final = "\x1b[H\x1b[2J"
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_HEADINGS: Final = (
    "TUNNEL",
    "PUBLIC",
    "TARGET",
    "STREAMS",
    "IN",
    "OUT",
    "IN/S",
    "OUT/S",
)
_RIGHT: Final = frozenset({"STREAMS", "IN", "OUT", "IN/S", "OUT/S"})

Status = Mapping[str, Any]


class StatusOptions(CommandOptions):
    """
    C{reitunnel status}.
    """

    synopsis = "reitunnel status [options]"
    longdesc = (
        "Shows the sessions and tunnels of a running server or client, and how much "
        "they move. It must have been told to answer: --monitor, or the key "
        "monitoring.listen. Ends at Ctrl-C."
    )
    optParameters: ClassVar = [
        ["socket", None, None, f"Its Unix socket [default: {DEFAULT_SOCKET}]"],
        ["address", None, None, "Its address instead, such as 127.0.0.1:9100"],
        ["interval", None, "2", "Seconds between two looks"],
        ["format", None, "table", "table or json"],
    ]
    optFlags: ClassVar = [["once", None, "Look once"]]
    compData = Completions(
        optActions={"socket": CompleteFiles(), "format": CompleteList(_FORMATS)}
    )

    def parseArgs(self, *arguments: str) -> None:
        """
        Take nothing.
        """
        if arguments:
            raise UsageError("takes no arguments: say --socket PATH")

    def postOptions(self) -> None:
        """
        See that the values make sense.
        """
        if self["format"] not in _FORMATS:
            raise UsageError("--format is table or json")
        if self["socket"] is not None and self["address"] is not None:
            raise UsageError("--socket and --address contradict each other")
        try:
            self.seconds = float(self["interval"])
        except ValueError:
            self.seconds = 0.0
        if not 0.1 <= self.seconds <= 3600:
            raise UsageError("--interval is a number from 0.1 to 3600")
        if self["address"] is not None:
            try:
                parse_monitor_address(self["address"])
            except ValueError as error:
                raise UsageError(f"--address: {error}") from None

    @property
    def where(self) -> str:
        """
        The address, as C{monitoring.listen} says it.
        """
        if self["address"] is not None:
            return str(self["address"])
        path = Path(self["socket"] or DEFAULT_SOCKET)
        with contextlib.suppress(RuntimeError):
            # Of a user who does not exist it stays as it is.
            path = path.expanduser()
        return f"unix:{path.absolute()}"


def show_status(
    options: StatusOptions,
    out: TextIO,
    ask: Callable[[str], Status] = ask_status,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """
    Show what a process does, until interrupted.

    @param ask: asks the process at an address.
    @param sleep: waits.
    @raise NotAnswered: when it does not answer.
    """
    former: Status | None = None
    try:
        while True:
            status = ask(options.where)
            if options["format"] == "json":
                indent = 2 if options["once"] else None
                text = json.dumps(status, indent=indent, ensure_ascii=False) + "\n"
            else:
                lines = _read(options, status, former)
                if out.isatty():
                    lines = [
                        _fitting(line, get_terminal_size().columns) for line in lines
                    ]
                text = "".join(f"{line}\n" for line in lines)
                if not options["once"]:
                    text = _CLEAR + text if out.isatty() else text + "\n"
            out.write(text)
            out.flush()
            if options["once"]:
                break
            former = status
            sleep(options.seconds)
    except KeyboardInterrupt:
        pass
    return STOPPED


def _read(options: StatusOptions, status: Status, former: Status | None) -> list[str]:
    try:
        return list(_table(status, former))
    except (KeyError, TypeError, AttributeError):
        raise NotAnswered(
            f"{options.where}: the answer is not one that this version knows"
        ) from None


def _fitting(line: str, width: int) -> str:
    """
    Cut a line that a terminal would break.
    """
    return line if len(line) <= width else f"{line[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def _table(status: Status, former: Status | None) -> Iterator[str]:
    """
    Write a status for people.

    @param former: the one before it; rates are since then, or since the tunnel was
        opened.
    """
    counts = status["counts"]
    state = status["unready"] or "ready"
    yield (
        f"{status['side']} {status['version']}, process {status['pid']}, up "
        f"{_duration(status['time'] - status['started_at'])}: {state}"
    )
    yield (
        f"{_number(counts['sessions'], 'session')}, "
        f"{_number(counts['tunnels'], 'tunnel')}, "
        f"{_number(counts['streams'], 'stream')}; in "
        f"{_amount(status['bytes_received'])}, out {_amount(status['bytes_sent'])}; "
        f"lag {status['lag'] * 1000:.1f} ms, at most {status['worst_lag'] * 1000:.1f}"
    )
    before = _tunnels(former) if former is not None else {}
    for session in status["sessions"]:
        yield ""
        yield _session(session, status["time"])
        rows = [
            _row(tunnel, before.get(_key(session, tunnel)), status, former)
            for tunnel in session["tunnels"]
        ]
        if rows:
            yield from _aligned([_HEADINGS, *rows])
    listed = len(status["sessions"])
    if listed < counts["sessions"]:
        yield ""
        yield f"and {counts['sessions'] - listed} sessions more"


def _session(session: Mapping[str, Any], now: float) -> str:
    trip = session["round_trip"]
    links = session["data_links"]
    words = [
        f"{session['scheme']} {session['peer']}",
        f"for {_duration(now - session['opened_at'])}",
        "no answer yet" if trip is None else f"round trip {trip * 1000:.1f} ms",
        f"data links {links['idle']} idle {links['used']} used",
    ]
    if links["in_kernel"]:
        words[-1] += f" ({links['in_kernel']} in the kernel)"
    if not session["link_up"]:
        words.append("link lost")
    if session["link_full"]:
        words.append("link full")
    if session["draining"]:
        words.append("draining")
    return f"{_safe(session['client'])}: {', '.join(words)}"


def _row(
    tunnel: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    status: Status,
    former: Status | None,
) -> tuple[str, ...]:
    since = tunnel["opened_at"]
    if before is not None and former is not None:
        since = former["time"]
    seconds = max(status["time"] - since, 0.001)
    amounts, rates = [], []
    for name in ("bytes_received", "bytes_sent"):
        moved = tunnel[name] - (0 if before is None else before[name])
        amounts.append(_amount(tunnel[name]))
        rates.append(f"{_amount(moved / seconds)}/s")
    return (
        str(tunnel["id"]),
        tunnel["public"],
        _safe(tunnel["target"]),
        str(tunnel["streams"]),
        *amounts,
        *rates,
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if heading in _RIGHT else cell.ljust(width)
            for heading, cell, width in zip(_HEADINGS, row, widths, strict=True)
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _tunnels(status: Status) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    return {
        _key(session, tunnel): tunnel
        for session in status["sessions"]
        for tunnel in session["tunnels"]
    }


def _key(session: Mapping[str, Any], tunnel: Mapping[str, Any]) -> tuple[Any, ...]:
    return (session["client"], tunnel["id"], tunnel["opened_at"])


def _safe(text: str) -> str:
    """
    Text of others without what a terminal would take for a command.
    """
    return "".join(c if c.isprintable() else "?" for c in text)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _amount(count: float) -> str:
    for unit in _UNITS:
        if count < 999.5 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"


def _duration(seconds: float) -> str:
    whole = int(max(seconds, 0))
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    clock = f"{hours}:{minutes:02}:{left:02}"
    return f"{days} d {clock}" if days else clock
