"""
A client on its way back: hooks are asked about the link on which its session is to go
on.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from reitunnel.errors import Code, Refused
from reitunnel.interfaces import ILinkFacts

if TYPE_CHECKING:
    from reitunnel.server.session import ServerSession


class Returning:
    """
    The time in which hooks decide. There is one for a session at a time: the newest.
    """

    def __init__(
        self,
        session: ServerSession,
        facts: ILinkFacts,
        outdated: Callable[[Code, str], None],
    ) -> None:
        """
        @param facts: of the new link.
        @param outdated: told when nobody needs the answer any more. It gives up what
            happens inside of this.
        """
        self._session = session
        self._facts = facts
        self._former = session.facts
        self._outdated = outdated

    def __enter__(self) -> Self:
        """
        Take the place of one that still waits.
        """
        session = self._session
        if session.on_its_way is not None:
            session.on_its_way.give_up(Code.LINK_LOST, "the client has another link")
        self._former = session.facts
        session.facts = self._facts
        session.on_its_way = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """
        Unless the client was allowed, and so has this link, it has what it had.
        """
        self._leave()

    def allowed(self) -> None:
        """
        The client may come back on this link.
        """
        self._former = self._facts
        self._session.barred = False

    def refused(self, refused: Refused) -> None:
        """
        It may not. If that is not passing, it has no other link, and gets none: nobody
        waits for it.
        """
        session = self._session
        if refused.passing:
            session.barred = True
        else:
            # Not this link is told that it is outdated; and what is said of the end is
            # said of where the client came from.
            self._leave(self._facts)
            session.close(refused.code, str(refused))

    def give_up(self, code: Code, reason: str) -> None:
        """
        Nobody needs the answer any more.
        """
        self._leave()
        self._outdated(code, reason)

    def _leave(self, facts: ILinkFacts | None = None) -> None:
        session = self._session
        if session.on_its_way is self:
            session.on_its_way = None
            session.facts = facts or self._former
