"""
The client's session with the server, and what carries its streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from reitunnel.client.pool import LinkPool
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.client.tunnels import SessionTunnels
from reitunnel.errors import (
    Code,
    CodedError,
    Refused,
    SessionRefused,
    TransportError,
)
from reitunnel.hooks import Asking, Opened, Owed
from reitunnel.interfaces import ILinkFacts, ISession, ITunnel
from reitunnel.relay import FAILURES, DataLink, Link, Mux, internet_address
from reitunnel.wire.frames import HEADER_SIZE
from reitunnel.wire.journal import Journal
from reitunnel.wire.messages import DIRECT, RESUME, TunnelOpen, Welcome
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import Stream

if TYPE_CHECKING:
    from reitunnel.client.client import Client

_LEAST_HEARTBEAT: Final = 1.0
_LEAST_PATIENCE: Final = 3.0
"""The shortest heartbeat that a server can ask for, and its time-out, in seconds."""


@implementer(ISession)
class ClientSession:
    """
    An authenticated session with the server.

    @ivar client: the client.
    @ivar id: the session's id, in hex.
    @ivar identity: who the server takes the client for.
    @ivar instance: the client id.
    @ivar facts: the facts of the link.
    @ivar opened_at: when it began, seconds since the epoch.
    @ivar welcome: what the server has said of it.
    @ivar mux: what carries its streams.
    @ivar streams: how many streams it has.
    @ivar draining: whether the server takes nothing new.
    @ivar end: how it ended, once it has.
    """

    _log = Logger()

    def __init__(
        self,
        client: Client,
        link: Link,
        facts: ILinkFacts,
        welcome: Welcome,
        endpoint: IStreamClientEndpoint,
    ) -> None:
        """
        @param endpoint: dials data links.
        """
        self.client = client
        self.welcome = welcome
        self.id = welcome.session.hex()
        self.identity = welcome.identity
        self.instance = client.client_id
        self.facts = facts
        self.opened_at = client.reactor.seconds()
        self.streams = 0
        self.draining = False
        self.end: tuple[Code, str] | None = None
        self._grace = 0.0
        if RESUME in welcome.capabilities:
            self._grace = min(client.config.timeouts.resume, welcome.resume)
        self._detached_at = 0.0
        self.mux = self._make_mux(link)
        self._pool = self._make_pool(endpoint) if self.mux.session.direct else None
        self._deciding: Asking[Opened] | None = None
        self._owed = Owed(self._tell, lambda: None)
        self._tunnels = SessionTunnels(self, self._finish, self._log)

    @property
    def tunnels(self) -> Sequence[ITunnel]:
        """
        Its open tunnels, as they are now.
        """
        return self._tunnels.open

    @property
    def link_up(self) -> bool:
        """
        Whether the control link is there.
        """
        return self.end is None and not self.mux.detached

    @property
    def data_links(self) -> tuple[int, int]:
        """
        How many data links it has that are idle, and how many that are in use.
        """
        return (0, 0) if self._pool is None else (self._pool.idle, self._pool.used)

    async def decide(self) -> None:
        """
        Ask the hooks.

        @raise Refused: when one refuses the session, which is closed.
        @raise SessionRefused: when it ends while they decide.
        """
        client = self.client
        opened: Opened | None = None
        self._deciding = Asking(
            client.reactor, client.hooks.decide_client_connect(self)
        )
        if self.end is not None:
            self._deciding.cancel()
        try:
            opened = await self._deciding.result
        except Refused as refused:
            self.close(refused.code, str(refused))
            raise
        except CancelledError:
            if self.end is None:
                self.close(Code.SHUTDOWN, "the client is stopping")
                raise
        finally:
            self._deciding = None
            self._owed.decided(opened)
        if self.end is not None:
            raise SessionRefused(*self.end)
        # There was nobody before to dial another link for it.
        self.mux.grace = self._grace
        if self._pool is not None:
            self._pool.start()

    def resume(
        self, link: Link, facts: ILinkFacts, received: int, handshake: int
    ) -> None:
        """
        Go on on another link.

        @param received: how many bytes the server has had.
        @param handshake: how many bytes of the link were the handshake's.
        @raise SessionRefused: when the session has ended, or cannot go on from there.
        """
        if not self.mux.detached:
            raise SessionRefused(Code.LINK_LOST, "the session is over")
        if not self.mux.can_resume(received):
            reason = f"the session cannot go on from {received}"
            raise SessionRefused(Code.PROTOCOL, reason)
        self.facts = facts
        self._log.info(
            "the link to {server} is back after {seconds:.1f} s",
            server=self.client.config.server,
            seconds=self.client.reactor.seconds() - self._detached_at,
        )
        self.mux.resume(link, received, handshake)
        if self._pool is not None:
            self._pool.link_back()

    @property
    def received(self) -> int:
        """
        How many bytes of the session have come, while it waits for a link.
        """
        assert self.mux.journal is not None
        return self.mux.journal.received

    def give_up(self, error: CodedError) -> None:
        """
        Wait for a link no more: the server does not know the session any more.
        """
        if self.end is not None:
            return
        self._log.info(
            "the session with {server} cannot be resumed: {reason}",
            server=self.client.config.server,
            code=error.code.name,
            reason=str(error),
        )
        self.mux.abort(Code.LINK_LOST, "the link was lost")

    def close(self, code: Code = Code.CLOSED, reason: str = "") -> None:
        """
        End the session: its tunnels close, its streams are reset.
        """
        self.mux.close(code, reason)

    def drain(self, code: Code, reason: str) -> None:
        """
        Tell the server that this side takes no new streams. What is open goes
        on.
        """
        self.mux.session.goaway(code, reason)
        self.mux.changed()

    # The client's tunnels.

    def ask(self, wanted: ClientTunnel) -> None:
        """
        Ask the server for a tunnel, unless that was done or nothing new is taken
        any more.
        """
        self._tunnels.ask(wanted)

    def close_tunnel(self, wanted: ClientTunnel, code: Code, reason: str) -> None:
        """
        The client does not want a tunnel any more.
        """
        self._tunnels.close(wanted, code, reason)

    def stream_over(self) -> None:
        """
        A stream is over, and the hooks know.
        """
        self.streams -= 1
        if not self.streams:
            self.client.streams_over()

    # What the mux tells.

    def tunnel_requested(self, request: TunnelOpen) -> None:
        """
        Not for a client: the wire does not let it through.
        """

    def tunnel_accepted(self, tunnel: int, host: str, port: int) -> None:
        """
        The server has opened a tunnel.
        """
        self._tunnels.accepted(tunnel, host, port)

    def tunnel_ended(self, tunnel: int, code: Code, reason: str, refused: bool) -> None:
        """
        The server refused or closed a tunnel.
        """
        self._tunnels.ended(tunnel, code, reason, refused)

    def stream_opened(self, tunnel: int, stream: Stream, host: str, port: int) -> None:
        """
        A visitor came.
        """
        asked = self._tunnels.find(tunnel)
        visitor = internet_address(host, port)
        if asked is None:
            # Closed since it came, and so reset: what came on it is dropped.
            self.mux.transport_for(stream, visitor, visitor)
            return
        self.streams += 1
        asked.visited(stream, visitor)

    def take_data_link(self, number: int) -> DataLink | None:
        """
        The server has given a data link to a stream.
        """
        return None if self._pool is None else self._pool.take(number)

    def peer_drains(self, code: Code, reason: str) -> None:
        """
        The server takes nothing new.
        """
        self.draining = True
        if self._pool is not None:
            self._pool.hold()
        self._log.info("the server says: {reason}", code=code.name, reason=reason)

    def mux_detached(self, reason: str) -> None:
        """
        The control link is lost.
        """
        self._detached_at = self.client.reactor.seconds()
        self.client.link_lost(reason)
        self._log.info(
            "server {server}: {reason}; streams wait up to {seconds:g} s for it",
            server=self.client.config.server,
            reason=reason,
            seconds=round(self.mux.patience.left, 1),
        )

    def mux_lost(self, code: Code, reason: str) -> None:
        """
        The session is over.
        """
        self.end = (code, reason)
        if self._pool is not None:
            self._pool.stop()
        self.client.session_over(self, code, reason)
        if self._deciding is not None:
            self._deciding.cancel()
        self._tunnels.end(code, reason)
        self._finish()

    # The parts.

    def _make_mux(self, link: Link) -> Mux:
        client, welcome = self.client, self.welcome
        limits, timeouts = client.config.limits, client.config.timeouts
        tuning = client.config.tuning
        session = Session(
            Role.CLIENT,
            SessionLimits(
                max_streams=limits.max_streams,
                max_window=tuning.stream_window,
                max_session_bytes=limits.max_session_bytes,
                chunk=tuning.buffer_size - HEADER_SIZE,
            ),
        )
        session.direct = client.wants_data_links and DIRECT in welcome.capabilities
        return Mux(
            session,
            self,
            link,
            client.reactor,
            pipes=client.pipes,
            heartbeat_interval=min(
                timeouts.heartbeat_interval, max(welcome.heartbeat, _LEAST_HEARTBEAT)
            ),
            heartbeat_timeout=min(
                timeouts.heartbeat_timeout,
                max(welcome.heartbeat_timeout, _LEAST_PATIENCE),
            ),
            journal=Journal(limits.max_unacknowledged) if self._grace else None,
        )

    def _make_pool(self, endpoint: IStreamClientEndpoint) -> LinkPool:
        client, heartbeat = self.client, self.mux.heartbeat
        return LinkPool(
            client.reactor,
            endpoint,
            client.authenticator,
            client.config.pool_size,
            welcome=self.welcome,
            handshake_timeout=client.config.timeouts.handshake,
            heartbeat_interval=heartbeat.interval,
            heartbeat_timeout=heartbeat.timeout,
            word_timeout=heartbeat.timeout + self._grace,
            link_made=client.link_made,
            link_up=lambda: self.link_up,
        )

    def _finish(self) -> None:
        """
        Tell the hooks that the session is over, once its tunnels are.
        """
        if self.end is not None and self._tunnels.all_over:
            self._owed.over(*self.end)

    def _tell(self, opened: Opened, code: Code, reason: str) -> None:
        client = self.client
        if code in FAILURES:
            error = TransportError(reason or code.words)
            client.hooks.notify_error(error, f"the link to {client.config.server}")
        client.hooks.notify_client_disconnect(opened, self, code, reason)
