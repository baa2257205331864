"""
The pool of data links that a client keeps ready for its session.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.client.attaching import Attachment
from reitunnel.errors import ReitunnelError
from reitunnel.relay import DataLink, Link, LinkFactory
from reitunnel.wire.handshake import handshake_reader
from reitunnel.wire.messages import Welcome

_AT_ONCE = 4
"""How many data links are dialled at a time."""
_FIRST_RETRY = 1.0
_LAST_RETRY = 60.0
"""How long to wait after a failure: first, and at most, in seconds."""


class LinkPool:
    """
    Keeps so many data links idle, and dials another one as soon as the server has
    given one to a stream.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        size: int,
        *,
        welcome: Welcome,
        handshake_timeout: float,
        heartbeat_interval: float,
        heartbeat_timeout: float,
    ) -> None:
        """
        @param endpoint: dials links to the server.
        @param size: how many are kept idle.
        @param welcome: tells the session and its secret.
        """
        self._clock = clock
        self._endpoint = endpoint
        self._size = size
        self._welcome = welcome
        self._handshake_timeout = handshake_timeout
        self._heartbeat_interval = heartbeat_interval
        self._heartbeat_timeout = heartbeat_timeout
        self._idle: dict[int, DataLink] = {}
        self._dialling: set[Deferred[None]] = set()
        self._next_number = 1
        self._delay = 0.0
        self._retry: IDelayedCall | None = None
        self._stopped = False

    def start(self) -> None:
        """
        Begin to dial.
        """
        self._top_up()

    def stop(self) -> None:
        """
        Dial no more, and close what is idle.
        """
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for dialling in tuple(self._dialling):
            dialling.cancel()
        idle, self._idle = self._idle, {}
        for data_link in idle.values():
            data_link.close()

    def take(self, number: int) -> DataLink | None:
        """
        Take the data link that the server has given to a stream, if it is there.
        """
        data_link = self._idle.pop(number, None)
        self._top_up()
        return data_link

    def _top_up(self) -> None:
        while (
            not self._stopped
            and self._retry is None
            and len(self._dialling) < _AT_ONCE
            and len(self._idle) + len(self._dialling) < self._size
        ):
            dialling = Deferred.fromCoroutine(self._dial())
            self._dialling.add(dialling)
            dialling.addErrback(self._failed)
            dialling.addBoth(self._dialled, dialling)

    async def _dial(self) -> None:
        number = self._next_number
        self._next_number += 1
        attachment = Attachment(
            self._clock,
            self._handshake_timeout,
            self._welcome.session,
            self._welcome.secret,
            number,
            self._begin,
        )
        link = Link(handshake_reader(), attachment, self._clock)
        await self._endpoint.connect(LinkFactory(lambda: link))
        await attachment.outcome

    def _begin(self, number: int, link: Link) -> None:
        data_link = DataLink(
            number,
            link,
            self._clock,
            heartbeat_interval=self._heartbeat_interval,
            heartbeat_timeout=self._heartbeat_timeout,
            on_lost=self._lost,
        )
        self._delay = 0.0
        self._idle[number] = data_link
        data_link.start()

    def _lost(self, data_link: DataLink) -> None:
        self._idle.pop(data_link.number, None)
        self._top_up()

    def _dialled(self, _: object, dialling: Deferred[None]) -> None:
        self._dialling.discard(dialling)
        self._top_up()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is not None or self._stopped:
            return
        if failure.check(ReitunnelError) is None:
            self._log.failure("cannot dial a data link", failure=failure)
        elif not self._delay:
            self._log.info(
                "cannot dial data links: {reason}; streams stay on the control link",
                reason=failure.getErrorMessage(),
            )
        self._delay = min(max(_FIRST_RETRY, 2 * self._delay), _LAST_RETRY)
        if self._retry is None:
            self._retry = self._clock.callLater(self._delay, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._top_up()
