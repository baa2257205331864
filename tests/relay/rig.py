"""
Two muxes back to back, over a connection in memory, and programs that sit at the
ends of their streams.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock

from reitunnel.errors import Code
from reitunnel.relay import DataLink, Link, Mux, SocketEnd, StreamTransport, join
from reitunnel.wire.frames import Frame, FrameReader
from reitunnel.wire.handshake import handshake_reader
from reitunnel.wire.journal import Journal
from reitunnel.wire.messages import TunnelOpen
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import Stream
from tests.relay.memory import (
    HERE,
    ROOM,
    THERE,
    MemorySocket,
    MemoryTransport,
    Remote,
    connect,
)

TUNNEL = 1
GRACE = 60.0
"""How long a session without a link waits, in seconds, if it can."""


class Owner:
    """
    Writes down what a mux tells its owner.

    @ivar told: the name and the arguments of each call, in order.
    @ivar on_stream: called with each stream that the peer opens.
    @ivar data_links: those that are given to streams when they are asked for.
    """

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.on_stream: Callable[[Stream], None] = lambda _: None
        self.data_links: dict[int, DataLink] = {}

    def tunnel_requested(self, request: TunnelOpen) -> None:
        self.told.append(("tunnel_requested", request.tunnel))

    def tunnel_accepted(self, tunnel: int, host: str, port: int) -> None:
        self.told.append(("tunnel_accepted", tunnel, host, port))

    def tunnel_ended(self, tunnel: int, code: Code, reason: str, refused: bool) -> None:
        self.told.append(("tunnel_ended", tunnel, code, reason, refused))

    def stream_opened(self, tunnel: int, stream: Stream, host: str, port: int) -> None:
        self.told.append(("stream_opened", tunnel, host, port))
        self.on_stream(stream)

    def take_data_link(self, number: int) -> DataLink | None:
        self.told.append(("take_data_link", number))
        return self.data_links.pop(number, None)

    def peer_drains(self, code: Code, reason: str) -> None:
        self.told.append(("peer_drains", code, reason))

    def mux_detached(self, reason: str) -> None:
        self.told.append(("mux_detached", reason))

    def mux_lost(self, code: Code, reason: str) -> None:
        self.told.append(("mux_lost", code, reason))


class NoFrames:
    """
    Receives what comes before a mux takes the link over: nothing.
    """

    def link_ready(self, link: Link) -> None:
        pass

    def frame_received(self, frame: Frame) -> None:
        raise AssertionError(frame)

    def batch_received(self) -> None:
        raise AssertionError

    def link_full(self) -> None:
        raise AssertionError

    def link_writable(self) -> None:
        raise AssertionError

    def link_broken(self, error: Exception) -> None:
        raise error

    def link_lost(self, reason: object) -> None:
        raise AssertionError(reason)


class Side:
    """
    One mux, its owner and its end of the link.
    """

    def __init__(
        self, role: Role, limits: SessionLimits, clock: Clock, keeps: int | None
    ) -> None:
        self.owner = Owner()
        self.session = Session(role, limits)
        self.session.direct = True
        self.link = Link(handshake_reader(), NoFrames(), clock)
        self.mux = Mux(
            self.session,
            self.owner,
            self.link,
            clock,
            heartbeat_interval=10,
            heartbeat_timeout=30,
            journal=None if keeps is None else Journal(keeps),
        )
        self.mux.grace = GRACE
        self.transport: MemoryTransport

    def told(self, name: str) -> list[list[Any]]:
        """
        Give the arguments of the calls of one name.
        """
        return [arguments for called, *arguments in self.owner.told if called == name]


def received(side: Side) -> int:
    """
    Say how many bytes of the session a side has had.
    """
    assert side.mux.journal is not None
    return side.mux.journal.received


class DataLinkPair:
    """
    A data link of a session, and its two ends.

    @ivar server: the server's.
    @ivar client: the client's.
    @ivar near: the connection's end at the server.
    @ivar far: the connection's end at the client.
    @ivar lost: who was told that it is lost while it was idle.
    """

    def __init__(self, rig: Rig, number: int, kind: type[MemoryTransport]) -> None:
        self.lost: list[DataLink] = []
        self.server = self._make(rig, number, peer_gives=False)
        self.client = self._make(rig, number, peer_gives=True)
        self.near, self.far = rig.connect(self.server.link, self.client.link, kind)
        for end in (self.server, self.client):
            end.start()

    def _make(self, rig: Rig, number: int, *, peer_gives: bool) -> DataLink:
        return DataLink(
            number,
            Link(FrameReader(), NoFrames(), rig.clock),
            rig.clock,
            heartbeat_interval=10,
            heartbeat_timeout=30,
            peer_gives=peer_gives,
            on_lost=partial(self._lost, rig),
        )

    def _lost(self, rig: Rig, data_link: DataLink) -> None:
        self.lost.append(data_link)
        if data_link is self.client:
            del rig.idle[data_link.number]

    def stall(self, stalled: bool = True) -> None:
        """
        Let the network bring nothing, or bring everything again.
        """
        self.near.stalled = self.far.stalled = stalled

    def cut(self) -> None:
        """
        Break the connection: the server sees it first.
        """
        self.near.cut()
        self.far.cut()


class Rig:
    """
    A server and a client with one open tunnel between them.

    @ivar clock: the clock of everything.
    @ivar idle: the data links that are idle as far as the client knows, by number.
    @ivar visitors: the streams' transports at the server, in order.
    @ivar targets: the streams' transports at the client, in order.
    """

    def __init__(
        self,
        limits: SessionLimits | None = None,
        *,
        link: type[MemoryTransport] = MemorySocket,
        room: int = ROOM,
        keeps: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """
        @param keeps: how many unacknowledged bytes each side keeps; L{None} is for
            sessions that end with their link.
        @param limits: of both sides.
        @param link: what the link is.
        @param room: of the link and of every other connection.
        @param clock: the clock, or what is one too.
        """
        limits = limits or SessionLimits()
        self.clock = clock or Clock()
        self.server = Side(Role.SERVER, limits, self.clock, keeps)
        self.client = Side(Role.CLIENT, limits, self.clock, keeps)
        self.sides = (self.server, self.client)
        self.ends: list[MemoryTransport] = []
        self._room = room
        self._kind = link
        self.connect(self.server.link, self.client.link, link)
        self.server.transport, self.client.transport = self.ends
        for side in self.sides:
            side.mux.start()
        self.client.session.open_tunnel(TunnelOpen(TUNNEL, "tcp"))
        self.client.mux.changed()
        self.settle()
        self.server.session.accept_tunnel(TUNNEL, HERE.host, HERE.port)
        self.server.mux.changed()
        self.settle()
        self.visitors: list[StreamTransport] = []
        self.targets: list[StreamTransport] = []
        self.idle = self.client.owner.data_links
        self._last_number = 0
        self.client.owner.on_stream = self._stream_opened

    def connect(
        self,
        near: IProtocol,
        far: IProtocol,
        kind: type[MemoryTransport] = MemorySocket,
    ) -> tuple[MemoryTransport, MemoryTransport]:
        """
        Make a connection whose ends take part in L{settle}.
        """
        ends = connect(near, far, self.clock, kind, self._room)
        self.ends += ends
        return ends

    def cut(self, *sides: Side) -> None:
        """
        Break the control link: all that is on its way is lost.

        @param sides: who notices; both, if none is given.
        """
        for side in self.sides:
            side.transport.outgoing.clear()
            side.transport.stalled = True
        for side in sides or self.sides:
            side.transport.cut()

    def relink(self) -> None:
        """
        Give the session another control link, as the handshake does.
        """
        links = [Link(handshake_reader(), NoFrames(), self.clock) for _ in self.sides]
        for side in self.sides:
            assert side.mux.detach(Code.LINK_LOST, "another link")
        ends = self.connect(links[0], links[1], self._kind)
        heard = [received(side) for side in self.sides]
        for side, link, end, other in zip(
            self.sides, links, ends, reversed(heard), strict=True
        ):
            assert side.mux.can_resume(other)
            side.link, side.transport = link, end
            side.mux.resume(link, other, 0)

    def turn(self, size: int = ROOM) -> bool:
        """
        Let everything that can happen now happen once.
        """
        self.clock.advance(0)
        happened = False
        for end in tuple(self.ends):
            happened = end.turn(size) or happened
        return happened

    def settle(self, size: int = ROOM) -> None:
        """
        Let things happen until nothing does any more.
        """
        for _ in range(20_000):
            if not self.turn(size):
                break
        else:
            raise AssertionError("it does not end")
        self.clock.advance(0)

    def offer_stream(self) -> StreamTransport:
        """
        Open a stream at the server; the client hears of it but does not accept it.

        @return: the server's end.
        """
        session = self.server.session
        visitor = self.server.mux.open_stream(
            TUNNEL, THERE, HERE, session.reserve_number()
        )
        self.visitors.append(visitor)
        self.settle()
        return visitor

    def open_stream(self) -> tuple[StreamTransport, StreamTransport]:
        """
        Open a stream, all the way.

        @return: the server's and the client's end.
        """
        visitor = self.offer_stream()
        target = self.targets[-1]
        target.accept()
        self.settle()
        return visitor, target

    def stream_between(
        self, near: IProtocol, far: IProtocol
    ) -> tuple[StreamTransport, StreamTransport]:
        """
        Open a stream and give its ends to two protocols: the first one sits where
        visitors do.
        """
        visitor, target = self.open_stream()
        visitor.connect(near)
        target.connect(far)
        self.settle()
        return visitor, target

    def data_link(self, kind: type[MemoryTransport] = MemorySocket) -> DataLinkPair:
        """
        Make a data link, which is idle.
        """
        self._last_number += 1
        pair = DataLinkPair(self, self._last_number, kind)
        self.idle[pair.client.number] = pair.client
        self.settle()
        return pair

    def stall(self, stalled: bool = True) -> None:
        """
        Let the network bring nothing on the control link, or bring everything again.
        """
        for side in self.sides:
            side.transport.stalled = stalled

    def socket(self, remote: Remote) -> SocketEnd:
        """
        Connect a program to a socket that is to be joined to a stream.
        """
        end = SocketEnd(lambda _: None, lambda: None)
        self.connect(end, remote)
        return end

    def pumped(self) -> tuple[Remote, Remote]:
        """
        Open a stream with a pump at each end.

        @return: the visitor and the target.
        """
        visitor, target = Remote(), Remote()
        near, far = self.open_stream()
        join(self.socket(visitor), near)
        join(self.socket(target), far)
        self.settle()
        return visitor, target

    def close(self) -> None:
        """
        End the session.
        """
        self.client.mux.close(Code.CLOSED, "the test is over")
        self.settle()

    def leftovers(self) -> list[object]:
        """
        What is left that should not be, once every stream is over: the heartbeats
        of the session and of idle data links may tick.
        """
        left: list[object] = []
        for side in self.sides:
            left += side.session.streams.values()
            left += side.session.events
            left += side.session.drained
            if side.session.promised:
                left.append(("promised", side.session.promised))
        ticking = 2 * sum(not side.mux.lost for side in self.sides)
        ticking += 4 * len(self.idle)
        if len(self.clock.getDelayedCalls()) != ticking:
            left += self.clock.getDelayedCalls()
        return left

    def _stream_opened(self, stream: Stream) -> None:
        self.targets.append(self.client.mux.transport_for(stream, THERE, HERE))
