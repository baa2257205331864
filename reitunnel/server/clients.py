"""
Which clients a server has let in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError

from reitunnel.config import Limits
from reitunnel.errors import Code, Refused, SessionRefused
from reitunnel.hooks import HookManager, Opened
from reitunnel.server.limits import Places

if TYPE_CHECKING:
    from reitunnel.server.session import ServerSession


class Clients:
    """
    The sessions of the clients that are in: one for each name.
    """

    def __init__(
        self, limits: Limits, hooks: HookManager, is_stopping: Callable[[], bool]
    ) -> None:
        """
        @param hooks: asked about each client.
        @param is_stopping: whether the server takes nobody any more.
        """
        self._places = Places(limits.max_clients, limits.max_clients_per_identity)
        self._hooks = hooks
        self._is_stopping = is_stopping
        self._by_key: dict[tuple[str, str], ServerSession] = {}
        self._by_id: dict[bytes, ServerSession] = {}

    def __iter__(self) -> Iterator[ServerSession]:
        """
        The sessions as they are now, whatever comes of them meanwhile.
        """
        return iter(tuple(self._by_key.values()))

    def __len__(self) -> int:
        """
        How many there are.
        """
        return len(self._by_key)

    def by_id(self, number: bytes) -> ServerSession | None:
        """
        Find a session that goes on.
        """
        return self._by_id.get(number)

    def change(self, limits: Limits) -> None:
        """
        Set other limits. Who is in stays.
        """
        self._places.change(limits.max_clients, limits.max_clients_per_identity)

    async def let_in(self, session: ServerSession) -> Opened:
        """
        Ask the hooks, and take over from an older session of the same client.

        @return: who is owed C{on_client_disconnect}.
        @raise SessionRefused: when the client may not come in.
        """
        if session.key not in self._by_key:
            self._places.check(session.identity)
        try:
            opened = await self._hooks.decide_client_connect(session)
        except Refused as refused:
            raise SessionRefused(refused.code, str(refused)) from None
        except CancelledError:
            if session.end is None:
                raise
            raise SessionRefused(*session.end) from None
        try:
            self._admit(session)
        except SessionRefused as refused:
            self._hooks.notify_client_disconnect(
                opened, session, refused.code, refused.reason
            )
            raise
        return opened

    def over(self, session: ServerSession) -> None:
        """
        A session has ended.
        """
        if self._by_key.get(session.key) is session:
            del self._by_key[session.key]
            del self._by_id[bytes.fromhex(session.id)]
            self._places.give(session.identity)

    def _admit(self, session: ServerSession) -> None:
        """
        Let a client in that the hooks have allowed, in the place of an older session
        of the same client.

        @raise SessionRefused: when it may not come in any more.
        """
        if session.end is not None:
            raise SessionRefused(*session.end)
        if self._is_stopping():
            raise SessionRefused(Code.SHUTDOWN, "the server is stopping")
        older = self._by_key.get(session.key)
        if older is not None:
            older.close(Code.TAKEN_OVER, "the same client connected again")
        self._places.take(session.identity)
        self._by_key[session.key] = session
        self._by_id[bytes.fromhex(session.id)] = session
