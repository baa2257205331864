"""
Two sessions back to back, over two byte pipes.
"""

from __future__ import annotations

from typing import TypeVar

from reitunnel.wire.events import (
    Event,
    StreamOpened,
    TunnelAccepted,
    TunnelRequested,
)
from reitunnel.wire.frames import FrameReader
from reitunnel.wire.messages import TunnelOpen
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import Stream

AnyEvent = TypeVar("AnyEvent", bound=Event)

PING = b"12345678"


class Peer:
    """
    One side: its session, and the bytes that are on their way to it.
    """

    def __init__(self, role: Role, limits: SessionLimits) -> None:
        self.session = Session(role, limits)
        self.session.direct = True
        self.reader = FrameReader()
        self.arriving = bytearray()

    def read(self, size: int) -> None:
        """
        Read at most C{size} of the bytes that are on their way.
        """
        data = bytes(self.arriving[:size])
        del self.arriving[:size]
        self.hear(data)

    def hear(self, data: bytes) -> None:
        """
        Hear these bytes, whether anybody sent them or not.
        """
        for frame in self.reader.feed(data):
            self.session.receive(frame)

    def events(self) -> list[Event]:
        """
        Take what happened.
        """
        happened = list(self.session.events)
        self.session.events.clear()
        return happened

    def event(self, kind: type[AnyEvent]) -> AnyEvent:
        """
        Take the only thing that happened.
        """
        (event,) = self.events()
        assert isinstance(event, kind), event
        return event


class Peers:
    """
    Both sides.
    """

    def __init__(
        self,
        client: SessionLimits | None = None,
        server: SessionLimits | None = None,
    ) -> None:
        self.client = Peer(Role.CLIENT, client or SessionLimits())
        self.server = Peer(Role.SERVER, server or SessionLimits())

    @property
    def both(self) -> tuple[Peer, Peer]:
        """
        The client and the server.
        """
        return self.client, self.server

    def other(self, peer: Peer) -> Peer:
        """
        Give the far side.
        """
        return self.server if peer is self.client else self.client

    def send(self, peer: Peer, budget: int = 1 << 20) -> int:
        """
        Put what a side wants to send on its way.

        @return: the number of bytes.
        """
        data = b"".join(peer.session.data_to_send(budget))
        self.other(peer).arriving += data
        return len(data)

    def settle(self) -> None:
        """
        Carry bytes both ways until nobody has more to say.
        """
        while True:
            for peer in self.both:
                self.send(peer)
            if not any(peer.arriving for peer in self.both):
                break
            for peer in self.both:
                peer.read(len(peer.arriving))

    def open_tunnel(self, number: int = 1) -> None:
        """
        Open a tunnel, all the way.
        """
        self.client.session.open_tunnel(TunnelOpen(number, "tcp"))
        self.settle()
        self.server.event(TunnelRequested)
        self.server.session.accept_tunnel(number, "192.0.2.1", 6000)
        self.settle()
        self.client.event(TunnelAccepted)

    def offer_stream(self, tunnel: int = 1) -> tuple[Stream, Stream]:
        """
        Open a stream that the client has not accepted yet.

        @return: the client's and the server's view of it.
        """
        theirs = self.server.session.open_stream(tunnel, "198.51.100.7", 40000)
        self.settle()
        return self.client.event(StreamOpened).stream, theirs

    def open_stream(self, tunnel: int = 1) -> tuple[Stream, Stream]:
        """
        Open a stream, all the way.

        @return: the client's and the server's view of it.
        """
        mine, theirs = self.offer_stream(tunnel)
        self.client.session.accept_stream(mine)
        self.settle()
        self.server.events()
        return mine, theirs
