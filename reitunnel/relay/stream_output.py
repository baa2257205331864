"""
The way out of a stream: what its protocol writes, its producer, and the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IAddress, IPushProducer

from reitunnel.relay.direct import Sending
from reitunnel.relay.pull import PullAdapter
from reitunnel.relay.stream_base import StreamBase, StreamCarrier, count_nothing
from reitunnel.wire.frames import Buffer
from reitunnel.wire.streams import Stream


class StreamOutput(StreamBase):
    """
    An C{IConsumer} towards the other side, over the control link or the data link.

    @ivar on_written: told how many bytes the protocol has written.
    @ivar writing_held: whether the producer is paused, however much room there is.
    """

    def __init__(
        self, carrier: StreamCarrier, stream: Stream, peer: IAddress, host: IAddress
    ) -> None:
        super().__init__(carrier, stream, peer, host)
        self.on_written: Callable[[int], None] = count_nothing
        self._producer: IPushProducer | PullAdapter | None = None
        self._producer_paused = False
        self._eof_waits = False
        self.writing_held = False

    # What its owner does.

    def hold_writing(self, held: bool) -> None:
        """
        Pause the producer, or let it go on if there is room. What is written without
        a producer is not held back.
        """
        if held is self.writing_held:
            return
        self.writing_held = held
        producer = self._producer
        if producer is None or self._producer_paused:
            return
        if held:
            producer.pauseProducing()
        else:
            self._let_produce(producer)

    # What the mux tells.

    def drained(self) -> None:
        """
        The queue of the control link has room.
        """
        if not self._switching:
            self._resume_producer()

    # What the data link tells.

    def link_full(self) -> None:
        """
        The data link has no room.
        """
        self._pause_producer()

    def link_writable(self) -> None:
        """
        The data link has room again.
        """
        self._resume_producer()

    def link_began(self) -> None:
        """
        This side sends on the data link now.
        """
        assert self._path is not None
        if not self._producer_paused:
            self._end_if_waiting()
        elif self._path.data_link.link.writable:
            self._resume_producer()
        self.on_carrier()

    # ITransport and IConsumer: towards the other side.

    def write(self, data: Buffer) -> None:
        """
        Send bytes; after L{loseWriteConnection} or C{loseConnection} they are
        dropped, unless a producer is still at work.

        @raise TypeError: when they are not bytes.
        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        stream, path = self.stream, self._path
        if self.lost or stream.eof_queued or stream.said_eof or not data:
            return
        if self._eof_waits and self._producer is None:
            return
        if path is not None and path.sending is not Sending.ENDED:
            path.write(data)
            self.on_written(len(data))
            if path.sending is Sending.ASKED:
                self._pause_producer()
            return
        carrier = self._carrier
        carrier.session.send(stream, data)
        self.on_written(len(data))
        carrier.changed()
        if (
            stream.queued > carrier.high_water
            and self._producer is not None
            and not self._producer_paused
        ):
            stream.blocked = True
            self._pause_producer()

    def writeSequence(self, data: Iterable[Buffer]) -> None:
        """
        Send several pieces.
        """
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """
        Send C{EOF} after what is written, and once a producer that is paused, or
        that is asked for each piece, is unregistered.
        """
        self._eof_waits = self._producer_waits or self._pulling or self._switching
        if not (self._eof_waits or self.lost):
            sent, path = 0, self._path
            if path is not None:
                sent = path.sent
                path.end()
            self._carrier.session.send_eof(self.stream, sent)
            self._carrier.changed()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Pause a producer while too much is queued.

        @raise RuntimeError: when one is registered already.
        """
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if self.lost:
            producer.stopProducing()
            return
        self._producer_paused = False
        if streaming:
            self._producer = producer
        else:
            self._producer = PullAdapter(producer, self._carrier.clock, self._failed)
        if self.writing_held:
            self._producer.pauseProducing()
        elif self._pulling:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """
        Forget the producer.
        """
        producer, self._producer = self._producer, None
        self.stream.blocked = self._producer_paused = False
        if isinstance(producer, PullAdapter):
            producer.pauseProducing()
        self._end_if_waiting()

    # The parts.

    @property
    def _pulling(self) -> bool:
        return isinstance(self._producer, PullAdapter)

    @property
    def _switching(self) -> bool:
        """
        Whether what is written waits for the switch to the data link.
        """
        return self._path is not None and self._path.sending is Sending.ASKED

    @property
    def _producer_waits(self) -> bool:
        """
        Whether there is a producer that may not write now, for want of room or because
        it is held.
        """
        held = self.writing_held and self._producer is not None
        return self._producer_paused or held

    def _pause_producer(self) -> None:
        if self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            if not self.writing_held:
                self._producer.pauseProducing()

    def _resume_producer(self) -> None:
        if self._producer is not None and self._producer_paused:
            self._producer_paused = False
            if not self.writing_held:
                self._let_produce(self._producer)

    def _let_produce(self, producer: IPushProducer | PullAdapter) -> None:
        try:
            producer.resumeProducing()
        except Exception:
            self._failed()

    def _stop_producer(self) -> None:
        producer = self._producer
        self.unregisterProducer()
        if producer is not None:
            with self._log.failuresHandled(
                "{peer}: the producer failed", peer=self._peer
            ):
                producer.stopProducing()

    def _end_if_waiting(self) -> None:
        """
        Send the C{EOF} that has waited.
        """
        if self._eof_waits:
            self.loseWriteConnection()
            if self.disconnecting:
                self._finish_if_agreed()

    def _finish_if_agreed(self) -> None:
        """
        Say the last word, if both sides have finished and all has come.
        """
        if self._all_came and not (self.lost or self._eof_waits):
            self._carrier.session.finish(self.stream)
            self._carrier.changed()
