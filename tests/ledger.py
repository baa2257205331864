"""
A hook that writes down what it is told, in words, and knows the rules by which it is
told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from zope.interface import implementer

from reitunnel import BaseHook, Code
from reitunnel.interfaces import (
    Decision,
    IClientHook,
    IDataHook,
    IErrorHook,
    IServer,
    IServerHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)


@implementer(IServerHook, IClientHook, ITunnelHook, IStreamHook, IDataHook, IErrorHook)
class Ledger:
    """
    Allows everything, and writes it down.

    The lines are C{client+}, C{tunnel+ 1}, C{stream+ 2} for opens and
    C{stream- 2 ABORTED: the reason (5/7)} for closes, with the bytes received from
    and sent to the visitor. Streams and tunnels are called by their numbers,
    clients by their number in the order of their coming, if there are several.

    @ivar lines: what it was told.
    @ivar errors: what C{on_error} was told, as C{(error, context)}.
    @ivar mistakes: what it was told against the rules.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[tuple[BaseException, str]] = []
        self.mistakes: list[str] = []
        self._open: list[object] = []
        self._closed: list[object] = []
        self._sessions: list[ISession] = []
        self._received: Counter[int] = Counter()
        self._sent: Counter[int] = Counter()

    def take(self) -> list[str]:
        """
        Give the lines since the last time, and forget them.
        """
        lines, self.lines = self.lines, []
        return lines

    def broken_rules(self) -> list[str]:
        """
        Say what was against the rules: opens from the outside in, closes from the
        inside out, one close for each open, and exact counts of bytes.
        """
        return [*self.mistakes, *(f"never closed: {each}" for each in self._open)]

    # IServerHook.

    def on_server_start(self, server: IServer) -> Decision:
        self._opened("server+", server, None)
        return None

    def on_server_stop(self, server: IServer) -> None:
        left: list[object] = [*server.sessions, *server.tunnels]
        if left:
            self.mistakes.append("server-: sessions are left")
        self._ended("server-", server)

    # IClientHook.

    def on_client_connect(self, client: ISession) -> Decision:
        self._sessions.append(client)
        self._opened(f"client+{self._which(client)}", client, None)
        return None

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        for tunnel in self._open:
            if ITunnel.providedBy(tunnel) and ITunnel(tunnel).session is client:
                self.mistakes.append("client-: a tunnel is open")
        self._ended(f"client-{self._which(client)} {_end(code, reason)}", client)

    # ITunnelHook.

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        self._opened(f"tunnel+ {tunnel.id}", tunnel, tunnel.session)
        return None

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        for stream in self._open:
            if IStream.providedBy(stream) and IStream(stream).tunnel is tunnel:
                self.mistakes.append(f"tunnel- {tunnel.id}: a stream is open")
        received, sent = tunnel.bytes_received, tunnel.bytes_sent
        if (received, sent) != (self._received[id(tunnel)], self._sent[id(tunnel)]):
            self.mistakes.append(f"tunnel- {tunnel.id}: the data hooks heard otherwise")
        self._ended(
            f"tunnel- {tunnel.id} {_end(code, reason)} ({received}/{sent})", tunnel
        )

    # IStreamHook.

    def on_stream_open(self, stream: IStream) -> Decision:
        self._opened(f"stream+ {stream.id}", stream, stream.tunnel)
        return None

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        counts = f"({stream.bytes_received}/{stream.bytes_sent})"
        self._ended(f"stream- {stream.id} {_end(code, reason)} {counts}", stream)

    # IDataHook.

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        self._moved("received", tunnel, count)
        self._received[id(tunnel)] += count

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self._moved("sent", tunnel, count)
        self._sent[id(tunnel)] += count

    # IErrorHook.

    def on_error(self, error: BaseException, context: str) -> None:
        self.errors.append((error, context))

    # The parts.

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


class Decider(BaseHook):
    """
    Decides as it is told.

    @ivar on: for C{server}, C{client}, C{tunnel} and C{stream}, what decides on
        their opens; those that are not there are allowed.
    @ivar told: the closes that it was told, by the same names.
    """

    def __init__(self, **on: Callable[..., Decision]) -> None:
        self.on = on
        self.told: list[str] = []

    def on_server_start(self, server: IServer) -> Decision:
        return self._decide("server", server)

    def on_server_stop(self, server: IServer) -> None:
        self.told.append("server")

    def on_client_connect(self, client: ISession) -> Decision:
        return self._decide("client", client)

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        self.told.append("client")

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        return self._decide("tunnel", tunnel)

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        self.told.append("tunnel")

    def on_stream_open(self, stream: IStream) -> Decision:
        return self._decide("stream", stream)

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        self.told.append("stream")

    def _decide(self, what: str, subject: object) -> Decision:
        decide = self.on.get(what)
        return None if decide is None else decide(subject)


def _end(code: Code, reason: str) -> str:
    return f"{code.name}: {reason}" if reason else code.name
