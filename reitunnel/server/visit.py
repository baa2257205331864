"""
One visitor on the server: from the connection to the end of the stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.errors import Code, Refused
from reitunnel.hooks import GIVEN_UP, NOTHING_OPENED, Asking, Opened, Owed, watch
from reitunnel.relay import SocketEnd, StreamRecord, join, shown

if TYPE_CHECKING:
    from reitunnel.server.carrier import MuxCarrier
    from reitunnel.server.tunnel import PublicTunnel


class Visit:
    """
    Asks the hooks, opens the stream, and tells the hooks the end. As long as hooks
    decide, nothing is read from the visitor.
    """

    __slots__ = (
        "_asking",
        "_carrier",
        "_end",
        "_owed",
        "_patience",
        "_place",
        "_record",
        "_tunnel",
    )

    _log = Logger()

    def __init__(
        self, tunnel: PublicTunnel, end: SocketEnd, visitor: IAddress, number: int
    ) -> None:
        """
        @param number: the number of the stream, should it be opened.
        """
        self._tunnel = tunnel
        self._end = end
        self._record = StreamRecord(
            tunnel.record, number, visitor, tunnel.server.reactor.seconds()
        )
        self._owed = Owed(self._tell, self._done)
        self._asking: Asking[None] | None = None
        self._patience: IDelayedCall | None = None
        self._carrier: MuxCarrier | None = None
        self._place = True
        end.on_gone = self._give_place

    def start(self) -> None:
        """
        Begin.
        """
        tunnel = self._tunnel
        tunnel.record.add(self._record)
        if not tunnel.server.hooks.decides_stream_open:
            self._owed.decided(NOTHING_OPENED)
            try:
                self._open()
            except Exception:
                self._failed(Failure())
            return
        self._end.on_lost = self.give_up
        self._asking = watch(Asking(tunnel.server.reactor, self._ask()), self._failed)
        if tunnel.record.ended:
            self._asking.cancel()

    def give_up(self) -> None:
        """
        Open no stream any more, if hooks still decide on it.
        """
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> None:
        opened: Opened | None = None
        try:
            opened = await self._tunnel.server.hooks.decide_stream_open(self._record)
        except Refused as refused:
            self._log.info(
                "{tunnel}: visitor {visitor} refused: {reason}",
                tunnel=self._record.tunnel.label,
                visitor=shown(self._record.visitor),
                reason=str(refused),
            )
            self._turn_away(refused.code, str(refused))
        except BaseException:
            self._turn_away(Code.ABORTED, GIVEN_UP)
            raise
        finally:
            self._owed.decided(opened)
        if opened is not None:
            self._open()

    def _open(self) -> None:
        """
        Open the stream, if the tunnel is still there.
        """
        tunnel, record = self._tunnel, self._record
        if not tunnel.takes_streams:
            self._turn_away(Code.ABORTED, GIVEN_UP)
            return
        assert tunnel.record.address is not None
        transport = tunnel.mux.open_stream(
            tunnel.record.id, record.visitor, tunnel.record.address, record.id
        )
        self._patience = tunnel.server.reactor.callLater(
            tunnel.server.config.timeouts.stream_open,
            transport.abort,
            Code.TARGET_TIMEOUT,
            "the client did not accept the stream in time",
        )
        self._carrier = tunnel.carrier_for(record, transport)
        transport.on_accepted = self._accepted
        transport.on_over = self._over
        record.begin(transport)
        join(self._end, transport)

    def _accepted(self) -> None:
        self._stop_clock()
        if self._carrier is not None:
            self._carrier.accepted()

    def _stop_clock(self) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None

    def _over(self, code: Code, reason: str) -> None:
        self._stop_clock()
        if self._carrier is not None:
            self._carrier.over()
        self._record.over(code, reason)
        self._owed.over(code, reason)

    def _turn_away(self, code: Code, reason: str) -> None:
        """
        Reset the visitor: there will be no stream.
        """
        self._end.abort()
        self._owed.over(code, reason)

    def _failed(self, failure: Failure) -> None:
        self._log.failure("cannot open a stream", failure=failure)
        self._record.close(Code.INTERNAL, "the server failed")
        self._turn_away(Code.INTERNAL, "the server failed")

    def _tell(self, opened: Opened, code: Code, reason: str) -> None:
        hooks = self._tunnel.server.hooks
        hooks.notify_stream_close(opened, self._record, code, reason)

    def _give_place(self) -> None:
        """
        Others may have the visitor's place on the server: its connection is gone. The
        stream is its session's matter.
        """
        if self._place:
            self._place = False
            self._tunnel.server.visitors.give()

    def _done(self) -> None:
        self._give_place()
        self._tunnel.visit_over(self, self._record)
