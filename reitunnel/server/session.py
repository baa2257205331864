"""
One authenticated client on the server: its tunnels, and their streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_bytes
from typing import TYPE_CHECKING

from twisted.logger import Logger
from zope.interface import implementer

from reitunnel.auth import Accepted
from reitunnel.errors import Code, SessionRefused, TransportError
from reitunnel.hooks import NOTHING_OPENED, Opened
from reitunnel.interfaces import ILinkFacts, ISession, ITunnel
from reitunnel.relay import (
    FAILURES,
    DataLink,
    Link,
    Mux,
    StreamRecord,
    StreamTransport,
    shown,
)
from reitunnel.server.carrier import AutoCarrier, DirectCarrier, MuxCarrier
from reitunnel.server.limits import Gauge
from reitunnel.server.links import DataLinks
from reitunnel.server.returning import Returning
from reitunnel.server.tunnel import PublicTunnel
from reitunnel.wire.frames import HEADER_SIZE
from reitunnel.wire.journal import Journal
from reitunnel.wire.messages import DIRECT, RESUME, Hello, TunnelOpen
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import Stream

if TYPE_CHECKING:
    from reitunnel.server.server import Server


@implementer(ISession)
class ServerSession:
    """
    A client that has authenticated.

    @ivar server: the server.
    @ivar id: the session's id, in hex.
    @ivar identity: who authenticated.
    @ivar grounds: on what it was let in, and can be judged for each further link.
    @ivar instance: the client id that it chose.
    @ivar secret: what the client proves to know when it dials data links.
    @ivar direct: whether its streams can be carried on data links.
    @ivar max_links: how many data links it may have.
    @ivar grace: how long it waits for another link when its link is lost, in seconds;
        0 if it does not.
    @ivar links: its data links.
    @ivar facts: the facts of its link.
    @ivar opened_at: when it began, seconds since the epoch.
    @ivar streams_gauge: its streams, against C{limits.max_streams_per_client}.
    @ivar mux: what carries its streams, once it has begun.
    @ivar end: how it ended, once it has.
    @ivar on_its_way: the client that comes back, while hooks decide on that.
    @ivar barred: whether hooks have not let it come back when it last wanted to: then
        it gets no data links.
    @ivar on_refused: told when it is closed before it has begun, because a hook that
        is asked about it closes it.
    """

    _log = Logger()
    mux: Mux

    def __init__(
        self,
        server: Server,
        session_id: bytes,
        accepted: Accepted,
        hello: Hello,
        facts: ILinkFacts,
        default_bind: str,
    ) -> None:
        """
        @param accepted: who the client has proved to be.
        @param hello: how the client has introduced itself.
        """
        self.server = server
        self.id = session_id.hex()
        self.secret = token_bytes(32)
        self.identity = accepted.identity
        self.grounds = accepted.grounds
        self.instance = hello.instance
        self.facts = facts
        self.opened_at = server.reactor.seconds()
        limits = server.config.limits
        self.streams_gauge = Gauge(
            "limits.max_streams_per_client", limits.max_streams_per_client
        )
        timeouts = server.config.timeouts
        # These stay, whatever is configured while hooks decide: the client is told.
        self.max_links = 0
        if DIRECT in hello.capabilities:
            self.max_links = limits.max_links_per_client
        self.direct = self.max_links > 0
        self.grace = timeouts.resume if RESUME in hello.capabilities else 0.0
        self.links = DataLinks(
            server.reactor,
            self.max_links,
            timeouts.heartbeat_interval,
            timeouts.heartbeat_timeout,
        )
        self.end: tuple[Code, str] | None = None
        self.on_its_way: Returning | None = None
        self.barred = False
        self.on_refused: Callable[[], None] | None = None
        self._default_bind = default_bind
        self._opened: Opened = NOTHING_OPENED
        self._tunnels: dict[int, PublicTunnel] = {}
        self._unfinished: dict[PublicTunnel, None] = {}
        self._begun = False
        self._told = False
        self._detached_at = 0.0

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
    def tunnels(self) -> Sequence[ITunnel]:
        """
        Its open tunnels, as they are now.
        """
        return tuple(
            tunnel.record
            for tunnel in self._tunnels.values()
            if tunnel.record.address is not None and not tunnel.record.ended
        )

    @property
    def link_up(self) -> bool:
        """
        Whether the control link is there.
        """
        return self._begun and self.end is None and not self.mux.detached

    @property
    def data_links(self) -> tuple[int, int]:
        """
        How many data links it has that are idle, and how many that are in use.
        """
        return self.links.idle, self.links.used

    def start(self, link: Link, opened: Opened, handshake: int) -> None:
        """
        Begin on a link whose handshake is over.

        @param opened: who is owed C{on_client_disconnect}.
        @param handshake: how many bytes of the link were the handshake's.
        """
        config = self.server.config
        self._opened = opened
        limits = SessionLimits(
            max_tunnels=config.limits.max_tunnels,
            max_streams=config.limits.max_streams_per_client,
            max_window=config.tuning.stream_window,
            max_session_bytes=config.limits.max_session_bytes,
            chunk=config.tuning.buffer_size - HEADER_SIZE,
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
            journal=(Journal(config.limits.max_unacknowledged) if self.grace else None),
        )
        self.mux.grace = self.grace
        self._begun = True
        self.mux.start(handshake)
        self._log.info(
            "client {client} connected from {peer} over {scheme}",
            client=self.name,
            peer=shown(self.facts.peer),
            scheme=self.facts.scheme,
        )

    def can_resume(self, received: int) -> bool:
        """
        Whether it can go on on another link, after the first C{received} bytes that
        the client has had.
        """
        return self._begun and self.mux.can_resume(received)

    def returning(
        self, facts: ILinkFacts, outdated: Callable[[Code, str], None]
    ) -> Returning:
        """
        Make the time in which hooks decide whether the client may come back.

        @param facts: of the link on which it wants to.
        @param outdated: told when nobody needs their answer any more.
        """
        return Returning(self, facts, outdated)

    def give_up_link(self) -> int:
        """
        Let go of the control link, for another one: the client knows that it is lost.

        @return: how many bytes of the session have come.
        @raise SessionRefused: when the session has ended over that.
        """
        if not self.mux.detach(Code.LINK_LOST, "the client has another link"):
            raise SessionRefused(Code.LINK_LOST, "the session is over")
        assert self.mux.journal is not None
        return self.mux.journal.received

    def resume(
        self, link: Link, facts: ILinkFacts, received: int, handshake: int
    ) -> None:
        """
        Go on on another link.

        @param received: how many bytes the client has had.
        @param handshake: how many bytes of the link were the handshake's.
        """
        self.facts = facts
        self._log.info(
            "client {client} is back from {peer} over {scheme} after {seconds:.1f} s",
            client=self.name,
            peer=shown(facts.peer),
            scheme=facts.scheme,
            seconds=self.server.reactor.seconds() - self._detached_at,
        )
        self.mux.resume(link, received, handshake)

    def close(self, code: Code = Code.CLOSED, reason: str = "") -> None:
        """
        End the session: its tunnels close, its streams are reset.
        """
        if self._begun:
            self.mux.close(code, reason)
        elif self.end is None:
            self.end = (code, reason)
            if self.on_refused is not None:
                self.on_refused()

    def drain(self, code: Code, reason: str) -> None:
        """
        Tell the client that no new tunnels and streams are taken, and close the
        public ports. What is open goes on, as long as the link does: the server
        takes no other one.
        """
        self.mux.grace = 0.0
        if self.mux.detached:
            self.close(code, reason)
            return
        self.mux.session.goaway(code, reason)
        self._drain(code, reason)
        self.mux.changed()

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

    # What the mux tells.

    def tunnel_requested(self, request: TunnelOpen) -> None:
        """
        The client asks for a tunnel.
        """
        tunnel = PublicTunnel(self, request, self._default_bind)
        if self.mux.session.peer_draining:
            tunnel.refuse(Code.SHUTDOWN, "the client is leaving")
            return
        self._tunnels[request.tunnel] = tunnel
        self._unfinished[tunnel] = None
        tunnel.start()

    def tunnel_accepted(self, tunnel: int, host: str, port: int) -> None:
        """
        Not for a server: the wire does not let it through.
        """

    def tunnel_ended(self, tunnel: int, code: Code, reason: str, refused: bool) -> None:
        """
        The client closed a tunnel.
        """
        known = self._tunnels.get(tunnel)
        if known is not None:
            known.end(code, reason)

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
        self._drain(code, reason)
        self.mux.changed()

    def mux_detached(self, reason: str) -> None:
        """
        The control link is lost.
        """
        self._detached_at = self.server.reactor.seconds()
        self._log.info(
            "client {client}: {reason}; its streams wait up to {seconds:g} s for it",
            client=self.name,
            reason=reason,
            seconds=round(self.mux.patience.left, 1),
        )

    def mux_lost(self, code: Code, reason: str) -> None:
        """
        The session is over.
        """
        self.end = (code, reason)
        if self.on_its_way is not None:
            self.on_its_way.give_up(Code.AUTHENTICATION, "no such session")
        self.links.close()
        self.server.clients.over(self)
        for tunnel in tuple(self._unfinished):
            tunnel.end(code, reason)
        self._finish()

    # The parts.

    def is_current(self, tunnel: PublicTunnel) -> bool:
        """
        Whether a tunnel's number is still its own: the client may use it again.
        """
        return self._tunnels.get(tunnel.record.id) is tunnel

    def tunnel_over(self, tunnel: PublicTunnel) -> None:
        """
        A tunnel is over, and the hooks know.
        """
        self._unfinished.pop(tunnel, None)
        if self.is_current(tunnel):
            del self._tunnels[tunnel.record.id]
        self._finish()

    def _drain(self, code: Code, reason: str) -> None:
        for tunnel in tuple(self._unfinished):
            tunnel.drain(code, reason)

    def _finish(self) -> None:
        """
        Tell the hooks that the session is over, once its tunnels are.
        """
        if self.end is None or self._unfinished or self._told:
            return
        self._told = True
        code, reason = self.end
        text = reason or code.words
        self._log.info(
            "client {client} disconnected: {reason}",
            client=self.name,
            code=code.name,
            reason=text,
        )
        hooks = self.server.hooks
        if code in FAILURES:
            error = TransportError(text)
            hooks.notify_error(error, f"the link of client {self.name}")
        hooks.notify_client_disconnect(self._opened, self, code, reason)
