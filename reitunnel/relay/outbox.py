"""
What goes out on a control link, and in which order.
"""

from __future__ import annotations

from reitunnel.relay.link import Link
from reitunnel.wire.frames import MAX_PAYLOAD
from reitunnel.wire.journal import RESERVE, Journal
from reitunnel.wire.session import Session


class Outbox:
    """
    Takes from a session what it wants to send, and gives it to the link as long as that
    has room: what is to be sent again first, then C{ACK}, then the session's frames.
    """

    def __init__(self, session: Session, journal: Journal | None) -> None:
        """
        @param journal: keeps what is sent; L{None} does not.
        """
        self._session = session
        self._journal = journal

    def flush(self, link: Link) -> None:
        """
        Send what can be sent now.
        """
        session, chunk = self._session, self._session.limits.chunk
        if (journal := self._journal) is None:
            while link.writable and session.wants_to_send:
                pieces = session.data_to_send(chunk)
                if not pieces:
                    break
                link.write(pieces)
            return
        # This runs for each piece of data: it asks for little, and calls less.
        while link.writable:
            if journal.replaying:
                link.send(journal.replay(chunk))
                continue
            pieces = []
            if journal.received >= journal.acknowledge_at:
                pieces.append(journal.acknowledgement())
            if session.wants_to_send and (room := journal.room) > -RESERVE:
                pieces += session.data_to_send(chunk if room > 0 else 0)
            if not pieces:
                break
            # What the transport gets is what is kept: nothing is copied.
            data = b"".join(pieces)
            journal.append(data)
            link.send(data)

    def say_last_words(self, link: Link) -> None:
        """
        Send every frame that is not C{DATA}, room or not: the link is about to be
        closed.
        """
        self.flush(link)
        journal = self._journal
        while journal is not None and journal.replaying:
            link.send(journal.replay(MAX_PAYLOAD))
        if last_words := self._session.data_to_send(0):
            link.write(last_words)
