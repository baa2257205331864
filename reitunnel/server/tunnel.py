"""
One tunnel on the server: decided on, then a public port and its visitors.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.config import Rule
from reitunnel.errors import Code, Refused, TunnelRefused
from reitunnel.hooks import Asking, Opened, Owed, watch
from reitunnel.relay import (
    Mux,
    SocketEnd,
    SocketFactory,
    StreamRecord,
    StreamTransport,
    TunnelRecord,
    host_and_port,
    log_closed,
    shown,
)
from reitunnel.server.carrier import MuxCarrier
from reitunnel.server.limits import Gauge
from reitunnel.server.listening import bind_address, listen
from reitunnel.server.visit import Visit
from reitunnel.transports import apply_tcp_options
from reitunnel.wire.messages import TunnelOpen
from reitunnel.wire.tunnels import TunnelHalf

if TYPE_CHECKING:
    from reitunnel.server.session import ServerSession


class PublicTunnel:
    """
    Asks policy and hooks, listens on the public port, and opens a stream for each
    visitor.

    @ivar record: the tunnel as hooks see it.
    @ivar server: the server.
    """

    _log = Logger()

    def __init__(
        self, session: ServerSession, request: TunnelOpen, default_bind: str
    ) -> None:
        """
        @param request: what the client asks for.
        @param default_bind: the address if it asks for none.
        """
        self.server = session.server
        self.record = TunnelRecord(
            session,
            request.tunnel,
            kind=request.type,
            bind=request.bind,
            port=request.port,
            target=request.target,
            metadata=dict(request.metadata),
            opened_at=self.server.reactor.seconds(),
            hooks=self.server.hooks,
            close=self.close,
        )
        self._session = session
        self._carrier = request.carrier
        self._default_bind = default_bind
        self._owed = Owed(self._tell, partial(session.tunnel_over, self))
        self.record.on_over = self._owed.over
        self._asking: Asking[None] | None = None
        self._port: IListeningPort | None = None
        self._visits: dict[Visit, None] = {}
        self._gauge = Gauge(
            "limits.max_streams_per_tunnel",
            self.server.config.limits.max_streams_per_tunnel,
        )

    @property
    def mux(self) -> Mux:
        """
        What carries its streams.
        """
        return self._session.mux

    @property
    def takes_streams(self) -> bool:
        """
        Whether a stream can be opened now.
        """
        return not self.record.ended and self._stands(TunnelHalf.OPEN)

    def carrier_for(
        self, record: StreamRecord, transport: StreamTransport
    ) -> MuxCarrier:
        """
        Make the carrier of a stream, as the client wants it.
        """
        return self._session.carrier_for(self._carrier, record, transport)

    def start(self) -> None:
        """
        Begin to decide.
        """
        self._asking = watch(Asking(self.server.reactor, self._open()), self._failed)
        if self.record.ended:
            self._asking.cancel()

    def close(self, code: Code, reason: str) -> None:
        """
        Close the tunnel, and tell the client. Its streams are reset.
        """
        current = self._session.is_current(self)
        self.end(code, reason)
        if current:
            self.mux.session.close_tunnel(self.record.id, code, reason)
            self.mux.changed()

    def drain(self, code: Code, reason: str) -> None:
        """
        Take no more visitors, or never begin. The streams that are open go on.
        """
        self.refuse(code, reason)
        self.end(code, reason)

    def refuse(self, code: Code, reason: str) -> None:
        """
        Tell the client that it does not get the tunnel, if it still waits for an
        answer.
        """
        if self._stands(TunnelHalf.PENDING):
            self.mux.session.refuse_tunnel(self.record.id, code, reason)
            self.mux.changed()

    def end(self, code: Code, reason: str) -> None:
        """
        Close the public port, or never open it. The streams are the session's to
        reset; when the last one is over, hooks are told of the tunnel's close.
        """
        if self._asking is not None:
            self._asking.cancel()
        for visit in tuple(self._visits):
            visit.give_up()
        port, self._port = self._port, None
        if port is not None:
            # The port may be closed already: the reactor does that when it stops.
            _, number = host_and_port(self.record.address)
            self.server.descriptors.forget(port)
            self.server.closing_ports.close(port, number)
        self.record.end(code, reason)

    def visit_over(self, visit: Visit, record: StreamRecord) -> None:
        """
        A visitor's stream is over, and the hooks know.
        """
        self._visits.pop(visit, None)
        self.record.remove(record)
        # Last: when it was the last visitor of all, a server that stops goes on.
        self._gauge.give()
        self._session.streams_gauge.give()
        self.server.stream_over()

    # The parts.

    async def _open(self) -> None:
        server, record = self.server, self.record
        rule = server.config.policy.rule(self._session.identity)
        opened: Opened | None = None
        try:
            self._allowed_address(rule)
            record.rewritable = True
            opened = await server.hooks.decide_tunnel_open(record)
            record.rewritable = False
            # Hooks may have rewritten it.
            address = self._allowed_address(rule)
            await server.closing_ports.freed(record.port)
            if record.ended or not self._stands(TunnelHalf.PENDING):
                return
            self._listen(address, rule)
        except Refused as refused:
            self._give_up(refused.code, str(refused))
        except TunnelRefused as refused:
            if refused.code is Code.POLICY:
                refused.peer = self._session.facts.peer
                server.hooks.notify_error(refused, f"{record.label}: refused")
            self._give_up(refused.code, refused.reason)
        else:
            self._opened()
        finally:
            record.rewritable = False
            self._owed.decided(opened)

    def _allowed_address(self, rule: Rule) -> str:
        """
        Judge what the client asks for.

        @return: the address to bind.
        @raise TunnelRefused: when the client may not have it.
        """
        record = self.record
        if record.type != "tcp":
            raise TunnelRefused(Code.UNSUPPORTED, f"no {record.type!r} tunnels")
        if not rule.ports:
            raise TunnelRefused(Code.POLICY, "no port is allowed")
        if record.port and not rule.allows_port(record.port):
            raise TunnelRefused(Code.POLICY, f"port {record.port} is not allowed")
        return bind_address(record.bind, self._default_bind, rule)

    def _listen(self, address: str, rule: Rule) -> None:
        self._port = listen(
            self.server.reactor,
            self.record.port,
            address,
            rule,
            SocketFactory(self._build),
            self.server.config.tuning.backlog,
            self.server.closing_ports.close,
        )
        self.server.descriptors.watch(self._port)
        self.record.address = self._port.getHost()

    def _opened(self) -> None:
        record = self.record
        self._log.info(
            "{tunnel} is open: {public} -> {target}",
            tunnel=record.label,
            client=self._session.name,
            public=shown(record.address),
            target=record.target,
        )
        self.mux.session.accept_tunnel(record.id, *host_and_port(record.address))
        self.mux.changed()

    def _give_up(self, code: Code, reason: str) -> None:
        self._log.info(
            "{tunnel} refused: {reason}",
            tunnel=self.record.label,
            code=code.name,
            reason=reason,
        )
        self.refuse(code, reason)
        self.record.end(code, reason)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("cannot open a tunnel", failure=failure)
        self.close(Code.INTERNAL, "the server failed")

    def _stands(self, half: TunnelHalf) -> bool:
        """
        Whether this is what was said to the client of the tunnel, in a session that
        is still there.
        """
        known = self.mux.session.tunnels.get(self.record.id)
        return not self.mux.lost and known is not None and known.local is half

    def _build(self, visitor: IAddress) -> SocketEnd:
        return SocketEnd(partial(self._arrived, visitor), _nothing_to_do)

    def _arrived(self, visitor: IAddress, end: SocketEnd) -> None:
        """
        A visitor connected.
        """
        self.server.descriptors.accepted(end.transport)
        if not self.takes_streams or not self._take():
            end.abort()
            return
        apply_tcp_options(end.transport, self.server.tcp_options)
        visit = Visit(self, end, visitor, self.mux.session.reserve_number())
        self._visits[visit] = None
        visit.start()

    def _take(self) -> bool:
        gauges = (self.server.visitors, self._session.streams_gauge, self._gauge)
        for count, gauge in enumerate(gauges):
            if not gauge.take():
                for taken in gauges[:count]:
                    taken.give()
                return False
        self.server.streams += 1
        return True

    def _tell(self, opened: Opened, code: Code, reason: str) -> None:
        """
        The tunnel is closed and its last stream is over.
        """
        if self.record.address is not None:
            now = self.server.reactor.seconds()
            log_closed(self._log, self.record, now, code, reason)
        self.server.hooks.notify_tunnel_close(opened, self.record, code, reason)


def _nothing_to_do() -> None:
    """
    A visitor left before its stream was opened: whoever opens it finds the end lost.
    """
