"""
A hook that writes down every event in a file of its process, and the reading of it.

Each line is one write: what was told before a process is killed is there.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from zope.interface import implementer

from reitunnel import BaseHook, Code
from reitunnel.interfaces import (
    Decision,
    IHookFactory,
    IServer,
    ISession,
    IStream,
    ITunnel,
)
from tests.integration.programs.census import take

NAME = "fault-ledger"
"""What configuration files call the hook."""

_LINK = "reitunnel.relay.link.Link"
_DATA_LINK = "reitunnel.relay.data_link.DataLink"
_SESSION = "reitunnel.relay.mux.Mux"
_PIPE = "reitunnel.relay.pipes.Pipe"
_OF_STREAMS = (
    "reitunnel.relay.stream.StreamTransport",
    "reitunnel.relay.direct.DirectPath",
    "reitunnel.relay.pump.SocketEnd",
    "reitunnel.relay.records.StreamRecord",
    "reitunnel.relay.splice.Splice",
)
"""What is there as long as there are streams."""

DROPIN = """\
from tests.integration.faults.ledger import LedgerFactory

fault_ledger = LedgerFactory()
"""
"""A module of C{twisted.plugins} that ships it."""

STATE_SIGNAL = signal.SIGUSR2
"""At this signal a process writes down how much it holds."""


class LedgerOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """
    The hook's options.

    @ivar file: what is written to, with the process id at its end.
    """

    file: str


class LedgerHook(BaseHook):
    """
    Writes down opens, closes and byte counts.
    """

    def __init__(self, path: str, reactor: Any) -> None:
        """
        @param path: the file.
        """
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._reactor = reactor
        self._received: Counter[int] = Counter()
        self._sent: Counter[int] = Counter()
        signal.signal(STATE_SIGNAL, self._asked)

    def on_server_start(self, server: IServer) -> Decision:
        self._write("server+")
        return None

    def on_server_stop(self, server: IServer) -> None:
        self._write("server-")

    def on_client_connect(self, client: ISession) -> Decision:
        self._write(
            "client+", key=client.id, port=getattr(client.facts.peer, "port", 0)
        )
        return None

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        self._write("client-", key=client.id, code=code.name, reason=reason)

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        self._write("tunnel+", key=_tunnel_key(tunnel))
        return None

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        self._write(
            "tunnel-",
            key=_tunnel_key(tunnel),
            code=code.name,
            reason=reason,
            received=tunnel.bytes_received,
            sent=tunnel.bytes_sent,
            heard_received=self._received.pop(id(tunnel), 0),
            heard_sent=self._sent.pop(id(tunnel), 0),
        )

    def on_stream_open(self, stream: IStream) -> Decision:
        self._write(
            "stream+", key=_stream_key(stream), inside=_tunnel_key(stream.tunnel)
        )
        return None

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        self._write(
            "stream-",
            key=_stream_key(stream),
            code=code.name,
            reason=reason,
            received=stream.bytes_received,
            sent=stream.bytes_sent,
        )

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        self._received[id(tunnel)] += count

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self._sent[id(tunnel)] += count

    def on_error(self, error: BaseException, context: str) -> None:
        self._write("error", reason=str(error), context=context)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._write_state)

    def _write_state(self) -> None:
        census = take(self._reactor)
        data_links = census.count(_DATA_LINK)
        self._write(
            "state",
            descriptors=census.descriptors,
            delayed=census.delayed_calls,
            data_links=data_links,
            other_links=census.count(_LINK) - data_links,
            sessions=census.count(_SESSION),
            pipes=census.count(_PIPE),
            streams=sum(map(census.count, _OF_STREAMS)),
        )

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, **fields}) + "\n"
        os.write(self._descriptor, line.encode())


@implementer(IPlugin, IHookFactory)
class LedgerFactory:
    """
    Ships the hook.
    """

    name = NAME
    description = "Writes down every event, for the fault tests."
    options = LedgerOptions

    def build(self, options: LedgerOptions, reactor: IReactorCore) -> object:
        return LedgerHook(f"{options.file}.{os.getpid()}", reactor)


def install(directory: Path) -> Path:
    """
    Make a directory that ships the hook when it is on C{PYTHONPATH}.
    """
    plugins = directory / "plugins" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "fault_ledger_dropin.py").write_text(DROPIN)
    return directory / "plugins"


@dataclass
class StreamEntry:
    """
    One stream in a ledger.

    @ivar visitor: the visitor's host.
    @ivar code: how it was closed; empty as long as it is open.
    """

    visitor: str
    code: str = ""
    reason: str = ""
    received: int = 0
    sent: int = 0


@dataclass
class Book:
    """
    What one process wrote down.

    @ivar streams: by their visitors' hosts.
    @ivar open: how many opens have no close, by kind.
    @ivar mistakes: what was against the rules.
    @ivar errors: what C{on_error} was told.
    @ivar states: how much it held, each time it was asked.
    """

    streams: dict[str, StreamEntry] = field(default_factory=dict)
    open: Counter[str] = field(default_factory=Counter)
    mistakes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    states: list[dict[str, int]] = field(default_factory=list)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """
    Read a ledger; a line that a killed process has not finished is left out.
    """
    text = path.read_text() if path.exists() else ""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def read_book(path: Path) -> Book:
    """
    Read a ledger and check its rules: a close for each open, once, closes from the
    inside out, and counts that agree.
    """
    book = Book()
    open_keys: set[tuple[str, str]] = set()
    sums: dict[str, tuple[int, int]] = {}
    inside: dict[str, str] = {}
    for line in read_lines(path):
        event, key = str(line["event"]), str(line.get("key", ""))
        if event == "state":
            book.states.append(line)
        elif event == "error":
            book.errors.append(f"{line['context']}: {line['reason']}")
        elif event.endswith("+"):
            name = event[:-1]
            if (name, key) in open_keys:
                book.mistakes.append(f"{event} {key}: told twice")
            open_keys.add((name, key))
            book.open[name] += 1
            if name == "stream":
                host = key.rpartition("/")[2]
                book.streams[host] = StreamEntry(host)
                inside[key] = line["inside"]
        else:
            name = event[:-1]
            if (name, key) not in open_keys:
                book.mistakes.append(f"{event} {key}: not open")
            open_keys.discard((name, key))
            book.open[name] -= 1
            if name == "stream":
                entry = book.streams[key.rpartition("/")[2]]
                entry.code, entry.reason = line["code"], line["reason"]
                entry.received, entry.sent = line["received"], line["sent"]
                tunnel = inside.pop(key, "")
                received, sent = sums.get(tunnel, (0, 0))
                sums[tunnel] = received + entry.received, sent + entry.sent
            if name == "tunnel":
                if key in inside.values():
                    book.mistakes.append(f"tunnel- {key}: a stream is open")
                counts = {
                    (line["received"], line["sent"]),
                    (line["heard_received"], line["heard_sent"]),
                    sums.pop(key, (0, 0)),
                }
                if len(counts) > 1:
                    book.mistakes.append(f"tunnel- {key}: counts differ: {counts}")
    return book


def _tunnel_key(tunnel: ITunnel) -> str:
    return f"{tunnel.session.id}/{tunnel.id}/{tunnel.opened_at}"


def _stream_key(stream: IStream) -> str:
    host = getattr(stream.visitor, "host", "")
    return f"{stream.tunnel.session.id}/{host}"
