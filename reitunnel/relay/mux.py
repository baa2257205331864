"""
The mux: a session over its control link, and its streams as transports.
"""

from __future__ import annotations

from typing import Final
from typing import Protocol as Structural

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.python.failure import Failure

from reitunnel.errors import Code, RemoteProtocolError
from reitunnel.relay.addresses import host_and_port
from reitunnel.relay.data_link import DataLink
from reitunnel.relay.direct import DirectPath
from reitunnel.relay.heartbeat import Heartbeat
from reitunnel.relay.link import Link
from reitunnel.relay.pipes import Pipes
from reitunnel.relay.stream import StreamTransport
from reitunnel.wire import events
from reitunnel.wire.events import Event
from reitunnel.wire.frames import MAX_PAYLOAD, Frame
from reitunnel.wire.messages import TunnelOpen
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


class MuxOwner(Structural):
    """
    Who is told of what concerns the whole session.
    """

    def tunnel_requested(self, request: TunnelOpen) -> None:
        """
        Server: the client asks for a tunnel.
        """

    def tunnel_accepted(self, tunnel: int, host: str, port: int) -> None:
        """
        Client: a tunnel is open.
        """

    def tunnel_ended(self, tunnel: int, code: Code, reason: str, refused: bool) -> None:
        """
        The peer refused or closed a tunnel.
        """

    def stream_opened(self, tunnel: int, stream: Stream, host: str, port: int) -> None:
        """
        The peer opened a stream: make a transport of it with
        L{Mux.transport_for}, or reset it.
        """

    def take_data_link(self, number: int) -> DataLink | None:
        """
        Client: the server has given a data link to a stream.

        @return: the data link, if it is there; it is not idle any more.
        """

    def peer_drains(self, code: Code, reason: str) -> None:
        """
        The peer takes no new tunnels and streams.
        """

    def mux_lost(self, code: Code, reason: str) -> None:
        """
        The session is over: every stream was told so.
        """


class Mux:
    """
    Drives a session over a link: frames in, frames out when the link has room,
    streams as transports, pings.

    @ivar session: the session on the wire.
    @ivar clock: for time-outs.
    @ivar high_water: how many queued bytes pause a stream's producer.
    @ivar pipes: for moving bytes in the kernel; L{None} does not.
    @ivar link: the control link.
    @ivar lost: whether the session is over.
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
    ) -> None:
        self.session = session
        self.clock = clock
        self.high_water = session.limits.chunk
        self.pipes = pipes
        self.link = link
        self.lost = False
        self.heartbeat = Heartbeat(
            clock, heartbeat_interval, heartbeat_timeout, self._ping, self._silent
        )
        self._owner = owner
        self._farewell: tuple[Code, str] | None = None
        limits = session.limits
        self._control_high = _CONTROL_HIGH + _CONTROL_EACH * (
            limits.max_streams + limits.max_tunnels
        )
        self._streams: dict[int, StreamTransport] = {}
        self._busy = False
        self._reading_paused = False

    def start(self) -> None:
        """
        Take the link over from the handshake.
        """
        self.link.reader.limit = MAX_PAYLOAD
        self.link.receiver = self
        self.heartbeat.start()

    def close(self, code: Code, reason: str) -> None:
        """
        End the session: the peer is told why, and the link is closed.
        """
        if not self.lost:
            self.session.goaway(code, reason)
            self._flush()
            # Room or not: the last words cannot wait.
            if last_words := self.session.data_to_send(0):
                self.link.write(last_words)
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
        The link is gone, and with it, in this version, the session. If the peer
        has said why it goes, that is the reason.
        """
        closed = reason.check(ConnectionDone) is not None
        text = "the peer closed the link" if closed else "the link was lost"
        code, text = self._farewell or (Code.LINK_LOST, text)
        if not self.lost:
            self.lost = True
            self._end(code, text)

    # The parts.

    def _settle(self) -> None:
        """
        Send and dispatch until nothing is left to do.
        """
        session = self.session
        busy, self._busy = self._busy, True
        try:
            while not self.lost:
                self._flush()
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

    def _flush(self) -> None:
        session, link = self.session, self.link
        while link.writable and session.wants_to_send:
            pieces = session.data_to_send(session.limits.chunk)
            if not pieces:
                break
            link.write(pieces)

    def _bound_answers(self) -> None:
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
        self.changed()
        for transport in tuple(self._streams.values()):
            transport.on_heartbeat()

    def _silent(self) -> None:
        self.abort(Code.TIMEOUT, "the link was silent")

    def _end(self, code: Code, reason: str) -> None:
        """
        Tell everyone that the session is over.
        """
        self.heartbeat.stop()
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
