"""
Tunnels and streams as hooks and embedding programs see them, with their counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol as Structural

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.interfaces import IBrake, ISession, IStream, ITunnel
from reitunnel.relay.brakes import Brakes
from reitunnel.relay.stream import StreamTransport

_log = Logger()


class DataHooks(Structural):
    """
    Who is told of moving bytes. Both may change at any time.
    """

    @property
    def data_received(self) -> Callable[[ITunnel, int], None] | None:
        """
        Told of bytes from visitors, if anyone wants to know.
        """

    @property
    def data_sent(self) -> Callable[[ITunnel, int], None] | None:
        """
        Told of bytes to visitors, if anyone wants to know.
        """


@implementer(ITunnel)
class TunnelRecord:
    """
    A tunnel.

    @ivar open_streams: its open streams, by number.
    @ivar on_over: told, once, when the tunnel and its last stream are over.
    @ivar rewritable: whether what was asked for can still be changed.
    """

    def __init__(
        self,
        session: ISession,
        number: int,
        *,
        kind: str,
        bind: str,
        port: int,
        target: str,
        metadata: Mapping[str, str],
        opened_at: float,
        hooks: DataHooks,
        close: Callable[[Code, str], None],
    ) -> None:
        """
        @param hooks: told of its bytes.
        @param close: closes it.
        """
        self.session = session
        self.id = number
        self.type = kind
        self.bind = bind
        self.port = port
        self.target = target
        self.metadata = metadata
        self.opened_at = opened_at
        self.address: IAddress | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        self.hooks = hooks
        self.open_streams: dict[int, StreamRecord] = {}
        self.on_over: Callable[[Code, str], None] | None = None
        self.rewritable = False
        self._close = close
        self._end: tuple[Code, str] | None = None

    @property
    def label(self) -> str:
        """
        The tunnel's name for people.
        """
        return f"tunnel {self.id} of {self.session.identity}/{self.session.instance}"

    @property
    def ended(self) -> bool:
        """
        Whether it takes no more streams.
        """
        return self._end is not None

    def end(self, code: Code, reason: str) -> None:
        """
        Take no more streams. When the last one is over, the tunnel is too, and
        C{on_over} is told. Ending it again does nothing.
        """
        if self._end is None:
            self._end = (code, reason)
            self._finish()

    def add(self, stream: StreamRecord) -> None:
        """
        A stream was opened.
        """
        self.open_streams[stream.id] = stream

    def remove(self, stream: StreamRecord) -> None:
        """
        A stream is over.
        """
        del self.open_streams[stream.id]
        self._finish()

    def _finish(self) -> None:
        if self._end is not None and not self.open_streams and self.on_over:
            on_over, self.on_over = self.on_over, None
            on_over(*self._end)

    @property
    def streams(self) -> Sequence[IStream]:
        """
        Its open streams, as they are now.
        """
        return tuple(self.open_streams.values())

    def close(self, code: Code = Code.CLOSED, reason: str = "") -> None:
        """
        Close the tunnel: its streams are reset.
        """
        self._close(code, reason)

    def rewrite(
        self, *, port: int | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        """
        See L{ITunnel.rewrite}.
        """
        if not self.rewritable:
            raise RuntimeError(
                "a tunnel can be rewritten only on the server, while hooks decide on it"
            )
        if port is not None:
            self.port = port
        if metadata is not None:
            self.metadata = dict(metadata)


@implementer(IStream)
class StreamRecord:
    """
    A stream, and the meter of its bytes.
    """

    __slots__ = (
        "__weakref__",
        "_brakes",
        "_outward",
        "_to_close",
        "bytes_received",
        "bytes_sent",
        "id",
        "opened_at",
        "transport",
        "tunnel",
        "visitor",
    )

    def __init__(
        self, tunnel: TunnelRecord, number: int, visitor: IAddress, opened_at: float
    ) -> None:
        self.tunnel = tunnel
        self.id = number
        self.visitor = visitor
        self.opened_at = opened_at
        self.bytes_received = 0
        self.bytes_sent = 0
        self.transport: StreamTransport | None = None
        self._to_close: tuple[Code, str] | None = None
        self._brakes: Brakes | None = None
        self._outward = True

    @property
    def in_kernel(self) -> tuple[bool, bool]:
        """
        Whether the kernel moves what the visitor sends on this side at the moment, and
        what it gets.
        """
        path = None if self.transport is None else self.transport.path
        sent, received = (False, False) if path is None else path.in_kernel
        return (sent, received) if self._outward else (received, sent)

    def received(self, count: int) -> None:
        """
        Count bytes from the visitor.
        """
        tunnel = self.tunnel
        self.bytes_received += count
        tunnel.bytes_received += count
        told = tunnel.hooks.data_received
        if told is not None:
            told(tunnel, count)
        if self._brakes is not None:
            self._brakes.received.tell(count)

    def sent(self, count: int) -> None:
        """
        Count bytes to the visitor.
        """
        tunnel = self.tunnel
        self.bytes_sent += count
        tunnel.bytes_sent += count
        told = tunnel.hooks.data_sent
        if told is not None:
            told(tunnel, count)
        if self._brakes is not None:
            self._brakes.sent.tell(count)

    def pace_received(self, moved: Callable[[int], None]) -> IBrake:
        """
        See L{IStream.pace_received}.
        """
        return self._pacing().received.add(moved)

    def pace_sent(self, moved: Callable[[int], None]) -> IBrake:
        """
        See L{IStream.pace_sent}.
        """
        return self._pacing().sent.add(moved)

    def _pacing(self) -> Brakes:
        transport = self.transport
        moved = self.bytes_received or self.bytes_sent
        if moved or (transport is not None and transport.path is not None):
            raise RuntimeError("a stream can be paced only before it carries anything")
        if self._brakes is None:
            self._brakes = Brakes()
            if transport is not None:
                self._brakes.fit(transport, self._outward)
        return self._brakes

    def begin(self, transport: StreamTransport, *, outward: bool = True) -> None:
        """
        The stream is open, on this transport. If it was to be closed before, it is
        reset at once.

        @param outward: whether what the visitor sends is written to the transport, as
            on the server.
        """
        self.transport = transport
        self._outward = outward
        self.tunnel.add(self)
        if self._brakes is not None:
            self._brakes.fit(transport, outward)
        if self._to_close is not None:
            transport.abort(*self._to_close)

    def over(self, code: Code, reason: str) -> None:
        """
        The stream is over on both sides. It still counts as one of the tunnel's
        until L{TunnelRecord.remove}.
        """
        self.transport = None
        _log.debug(
            "{tunnel}: stream {stream} of {visitor} over: received {received} "
            "bytes, sent {sent} bytes: {code} {reason}",
            tunnel=self.tunnel.label,
            stream=self.id,
            visitor=self.visitor,
            received=self.bytes_received,
            sent=self.bytes_sent,
            code=code.name,
            reason=reason,
        )

    def close(self, code: Code = Code.ABORTED, reason: str = "") -> None:
        """
        Reset the stream, on both sides.
        """
        if self.transport is not None:
            self.transport.abort(code, reason)
        else:
            self._to_close = (code, reason)


def log_closed(
    log: Logger, record: TunnelRecord, now: float, code: Code, reason: str
) -> None:
    """
    Log the one line that says how a tunnel went.
    """
    log.info(
        "{tunnel} closed after {seconds:.1f} s: received {received} bytes, sent "
        "{sent} bytes: {reason}",
        tunnel=record.label,
        seconds=now - record.opened_at,
        received=record.bytes_received,
        sent=record.bytes_sent,
        code=code.name,
        reason=reason or code.words,
    )
