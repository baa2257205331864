"""
A hook that records what it is told, and knows the rules by which it is told.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.interfaces import (
    Decision,
    IClientHook,
    IDataHook,
    IErrorHook,
    IReturnHook,
    IServer,
    IServerHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)


class RecordedEvent(NamedTuple):
    """
    An event as a hook was told of it.
    """

    name: str
    """The method: C{on_stream_open}."""
    arguments: tuple[object, ...]
    """What it was called with. Records are alive: they show how things are now."""


@implementer(
    IServerHook,
    IClientHook,
    IReturnHook,
    ITunnelHook,
    IStreamHook,
    IDataHook,
    IErrorHook,
)
class RecordingHook:
    """
    Allows everything, and records it: as it was told, and as lines for people, which
    read well in assertions.

    The lines are C{client+}, C{tunnel+ 1}, C{stream+ 2} for opens and
    C{stream- 2 ABORTED: the reason (5/7)} for closes, with the bytes received from
    and sent to the visitor. Streams and tunnels are called by their numbers,
    clients by their number in the order of their coming, if there are several.

    @ivar events: what it was told, all of it.
    @ivar lines: the opens and closes that it was told.
    @ivar errors: what C{on_error} was told, as C{(error, context)}.
    @ivar mistakes: what it was told against the rules.
    """

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.lines: list[str] = []
        self.errors: list[tuple[BaseException, str]] = []
        self.mistakes: list[str] = []
        self._open: list[object] = []
        self._closed: list[object] = []
        self._sessions: list[ISession] = []
        self._received: Counter[int] = Counter()
        self._sent: Counter[int] = Counter()
        self._of_streams: Counter[tuple[str, int]] = Counter()

    @property
    def bytes_received(self) -> int:
        """
        The bytes that data events have told of, from visitors.
        """
        return self._received.total()

    @property
    def bytes_sent(self) -> int:
        """
        The same to visitors.
        """
        return self._sent.total()

    def count(self, name: str) -> int:
        """
        Say how often an event was told.

        @param name: the method: C{on_stream_open}.
        """
        return sum(event.name == name for event in self.events)

    def take(self) -> list[str]:
        """
        Give the lines since the last time, and forget them.
        """
        lines, self.lines = self.lines, []
        return lines

    def broken_rules(self) -> list[str]:
        """
        Say what was against the rules: opens from the outside in, closes from the
        inside out, one close for each open, and counts of bytes that agree. What is
        still open counts as never closed.
        """
        return [*self.mistakes, *(f"never closed: {each}" for each in self._open)]

    # IServerHook.

    def on_server_start(self, server: IServer) -> Decision:
        """
        Record it, and allow it.
        """
        self._record("on_server_start", server)
        self._opened("server+", server, None)
        return None

    def on_server_stop(self, server: IServer) -> None:
        """
        Record it.
        """
        self._record("on_server_stop", server)
        left: list[object] = [*server.sessions, *server.tunnels]
        if left:
            self.mistakes.append("server-: sessions are left")
        self._ended("server-", server)

    # IClientHook.

    def on_client_connect(self, client: ISession) -> Decision:
        """
        Record it, and allow it.
        """
        self._record("on_client_connect", client)
        self._sessions.append(client)
        self._opened(f"client+{self._which(client)}", client, None)
        return None

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        Record it.
        """
        self._record("on_client_disconnect", client, code, reason)
        for tunnel in self._open:
            if ITunnel.providedBy(tunnel) and ITunnel(tunnel).session is client:
                self.mistakes.append("client-: a tunnel is open")
        self._ended(f"client-{self._which(client)} {_end(code, reason)}", client)

    # IReturnHook.

    def on_client_return(self, client: ISession) -> Decision:
        """
        Record it, and allow it.
        """
        self._record("on_client_return", client)
        if client not in self._open:
            self.mistakes.append("a client that is not there comes back")
        return None

    # ITunnelHook.

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        """
        Record it, and allow it.
        """
        self._record("on_tunnel_open", tunnel)
        self._opened(f"tunnel+ {tunnel.id}", tunnel, tunnel.session)
        return None

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        Record it.
        """
        self._record("on_tunnel_close", tunnel, code, reason)
        for stream in self._open:
            if IStream.providedBy(stream) and IStream(stream).tunnel is tunnel:
                self.mistakes.append(f"tunnel- {tunnel.id}: a stream is open")
        received, sent = tunnel.bytes_received, tunnel.bytes_sent
        key = id(tunnel)
        if (received, sent) != (self._received[key], self._sent[key]):
            self.mistakes.append(f"tunnel- {tunnel.id}: the data hooks heard otherwise")
        streams = self._of_streams
        if (received, sent) != (streams["received", key], streams["sent", key]):
            self.mistakes.append(f"tunnel- {tunnel.id}: its streams have other counts")
        self._ended(
            f"tunnel- {tunnel.id} {_end(code, reason)} ({received}/{sent})", tunnel
        )

    # IStreamHook.

    def on_stream_open(self, stream: IStream) -> Decision:
        """
        Record it, and allow it.
        """
        self._record("on_stream_open", stream)
        self._opened(f"stream+ {stream.id}", stream, stream.tunnel)
        return None

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        Record it.
        """
        self._record("on_stream_close", stream, code, reason)
        key = id(stream.tunnel)
        self._of_streams["received", key] += stream.bytes_received
        self._of_streams["sent", key] += stream.bytes_sent
        counts = f"({stream.bytes_received}/{stream.bytes_sent})"
        self._ended(f"stream- {stream.id} {_end(code, reason)} {counts}", stream)

    # IDataHook.

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        """
        Record it.
        """
        self._record("on_data_received", tunnel, count)
        self._moved("received", tunnel, count)
        self._received[id(tunnel)] += count

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        Record it.
        """
        self._record("on_data_sent", tunnel, count)
        self._moved("sent", tunnel, count)
        self._sent[id(tunnel)] += count

    # IErrorHook.

    def on_error(self, error: BaseException, context: str) -> None:
        """
        Record it.
        """
        self._record("on_error", error, context)
        self.errors.append((error, context))

    # The parts.

    def _record(self, name: str, *arguments: object) -> None:
        self.events.append(RecordedEvent(name, arguments))

    def _which(self, client: ISession) -> str:
        number = self._sessions.index(client) + 1
        return f" {number}" if len(self._sessions) > 1 else ""

    def _opened(self, line: str, what: object, inside: object | None) -> None:
        self.lines.append(line)
        # Only a server can begin again.
        closed = what in self._closed and not IServer.providedBy(what)
        if closed or what in self._open:
            self.mistakes.append(f"{line}: told twice")
        if inside is not None and inside not in self._open:
            self.mistakes.append(f"{line}: inside of what is not open")
        self._open.append(what)

    def _ended(self, line: str, what: object) -> None:
        self.lines.append(line)
        if what in self._open:
            self._open.remove(what)
            self._closed.append(what)
        else:
            self.mistakes.append(f"{line}: not open")

    def _moved(self, event: str, tunnel: ITunnel, count: int) -> None:
        if tunnel not in self._open:
            self.mistakes.append(f"{event}: tunnel {tunnel.id} is not open")
        if count <= 0:
            self.mistakes.append(f"{event}: {count} bytes")


def _end(code: Code, reason: str) -> str:
    return f"{code.name}: {reason}" if reason else code.name
