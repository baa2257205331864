"""
Which carrier a visitor's stream has, and when it changes.
"""

from __future__ import annotations

from reitunnel.relay import StreamRecord, StreamTransport
from reitunnel.server.links import IdleLinks


class AutoSwitch:
    """
    Counts a stream's bytes, in both directions, and moves it to a data link after
    so many, if there is one.
    """

    def __init__(
        self,
        record: StreamRecord,
        transport: StreamTransport,
        links: IdleLinks,
        after: int,
    ) -> None:
        self._record = record
        self._transport = transport
        self._links = links
        self._left = after

    def start(self) -> None:
        """
        Begin to count, or switch at once.
        """
        self._transport.on_written = self.received
        self._transport.on_delivered = self.sent
        self._count(0)

    def received(self, count: int) -> None:
        """
        Bytes came from the visitor.
        """
        self._record.received(count)
        self._count(count)

    def sent(self, count: int) -> None:
        """
        Bytes went to the visitor.
        """
        self._record.sent(count)
        self._count(count)

    def _count(self, count: int) -> None:
        self._left -= count
        if self._left > 0:
            return
        transport, record = self._transport, self._record
        data_link = self._links.take()
        if data_link is None:
            # Those that come to be idle later are for streams that ask later.
            self._left = _AGAIN
            return
        transport.on_written = record.received
        transport.on_delivered = record.sent
        transport.attach(data_link)
        transport.switch()


_AGAIN = 1 << 20
"""How many bytes later a stream that found no data link asks again."""
