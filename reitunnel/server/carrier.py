"""
Which carrier a visitor's stream has, and when it changes.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

from reitunnel.relay import DataLink, StreamRecord, StreamTransport
from reitunnel.server.links import DataLinks

_AGAIN: Final = 1 << 20
"""How many bytes later a stream that found no data link looks again."""


class MuxCarrier:
    """
    Counts a stream's bytes. The stream stays on the control link.
    """

    def __init__(self, record: StreamRecord, transport: StreamTransport) -> None:
        self._record = record
        self._transport = transport
        transport.on_written = record.received
        transport.on_delivered = record.sent

    def accepted(self) -> None:
        """
        The client has accepted the stream: it can have a data link from now on.
        """

    def over(self) -> None:
        """
        The stream is over.
        """


class DirectCarrier(MuxCarrier):
    """
    Moves a stream to a data link as soon as it is accepted and there is one.
    """

    _log = Logger()

    def __init__(
        self, record: StreamRecord, transport: StreamTransport, links: DataLinks
    ) -> None:
        super().__init__(record, transport)
        self._links = links

    @property
    def can_switch(self) -> bool:
        """
        Whether the stream can be moved, now or later.
        """
        return self._transport.can_switch

    def accepted(self) -> None:
        """
        Move the stream, or wait for a data link.
        """
        if self.can_switch and not self._move():
            self._links.wait(self)

    def over(self) -> None:
        """
        Wait no more.
        """
        self._links.give_up(self)

    def link_found(self, data_link: DataLink) -> None:
        """
        Move the stream to a data link.
        """
        self._log.debug(
            "{tunnel}: stream {stream} goes on on data link {link}",
            tunnel=self._record.tunnel.label,
            stream=self._record.id,
            link=data_link.number,
        )
        self._transport.attach(data_link)

    def _move(self) -> bool:
        """
        Move the stream, if there is a data link.
        """
        data_link = self._links.take()
        if data_link is not None:
            self.link_found(data_link)
        return data_link is not None


class AutoCarrier(DirectCarrier):
    """
    Moves a stream to a data link after so many bytes, in both directions together,
    if there is one. If not, it looks again later, and does not wait: a data link
    that comes to be idle is for a stream that moves bytes then.
    """

    def __init__(
        self,
        record: StreamRecord,
        transport: StreamTransport,
        links: DataLinks,
        after: int,
    ) -> None:
        super().__init__(record, transport, links)
        self._left = after
        transport.on_written = self._received
        transport.on_delivered = self._sent

    def accepted(self) -> None:
        """
        Move the stream, if it has had enough bytes already.
        """
        self._count(0)

    def link_found(self, data_link: DataLink) -> None:
        """
        Count no more, and move the stream to a data link.
        """
        self._transport.on_written = self._record.received
        self._transport.on_delivered = self._record.sent
        super().link_found(data_link)

    def _received(self, count: int) -> None:
        self._record.received(count)
        self._count(count)

    def _sent(self, count: int) -> None:
        self._record.sent(count)
        self._count(count)

    def _count(self, count: int) -> None:
        self._left -= count
        if self._left <= 0 and self.can_switch and not self._move():
            self._left = _AGAIN
