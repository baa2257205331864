"""
One open tunnel on the server: its public port and its visitors.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.config import Rule
from reitunnel.errors import Code, Refused
from reitunnel.hooks import NOTHING_OPENED, Opened
from reitunnel.relay import (
    SocketEnd,
    SocketFactory,
    StreamRecord,
    TunnelRecord,
    join,
    log_closed,
)
from reitunnel.server.limits import Gauge
from reitunnel.server.listening import listen
from reitunnel.transports import apply_tcp_options

if TYPE_CHECKING:
    from reitunnel.server.session import ServerSession


class PublicTunnel:
    """
    Listens on a tunnel's public port, and opens a stream for each visitor.

    @ivar record: the tunnel as hooks see it.
    """

    _log = Logger()

    def __init__(
        self,
        session: ServerSession,
        record: TunnelRecord,
        carrier: str,
        opened: Opened,
    ) -> None:
        """
        @param carrier: how the client wants the streams to travel.
        @param opened: who is owed C{on_tunnel_close}.
        """
        self.record = record
        self._session = session
        self._server = session.server
        self._opened = opened
        self._carrier = carrier
        self._port: IListeningPort | None = None
        self._gauge = Gauge(
            "limits.max_streams_per_tunnel",
            self._server.config.limits.max_streams_per_tunnel,
        )
        self._deciding: set[Deferred[None]] = set()

    def listen(self, address: str, rule: Rule) -> None:
        """
        Open the public port.

        @raise TunnelRefused: when that cannot be.
        """
        server = self._server
        factory = SocketFactory(self._build)
        self._port = listen(
            server.reactor,
            self.record.port,
            address,
            rule,
            factory,
            server.config.tuning.backlog,
        )
        self.record.address = self._port.getHost()
        self.record.on_over = self._closed

    def close(self, code: Code, reason: str) -> Deferred[None]:
        """
        Close the public port. The streams are the session's to reset; when the
        last one is over, hooks are told of the tunnel's close.

        @return: fires when the port is free.
        """
        for deciding in tuple(self._deciding):
            deciding.cancel()
        port, self._port = self._port, None
        freed = Deferred.fromCoroutine(_stop(port))
        self.record.end(code, reason)
        return freed

    def _build(self, visitor: IAddress) -> SocketEnd:
        return SocketEnd(partial(self._arrived, visitor), _nothing_to_do)

    def _arrived(self, visitor: IAddress, end: SocketEnd) -> None:
        """
        A visitor connected.
        """
        if self.record.ended or not self._take():
            end.abort()
            return
        server = self._server
        apply_tcp_options(end.transport, server.tcp_options)
        record = StreamRecord(
            self.record,
            self._session.reserve_stream_number(),
            visitor,
            server.reactor.seconds(),
        )
        if not server.hooks.decides_stream_open:
            self._open(end, record, NOTHING_OPENED)
            return
        deciding = Deferred.fromCoroutine(self._decide(end, record))
        self._deciding.add(deciding)
        deciding.addErrback(self._not_decided, end)
        deciding.addBoth(lambda _: self._deciding.discard(deciding))

    async def _decide(self, end: SocketEnd, record: StreamRecord) -> None:
        try:
            opened = await self._server.hooks.decide_stream_open(record)
        except Refused as refused:
            self._log.info(
                "{tunnel}: visitor {visitor} refused: {reason}",
                tunnel=self.record.label,
                visitor=record.visitor,
                reason=str(refused),
            )
            self._give()
            end.abort()
        else:
            self._open(end, record, opened)

    def _not_decided(self, failure: Failure, end: SocketEnd) -> None:
        """
        The tunnel closed while the hooks were deciding, or a defect showed.
        """
        self._give()
        end.abort()
        if failure.check(CancelledError) is None:
            self._log.failure("cannot open a stream", failure=failure)

    def _open(self, end: SocketEnd, record: StreamRecord, opened: Opened) -> None:
        """
        Open the visitor's stream, if the visitor is still there.
        """
        server, mux = self._server, self._session.mux
        if end.lost or self.record.ended:
            self._give()
            end.abort()
            reason = "the visitor or the tunnel left before the stream was open"
            server.hooks.notify_stream_close(opened, record, Code.ABORTED, reason)
            return
        assert self.record.address is not None
        transport = mux.open_stream(
            self.record.id, record.visitor, self.record.address, record.id
        )
        patience = server.reactor.callLater(
            server.config.timeouts.stream_open,
            transport.abort,
            Code.TARGET_TIMEOUT,
            "the client did not accept the stream in time",
        )
        carrier = self._session.carrier_for(self._carrier, record, transport)

        def accepted() -> None:
            patience.cancel()
            carrier.accepted()

        def over(code: Code, reason: str) -> None:
            if patience.active():
                patience.cancel()
            carrier.over()
            self._give()
            record.over(code, reason)
            server.hooks.notify_stream_close(opened, record, code, reason)
            self.record.remove(record)

        transport.on_accepted = accepted
        transport.on_over = over
        record.begin(transport)
        join(end, transport)

    def _closed(self, code: Code, reason: str) -> None:
        """
        The tunnel is closed and its last stream is over.
        """
        log_closed(self._log, self.record, self._server.reactor.seconds(), code, reason)
        self._server.hooks.notify_tunnel_close(self._opened, self.record, code, reason)

    def _take(self) -> bool:
        gauges = (self._server.visitors, self._session.streams_gauge, self._gauge)
        for count, gauge in enumerate(gauges):
            if not gauge.take():
                for taken in gauges[:count]:
                    taken.give()
                return False
        return True

    def _give(self) -> None:
        self._server.visitor_gone()
        self._session.streams_gauge.give()
        self._gauge.give()


async def _stop(port: IListeningPort | None) -> None:
    stopped = None if port is None else port.stopListening()
    if stopped is not None:
        await stopped


def _nothing_to_do() -> None:
    """
    A visitor left before its stream was opened: whoever decides on it finds the
    end lost.
    """
