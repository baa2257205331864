"""
The tunnels of one session of the client: asked for, open, and asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from reitunnel.client.asked import AskedTunnel
from reitunnel.client.retries import Retries
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.errors import Code, TunnelRefused
from reitunnel.interfaces import ITunnel
from reitunnel.relay import TunnelRecord, joined

if TYPE_CHECKING:
    from reitunnel.client.session import ClientSession

_PASSING: Final = frozenset({Code.ADDRESS_IN_USE, Code.LIMIT, Code.INTERNAL})
"""A tunnel that was refused for one of these is asked for again."""
_OCCUPIED: Final = frozenset({Code.ADDRESS_IN_USE, Code.POLICY})
"""
When a port that the server had chosen before is refused for one of these, it may
choose another.
"""


class SessionTunnels:
    """
    Asks the server for tunnels, and knows which are there.
    """

    def __init__(
        self, session: ClientSession, finished: Callable[[], None], log: Logger
    ) -> None:
        """
        @param finished: told when one is over, and the hooks know.
        @param log: the session's.
        """
        self._session = session
        self._finished = finished
        self._log = log
        self._by_number: dict[int, AskedTunnel] = {}
        self._unfinished: dict[AskedTunnel, None] = {}
        self._next_number = 1
        self._retries = Retries(session.client.reactor, self.ask)

    @property
    def open(self) -> Sequence[ITunnel]:
        """
        Those that are open, as they are now.
        """
        return tuple(
            tunnel.record
            for tunnel in self._by_number.values()
            if tunnel.record.address is not None and not tunnel.record.ended
        )

    @property
    def all_over(self) -> bool:
        """
        Whether there is none of which the hooks do not know the end.
        """
        return not self._unfinished

    def find(self, number: int) -> AskedTunnel | None:
        """
        Find one that is asked for or open.
        """
        tunnel = self._by_number.get(number)
        return None if tunnel is None or tunnel.record.ended else tunnel

    def ask(self, wanted: ClientTunnel) -> None:
        """
        Ask the server for a tunnel, unless that was done or nothing new is taken
        any more.
        """
        session = self._session
        if session.draining or session.end is not None:
            return
        if wanted.closed or wanted.record is not None:
            return
        tunnel = AskedTunnel(session, self, wanted, self._next_number)
        self._next_number += 1
        self._by_number[tunnel.record.id] = tunnel
        self._unfinished[tunnel] = None
        tunnel.start()

    def close(self, wanted: ClientTunnel, code: Code, reason: str) -> None:
        """
        The client does not want a tunnel any more.
        """
        self._retries.forget(wanted)
        for tunnel in tuple(self._by_number.values()):
            if tunnel.wanted is wanted and not tunnel.record.ended:
                tunnel.close(code, reason)

    def end(self, code: Code, reason: str) -> None:
        """
        The session is over.
        """
        self._retries.stop()
        for tunnel in tuple(self._unfinished):
            tunnel.end(code, reason)

    # What the server says.

    def accepted(self, number: int, host: str, port: int) -> None:
        """
        It has opened a tunnel.
        """
        tunnel = self.find(number)
        if tunnel is not None:
            tunnel.accepted(host, port)
            tunnel.wanted.granted = port
            self._retries.forget(tunnel.wanted)
            tunnel.wanted.opened()

    def ended(self, number: int, code: Code, reason: str, refused: bool) -> None:
        """
        It refused or closed a tunnel. One that it closed is asked for again in the
        next session.
        """
        tunnel = self.find(number)
        if tunnel is not None:
            tunnel.end(code, reason)
            if refused:
                self.refused(tunnel, TunnelRefused(code, reason))

    # What the tunnels tell.

    def refused(self, tunnel: AskedTunnel, error: TunnelRefused) -> None:
        """
        A tunnel was refused: tell, and ask again later if that may help.
        """
        wanted, record = tunnel.wanted, tunnel.record
        if error.code in _OCCUPIED and wanted.granted and not wanted.port:
            wanted.granted = 0
            self.ask(wanted)
            return
        self._log.warn(
            "tunnel {public} -> {target} refused: {reason}",
            public=_asked_for(record),
            target=record.target,
            code=error.code.name,
            reason=str(error),
        )
        if error.code is Code.SHUTDOWN:
            # The next session may bring it.
            return
        wanted.refused(error)
        if error.code in _PASSING and not wanted.closed and self._session.end is None:
            self._retries.wait(wanted)

    def over(self, tunnel: AskedTunnel) -> None:
        """
        A tunnel is over, and the hooks know.
        """
        self._unfinished.pop(tunnel, None)
        self._by_number.pop(tunnel.record.id, None)
        self._finished()


def _asked_for(record: TunnelRecord) -> str:
    return joined(record.bind, record.port) if record.bind else str(record.port)
