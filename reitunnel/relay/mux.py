"""
The mux: a session over its control link, and its streams as transports.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.python.failure import Failure

from reitunnel.errors import Code, RemoteProtocolError
from reitunnel.relay.addresses import host_and_port
from reitunnel.relay.direct import DirectPath
from reitunnel.relay.heartbeat import Heartbeat
from reitunnel.relay.link import NOBODY, Link
from reitunnel.relay.outbox import Outbox
from reitunnel.relay.owner import MuxOwner
from reitunnel.relay.patience import Patience
from reitunnel.relay.pipes import Pipes
from reitunnel.relay.stream import StreamTransport
from reitunnel.wire import events
from reitunnel.wire.events import Event
from reitunnel.wire.frames import MAX_PAYLOAD, Frame
from reitunnel.wire.journal import Journal
from reitunnel.wire.session import Session
from reitunnel.wire.streams import Half, Stream

_CONTROL_HIGH: Final = 256 << 10
_CONTROL_EACH: Final = 256
"""
Bytes of answers waiting to be sent at which nothing more is read from the link: a
peer that asks and does not read what it asked for stops itself. To the first come
the second for each stream and tunnel that this side allows, which is more than what
is ever said about them at a time: otherwise two peers in order, with much to say to
each other at once, could both stop reading.
"""
_PROGRESS: Final = 64 << 10
"""
How many bytes have to come through on a link for it to have worked, unless the peer has
answered on it.
"""
_MORE: Final = 1 << 10
"""
How many bytes have to come through until the first answer on a link for it not to be
silent. Pings and what is said beside them are fewer: they may come from a peer that
hears nothing.
"""


class Mux:
    """
    Drives a session over a link: frames in, frames out when the link has room,
    streams as transports, pings.

    @ivar session: the session on the wire.
    @ivar clock: for time-outs.
    @ivar high_water: how many queued bytes pause a stream's producer.
    @ivar pipes: for moving bytes in the kernel; L{None} does not.
    @ivar link: the control link; the last one, if it is lost.
    @ivar lost: whether the session is over.
    @ivar detached: whether the link is lost and the session waits for another one.
    @ivar patience: how long it waits at the moment.
    @ivar grace: how long it waits, in seconds; with 0, as to begin with, it ends with
        its link.
    @ivar journal: what it can send again; L{None} if it cannot be resumed.
    @ivar heartbeat: the liveness of the link.
    """

    def __init__(
        self,
        session: Session,
        owner: MuxOwner,
        link: Link,
        clock: IReactorTime,
        *,
        heartbeat_interval: float,
        heartbeat_timeout: float,
        pipes: Pipes | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.session = session
        self.session.journal = self.journal = journal
        self.grace = 0.0
        self.clock = clock
        self.high_water = session.limits.chunk
        self.pipes = pipes
        self.link = link
        self.lost = False
        self.detached = False
        self.heartbeat = Heartbeat(
            clock, heartbeat_interval, heartbeat_timeout, self._ping, self._silent
        )
        self._owner = owner
        self._outbox = Outbox(session, journal)
        self._farewell: tuple[Code, str] | None = None
        limits = session.limits
        self._control_high = _CONTROL_HIGH + _CONTROL_EACH * (
            limits.max_streams + limits.max_tunnels
        )
        self._streams: dict[int, StreamTransport] = {}
        self._busy = False
        self._reading_paused = False
        self._reader = link.reader
        # How much the session has received on the links before this one, less what
        # belongs to the handshake of this one.
        self._before = 0
        self.patience = Patience(clock, heartbeat_interval, self._look_around)
        # Whether the first answer on a link that is not the first one is still to
        # come: it may have to wait for all that is sent again. And how much had come
        # through before that link, and when there was a sign of life last.
        self._catching_up = False
        self._gone_through = self._seen_alive = 0

    def start(self, handshake: int = 0) -> None:
        """
        Take the link over from the handshake.

        @param handshake: how many bytes of the link were the handshake's.
        """
        self._before = -handshake
        self._reader.limit = MAX_PAYLOAD
        self.link.receiver = self
        self.heartbeat.start()

    def detach(self, code: Code, reason: str) -> bool:
        """
        Go on without a link, until L{resume}, for as long as L{grace}. Without a time
        of grace, or a way to go on, the session ends.

        @param code: how it ends if there is no other link.
        @return: whether the session waits.
        """
        link, journal = self.link, self.journal
        if self.detached or self.lost:
            return self.detached
        if journal is None or not self.grace or link.feeding:
            self.abort(code, reason)
            return False
        journal.received = self._before + link.received
        self.detached = True
        self._reading_paused = False
        self.heartbeat.stop()
        link.receiver = NOBODY
        link.abort()
        if not self._catching_up or self._progress() - self._gone_through >= _PROGRESS:
            self.patience.renew()
        self.patience.begin(self.grace, lambda: self._end(code, reason))
        self._owner.mux_detached(reason)
        return True

    def can_resume(self, received: int) -> bool:
        """
        Whether the session can go on after the first C{received} bytes that the peer
        has had from this side.
        """
        return (
            self.journal is not None
            and not self.lost
            and self.journal.can_resume(received)
        )

    def resume(self, link: Link, received: int, handshake: int) -> None:
        """
        Go on over another link, after L{detach}.

        @param received: how many bytes the peer has had from this side;
            L{can_resume} holds for it.
        @param handshake: how many bytes of the link were the handshake's.
        """
        journal = self.journal
        assert journal is not None and self.detached
        self.patience.pause()
        self.detached = False
        self.link = link
        self._before = journal.received - handshake
        journal.resume(received)
        link.read_with(self._reader)
        link.receiver = self
        self._catching_up = True
        self._gone_through = self._seen_alive = self._progress()
        self.heartbeat.start()
        self._settle()

    def close(self, code: Code, reason: str) -> None:
        """
        End the session: the peer is told why, and the link is closed.
        """
        if not self.lost:
            self.session.goaway(code, reason)
            if not self.detached:
                self._outbox.say_last_words(self.link)
            self.lost = True
            self.link.close()
            self._end(code, reason)

    def abort(self, code: Code, reason: str) -> None:
        """
        End the session, and its link at once. After L{close}, cut the link off.
        """
        was_lost, self.lost = self.lost, True
        self.link.abort()
        if not was_lost:
            self._end(code, reason)

    def open_stream(
        self, tunnel: int, visitor: IAddress, host: IAddress, number: int
    ) -> StreamTransport:
        """
        Open a stream for a visitor.

        @param number: one from C{session.reserve_number}.
        """
        name, port = host_and_port(visitor)
        stream = self.session.open_stream(tunnel, name, port, number)
        transport = self.transport_for(stream, visitor, host)
        self.changed()
        return transport

    def transport_for(
        self, stream: Stream, visitor: IAddress, host: IAddress
    ) -> StreamTransport:
        """
        Make the transport of a stream. What came on it already is held.
        """
        transport = StreamTransport(self, stream, visitor, host)
        self._streams[stream.number] = transport
        return transport

    def changed(self) -> None:
        """
        Send what the session wants to send, unless that happens soon anyway.
        """
        if not self._busy:
            self._settle()

    # The link.

    def link_ready(self, link: Link) -> None:
        """
        The link was ready before the session began.
        """

    def frame_received(self, frame: Frame) -> None:
        """
        Give a frame to the session, and its events to whom they concern.
        """
        busy, self._busy = self._busy, True
        try:
            self.session.receive(frame)
            if self.session.events:
                self._dispatch()
        finally:
            self._busy = busy

    def batch_received(self) -> None:
        """
        Send what the frames led to.
        """
        if self.journal is not None:
            self.journal.received = self._before + self.link.received
            if self._catching_up and self._progress() - self._seen_alive >= _MORE:
                self._seen_alive = self._progress()
                self.heartbeat.alive()
        self._settle()

    def link_full(self) -> None:
        """
        C{link.writable} tells.
        """

    def link_writable(self) -> None:
        """
        Send what waited.
        """
        self._settle()

    def link_broken(self, error: RemoteProtocolError) -> None:
        """
        The peer broke the protocol.
        """
        self.close(error.code, error.reason)

    def link_lost(self, reason: Failure) -> None:
        """
        The link is gone. If the peer has said why it goes, so is the session, and
        that is the reason.
        """
        closed = reason.check(ConnectionDone) is not None
        text = "the peer closed the link" if closed else "the link was lost"
        if self._farewell is None:
            self.detach(Code.LINK_LOST, text)
        elif not closed and self._farewell[0] is Code.SHUTDOWN:
            # The peer may still have been waiting for its streams to end.
            self.detach(*self._farewell)
        elif not self.lost:
            self._end(*self._farewell)

    # The parts.

    def _settle(self) -> None:
        """
        Send and dispatch until nothing is left to do.
        """
        session = self.session
        busy, self._busy = self._busy, True
        try:
            while not self.lost:
                self._outbox.flush(self.link)
                if not session.events and not session.drained:
                    break
                drained, session.drained = session.drained, []
                for stream in drained:
                    transport = self._streams.get(stream.number)
                    if transport is not None:
                        transport.drained()
                self._dispatch()
        finally:
            self._busy = busy
        if not self.lost:
            self._bound_answers()

    def _bound_answers(self) -> None:
        if self.detached:
            return
        full = self.session.control_queued > self._control_high
        if full and not self._reading_paused:
            self._reading_paused = True
            self.link.pause_reading()
        elif self._reading_paused and not full:
            self._reading_paused = False
            self.link.resume_reading()

    def _dispatch(self) -> None:
        session = self.session
        while session.events and not self.lost:
            happened, session.events = session.events, []
            for event in happened:
                if not self.lost:
                    self._tell(event)

    def _tell(self, event: Event) -> None:
        match event:
            case events.DataReceived(stream, data):
                self._streams[stream.number].received(data)
            case events.EOFReceived(stream, raw):
                self._streams[stream.number].finished(raw)
            case events.StreamAccepted(stream):
                self._streams[stream.number].on_accepted()
            case events.SwitchSent(stream):
                if (path := self._path(stream)) is not None:
                    path.went_out()
            case events.LinkGiven(stream):
                self._link_given(stream)
            case events.PeerSwitched(stream):
                if (path := self._path(stream)) is not None:
                    path.peer_switched()
            case events.StreamReset(stream, code, reason):
                if (transport := self._streams.get(stream.number)) is not None:
                    transport.reset(code, reason)
            case events.StreamOver(stream):
                transport = self._streams.pop(stream.number, None)
                if transport is not None:
                    transport.over(*stream.end)
            case events.StreamOpened(stream, host, port):
                self._owner.stream_opened(stream.tunnel, stream, host, port)
            case events.PingAnswered(payload):
                self.heartbeat.answered(payload)
                self.session.round_trip = self.heartbeat.least_round_trip
                if self.heartbeat.round_trip is not None:
                    self._catching_up = False
            case events.TunnelRequested(request):
                self._owner.tunnel_requested(request)
            case events.TunnelAccepted(tunnel, host, port):
                self._owner.tunnel_accepted(tunnel, host, port)
            case events.TunnelEnded(tunnel, code, reason, refused):
                self._owner.tunnel_ended(tunnel, code, reason, refused)
            case events.GoingAway(code, reason):
                self._farewell = (code, reason)
                self._owner.peer_drains(code, reason)

    def _path(self, stream: Stream) -> DirectPath | None:
        transport = self._streams.get(stream.number)
        return None if transport is None else transport.path

    def _link_given(self, stream: Stream) -> None:
        data_link = self._owner.take_data_link(stream.link)
        transport = self._streams.get(stream.number)
        if data_link is None:
            if transport is not None:
                transport.abort(Code.LINK_LOST, "the data link is gone")
        elif transport is None:
            data_link.abort()
        else:
            transport.attach(data_link)

    def _ping(self, payload: bytes) -> None:
        if self.session.peer_overdue:
            self.close(Code.PROTOCOL, "resets are not answered")
            return
        self.session.ping(payload)
        if self.journal is not None:
            self.journal.acknowledge_soon()
        self.changed()
        self._look_around()

    def _look_around(self) -> None:
        for transport in tuple(self._streams.values()):
            transport.on_heartbeat()

    def _silent(self) -> None:
        self.detach(Code.TIMEOUT, "the link was silent")

    def _progress(self) -> int:
        """
        How many bytes of the session are known to have come through, in both
        directions.
        """
        journal = self.journal
        return 0 if journal is None else journal.acknowledged + journal.received

    def _end(self, code: Code, reason: str) -> None:
        """
        Tell everyone that the session is over.
        """
        self.lost = True
        self.detached = False
        self.patience.pause()
        self.heartbeat.stop()
        if self.journal is not None:
            self.journal.clear()
        closed = self.link.closed
        streams, self._streams = self._streams, {}
        for transport in streams.values():
            said = transport.stream
            if said.local is Half.ENDED and said.remote is Half.ENDED:
                transport.over(*said.end, closed)
            else:
                transport.over(_as_loss(code), reason, closed)
        self._owner.mux_lost(code, reason)


def _as_loss(code: Code) -> Code:
    """
    A stream that did not end in order did not end with C{NONE}.
    """
    return code if code is not Code.NONE else Code.LINK_LOST
