"""
One visitor's stream on the client: from the server's word to the target.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.client.targets import TargetDialler
from reitunnel.errors import Code, Refused, StreamRefused
from reitunnel.hooks import (
    NOTHING_OPENED,
    Asking,
    HookManager,
    Opened,
    Owed,
    watch,
)
from reitunnel.relay import StreamRecord, StreamTransport, TunnelRecord


class Dial:
    """
    Asks the hooks, connects the target, and tells the hooks the end.
    """

    __slots__ = (
        "_clock",
        "_dialler",
        "_dialling",
        "_hooks",
        "_on_over",
        "_owed",
        "_record",
        "_transport",
    )

    _log = Logger()

    def __init__(
        self,
        tunnel: TunnelRecord,
        number: int,
        visitor: IAddress,
        transport: StreamTransport,
        hooks: HookManager,
        dialler: TargetDialler,
        clock: IReactorTime,
        on_over: Callable[[], None],
    ) -> None:
        """
        @param on_over: called when the stream is over and the hooks know.
        """
        self._record = StreamRecord(tunnel, number, visitor, clock.seconds())
        self._transport = transport
        self._hooks = hooks
        self._dialler = dialler
        self._clock = clock
        self._on_over = on_over
        self._owed = Owed(self._tell, self._done)
        self._dialling: Asking[None] | None = None

    def start(self) -> None:
        """
        Begin.
        """
        transport, record = self._transport, self._record
        transport.on_over = self._over
        transport.on_delivered = record.received
        transport.on_written = record.sent
        record.begin(transport, outward=False)
        self._dialling = watch(Asking(self._clock, self._connect()), self._failed)
        if transport.lost:
            self._dialling.cancel()

    async def _connect(self) -> None:
        opened: Opened | None = None
        try:
            opened = await self._ask()
        except Refused as refused:
            self._transport.abort(refused.code, str(refused))
        finally:
            self._owed.decided(opened)
        if opened is not None and not self._transport.lost:
            await self._dialler.connect(self._record.visitor, self._transport)

    async def _ask(self) -> Opened:
        if not self._hooks.decides_stream_open:
            return NOTHING_OPENED
        return await self._hooks.decide_stream_open(self._record)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, StreamRefused):
            self._hooks.notify_error(error, f"{self._record.tunnel.label}: a visitor")
            self._transport.abort(error.code, error.reason)
        else:
            self._log.failure("cannot connect a stream", failure=failure)
            self._transport.abort(Code.INTERNAL, "the client failed")

    def _over(self, code: Code, reason: str) -> None:
        """
        The stream is over on both sides.
        """
        if self._dialling is not None:
            self._dialling.cancel()
        self._record.over(code, reason)
        self._owed.over(code, reason)

    def _tell(self, opened: Opened, code: Code, reason: str) -> None:
        self._hooks.notify_stream_close(opened, self._record, code, reason)

    def _done(self) -> None:
        self._record.tunnel.remove(self._record)
        # Last: when it was the last stream, a client that stops goes on.
        self._on_over()
