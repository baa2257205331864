"""
The C{metrics} hook: counts what tunnels and clients do, for programs, for a file and
for Prometheus.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.hooks.facts import shown
from reitunnel.hooks.metric_rows import OTHER, Durations, Kinds, Row, Rows
from reitunnel.hooks.metrics_export import Exporter
from reitunnel.interfaces import (
    IBackgroundHook,
    IClientHook,
    IErrorHook,
    IHookHost,
    IMetricsSource,
    IReactorHook,
    IRestrictedHookFactory,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)

_KINDS = 50
"""How many kinds of errors are told apart."""


class MetricsOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{metrics} hook.

    @ivar max_tunnels: how many tunnels are told apart; the rest is summed as "other".
    @ivar max_clients: how many clients are.
    @ivar file: where a line of JSON is appended every C{interval}.
    @ivar log: whether a line with the sums is logged every C{interval}.
    @ivar interval: in seconds.
    """

    max_tunnels: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    max_clients: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    file: Path | None = None
    log: bool = False
    interval: Annotated[float, Meta(ge=1.0, le=86_400.0)] = 60.0


class _OpenTunnel:
    """
    A tunnel that is open, or asked for.

    @ivar streams: how many of its streams are open.
    @ivar opened: how many have been opened.
    @ivar row: its row, once its public address is known.
    """

    __slots__ = (
        "client",
        "client_row",
        "key",
        "opened",
        "row",
        "streams",
        "tunnel",
    )

    def __init__(self, tunnel: ITunnel, client: str, client_row: Row) -> None:
        self.tunnel = tunnel
        self.client = client
        self.client_row = client_row
        self.streams = 0
        self.opened = 0
        self.key: tuple[str, str] | None = None
        self.row: Row | None = None


class Figures:
    """
    Sums at one moment.

    @ivar received: bytes from visitors.
    @ivar sent: bytes to visitors.
    @ivar streams: how many streams have been opened.
    @ivar open_streams: how many are open.
    @ivar open: how many open tunnels or sessions this is the sum of.
    """

    __slots__ = ("open", "open_streams", "received", "sent", "streams")

    def __init__(self, row: Row) -> None:
        self.received = row.received
        self.sent = row.sent
        self.streams = row.streams
        self.open = row.used
        self.open_streams = 0

    def add(self, opened: _OpenTunnel) -> None:
        """
        Add what an open tunnel has moved so far.
        """
        self.received += opened.tunnel.bytes_received
        self.sent += opened.tunnel.bytes_sent
        self.streams += opened.opened
        self.open_streams += opened.streams

    def as_dict(self) -> dict[str, int]:
        """
        Give the numbers by their names.
        """
        return {name: getattr(self, name) for name in sorted(self.__slots__)}


@implementer(
    IClientHook,
    ITunnelHook,
    IStreamHook,
    IErrorHook,
    IBackgroundHook,
    IReactorHook,
    IMetricsSource,
)
class MetricsHook:
    """
    Counts. Bytes are read from the tunnels when somebody asks, so that moving them
    costs nothing. It allows everything.

    It counts what began after it was registered.
    """

    def __init__(self, options: MetricsOptions | None = None) -> None:
        """
        @param options: the defaults if L{None}.
        """
        options = options or MetricsOptions()
        self._options = options
        self._host: IHookHost | None = None
        self._exporter: Exporter | None = None
        self._tunnels: Rows[tuple[str, str]] = Rows(options.max_tunnels)
        self._clients: Rows[tuple[str]] = Rows(options.max_clients)
        # By id(): what belongs to somebody else may not be hashable. It lives as long.
        self._sessions: dict[int, tuple[ISession, tuple[str], Row]] = {}
        self._open: dict[int, _OpenTunnel] = {}
        self._ended: dict[str, Kinds] = {
            what: Kinds(len(Code)) for what in ("client", "tunnel", "stream")
        }
        self._errors = Kinds(_KINDS)
        self._durations = Durations()

    # What programs ask.

    def get_metrics(self) -> dict[str, Any]:
        """
        Give all that is counted, as it is now: numbers, strings, and tables of them
        (docs/hooks.md, "The metrics hook").
        """
        tunnels, clients = self.figures()
        total = Figures(Row())
        for figures in clients.values():
            total.received += figures.received
            total.sent += figures.sent
            total.streams += figures.streams
            total.open_streams += figures.open_streams
            total.open += figures.open
        return {
            "time": self._seconds(),
            "total": {
                "received": total.received,
                "sent": total.sent,
                "streams": total.streams,
                "open_streams": total.open_streams,
                "open_tunnels": len(self._open),
                "sessions": len(self._sessions),
            },
            "clients": [
                {"client": key[0], **each.as_dict()} for key, each in clients.items()
            ],
            "tunnels": [
                {"client": key[0], "tunnel": key[1], **each.as_dict()}
                for key, each in tunnels.items()
            ],
            "ended": {what: dict(kinds.counts) for what, kinds in self._ended.items()},
            "errors": dict(self._errors.counts),
        }

    def exposition(self) -> bytes:
        """
        See L{IMetricsSource.exposition}.

        @raise ImportError: without C{prometheus-client}, the extra C{metrics}.
        """
        from reitunnel.hooks.metrics_page import page  # noqa: PLC0415  # an extra

        return page(self)

    def figures(
        self,
    ) -> tuple[dict[tuple[str, str], Figures], dict[tuple[str], Figures]]:
        """
        Give the sums of tunnels, by client and public address, and of clients. All
        that have no row of their own are L{OTHER}.
        """
        for opened in self._open.values():
            self._name(opened)
        tunnels = [*self._tunnels.items(), ((OTHER, OTHER), self._tunnels.others)]
        clients = [*self._clients.items(), ((OTHER,), self._clients.others)]
        rows = [row for _, row in tunnels] + [row for _, row in clients]
        figures = {id(row): Figures(row) for row in rows}
        for opened in self._open.values():
            figures[id(opened.row or self._tunnels.others)].add(opened)
            figures[id(opened.client_row)].add(opened)
        return (
            {key: figures[id(row)] for key, row in tunnels},
            {key: figures[id(row)] for key, row in clients},
        )

    @property
    def ended(self) -> dict[str, Kinds]:
        """
        How clients, tunnels and streams have ended, by code.
        """
        return self._ended

    @property
    def errors(self) -> Kinds:
        """
        Failures by the name of their exception.
        """
        return self._errors

    @property
    def durations(self) -> Durations:
        """
        How long streams lasted.
        """
        return self._durations

    # The background.

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.
        """
        self._host = host
        options = self._options
        if options.file is not None or options.log:
            self._exporter = Exporter(
                host, self.get_metrics, options.interval, options.file, options.log
            )

    def finish(self) -> Any:
        """
        Export the last sums.
        """
        return None if self._exporter is None else self._exporter.finish()

    # Events.

    def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.
        """
        key = _client_key(client)
        self._sessions[id(client)] = (client, key, self._clients.take(key))
        self._begin_export()

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """
        _, key, row = self._sessions.pop(id(client))
        self._clients.give(key, row)
        self._ended["client"].count(code.name.lower())

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        See L{ITunnelHook.on_tunnel_open}.
        """
        known = self._sessions.get(id(tunnel.session))
        if known is None:
            # It was there before this hook.
            (client,), row = _client_key(tunnel.session), self._clients.others
        else:
            _, (client,), row = known
        self._open[id(tunnel)] = _OpenTunnel(tunnel, client, row)
        self._begin_export()

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """
        opened = self._open.pop(id(tunnel))
        self._name(opened)
        for row in (opened.client_row, opened.row or self._tunnels.others):
            row.received += tunnel.bytes_received
            row.sent += tunnel.bytes_sent
            row.streams += opened.opened
        if opened.row is not None and opened.key is not None:
            self._tunnels.give(opened.key, opened.row)
        self._ended["tunnel"].count(code.name.lower())

    def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.
        """
        opened = self._open.get(id(stream.tunnel))
        if opened is not None:
            opened.opened += 1
            opened.streams += 1

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """
        opened = self._open.get(id(stream.tunnel))
        if opened is not None:
            opened.streams -= 1
        self._ended["stream"].count(code.name.lower())
        self._durations.add(max(0.0, self._seconds() - stream.opened_at))

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """
        self._errors.count(type(error).__name__)

    # The parts.

    def _name(self, opened: _OpenTunnel) -> None:
        """
        Give an open tunnel its row, once its public address is known.
        """
        if opened.row is None and opened.tunnel.address is not None:
            opened.key = (opened.client, shown(opened.tunnel.address))
            opened.row = self._tunnels.take(opened.key)

    def _begin_export(self) -> None:
        if self._exporter is not None:
            self._exporter.begin()

    def _seconds(self) -> float:
        return 0.0 if self._host is None else float(self._host.reactor.seconds())


@implementer(IPlugin, IRestrictedHookFactory)
class MetricsHookFactory:
    """
    Builds the C{metrics} hook from a configuration file.
    """

    name = "metrics"
    description = "Counts what tunnels and clients do, for Prometheus, a file or a log."
    options = MetricsOptions
    side = None
    written = ("file",)

    def build(self, options: MetricsOptions, reactor: IReactorCore) -> MetricsHook:
        """
        See L{IHookFactory.build}.
        """
        if options.file is not None and not options.file.parent.is_dir():
            raise ValueError(f"file: {options.file.parent} is not a directory")
        return MetricsHook(options)


def _client_key(client: ISession) -> tuple[str]:
    return (f"{client.identity}/{client.instance}",)
