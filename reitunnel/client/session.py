"""
The client's session with the server: its tunnels and their streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.client.dial import Dial
from reitunnel.client.pool import LinkPool
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.errors import Code, Refused, TunnelRefused
from reitunnel.hooks import NOTHING_OPENED, Opened
from reitunnel.interfaces import ILinkFacts, ISession, ITunnel
from reitunnel.relay import (
    DataLink,
    Link,
    Mux,
    TunnelRecord,
    internet_address,
    joined,
    log_closed,
)
from reitunnel.wire.messages import DIRECT, TunnelOpen, Welcome
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import Stream

if TYPE_CHECKING:
    from reitunnel.client.client import Client

_PASSING: Final = frozenset({Code.ADDRESS_IN_USE, Code.LIMIT, Code.INTERNAL})
"""A tunnel that was refused for one of these is asked for again."""
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 30.0
"""How long to wait before asking again: first, and at most, in seconds."""


class _Asked:
    """
    A tunnel that was asked for in this session.
    """

    def __init__(self, wanted: ClientTunnel, record: TunnelRecord) -> None:
        self.wanted = wanted
        self.record = record


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
    @ivar mux: what carries its streams.
    @ivar draining: why the server takes nothing new, once it has said so.
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
        self.id = welcome.session.hex()
        self.identity = welcome.identity
        self.instance = client.client_id
        self.facts = facts
        self.opened_at = client.reactor.seconds()
        self.draining: tuple[Code, str] | None = None
        self.end: tuple[Code, str] | None = None
        config = client.config
        limits = SessionLimits(
            max_streams=config.limits.max_streams,
            max_window=config.tuning.stream_window,
            max_session_bytes=config.limits.max_session_bytes,
            chunk=config.tuning.buffer_size,
        )
        timeouts = config.timeouts
        session = Session(Role.CLIENT, limits)
        session.direct = client.wants_data_links and DIRECT in welcome.capabilities
        self.mux = Mux(
            session,
            self,
            link,
            client.reactor,
            pipes=client.pipes,
            heartbeat_interval=min(timeouts.heartbeat_interval, welcome.heartbeat),
            heartbeat_timeout=min(
                timeouts.heartbeat_timeout, welcome.heartbeat_timeout
            ),
        )
        self._pool: LinkPool | None = None
        if session.direct:
            self._pool = LinkPool(
                client.reactor,
                endpoint,
                client.authenticator,
                config.pool_size,
                welcome=welcome,
                handshake_timeout=timeouts.handshake,
                heartbeat_interval=self.mux.heartbeat.interval,
                heartbeat_timeout=self.mux.heartbeat.timeout,
                ready=client.link_opened,
            )
        self._opened: Opened = NOTHING_OPENED
        self._begun = False
        self._asked: dict[int, _Asked] = {}
        self._next_number = 1
        self._asking: set[Deferred[None]] = set()
        self._retries: dict[ClientTunnel, tuple[float, IDelayedCall | None]] = {}

    @property
    def tunnels(self) -> Iterable[ITunnel]:
        """
        Its open tunnels, as they are now.
        """
        return tuple(
            asked.record
            for asked in self._asked.values()
            if asked.record.address is not None
        )

    async def begin(self) -> None:
        """
        Ask the hooks, then ask for the tunnels.

        @raise Refused: when a hook refuses the session; it is closed.
        """
        hooks = self.client.hooks
        try:
            opened = await hooks.decide_client_connect(self)
        except BaseException:
            self.close(Code.REFUSED, "a hook of the client refused the session")
            raise
        if self.end is not None:
            hooks.notify_client_disconnect(opened, self, *self.end)
            return
        self._opened = opened
        self._begun = True
        if self._pool is not None:
            self._pool.start()
        for wanted in self.client.wanted:
            self.ask(wanted)

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
        Ask the server for a tunnel, unless nothing new is taken any more.
        """
        if not self._begun or self.draining is not None or self.end is not None:
            return
        asking = Deferred.fromCoroutine(self._ask(wanted))
        self._asking.add(asking)
        asking.addErrback(self._not_asked, wanted)
        asking.addBoth(lambda _: self._asking.discard(asking))

    def close_tunnel(self, wanted: ClientTunnel) -> None:
        """
        The client does not want a tunnel any more.
        """
        _, retry = self._retries.pop(wanted, (0.0, None))
        if retry is not None and retry.active():
            retry.cancel()
        record = wanted.record
        if record is not None:
            self._close_record(record, Code.CLOSED, "")

    async def _ask(self, wanted: ClientTunnel) -> None:
        client, number = self.client, self._next_number
        self._next_number += 1
        record = TunnelRecord(
            self,
            number,
            kind="tcp",
            bind=wanted.bind,
            port=wanted.port or wanted.granted,
            target=wanted.target,
            metadata=wanted.metadata,
            opened_at=client.reactor.seconds(),
            hooks=client.hooks,
            close=lambda code, reason: self._close_record(record, code, reason),
        )
        wanted.record = record
        try:
            opened = await client.hooks.decide_tunnel_open(record)
        except Refused as refused:
            self._refused(wanted, record, TunnelRefused(Code.REFUSED, str(refused)))
            return
        record.on_over = lambda code, reason: self._over(
            wanted, record, opened, code, reason
        )
        if wanted.closed or record.ended or self.end is not None:
            record.end(Code.CLOSED, "")
            return
        self._asked[number] = _Asked(wanted, record)
        self.mux.session.open_tunnel(
            TunnelOpen(
                tunnel=number,
                type=record.type,
                bind=record.bind,
                port=record.port,
                target=record.target[:1024],
                metadata=dict(record.metadata),
                carrier=client.config.carrier,
            )
        )
        self.mux.changed()

    def _not_asked(self, failure: Failure, wanted: ClientTunnel) -> None:
        """
        The session ended while hooks were deciding, or a defect showed.
        """
        wanted.record = None
        if failure.check(CancelledError) is None:
            self._log.failure("cannot ask for a tunnel", failure=failure)
            wanted.refused(TunnelRefused(Code.INTERNAL, "the client failed"))

    def _refused(
        self, wanted: ClientTunnel, record: TunnelRecord, error: TunnelRefused
    ) -> None:
        """
        A tunnel was refused: tell, and ask again later if that may help.
        """
        if wanted.record is record:
            wanted.record = None
        if error.code is Code.ADDRESS_IN_USE and wanted.granted and not wanted.port:
            wanted.granted = 0
            self.ask(wanted)
            return
        self._log.warn(
            "tunnel {public} -> {target} refused: {reason}",
            public=_asked_for(record),
            target=record.target,
            code=error.code.name,
            reason=str(error),
        )
        wanted.refused(error)
        if error.code in _PASSING and not wanted.closed and self.end is None:
            delay, _ = self._retries.get(wanted, (_FIRST_RETRY, None))
            retry = self.client.reactor.callLater(delay, self.ask, wanted)
            self._retries[wanted] = (min(2 * delay, _LAST_RETRY), retry)

    def _close_record(self, record: TunnelRecord, code: Code, reason: str) -> None:
        """
        Close a tunnel because this side wants it.
        """
        asked = self._asked.pop(record.id, None)
        if asked is not None and asked.wanted.record is record:
            asked.wanted.record = None
        self.mux.session.close_tunnel(record.id, code, reason)
        self.mux.changed()
        record.end(code, reason)

    def _over(
        self,
        wanted: ClientTunnel,
        record: TunnelRecord,
        opened: Opened,
        code: Code,
        reason: str,
    ) -> None:
        """
        A tunnel is closed and its last stream is over.
        """
        client = self.client
        if record.address is not None:
            wanted.dialler.closed()
            log_closed(self._log, record, client.reactor.seconds(), code, reason)
        client.hooks.notify_tunnel_close(opened, record, code, reason)

    # What the mux tells.

    def tunnel_requested(self, request: TunnelOpen) -> None:
        """
        Not for a client: the wire does not let it through.
        """

    def tunnel_accepted(self, tunnel: int, host: str, port: int) -> None:
        """
        The server has opened a tunnel.
        """
        asked = self._asked[tunnel]
        wanted, record = asked.wanted, asked.record
        record.address = internet_address(host, port)
        wanted.granted = port
        wanted.dialler.opened()
        self._retries.pop(wanted, None)
        self._log.info(
            "{tunnel} is open: {public} -> {target}",
            tunnel=record.label,
            public=joined(host, port),
            target=record.target,
        )
        wanted.opened()

    def tunnel_ended(self, tunnel: int, code: Code, reason: str, refused: bool) -> None:
        """
        The server refused or closed a tunnel.
        """
        asked = self._asked.pop(tunnel)
        wanted, record = asked.wanted, asked.record
        record.end(code, reason)
        if refused:
            self._refused(wanted, record, TunnelRefused(code, reason))
        elif wanted.record is record:
            wanted.record = None

    def stream_opened(self, tunnel: int, stream: Stream, host: str, port: int) -> None:
        """
        A visitor came.
        """
        asked = self._asked[tunnel]
        assert asked.record.address is not None
        visitor = internet_address(host, port)
        transport = self.mux.transport_for(stream, visitor, asked.record.address)
        dial = Dial(
            asked.record,
            stream.number,
            visitor,
            transport,
            self.client.hooks,
            asked.wanted.dialler,
            self.client.reactor.seconds(),
            self.client.stream_over,
        )
        dial.start()

    def take_data_link(self, number: int) -> DataLink | None:
        """
        The server has given a data link to a stream.
        """
        return None if self._pool is None else self._pool.take(number)

    def peer_drains(self, code: Code, reason: str) -> None:
        """
        The server takes nothing new.
        """
        self.draining = (code, reason)
        if self._pool is not None:
            self._pool.hold()
        self._log.info("the server says: {reason}", code=code.name, reason=reason)

    def mux_lost(self, code: Code, reason: str) -> None:
        """
        The session is over.
        """
        if self.draining is not None and code is Code.LINK_LOST:
            code, reason = self.draining
        self.end = (code, reason)
        if self._pool is not None:
            self._pool.stop()
        for asking in tuple(self._asking):
            asking.cancel()
        for _, retry in self._retries.values():
            if retry is not None and retry.active():
                retry.cancel()
        self._retries.clear()
        gone, self._asked = self._asked, {}
        for asked in gone.values():
            if asked.wanted.record is asked.record:
                asked.wanted.record = None
            asked.record.end(code, reason)
        if self._begun:
            hooks = self.client.hooks
            hooks.notify_client_disconnect(self._opened, self, code, reason)
        self.client.session_over(self, code, reason)


def _asked_for(record: TunnelRecord) -> str:
    return joined(record.bind, record.port) if record.bind else str(record.port)
