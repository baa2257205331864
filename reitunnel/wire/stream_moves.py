"""
The moves of streams: what the owner commands, and what the peer says.
"""

from __future__ import annotations

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire import events, messages
from reitunnel.wire.books import FIRST_NUMBER, Role, SessionBooks
from reitunnel.wire.frames import Buffer, Frame, FrameKind, encode_frame
from reitunnel.wire.messages import (
    clip,
    decode_message,
    decode_number,
    decode_total,
    encode_message,
    encode_number,
    encode_total,
    known_code,
)
from reitunnel.wire.streams import EARLY_CREDIT, MAX_CREDIT, Half, Stream
from reitunnel.wire.tunnels import TunnelHalf


class StreamMoves(SessionBooks):
    """
    A session's streams.
    """

    # What the owner commands.

    def reserve_number(self) -> int:
        """
        Take a number for a stream that is to be opened later, or never.
        """
        number = self._next_number
        while number in self.streams:
            number = self._after(number)
        self._next_number = self._after(number)
        return number

    def open_stream(
        self, tunnel: int, host: str, port: int, number: int | None = None
    ) -> Stream:
        """
        Open a stream for a visitor from C{host} and C{port}.

        @param number: one from L{reserve_number}.
        @raise LocalProtocolError: when the tunnel is not open.
        """
        self._check_role(FrameKind.STREAM_OPEN)
        owner = self._local_tunnel(tunnel)
        if owner.local is not TunnelHalf.OPEN:
            raise LocalProtocolError(f"tunnel {tunnel} is not open")
        if number is None or number in self.streams:
            number = self.reserve_number()
        window = self._first_window()
        stream = Stream(
            number, tunnel, opener=True, send_credit=EARLY_CREDIT, window=window
        )
        opened = messages.StreamOpen(tunnel, window, host, port)
        frame = encode_message(FrameKind.STREAM_OPEN, opened, number)
        self._add(stream, owner)
        stream.opening = self._send(frame)
        return stream

    def accept_stream(self, stream: Stream) -> None:
        """
        Accept a stream: its target is connected. On one that is reset already
        this does nothing.
        """
        if stream.local is Half.ENDED:
            return
        stream.say(FrameKind.STREAM_ACCEPTED)
        more = 0
        if stream.remote is Half.OPEN:
            stream.window = self._first_window()
            more = stream.window - stream.receive_credit - stream.unread
        stream.receive_credit += more
        self._promised += more
        self._send(encode_number(FrameKind.STREAM_ACCEPTED, stream.number, more))

    def send(self, stream: Stream, data: Buffer) -> None:
        """
        Queue bytes on a stream. C{stream.queued} tells how many wait. On a
        stream that is reset already the bytes are dropped.

        @raise LocalProtocolError: after L{send_eof}, or before the stream was
            accepted by this side.
        """
        if stream.local is not Half.OPEN or stream.eof_queued or stream.switch_queued:
            if stream.local is Half.ENDED:
                return
            raise LocalProtocolError(
                f"DATA on stream {stream.number}: this side is {stream.local.value}"
            )
        if data:
            stream.queue.append(data)
            stream.queued += len(data)
            if stream.send_credit:
                self._scheduler.put(stream)

    def send_eof(self, stream: Stream, raw: int = 0) -> None:
        """
        Say, after what is queued, that this side sends no more. Saying it again
        does nothing.

        @param raw: the bytes that this side has sent on a data link, if it has
            switched.
        @raise LocalProtocolError: before the stream was accepted by this side, and
            while a switch has not gone out.
        """
        if stream.eof_queued:
            return
        if stream.local is Half.OPEN:
            if stream.switch_queued:
                raise LocalProtocolError(f"EOF on stream {stream.number}: it switches")
            stream.eof_queued = True
            self._scheduler.put(stream)
        elif stream.local is Half.SWITCHED:
            self._say_eof(stream, encode_total(FrameKind.EOF, stream.number, raw))
        elif stream.local is Half.PENDING:
            raise LocalProtocolError(f"EOF on stream {stream.number}: not accepted")

    def switch(self, stream: Stream, link: int) -> None:
        """
        Go on on a data link after what is queued: L{events.SwitchSent} tells
        when the last of it has gone out. On a stream that is reset already this
        does nothing.

        The server gives a stream its data link so; when it has finished, or is about
        to, for the client's bytes alone. The client follows, or not.

        @raise LocalProtocolError: when the stream is not accepted, has a data link,
            or is finished; or, on the client, when the server has not given it
            C{link}.
        """
        if stream.local is Half.ENDED:
            return
        gives = self.role is Role.SERVER
        ending = stream.eof_queued or stream.local is Half.FINISHED
        if (
            not self.direct
            or stream.switch_queued
            or stream.link != (0 if gives else link)
            or (ending and not gives)
            or stream.local in (Half.PENDING, Half.SWITCHED)
            or stream.remote in (Half.PENDING, Half.ENDED)
        ):
            raise LocalProtocolError(
                f"SWITCH on stream {stream.number}: this side is {stream.local.value}"
            )
        stream.switch_queued = link
        self._scheduler.put(stream)

    def finish(self, stream: Stream) -> None:
        """
        Say that all went well on this side: what was received is delivered and
        what was to be sent is queued, C{EOF} included. The word goes out when
        the queue is empty.

        @raise LocalProtocolError: when the peer has not said C{EOF}, or this side
            has not accepted the stream.
        """
        if stream.local is Half.ENDED:
            return
        if not stream.peer_finished:
            raise LocalProtocolError(
                f"STREAM_CLOSE on stream {stream.number}: the peer has not finished"
            )
        if stream.local is Half.OPEN:
            self.send_eof(stream)
        stream.close_queued = True
        self._close_if_finishable(stream)

    def reset(self, stream: Stream, code: Code, reason: str = "") -> None:
        """
        Abort a stream. On one that this side has ended already this does
        nothing. If the peer has not been told of it yet, it never is, and the stream
        is over.
        """
        if stream.local is not Half.ENDED:
            self._say_reset(stream, code, reason)

    def consumed(self, stream: Stream, size: int) -> None:
        """
        Give back C{size} received bytes, which the target has taken, as credit.
        On a stream that this side has ended this does nothing.

        @raise LocalProtocolError: when so many were not received.
        """
        if stream.local is Half.ENDED:
            return
        if not 0 <= size <= stream.unread:
            raise LocalProtocolError(f"stream {stream.number}: {size} bytes consumed")
        stream.unread -= size
        self._promised -= size
        if stream.remote is not Half.OPEN or stream.local is Half.PENDING:
            return
        held = stream.receive_credit + stream.unread
        if 2 * held > stream.window:
            return
        window = self._next_window(stream, held)
        if 2 * held <= window:
            more = window - held
            stream.receive_credit += more
            self._promised += more
            stream.granted_at = self.now
            self._send(encode_number(FrameKind.WINDOW, stream.number, more))

    # What the peer says.

    def _data(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        if stream.remote is not Half.OPEN:
            stream.hear(FrameKind.DATA)
        size = len(frame.payload)
        if size > stream.receive_credit:
            raise RemoteProtocolError(f"DATA on stream {stream.number}: no credit left")
        stream.receive_credit -= size
        if stream.local is Half.ENDED:
            self._promised -= size
            return
        stream.unread += size
        self.events.append(events.DataReceived(stream, frame.payload))

    def _window(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        stream.hear(FrameKind.WINDOW)
        more = decode_number(frame.payload)
        if not more:
            raise RemoteProtocolError(f"WINDOW on stream {stream.number}: no bytes")
        self._add_credit(stream, more, FrameKind.WINDOW)

    def _eof(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        raw: int | None = None
        if stream.remote is Half.SWITCHED:
            raw = decode_total(frame.payload)
        elif frame.payload:
            raise RemoteProtocolError("EOF: a total without a data link")
        stream.hear(FrameKind.EOF)
        self._promised -= stream.receive_credit
        stream.receive_credit = 0
        if stream.local is not Half.ENDED:
            self.events.append(events.EOFReceived(stream, raw))

    def _switch(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        link = decode_number(frame.payload)
        if not self.direct:
            raise RemoteProtocolError("SWITCH is out of turn")
        if stream.local is Half.PENDING:
            raise RemoteProtocolError(f"SWITCH on stream {frame.stream}: not accepted")
        # Only the server gives data links.
        if not link or stream.link != (0 if self.role is Role.CLIENT else link):
            raise RemoteProtocolError(
                f"SWITCH on stream {frame.stream}: not to data link {link}"
            )
        stream.hear(FrameKind.SWITCH)
        stream.link = link
        self._promised -= stream.receive_credit
        stream.receive_credit = 0
        if self.role is Role.CLIENT:
            self.events.append(events.LinkGiven(stream))
        if stream.remote is Half.SWITCHED and stream.local is not Half.ENDED:
            self.events.append(events.PeerSwitched(stream))

    def _stream_open(self, frame: Frame) -> None:
        number = frame.stream
        message = decode_message(messages.StreamOpen, frame.payload)
        tunnel = self.tunnels.get(message.tunnel)
        if number % 2 != FIRST_NUMBER[self._peer] % 2 or number in self.streams:
            raise RemoteProtocolError(f"STREAM_OPEN: stream {number} cannot be opened")
        if tunnel is None or tunnel.remote is not TunnelHalf.OPEN:
            raise RemoteProtocolError(f"STREAM_OPEN: tunnel {message.tunnel} not open")
        if message.window > MAX_CREDIT:
            raise RemoteProtocolError(f"STREAM_OPEN: a window of {message.window}")
        if self.peer_overdue:
            raise RemoteProtocolError("STREAM_OPEN: resets are not answered")
        full = len(self.streams) - self._unanswered >= self.limits.max_streams
        stream = Stream(
            number,
            message.tunnel,
            opener=False,
            send_credit=message.window,
            window=EARLY_CREDIT,
        )
        self._add(stream, tunnel)
        if tunnel.local is TunnelHalf.ENDED:
            self._say_reset(stream, Code.CLOSED, "the tunnel is closed")
        elif self.draining:
            self._say_reset(stream, Code.SHUTDOWN, "this side is stopping")
        elif full:
            self._say_reset(stream, Code.LIMIT, "too many streams")
        else:
            self.events.append(events.StreamOpened(stream, message.host, message.port))

    def _stream_accepted(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        stream.hear(FrameKind.STREAM_ACCEPTED)
        more = decode_number(frame.payload)
        self._add_credit(stream, more, FrameKind.STREAM_ACCEPTED)
        if stream.local is not Half.ENDED:
            self.events.append(events.StreamAccepted(stream))

    def _stream_reset(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        message = decode_message(messages.Ended, frame.payload)
        stream.hear(FrameKind.STREAM_RESET)
        code = known_code(message.code)
        stream.remote_code = code if code is not Code.NONE else Code.ABORTED
        stream.remote_reason = message.reason
        if stream.local is not Half.ENDED:
            reset = events.StreamReset(stream, stream.remote_code, stream.remote_reason)
            self.events.append(reset)
            self._say_reset(stream, stream.remote_code, stream.remote_reason)
        else:
            self._unanswered -= 1
            self._over(stream)

    def _stream_close(self, frame: Frame) -> None:
        stream = self._remote_stream(frame)
        stream.hear(FrameKind.STREAM_CLOSE)
        if stream.local is Half.ENDED:
            self._unanswered -= 1
            self._over(stream)

    # The parts that both share.

    def _say_reset(self, stream: Stream, code: Code, reason: str) -> None:
        stream.say(FrameKind.STREAM_RESET)
        stream.local_code = code if code is not Code.NONE else Code.ABORTED
        stream.local_reason = clip(reason)
        stream.drop_queue()
        if stream.opener and self._take_back(stream.opening):
            # Nobody owes an answer for what was never said.
            stream.hear(FrameKind.STREAM_RESET)
            self._scheduler.forget(stream)
        else:
            ended = messages.Ended(stream.local_code, stream.local_reason)
            self._send(encode_message(FrameKind.STREAM_RESET, ended, stream.number))
        self._local_end(stream)

    def _say_eof(self, stream: Stream, frame: bytes) -> None:
        stream.say(FrameKind.EOF)
        self._send(frame)
        if stream.close_queued:
            self._close_if_finishable(stream)

    def _say_switch(self, stream: Stream) -> None:
        link, stream.switch_queued = stream.switch_queued, 0
        stream.say(FrameKind.SWITCH)
        stream.link = link
        self._send(encode_number(FrameKind.SWITCH, stream.number, link))
        if stream.local is Half.SWITCHED:
            self.events.append(events.SwitchSent(stream))

    def _close_if_finishable(self, stream: Stream) -> None:
        if stream.finishable:
            stream.close_queued = False
            stream.say(FrameKind.STREAM_CLOSE)
            self._send(encode_frame(FrameKind.STREAM_CLOSE, stream.number))
            self._local_end(stream)
