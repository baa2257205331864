"""
A client's attempts to connect: where they go to, and how long it waits between them.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
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
        self._service = ClientService(
            SessionEndpoint(client, self._endpoint),
            Factory.forProtocol(SessionProtocol),
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
            return 0.0
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
