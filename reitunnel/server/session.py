"""
One authenticated client on the server: its tunnels, and their streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_bytes
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.errors import Code, Refused, TunnelRefused
from reitunnel.hooks import NOTHING_OPENED, Opened
from reitunnel.interfaces import ILinkFacts, ISession, ITunnel
from reitunnel.relay import (
    DataLink,
    Link,
    Mux,
    StreamRecord,
    StreamTransport,
    TunnelRecord,
    host_and_port,
    shown,
)
from reitunnel.server.carrier import AutoCarrier, DirectCarrier, MuxCarrier
from reitunnel.server.limits import Gauge
from reitunnel.server.links import DataLinks
from reitunnel.server.listening import bind_address
from reitunnel.server.tunnel import PublicTunnel
from reitunnel.wire.messages import DIRECT, Hello, TunnelOpen
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import Stream
from reitunnel.wire.tunnels import TunnelHalf

if TYPE_CHECKING:
    from reitunnel.server.server import Server


@implementer(ISession)
class ServerSession:
    """
    A client that has authenticated.

    @ivar server: the server.
    @ivar id: the session's id, in hex.
    @ivar identity: who authenticated.
    @ivar instance: the client id that it chose.
    @ivar secret: what the client proves to know when it dials data links.
    @ivar direct: whether its streams can be carried on data links.
    @ivar links: its data links.
    @ivar facts: the facts of its link.
    @ivar opened_at: when it began, seconds since the epoch.
    @ivar streams_gauge: its streams, against C{limits.max_streams_per_client}.
    @ivar mux: what carries its streams, once it has begun.
    """

    _log = Logger()
    mux: Mux

    def __init__(
        self,
        server: Server,
        identity: str,
        hello: Hello,
        facts: ILinkFacts,
        default_bind: str,
    ) -> None:
        self.server = server
        self.id = token_bytes(16).hex()
        self.secret = token_bytes(32)
        self.identity = identity
        self.instance = hello.instance
        self.facts = facts
        self.opened_at = server.reactor.seconds()
        limits = server.config.limits
        self.streams_gauge = Gauge(
            "limits.max_streams_per_client", limits.max_streams_per_client
        )
        self.direct = DIRECT in hello.capabilities and limits.max_links_per_client > 0
        timeouts = server.config.timeouts
        self.links = DataLinks(
            server.reactor,
            limits.max_links_per_client,
            timeouts.heartbeat_interval,
            timeouts.heartbeat_timeout,
        )
        self._default_bind = default_bind
        self._opened: Opened = NOTHING_OPENED
        self._tunnels: dict[int, PublicTunnel] = {}
        self._deciding: dict[int, Deferred[None]] = {}
        self._ports_freed: list[Deferred[None]] = []

    @property
    def name(self) -> str:
        """
        The identity and the instance, which are the client's name together.
        """
        return f"{self.identity}/{self.instance}"

    @property
    def key(self) -> tuple[str, str]:
        """
        What take-over goes by.
        """
        return self.identity, self.instance

    @property
    def tunnels(self) -> Iterable[ITunnel]:
        """
        Its open tunnels, as they are now.
        """
        return tuple(tunnel.record for tunnel in self._tunnels.values())

    def start(self, link: Link, opened: Opened) -> None:
        """
        Begin on a link whose handshake is over.

        @param opened: who is owed C{on_client_disconnect}.
        """
        config = self.server.config
        self._opened = opened
        limits = SessionLimits(
            max_tunnels=config.limits.max_tunnels,
            max_streams=config.limits.max_streams_per_client,
            max_window=config.tuning.stream_window,
            max_session_bytes=config.limits.max_session_bytes,
            chunk=config.tuning.buffer_size,
        )
        session = Session(Role.SERVER, limits)
        session.direct = self.direct
        self.mux = Mux(
            session,
            self,
            link,
            self.server.reactor,
            pipes=self.server.pipes,
            heartbeat_interval=config.timeouts.heartbeat_interval,
            heartbeat_timeout=config.timeouts.heartbeat_timeout,
        )
        self.mux.start()
        self._log.info(
            "client {client} connected from {peer} over {scheme}",
            client=self.name,
            peer=shown(self.facts.peer),
            scheme=self.facts.scheme,
        )

    def close(self, code: Code = Code.CLOSED, reason: str = "") -> None:
        """
        End the session: its tunnels close, its streams are reset.
        """
        self.mux.close(code, reason)

    def drain(self, code: Code, reason: str) -> None:
        """
        Tell the client that no new tunnels and streams are taken, and close the
        public ports. What is open goes on.
        """
        self.mux.session.goaway(code, reason)
        self.mux.changed()
        self._close_ports(code, reason)

    def carrier_for(
        self, wanted: str, record: StreamRecord, transport: StreamTransport
    ) -> MuxCarrier:
        """
        Make what counts a stream's bytes, and moves it to a data link when it is
        time. Tell it when the stream is accepted, and when it is over.

        @param wanted: how the client wants the stream to travel.
        """
        if wanted == "mux" or not self.direct:
            return MuxCarrier(record, transport)
        if wanted == "direct":
            return DirectCarrier(record, transport, self.links)
        after = self.server.config.tuning.switch_after
        return AutoCarrier(record, transport, self.links, after)

    def ports_freed(self) -> Deferred[None]:
        """
        Wait until every public port that the session has closed is free.
        """

        async def wait() -> None:
            await DeferredList(self._ports_freed)

        return Deferred.fromCoroutine(wait())

    def reserve_stream_number(self) -> int:
        """
        Take a number for a stream.
        """
        return self.mux.session.reserve_number()

    # What the mux tells.

    def tunnel_requested(self, request: TunnelOpen) -> None:
        """
        The client asks for a tunnel.
        """
        number = request.tunnel
        deciding = Deferred.fromCoroutine(self._open_tunnel(request))
        self._deciding[number] = deciding

        def decided(_: object) -> None:
            if self._deciding.get(number) is deciding:
                del self._deciding[number]

        deciding.addErrback(self._not_decided, number)
        deciding.addBoth(decided)

    def tunnel_accepted(self, tunnel: int, host: str, port: int) -> None:
        """
        Not for a server: the wire does not let it through.
        """

    def tunnel_ended(self, tunnel: int, code: Code, reason: str, refused: bool) -> None:
        """
        The client closed a tunnel.
        """
        deciding = self._deciding.pop(tunnel, None)
        if deciding is not None:
            deciding.cancel()
        known = self._tunnels.get(tunnel)
        if known is not None:
            self._forget(known, known.close(code, reason))

    def stream_opened(self, tunnel: int, stream: Stream, host: str, port: int) -> None:
        """
        Not for a server, in this version: the wire does not let it through.
        """

    def take_data_link(self, number: int) -> DataLink | None:
        """
        Not for a server: the wire does not let it through.
        """
        return None

    def peer_drains(self, code: Code, reason: str) -> None:
        """
        The client is leaving: no new visitors, and when the last stream is over
        it closes the link.
        """
        self._close_ports(code, reason)

    def mux_lost(self, code: Code, reason: str) -> None:
        """
        The session is over.
        """
        for deciding in tuple(self._deciding.values()):
            deciding.cancel()
        self.links.close()
        self._close_ports(code, reason)
        self._log.info(
            "client {client} disconnected: {reason}",
            client=self.name,
            code=code.name,
            reason=reason or code.name.lower(),
        )
        hooks = self.server.hooks
        hooks.notify_client_disconnect(self._opened, self, code, reason)
        self.server.session_over(self)

    # The parts.

    async def _open_tunnel(self, request: TunnelOpen) -> None:
        """
        Decide on a tunnel, and open it.
        """
        server = self.server
        record = TunnelRecord(
            self,
            request.tunnel,
            kind=request.type,
            bind=request.bind,
            port=request.port,
            target=request.target,
            metadata=dict(request.metadata),
            opened_at=server.reactor.seconds(),
            hooks=server.hooks,
            close=lambda code, reason: self._close_tunnel(request.tunnel, code, reason),
        )
        rule = server.config.policy.rule(self.identity)
        try:
            if request.type != "tcp":
                raise TunnelRefused(Code.UNSUPPORTED, f"no {request.type!r} tunnels")
            address = bind_address(request.bind, self._default_bind, rule)
            if request.port and not rule.allows_port(request.port):
                raise TunnelRefused(Code.POLICY, f"port {request.port} is not allowed")
            opened = await server.hooks.decide_tunnel_open(record)
        except Refused as refused:
            self._refuse(record, Code.REFUSED, str(refused))
            return
        except TunnelRefused as refused:
            self._refuse(record, refused.code, refused.reason)
            return
        tunnel = PublicTunnel(self, record, request.carrier, opened)
        if not self._still_wanted(record.id):
            server.hooks.notify_tunnel_close(
                opened, record, Code.ABORTED, "given up before it was open"
            )
            return
        try:
            tunnel.listen(address, rule)
        except TunnelRefused as refused:
            self._refuse(record, refused.code, refused.reason)
            server.hooks.notify_tunnel_close(
                opened, record, refused.code, refused.reason
            )
            return
        self._tunnels[record.id] = tunnel
        self._log.info(
            "{tunnel} is open: {public} -> {target}",
            tunnel=record.label,
            client=self.name,
            public=shown(record.address),
            target=record.target,
        )
        self.mux.session.accept_tunnel(record.id, *host_and_port(record.address))
        self.mux.changed()

    def _still_wanted(self, number: int) -> bool:
        """
        Whether the client still waits for an answer about a tunnel: hooks may
        have closed the tunnel or the session while they were asked.
        """
        tunnel = self.mux.session.tunnels.get(number)
        return (
            not self.mux.lost
            and tunnel is not None
            and tunnel.local is TunnelHalf.PENDING
        )

    def _refuse(self, record: TunnelRecord, code: Code, reason: str) -> None:
        self._log.info(
            "{tunnel} refused: {reason}",
            tunnel=record.label,
            code=code.name,
            reason=reason,
        )
        if self._still_wanted(record.id):
            self.mux.session.refuse_tunnel(record.id, code, reason)
            self.mux.changed()

    def _not_decided(self, failure: Failure, number: int) -> None:
        """
        The client closed the tunnel or left while hooks were deciding, or a
        defect showed.
        """
        if failure.check(CancelledError) is not None:
            return
        self._log.failure("cannot open a tunnel", failure=failure)
        self.mux.session.close_tunnel(number, Code.INTERNAL, "the server failed")
        self.mux.changed()

    def _close_tunnel(self, number: int, code: Code, reason: str) -> None:
        """
        Close a tunnel because a hook or the embedding program wants it.
        """
        deciding = self._deciding.pop(number, None)
        if deciding is not None:
            deciding.cancel()
        tunnel = self._tunnels.get(number)
        if tunnel is not None:
            self._forget(tunnel, tunnel.close(code, reason))
        self.mux.session.close_tunnel(number, code, reason)
        self.mux.changed()

    def _close_ports(self, code: Code, reason: str) -> None:
        """
        Take no more visitors on any tunnel.
        """
        for tunnel in tuple(self._tunnels.values()):
            self._forget(tunnel, tunnel.close(code, reason))

    def _forget(self, tunnel: PublicTunnel, freed: Deferred[None]) -> None:
        """
        A tunnel's port is closing.
        """
        self._tunnels.pop(tunnel.record.id, None)
        if not freed.called:
            self._ports_freed.append(freed)
            freed.addBoth(lambda _: self._ports_freed.remove(freed))
