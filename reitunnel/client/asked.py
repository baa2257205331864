"""
A tunnel in one session of the client: asked for, open, closed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.client.dial import Dial
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.errors import Code, Refused, TunnelRefused
from reitunnel.hooks import Asking, Opened, Owed, watch
from reitunnel.relay import (
    TunnelRecord,
    internet_address,
    joined,
    log_closed,
)
from reitunnel.wire.streams import Stream

if TYPE_CHECKING:
    from reitunnel.client.session import ClientSession
    from reitunnel.client.tunnels import SessionTunnels


class AskedTunnel:
    """
    Asks the hooks, then the server, and dials for the visitors.

    @ivar wanted: the tunnel as the client wants it.
    @ivar record: the tunnel as hooks see it.
    """

    _log = Logger()

    def __init__(
        self,
        session: ClientSession,
        tunnels: SessionTunnels,
        wanted: ClientTunnel,
        number: int,
    ) -> None:
        """
        @param tunnels: told of what comes of it.
        @param number: the tunnel's number, which no other of the session has had.
        """
        client = session.client
        self.wanted = wanted
        self.record = TunnelRecord(
            session,
            number,
            kind="tcp",
            bind=wanted.bind,
            port=wanted.port or wanted.granted,
            target=wanted.target,
            metadata=wanted.metadata,
            opened_at=client.reactor.seconds(),
            hooks=client.hooks,
            close=self._close,
        )
        self._session = session
        self._tunnels = tunnels
        self._owed = Owed(self._tell, partial(tunnels.over, self))
        self.record.on_over = self._owed.over
        self._asking: Asking[None] | None = None

    def start(self) -> None:
        """
        Begin.
        """
        self.wanted.record = self.record
        reactor = self._session.client.reactor
        self._asking = watch(Asking(reactor, self._ask()), self._failed)
        if self.record.ended:
            self._asking.cancel()

    def accepted(self, host: str, port: int) -> None:
        """
        The server has opened it.
        """
        record = self.record
        record.address = internet_address(host, port)
        self.wanted.dialler.opened()
        self._log.info(
            "{tunnel} is open: {public} -> {target}",
            tunnel=record.label,
            public=joined(host, port),
            target=record.target,
        )

    def visited(self, stream: Stream, visitor: IAddress) -> None:
        """
        A visitor came.
        """
        session, record = self._session, self.record
        client = session.client
        assert record.address is not None
        dial = Dial(
            record,
            stream.number,
            visitor,
            session.mux.transport_for(stream, visitor, record.address),
            client.hooks,
            self.wanted.dialler,
            client.reactor,
            session.stream_over,
        )
        dial.start()

    def close(self, code: Code, reason: str) -> None:
        """
        Close it because this side wants that: its streams are reset.
        """
        self.end(code, reason)
        self._session.mux.session.close_tunnel(self.record.id, code, reason)
        self._session.mux.changed()

    def end(self, code: Code, reason: str) -> None:
        """
        It is closed, or the session is lost. When the last stream is over, hooks
        are told.
        """
        if self._asking is not None:
            self._asking.cancel()
        if self.wanted.record is self.record:
            self.wanted.record = None
        self.record.end(code, reason)

    # The parts.

    def _close(self, code: Code, reason: str) -> None:
        """
        Close it because a hook or the embedding program wants that: for good. When
        the session is over, it is not this tunnel any more.
        """
        if self.wanted.record is self.record:
            self.wanted.close(code, reason)

    async def _ask(self) -> None:
        opened: Opened | None = None
        try:
            opened = await self._session.client.hooks.decide_tunnel_open(self.record)
        except Refused as refused:
            error = TunnelRefused(refused.code, str(refused))
            self.end(error.code, error.reason)
            self._tunnels.refused(self, error)
        finally:
            self._owed.decided(opened)
        if opened is not None and not self.record.ended:
            self._request()

    def _request(self) -> None:
        """
        The hooks have allowed it: ask the server.
        """
        mux, record = self._session.mux, self.record
        mux.session.open_tunnel(self.wanted.request(record.id, record.port))
        mux.changed()

    def _failed(self, failure: Failure) -> None:
        self._log.failure("cannot ask for a tunnel", failure=failure)
        self.close(Code.INTERNAL, "the client failed")
        error = TunnelRefused(Code.INTERNAL, "the client failed")
        self._tunnels.refused(self, error)

    def _tell(self, opened: Opened, code: Code, reason: str) -> None:
        client = self._session.client
        if self.record.address is not None:
            self.wanted.dialler.closed()
            log_closed(self._log, self.record, client.reactor.seconds(), code, reason)
        client.hooks.notify_tunnel_close(opened, self.record, code, reason)
