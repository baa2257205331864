"""
The C{logging} hook: one line in the log for each event.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger
from twisted.logger import LogLevel as TwistedLogLevel
from twisted.plugin import IPlugin
from zope.interface import Interface, directlyProvides, implementer

from reitunnel.config.values import LogLevel
from reitunnel.errors import Code
from reitunnel.hooks.facts import session_facts, shown, stream_facts, tunnel_facts
from reitunnel.interfaces import (
    IClientHook,
    IDataHook,
    IErrorHook,
    IHookFactory,
    IServer,
    IServerHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)

EventName = Literal[
    "server_start",
    "server_stop",
    "client_connect",
    "client_disconnect",
    "tunnel_open",
    "tunnel_close",
    "stream_open",
    "stream_close",
    "data_received",
    "data_sent",
    "error",
]

ALL_EVENTS: tuple[EventName, ...] = get_args(EventName)

_DATA_EVENTS = frozenset({"data_received", "data_sent"})

_INTERFACES: dict[type[Interface], frozenset[str]] = {
    IServerHook: frozenset({"server_start", "server_stop"}),
    IClientHook: frozenset({"client_connect", "client_disconnect"}),
    # With the data events, tunnels must be followed: what has been counted of
    # one is logged at its end.
    ITunnelHook: frozenset({"tunnel_open", "tunnel_close"}) | _DATA_EVENTS,
    IStreamHook: frozenset({"stream_open", "stream_close"}),
    IDataHook: _DATA_EVENTS,
    IErrorHook: frozenset({"error"}),
}


class LoggingOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{logging} hook.

    @ivar level: the level of its lines.
    @ivar events: which events to log.
    @ivar sample: how many data events of a tunnel, in one direction, make a
        line; the line has their sum.
    """

    level: LogLevel = "info"
    events: Annotated[tuple[EventName, ...], Meta(min_length=1)] = ALL_EVENTS
    sample: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 1000


class LoggingHook:
    """
    Logs a line for each event, with the facts as fields. It allows everything.

    Each instance provides only the interfaces that its events need.
    """

    _log = Logger()

    def __init__(self, options: LoggingOptions | None = None) -> None:
        """
        @param options: the defaults if L{None}.
        """
        options = options or LoggingOptions()
        self._level = TwistedLogLevel.lookupByName(options.level)
        self._events = frozenset(options.events)
        self._sample = options.sample
        # By id(), so that a tunnel which was open before this hook was
        # registered, and whose close is not told, is not kept alive.
        self._received: dict[int, _Tally] = {}
        self._sent: dict[int, _Tally] = {}
        directlyProvides(
            self,
            *(face for face, events in _INTERFACES.items() if events & self._events),
        )

    def on_server_start(self, server: IServer) -> None:
        """
        See L{IServerHook.on_server_start}.
        """
        self._emit("server_start", "server is starting")

    def on_server_stop(self, server: IServer) -> None:
        """
        See L{IServerHook.on_server_stop}.
        """
        self._emit("server_stop", "server has stopped")

    def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.
        """
        self._emit(
            "client_connect",
            "client {client} ({instance}) connected from {peer} over {scheme}, "
            "session {session}",
            **session_facts(client),
            peer=shown(client.facts.peer),
            scheme=client.facts.scheme,
        )

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """
        self._emit(
            "client_disconnect",
            "client {client} ({instance}) disconnected, session {session}: "
            "{code}{reason}",
            **session_facts(client),
            **_end_fields(code, reason),
        )

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        See L{ITunnelHook.on_tunnel_open}.
        """
        # Another tunnel that is gone may have had the same id().
        self._received.pop(id(tunnel), None)
        self._sent.pop(id(tunnel), None)
        self._emit(
            "tunnel_open",
            "tunnel {tunnel} of {client} opens: port {port} to {target}",
            **tunnel_facts(tunnel),
            bind=tunnel.bind,
            port=tunnel.port,
            target=tunnel.target,
        )

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """
        received = self._received.pop(id(tunnel), None)
        if received is not None:
            self._emit_received(tunnel, received)
        sent = self._sent.pop(id(tunnel), None)
        if sent is not None:
            self._emit_sent(tunnel, sent)
        self._emit(
            "tunnel_close",
            "tunnel {tunnel} of {client} closed, {received} bytes received, "
            "{sent} bytes sent: {code}{reason}",
            **tunnel_facts(tunnel),
            received=tunnel.bytes_received,
            sent=tunnel.bytes_sent,
            **_end_fields(code, reason),
        )

    def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.
        """
        self._emit(
            "stream_open",
            "stream {stream} of tunnel {tunnel} opens for {visitor}",
            **stream_facts(stream),
        )

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """
        self._emit(
            "stream_close",
            "stream {stream} of tunnel {tunnel} for {visitor} closed, {received} "
            "bytes received, {sent} bytes sent: {code}{reason}",
            **stream_facts(stream),
            received=stream.bytes_received,
            sent=stream.bytes_sent,
            **_end_fields(code, reason),
        )

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_received}.
        """
        if "data_received" in self._events:
            tally = self._received.get(id(tunnel))
            if tally is None:
                tally = self._received[id(tunnel)] = _Tally()
            tally.events += 1
            tally.count += count
            if tally.events >= self._sample:
                del self._received[id(tunnel)]
                self._emit_received(tunnel, tally)

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_sent}.
        """
        if "data_sent" in self._events:
            tally = self._sent.get(id(tunnel))
            if tally is None:
                tally = self._sent[id(tunnel)] = _Tally()
            tally.events += 1
            tally.count += count
            if tally.events >= self._sample:
                del self._sent[id(tunnel)]
                self._emit_sent(tunnel, tally)

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """
        self._emit(
            "error",
            "{context}: {error}",
            context=context,
            error=str(error) or type(error).__name__,
            kind=type(error).__name__,
        )

    def _emit_received(self, tunnel: ITunnel, tally: _Tally) -> None:
        self._emit(
            "data_received",
            "tunnel {tunnel} of {client} received {count} bytes in {events} events",
            **tunnel_facts(tunnel),
            count=tally.count,
            events=tally.events,
        )

    def _emit_sent(self, tunnel: ITunnel, tally: _Tally) -> None:
        self._emit(
            "data_sent",
            "tunnel {tunnel} of {client} sent {count} bytes in {events} events",
            **tunnel_facts(tunnel),
            count=tally.count,
            events=tally.events,
        )

    def _emit(self, event: EventName, template: str, **fields: object) -> None:
        if event in self._events:
            self._log.emit(self._level, template, event=event, **fields)


@implementer(IPlugin, IHookFactory)
class LoggingHookFactory:
    """
    Builds the C{logging} hook from a configuration file.
    """

    name = "logging"
    description = "One line in the log for each event."
    options = LoggingOptions

    def build(self, options: LoggingOptions, reactor: IReactorCore) -> LoggingHook:
        """
        See L{IHookFactory.build}.
        """
        return LoggingHook(options)


class _Tally:
    """
    Data events that have been counted and not yet logged.
    """

    __slots__ = ("count", "events")

    def __init__(self) -> None:
        self.events = 0
        self.count = 0


def _end_fields(code: Code, reason: str) -> dict[str, object]:
    return {
        "code": code.words,
        "reason": f", {reason}" if reason else "",
    }
