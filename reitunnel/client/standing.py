"""
Where a client stands, and who waits to hear of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from reitunnel.errors import (
    Code,
    ProtocolError,
    ReitunnelError,
    SessionRefused,
    TransportError,
)
from reitunnel.interfaces import ISession
from reitunnel.waiters import Waiters

if TYPE_CHECKING:
    from reitunnel.client.session import ClientSession

_HOPELESS: Final = frozenset(
    {Code.AUTHENTICATION, Code.VERSION, Code.POLICY, Code.REFUSED, Code.UNSUPPORTED}
)
"""
A client that has never been let in gives up when it is refused for one of these.
"""


class Standing:
    """
    Whether a client has a session, tries to get one, has given up, or was stopped.

    @ivar session: the session with the server, while there is one.
    @ivar trouble: why there is no session, or no link, as far as is known.
    @ivar given_up: why the client has given up, once it has.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.session: ClientSession | None = None
        self.trouble = ""
        self.given_up: ReitunnelError | None = None
        self._clock = clock
        self._was_in = False
        self._stopped = False
        self._giving_up: IDelayedCall | None = None
        self._connected: Waiters[ISession] = Waiters()
        self._tried: Waiters[None] = Waiters()
        self._over: Waiters[None] = Waiters()

    @property
    def waiting_session(self) -> ClientSession | None:
        """
        The session, if it waits for another link.
        """
        session = self.session
        return session if session is not None and session.mux.detached else None

    @property
    def giving_up(self) -> bool:
        """
        Whether the client gives up in the reactor's next turn.
        """
        return self._giving_up is not None

    @property
    def end_awaited(self) -> bool:
        """
        Whether somebody waits for the client to be over.
        """
        return bool(self._over)

    # Who waits.

    def when_connected(self) -> Deferred[ISession]:
        """
        See L{reitunnel.client.Client.when_connected}.
        """
        if self.session is not None:
            return succeed(self.session)
        if self.given_up is not None:
            return fail(self.given_up)
        return self._connected.wait()

    def when_over(self) -> Deferred[None]:
        """
        See L{reitunnel.client.Client.when_over}.
        """
        if self.given_up is not None:
            return fail(self.given_up)
        if self._stopped:
            return succeed(None)
        return self._over.wait()

    def when_tried(self) -> Deferred[None]:
        """
        See L{reitunnel.client.Client.when_tried}.
        """
        if self.session is not None or (self.trouble and not self.giving_up):
            return succeed(None)
        return self._tried.wait()

    # What the client tells.

    def started(self) -> None:
        """
        It begins to connect.
        """
        self.given_up = None
        self._stopped = False

    def begun(self, session: ClientSession) -> None:
        """
        The server has let it in. Those who wait are told by L{tell_connected}.
        """
        self.session = session
        self.trouble = ""
        self._was_in = True

    def tell_connected(self, session: ClientSession) -> None:
        """
        Tell who waits for a session.
        """
        self.tell_tried()
        self._connected.tell(session)

    def ended(self, session: ClientSession, reason: str) -> None:
        """
        A session is over.
        """
        if self.session is session:
            self.session = None
        self.trouble = reason

    def failed(self, error: ReitunnelError) -> bool:
        """
        An attempt to begin a session failed.

        @return: whether nothing can be won by trying again.
        """
        self.trouble = str(error)
        return not self._was_in and _is_hopeless(error)

    def tell_tried(self) -> None:
        """
        An attempt has come to something: tell who waits for that.
        """
        self._tried.tell(None)

    def give_up_soon(
        self, error: ReitunnelError, give_up: Callable[[ReitunnelError], None]
    ) -> None:
        """
        Give up in the reactor's next turn, unless that is to be done anyway.
        """
        if self._giving_up is None:
            self._giving_up = self._clock.callLater(0, give_up, error)

    def gives_up(self, error: ReitunnelError) -> None:
        """
        It tries no more. Those who wait are told by L{disappoint} and
        L{tell_given_up}.
        """
        self._giving_up = None
        self.given_up = error

    def does_not_give_up(self) -> None:
        """
        It is stopped before it would have given up.
        """
        giving_up, self._giving_up = self._giving_up, None
        if giving_up is not None:
            giving_up.cancel()

    def disappoint(self, error: ReitunnelError) -> None:
        """
        Tell all who wait for a session that they wait in vain.
        """
        self._connected.fail(error)

    def tell_given_up(self, error: ReitunnelError) -> None:
        """
        Tell who waits for the end that the client has given up.
        """
        self._over.fail(error)

    def stopped(self) -> None:
        """
        It was stopped: tell who waits for the end.
        """
        self.given_up = None
        self._stopped = True
        self._over.tell(None)


def _is_hopeless(error: ReitunnelError) -> bool:
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
