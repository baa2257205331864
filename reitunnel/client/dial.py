"""
One visitor's stream on the client: from the server's word to the target.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.client.targets import TargetDialler
from reitunnel.errors import Code, Refused, StreamRefused
from reitunnel.hooks import NOTHING_OPENED, HookManager, Opened
from reitunnel.relay import StreamRecord, StreamTransport, TunnelRecord


class Dial:
    """
    Asks the hooks, connects the target, and tells the hooks the end.
    """

    _log = Logger()

    def __init__(
        self,
        tunnel: TunnelRecord,
        number: int,
        visitor: IAddress,
        transport: StreamTransport,
        hooks: HookManager,
        dialler: TargetDialler,
        now: float,
        on_over: Callable[[], None],
    ) -> None:
        """
        @param on_over: told when the stream is over.
        """
        self._record = StreamRecord(tunnel, number, visitor, now)
        self._transport = transport
        self._hooks = hooks
        self._dialler = dialler
        self._on_over = on_over
        self._opened: Opened | None = None
        self._dialling: Deferred[None] | None = None

    def start(self) -> None:
        """
        Begin.
        """
        transport, record = self._transport, self._record
        transport.on_over = self._over
        transport.on_delivered = record.received
        transport.on_written = record.sent
        record.begin(transport)
        dialling = Deferred.fromCoroutine(self._connect())
        self._dialling = dialling
        dialling.addErrback(self._failed)

    async def _connect(self) -> None:
        if not self._hooks.decides_stream_open:
            self._opened = NOTHING_OPENED
        else:
            try:
                self._opened = await self._hooks.decide_stream_open(self._record)
            except Refused as refused:
                raise StreamRefused(Code.REFUSED, str(refused)) from None
        await self._dialler.connect(self._record.visitor, self._transport)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is not None:
            return
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
        dialling, record = self._dialling, self._record
        if dialling is not None and not dialling.called:
            dialling.cancel()
        record.over(code, reason)
        if self._opened is not None:
            self._hooks.notify_stream_close(self._opened, record, code, reason)
        record.tunnel.remove(record)
        self._on_over()
