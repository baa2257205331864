"""
What the pages know of the server or client that they show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol as Structural
from typing import cast

from reitunnel.hooks import HookManager
from reitunnel.interfaces import ILinkFacts, ISession, IStream, ITunnel
from reitunnel.relay import Mux, StreamRecord, StreamTransport


class Watched(Structural):
    """
    A server or a client.
    """

    @property
    def name(self) -> str | None:
        """
        C{reitunnel server} or C{reitunnel client}.
        """

    @property
    def hooks(self) -> HookManager:
        """
        The hooks.
        """

    @property
    def sessions(self) -> Sequence[ISession]:
        """
        The sessions that go on.
        """

    @property
    def unready(self) -> str:
        """
        Why it is of no use now, in a few words; empty if it is.
        """


class WatchedSession(Structural):
    """
    A session that goes on, with what carries it.
    """

    identity: str
    instance: str
    facts: ILinkFacts
    opened_at: float
    mux: Mux

    @property
    def link_up(self) -> bool:
        """
        Whether the control link is there.
        """

    @property
    def tunnels(self) -> Sequence[ITunnel]:
        """
        Its open tunnels.
        """

    @property
    def data_links(self) -> tuple[int, int]:
        """
        How many data links are idle, and how many in use.
        """


def side_of(watched: Watched) -> str:
    """
    C{server} or C{client}.
    """
    return (watched.name or "").rpartition(" ")[2]


def sessions_of(watched: Watched) -> Iterator[WatchedSession]:
    """
    The sessions whose link has begun to carry frames.
    """
    for session in watched.sessions:
        if getattr(session, "mux", None) is not None:
            yield cast(WatchedSession, session)


def transport_of(stream: IStream) -> StreamTransport | None:
    """
    What carries a stream, while it is open.
    """
    return stream.transport if isinstance(stream, StreamRecord) else None


def in_kernel(stream: IStream) -> tuple[bool, bool]:
    """
    Whether the kernel moves what the visitor of a stream sends, and what it gets.
    """
    return stream.in_kernel if isinstance(stream, StreamRecord) else (False, False)
