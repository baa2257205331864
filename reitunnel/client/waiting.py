"""
Who waits for a client, and what they are told when it gives up.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from reitunnel.client.session import ClientSession
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.errors import (
    Code,
    ProtocolError,
    ReitunnelError,
    SessionRefused,
    TransportError,
    TunnelRefused,
)
from reitunnel.interfaces import ISession

_HOPELESS: Final = frozenset(
    {Code.AUTHENTICATION, Code.VERSION, Code.POLICY, Code.REFUSED, Code.UNSUPPORTED}
)
"""
A client that has never been let in gives up when it is refused for one of these.
"""


class Waiting:
    """
    The part of L{reitunnel.client.Client} that others wait for.
    """

    reactor: Any
    running: int
    wanted: list[ClientTunnel]
    _log: Logger
    _session: ClientSession | None
    _connecting: ClientService
    _trouble: str
    _waiting: list[Deferred[ISession]]
    _over: list[Deferred[None]]
    _tried: list[Deferred[None]]
    _hopeless: IDelayedCall | None
    _given_up: ReitunnelError | None
    _stopped: bool

    def when_connected(self) -> Deferred[ISession]:
        """
        Wait for a session.

        @return: fires with the session, at once if there is one. It fails with
            the reason when the client gives up, and with L{SessionRefused} when it
            is stopped.
        """
        waiting: Deferred[ISession] = Deferred(_forget_in(self._waiting))
        if self._session is not None:
            waiting.callback(self._session)
        elif self._given_up is not None:
            waiting.errback(self._given_up)
        else:
            self._waiting.append(waiting)
        return waiting

    def when_over(self) -> Deferred[None]:
        """
        Wait until the client has given up or has stopped.

        @return: fires when it was stopped, and fails with the reason when it
            gives up. If nobody waits, that is logged.
        """
        waiting: Deferred[None] = Deferred(_forget_in(self._over))
        if self._given_up is not None:
            waiting.errback(self._given_up)
        elif self._stopped:
            waiting.callback(None)
        else:
            self._over.append(waiting)
        return waiting

    def when_tried(self) -> Deferred[None]:
        """
        Wait for the first attempt to connect that comes to something.

        @return: fires when the client is let in, or is not and will try again. It
            never does if the client gives up or is stopped before.
        """
        waiting: Deferred[None] = Deferred(_forget_in(self._tried))
        if self._session is not None or (self._trouble and self._hopeless is None):
            waiting.callback(None)
        else:
            self._tried.append(waiting)
        return waiting

    def _tell_tried(self) -> None:
        tried, self._tried = self._tried, []
        for deferred in tried:
            deferred.callback(None)

    def _give_up_soon(self, error: ReitunnelError) -> None:
        """
        Give up in the reactor's next turn, when the L{ClientService} has taken note
        of the failure.
        """
        if self._hopeless is None and self.running:
            self._hopeless = self.reactor.callLater(0, self._give_up, error)

    def _give_up(self, error: ReitunnelError) -> None:
        """
        Try no more.
        """
        self._hopeless = None
        self._given_up = error
        if self._session is not None:
            self._session.close(Code.CLOSED, "the client gives up")
        self._connecting.stopService()
        over, self._over = self._over, []
        if not over:
            self._log.error("gave up: {reason}", reason=str(error))
        self._disappoint(error, TunnelRefused(Code.CLOSED, str(error)))
        for deferred in over:
            deferred.errback(error)

    def _disappoint(self, error: ReitunnelError, refused: TunnelRefused) -> None:
        """
        Tell all who wait for a session or a tunnel that they wait in vain.
        """
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.errback(error)
        for wanted in tuple(self.wanted):
            wanted.refused(refused)


def is_hopeless(error: ReitunnelError) -> bool:
    """
    Whether trying again will not help.
    """
    match error:
        case TransportError():
            return error.permanent
        case SessionRefused():
            return error.code in _HOPELESS
        case ProtocolError():
            return True
    return False


def _forget_in(waiting: list[Any]) -> Any:
    """
    Make a canceller that takes a Deferred off a list.
    """

    def forget(deferred: Deferred[Any]) -> None:
        if deferred in waiting:
            waiting.remove(deferred)

    return forget
