"""
A client's attempts to connect: where they go to, and how long it waits between them.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from reitunnel.client.connecting import SessionEndpoint, SessionProtocol
from reitunnel.client.standing import Standing

if TYPE_CHECKING:
    from reitunnel.client.client import Client

_random = Random()

_LASTING: Final = 1.0
"""How long, in seconds, a link has to last not to count as soon lost."""
_AT_ONCE: Final = 3
"""
How many links in a row may be soon lost before a session that waits for the next one
has to be patient: something may be in between that lets no link live.
"""


@implementer(IStreamClientEndpoint)
class ChangingEndpoint:
    """
    An endpoint that can become another one.

    @ivar current: what it is now.
    """

    def __init__(self, current: IStreamClientEndpoint) -> None:
        self.current = current

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Dial.
        """
        return self.current.connect(protocolFactory)


class _SessionFactory(Factory):
    """
    Builds what stands for the session's link.
    """

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._built_at = 0.0

    @property
    def age(self) -> float:
        """
        How long ago, in seconds, the newest link was there.
        """
        return self._clock.seconds() - self._built_at

    def buildProtocol(self, addr: IAddress | None) -> SessionProtocol:
        """
        Build it for a link whose handshake is over.
        """
        self._built_at = self._clock.seconds()
        return SessionProtocol()


class Attempts:
    """
    Connects a client, and connects it again whenever its link is lost.
    """

    def __init__(
        self,
        client: Client,
        standing: Standing,
        endpoint: IStreamClientEndpoint,
        log: Logger,
    ) -> None:
        """
        @param endpoint: dials the server.
        @param log: the client's.
        """
        self._client = client
        self._standing = standing
        self._log = log
        self._endpoint = ChangingEndpoint(endpoint)
        self._sessions = _SessionFactory(client.reactor)
        # How many links in a row were lost soon.
        self._soon_lost = 0
        self._service = ClientService(
            SessionEndpoint(client, self._endpoint),
            self._sessions,
            retryPolicy=self._next_delay,
            clock=client.reactor,
        )

    def start(self) -> None:
        """
        Begin to connect.
        """
        self._service.startService()

    def stop(self) -> Deferred[None]:
        """
        Connect no more, and close the control link.

        @return: fires when it is closed.
        """
        return self._service.stopService()

    def begin_anew(self) -> None:
        """
        Leave what is under way, or waited for, and connect at once.
        """
        self._service.stopService()
        self._service.startService()

    def go_to(self, endpoint: IStreamClientEndpoint) -> None:
        """
        Dial another server, or the same one in another way, from now on.
        """
        self._endpoint.current = endpoint

    def _next_delay(self, attempt: int) -> float:
        """
        Choose how long to wait before the next attempt, in seconds.
        """
        standing, config = self._standing, self._client.config
        if attempt == 1 and standing.waiting_session is not None:
            lasted = self._sessions.age >= _LASTING
            self._soon_lost = 0 if lasted else self._soon_lost + 1
            if self._soon_lost <= _AT_ONCE:
                return 0.0
            attempt = self._soon_lost - _AT_ONCE
        retry = config.retry
        delay = retry.initial_delay * retry.factor ** min(attempt - 1, 100)
        delay = min(delay, retry.max_delay)
        delay *= 1 + retry.jitter * _random.uniform(-1, 1)
        if not standing.giving_up:
            reason = standing.trouble or "the link was closed"
            self._log.info(
                "not connected to {server}: {reason}; next attempt in {delay:.1f} s",
                server=config.server,
                # What the transports say begins with the address.
                reason=reason.removeprefix(f"{config.server}: "),
                delay=delay,
            )
            standing.tell_tried()
        return delay
