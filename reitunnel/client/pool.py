"""
The pool of data links that a client keeps ready for its session.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.auth import ClientAuthenticator
from reitunnel.client.attaching import Attachment
from reitunnel.client.handshaking import LinkHandshake
from reitunnel.errors import Code, ReitunnelError, SessionRefused
from reitunnel.relay import DataLink, Link, LinkFactory
from reitunnel.wire.handshake import handshake_reader
from reitunnel.wire.messages import Welcome

AT_ONCE: Final = 4
"""How many data links are dialled at a time."""
FIRST_RETRY: Final = 1.0
LAST_RETRY: Final = 60.0
"""How long to wait after a failure: first, and at most, in seconds, give or take a
fifth."""
LAST_REFUSED: Final = 600.0
"""The same at most, when the server does not let the session have data links any more:
that is for its operator to change."""
_SETTLED: Final = 10.0
"""
A data link that is lost sooner than that, in seconds, has failed like one that was
never made.
"""
_FOR_GOOD: Final = frozenset(
    {Code.AUTHENTICATION, Code.POLICY, Code.VERSION, Code.UNSUPPORTED}
)
_random = Random()


class LinkPool:
    """
    Keeps so many data links idle, and dials another one as soon as the server has
    given one to a stream, as long as the server takes more.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        authenticator: ClientAuthenticator,
        size: int,
        *,
        welcome: Welcome,
        handshake_timeout: float,
        heartbeat_interval: float,
        heartbeat_timeout: float,
        word_timeout: float,
        link_made: Callable[[Link], None],
        link_up: Callable[[], bool],
    ) -> None:
        """
        @param endpoint: dials links to the server.
        @param authenticator: knows how to bind proofs to channels.
        @param size: how many are kept idle.
        @param welcome: tells the session, its secret, and how many data links it may
            have at a time.
        @param word_timeout: how much later than a stream's bytes the word on the
            control link may come, in seconds.
        @param link_made: told of each link when it is connected.
        @param link_up: says whether the control link is there. While it is not, that
            data links are not either is no news.
        """
        self._clock = clock
        self._endpoint = endpoint
        self._authenticator = authenticator
        self._size = size
        self._welcome = welcome
        self._handshake_timeout = handshake_timeout
        self._heartbeat_interval = heartbeat_interval
        self._heartbeat_timeout = heartbeat_timeout
        self._word_timeout = word_timeout
        self._link_made = link_made
        self._link_up = link_up
        self._idle: dict[int, DataLink] = {}
        self._open = 0
        self._dialling: set[Deferred[None]] = set()
        self._next_number = 1
        self._delay = 0.0
        self._last_failure = 0.0
        self._retry: IDelayedCall | None = None
        self._trouble = ""
        self._complained = False
        self._refused = False
        self._dials = False

    @property
    def idle(self) -> int:
        """
        How many wait for a stream.
        """
        return len(self._idle)

    @property
    def used(self) -> int:
        """
        How many a stream has, or are being closed.
        """
        return self._open - len(self._idle)

    def start(self) -> None:
        """
        Begin to dial.
        """
        self._dials = True
        self._top_up()

    def link_back(self) -> None:
        """
        The session has a control link again: what was in the way of it is gone.
        """
        if self._retry is not None:
            self._retry.cancel()
            self._delay = 0.0
            self._try_again()

    def hold(self) -> None:
        """
        Dial no more. What is idle can still be taken.
        """
        self._dials = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for dialling in tuple(self._dialling):
            dialling.cancel()

    def stop(self) -> None:
        """
        Dial no more, and close what is idle.
        """
        self.hold()
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

    # The parts.

    def _top_up(self) -> None:
        while self._dials and self._retry is None and self._wants_more():
            dialling = Deferred.fromCoroutine(self._dial())
            self._dialling.add(dialling)
            dialling.addErrback(self._failed)
            dialling.addBoth(self._dialled, dialling)

    def _wants_more(self) -> bool:
        dialling = len(self._dialling)
        return (
            dialling < (1 if self._refused else AT_ONCE)
            and len(self._idle) + dialling < self._size
            and self._open + dialling < self._welcome.max_links
        )

    async def _dial(self) -> None:
        number = self._next_number
        self._next_number += 1
        handshake = LinkHandshake(
            self._clock,
            self._handshake_timeout,
            Attachment(self._authenticator, self._welcome, number, self._begin),
        )
        link = Link(handshake_reader(), handshake, self._clock)
        await self._endpoint.connect(LinkFactory(lambda: link))
        self._link_made(link)
        await handshake.outcome

    def _begin(self, number: int, link: Link) -> None:
        self._open += 1
        self._refused = False
        link.closed.addCallback(self._closed)
        data_link = DataLink(
            number,
            link,
            self._clock,
            heartbeat_interval=self._heartbeat_interval,
            heartbeat_timeout=self._heartbeat_timeout,
            word_timeout=self._word_timeout,
            peer_gives=True,
            on_lost=partial(self._lost, self._clock.seconds()),
        )
        self._idle[number] = data_link
        data_link.start()

    def _lost(self, made: float, data_link: DataLink) -> None:
        """
        @param made: when the data link was made.
        """
        self._idle.pop(data_link.number, None)
        if self._clock.seconds() - made < _SETTLED and self._dials:
            self._wait("it was lost soon after it was made")

    def _closed(self, _: None) -> None:
        self._open -= 1
        self._top_up()

    def _dialled(self, _: object, dialling: Deferred[None]) -> None:
        self._dialling.discard(dialling)
        self._top_up()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is not None or not self._dials:
            return
        error = failure.value
        if not isinstance(error, ReitunnelError):
            self._log.failure("cannot dial a data link", failure=failure)
        refused = isinstance(error, SessionRefused) and error.code in _FOR_GOOD
        if refused and not self._refused:
            # Whatever was said before, this is news.
            self._complained = False
        self._refused = refused
        self._wait(failure.getErrorMessage())

    def _wait(self, reason: str) -> None:
        """
        Dial no more for a while: longer each time, until all has gone well for
        longer than that.
        """
        now = self._clock.seconds()
        if now - self._last_failure > 2 * self._delay + _SETTLED:
            self._delay = 0.0
            self._complained = False
        self._last_failure = now
        self._trouble = reason
        if self._retry is not None:
            return
        longest = LAST_REFUSED if self._refused else LAST_RETRY
        self._delay = min(max(FIRST_RETRY, 2 * self._delay), longest)
        wait = self._delay * _random.uniform(0.8, 1.2)
        self._retry = self._clock.callLater(wait, self._due)

    def _due(self) -> None:
        # Not sooner: if the server is gone, the loss of the control link is noticed
        # just after that of the others, and says it all.
        if not self._complained and self._link_up():
            self._complained = True
            self._log.info(
                "no data link: {reason}; streams stay on the control link",
                reason=self._trouble,
            )
        self._try_again()

    def _try_again(self) -> None:
        self._retry = None
        self._top_up()
