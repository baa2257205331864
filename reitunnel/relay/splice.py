"""
Moving bytes between two sockets inside the kernel, by splice(2).

Bytes go from a socket into a pipe and from the pipe into the other socket; they
never enter this process. C{reitunnel.relay.handover} says which sockets can be
joined so, and takes them from Twisted. docs/performance.md says when this is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final

from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.relay.pipes import NoPipe, Pipe, Pipes
from reitunnel.relay.splice_end import End, EndLost

TURN: Final = 1 << 20
"""
Bytes that a direction may move before other sockets get their turn: less than a
millisecond, while the turn itself costs a few hundredths of that.
"""
FAST: Final = 32 << 20
"""
Bytes in a second that a sink must take, where it makes the direction wait, for that
to get a large pipe.
"""
_FLAGS: Final = getattr(os, "SPLICE_F_NONBLOCK", 0)
_COPY: Final = 1 << 16
"""Bytes that are copied at once where splice(2) does not go on."""


class _State(Enum):
    """
    What becomes of a direction.
    """

    ELSEWHERE = "elsewhere"
    """Twisted copies it."""
    MOVING = "moving"
    """It is moved here."""
    ENDED = "ended"
    """The source has ended, and all that came from it is written."""
    FINISHING = "finishing"
    """The owner has ended it; what was read is still written."""
    OVER = "over"
    """FIN is sent, or Twisted was told to send it."""


_MOVED: Final = frozenset([_State.MOVING, _State.FINISHING])


class _Flow:
    """
    One direction: what is read from one socket is written to the other.

    @ivar state: what becomes of it.
    @ivar source: where it reads.
    @ivar sink: where it writes.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        pipes: Pipes,
        source: End,
        sink: End,
        on_read: Callable[[int], None],
        on_written: Callable[[int], None],
    ) -> None:
        self.state = _State.ELSEWHERE
        self.source = source
        self.sink = sink
        self._pipes = pipes
        self._pipe: Pipe | None = None
        self._held = 0
        self._seconds = seconds
        self._slow = False
        self._moved = 0
        self._moved_since = 0.0
        self._on_read = on_read
        self._on_written = on_written

    def begin(self) -> None:
        """
        Move from the next turn of the reactor on.
        """
        self.state = _State.MOVING
        self._moved_since = self._seconds()
        self.source.want_read(True)

    def move(self, readable: bool) -> bool:
        """
        Move what can be moved now, and wait for what is missing: for the source
        while nothing is held, for the sink otherwise. It never waits for both,
        because a pipe can be full with fewer bytes than its size, and the source
        would wake it in vain.

        @param readable: whether the reactor says that the source is readable.
        @return: whether the direction came to an end: the source did, or the owner
            has ended it, and all that was read is written.
        @raise EndLost: when one of the sockets is lost.
        @raise NoPipe: when there are no descriptors left for a pipe.
        """
        left = TURN
        ended = False
        waited = bool(self._held)
        while self._drain() and left > 0 and self.state is _State.MOVING:
            if waited:
                self._choose_pipe()
                waited = False
            pipe = self._pipe = self._pipe or self._pipes.take(not self._slow)
            count = self._fill(pipe, readable)
            if not count:
                ended = count == 0
                break
            readable = False
            # Less than a full pipe is all there was, or a pipe full with small
            # pieces, which take their time: the reactor comes back if there is more.
            left = left - count if count == pipe.size else 0
        return self._settle(ended)

    def finish(self) -> bool:
        """
        Read no more.

        @return: whether all that was read is written.
        """
        self.state = _State.FINISHING
        self.source.want_read(False)
        return not self._held

    def stop(self) -> None:
        """
        Give up what is held.
        """
        self.state = _State.OVER
        self._let_go()

    def _choose_pipe(self) -> None:
        """
        See how fast the sink takes bytes, now that it has taken what waited for it,
        and what kind of pipe is to wait for it the next time.
        """
        now = self._seconds()
        self._slow = self._moved < FAST * (now - self._moved_since)
        self._moved, self._moved_since = 0, now
        self._let_go()

    def _fill(self, pipe: Pipe, readable: bool) -> int | None:
        """
        Read into the empty pipe.

        @return: how much; L{None} when there is nothing to read, 0 at the end.
        """
        count: int | None
        try:
            count = os.splice(
                self.source.fileno(), pipe.writing, pipe.size, flags=_FLAGS
            )
        except BlockingIOError:
            if not readable:
                return None
            count = 0
        except OSError as error:
            raise self.source.lost(error) from error
        if not count:
            # Urgent data (RFC 6093) stops splice(2): it finds nothing on a socket
            # that is readable, and an end before the end. recv(2) passes it.
            count = self._copy(pipe)
        if count:
            self._held = count
            self._on_read(count)
        return count

    def _copy(self, pipe: Pipe) -> int | None:
        data = self.source.receive(min(pipe.size, _COPY))
        if data:
            # It fits: the pipe is empty.
            os.write(pipe.writing, data)
        return None if data is None else len(data)

    def _drain(self) -> bool:
        """
        Write what the pipe holds.

        @return: whether it is empty; if not, the sink is full.
        """
        if not self._held:
            return True
        assert self._pipe is not None
        try:
            count = os.splice(
                self._pipe.reading, self.sink.fileno(), self._held, flags=_FLAGS
            )
        except BlockingIOError:
            return False
        except OSError as error:
            raise self.sink.lost(error) from error
        self._held -= count
        self._moved += count
        self._on_written(count)
        return not self._held

    def _settle(self, ended: bool) -> bool:
        if self.state is _State.OVER:
            self._let_go()
            return False
        if self._held:
            self.source.want_read(False)
            self.sink.want_write(True)
            return False
        self.sink.want_write(False)
        self._let_go()
        finishing = self.state is _State.FINISHING
        self.source.want_read(not ended and not finishing)
        return ended or finishing

    def _let_go(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        if self._held:
            self._held = 0
            self._pipes.destroy(pipe)
        else:
            self._pipes.give(pipe)


class Splice:
    """
    Joins two sockets. Each direction is moved here from when it is started until its
    source ends and the owner lets it be finished, and both until one end is lost.

    Neither FIN nor RST of an end is noticed while what was read from it waits for
    the other end, and RST not after FIN unless something is written: Twisted's
    connections are the same.

    @ivar stopped: whether it moves nothing any more.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        pipes: Pipes,
        ends: tuple[Connection, Connection],
        *,
        on_read: tuple[Callable[[int], None], Callable[[int], None]],
        on_written: tuple[Callable[[int], None], Callable[[int], None]],
        on_eof: Callable[[int], None],
        on_over: Callable[[Failure | None], None],
    ) -> None:
        """
        None of the callbacks is called before the next turn of the reactor. Each may
        call any method; one that raises ends the splice.

        @param reactor: an C{IReactorTime} too.
        @param ends: the transports of two sockets (C{can_splice}). They are the
            owner's to close, after L{stop} or C{on_over}.
        @param on_read: told how many bytes were read from each end.
        @param on_written: told how many bytes were written to each end.
        @param on_eof: told the index of an end that has ended, once all that came
            from it is written. The owner then calls L{finish}.
        @param on_over: told, once, that both directions are over, or why there is
            nothing moved any more: L{EndLost}, L{NoPipe}, or what a callback raised.
            It is not called after L{stop}.
        """
        self.stopped = False
        self._on_eof = on_eof
        self._on_over = on_over
        first, second = (
            End(reactor, transport, index) for index, transport in enumerate(ends)
        )
        seconds = IReactorTime(reactor).seconds
        there = _Flow(seconds, pipes, first, second, on_read[0], on_written[1])
        back = _Flow(seconds, pipes, second, first, on_read[1], on_written[0])
        self._ends = (first, second)
        self._flows = (there, back)
        for end, incoming, outgoing in ((first, there, back), (second, back, there)):
            end.on_readable = partial(self._ready, incoming, True)
            end.on_writable = partial(self._ready, outgoing, False)
            end.on_lost = self._lost

    def start(self, *sources: int) -> None:
        """
        Begin to move directions: the source's transport does not read any more, and
        the sink's has nothing left to write (C{hand_over}). While the other
        direction is Twisted's, each end costs one descriptor more.

        @param sources: the indexes of the ends to read from.
        @raise OSError: when there are no descriptors left. Nothing has changed.
        @raise RuntimeError: when a direction is not Twisted's.
        """
        if self.stopped:
            return
        flows = [self._taken(source) for source in sources]
        rest = [each for each in self._flows if each.state is _State.ELSEWHERE]
        if len(rest) > len(flows):
            self._duplicate()
        else:
            self._unify()
        for flow in flows:
            flow.begin()

    def skip(self, source: int) -> None:
        """
        Count a direction as over: Twisted has read FIN, and has nothing left to
        write, FIN included.

        @param source: the index of the end that it reads from.
        @raise RuntimeError: when the direction is not Twisted's.
        """
        if self.stopped:
            return
        self._taken(source).state = _State.OVER
        if not any(flow.state is _State.ELSEWHERE for flow in self._flows):
            self._unify()
        self._end_if_over()

    def moves(self, source: int) -> bool:
        """
        Whether a direction is moved here, and has not ended yet.

        @param source: the index of the end that it reads from.
        """
        return not self.stopped and self._flows[source].state in _MOVED

    def finish(self, sink: int) -> None:
        """
        End the direction to an end: read no more for it, and send FIN once all that
        was read is written.

        @param sink: the index of the end that it writes to.
        @raise RuntimeError: when the direction is not moved here.
        """
        if self.stopped:
            return
        flow = self._flows[1 - sink]
        if flow.state is _State.FINISHING:
            return
        if flow.state not in (_State.MOVING, _State.ENDED):
            raise RuntimeError(f"the direction to end {sink} is not moved here")
        if flow.finish():
            self._guarded(self._send_fin, flow)

    def stop(self) -> None:
        """
        Let go of both sockets; what is in the pipes is lost.
        """
        if not self.stopped:
            self.stopped = True
            for end in self._ends:
                end.release()
            for flow in self._flows:
                flow.stop()

    # What the ends tell.

    def _ready(self, flow: _Flow, readable: bool) -> None:
        if flow.state in (_State.MOVING, _State.FINISHING):
            self._guarded(self._move, flow, readable)

    def _lost(self, error: EndLost) -> None:
        self._end(Failure(error))

    # The parts.

    def _taken(self, source: int) -> _Flow:
        flow = self._flows[source]
        if flow.state is not _State.ELSEWHERE:
            raise RuntimeError(f"the direction from end {source} is not Twisted's")
        return flow

    def _duplicate(self) -> None:
        try:
            for end in self._ends:
                end.duplicate()
        except OSError:
            self._unify()
            raise

    def _unify(self) -> None:
        for end in self._ends:
            end.unify()

    def _guarded(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except (EndLost, NoPipe):
            self._end(Failure())
        except Exception:
            self._log.failure("a callback of a splice failed")
            self._end(Failure())

    def _move(self, flow: _Flow, readable: bool) -> None:
        if not flow.move(readable):
            return
        if flow.state is _State.FINISHING:
            self._send_fin(flow)
        else:
            flow.state = _State.ENDED
            self._on_eof(flow.source.index)

    def _send_fin(self, flow: _Flow) -> None:
        flow.state = _State.OVER
        flow.sink.send_fin()
        self._end_if_over()

    def _end_if_over(self) -> None:
        if all(flow.state is _State.OVER for flow in self._flows):
            self._end(None)

    def _end(self, failure: Failure | None) -> None:
        if self.stopped:
            return
        self.stop()
        with self._log.failuresHandled("a callback of a splice failed"):
            self._on_over(failure)
