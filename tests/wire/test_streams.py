"""
Tests of L{reitunnel.wire.streams} and L{reitunnel.wire.tunnels}: the tables.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.streams import Half, Stream
from reitunnel.wire.tunnels import Tunnel, TunnelHalf
from tests.wire.search import examples

# What one side may say next, in docs/protocol.md, "Streams": by what it has said,
# and by whether the other side has said EOF.
NEXT: dict[tuple[Half, bool], dict[FrameKind, Half]] = {}
for _finished in (False, True):
    NEXT[Half.PENDING, _finished] = {
        FrameKind.STREAM_ACCEPTED: Half.OPEN,
        FrameKind.STREAM_RESET: Half.ENDED,
    }
    NEXT[Half.OPEN, _finished] = {
        FrameKind.DATA: Half.OPEN,
        FrameKind.WINDOW: Half.OPEN,
        FrameKind.EOF: Half.FINISHED,
        FrameKind.SWITCH: Half.SWITCHED,
        FrameKind.STREAM_RESET: Half.ENDED,
    }
    NEXT[Half.SWITCHED, _finished] = {
        FrameKind.WINDOW: Half.SWITCHED,
        FrameKind.EOF: Half.FINISHED,
        FrameKind.STREAM_RESET: Half.ENDED,
    }
    NEXT[Half.FINISHED, _finished] = {
        FrameKind.WINDOW: Half.FINISHED,
        FrameKind.SWITCH: Half.FINISHED,
        FrameKind.STREAM_RESET: Half.ENDED,
    }
    NEXT[Half.ENDED, _finished] = {}
NEXT[Half.FINISHED, True][FrameKind.STREAM_CLOSE] = Half.ENDED

PATHS = {
    Half.PENDING: [],
    Half.OPEN: [FrameKind.STREAM_ACCEPTED],
    Half.SWITCHED: [FrameKind.STREAM_ACCEPTED, FrameKind.SWITCH],
    Half.FINISHED: [FrameKind.STREAM_ACCEPTED, FrameKind.EOF],
    Half.ENDED: [FrameKind.STREAM_RESET],
}


def make_stream(*, opener: bool = False) -> Stream:
    """
    Make a stream that was just opened.
    """
    return Stream(2, 1, opener=opener, send_credit=0, window=0)


class StreamTableTests(SynchronousTestCase):
    def try_every_move(
        self,
        make: Callable[[Half, bool], Stream],
        move: Callable[[Stream, FrameKind], None],
        now: Callable[[Stream], Half],
        error: type[Exception],
    ) -> None:
        """
        Make every move from every state.
        """
        for (half, finished), moves in NEXT.items():
            for kind in FrameKind:
                stream = make(half, finished)
                self.assertIs(half, now(stream))
                if kind in moves:
                    move(stream, kind)
                    self.assertIs(moves[kind], now(stream))
                else:
                    self.assertRaises(error, move, stream, kind)
                    self.assertIs(half, now(stream))

    def test_this_side(self) -> None:
        def make(half: Half, finished: bool) -> Stream:
            stream = make_stream()
            for kind in PATHS[half]:
                stream.say(kind)
            if finished:
                stream.hear(FrameKind.EOF)
            return stream

        self.try_every_move(make, Stream.say, lambda s: s.local, LocalProtocolError)

    def test_the_peer(self) -> None:
        def make(half: Half, finished: bool) -> Stream:
            stream = make_stream(opener=True)
            for kind in PATHS[half]:
                stream.hear(kind)
            if finished:
                stream.say(FrameKind.EOF)
            return stream

        self.try_every_move(make, Stream.hear, lambda s: s.remote, RemoteProtocolError)

    def test_switch_after_eof(self) -> None:
        """
        It gives a data link, and a stream has only one.
        """
        mine, theirs = make_stream(opener=True), make_stream(opener=True)
        theirs.hear(FrameKind.STREAM_ACCEPTED)
        mine.say(FrameKind.EOF)
        theirs.hear(FrameKind.EOF)
        mine.link = theirs.link = 3
        self.assertRaises(LocalProtocolError, mine.say, FrameKind.SWITCH)
        self.assertRaises(RemoteProtocolError, theirs.hear, FrameKind.SWITCH)

    def test_opener(self) -> None:
        """
        Who opens a stream may send at once; the other side accepts it first.
        """
        mine, theirs = make_stream(opener=True), make_stream()
        self.assertEqual((Half.OPEN, Half.PENDING), (mine.local, mine.remote))
        self.assertEqual((Half.PENDING, Half.OPEN), (theirs.local, theirs.remote))

    def test_over(self) -> None:
        for orders in ((Stream.say, Stream.hear), (Stream.hear, Stream.say)):
            stream = make_stream()
            for order in orders:
                self.assertFalse(stream.over)
                order(stream, FrameKind.STREAM_RESET)
            self.assertTrue(stream.over)


class EndTests(SynchronousTestCase):
    """
    Both sides give the same end.
    """

    def check(
        self, opener: Code, other: Code, expected: tuple[Code, str] | None = None
    ) -> None:
        mine, theirs = make_stream(opener=True), make_stream()
        mine.local_code = theirs.remote_code = opener
        mine.local_reason = theirs.remote_reason = "opener" if opener else ""
        mine.remote_code = theirs.local_code = other
        mine.remote_reason = theirs.local_reason = "other" if other else ""
        self.assertEqual(mine.end, theirs.end)
        self.assertEqual(expected, mine.end)

    def test_in_order(self) -> None:
        self.check(Code.NONE, Code.NONE, (Code.NONE, ""))

    def test_one_reset(self) -> None:
        self.check(Code.ABORTED, Code.NONE, (Code.ABORTED, "opener"))
        self.check(Code.NONE, Code.LIMIT, (Code.LIMIT, "other"))

    def test_both_reset(self) -> None:
        self.check(Code.ABORTED, Code.LIMIT, (Code.ABORTED, "opener"))


class TakeTests(SynchronousTestCase):
    @examples(200)
    @given(
        st.lists(st.binary(min_size=1, max_size=40)),
        st.lists(st.integers(1, 60), min_size=1),
        st.integers(1, 50),
    )
    def test_pieces(self, queue: list[bytes], credits: list[int], limit: int) -> None:
        """
        The queue goes out in order and whole, never more than the limit or the
        credit at a time.
        """
        stream = make_stream(opener=True)
        stream.queue.extend(queue)
        stream.queued = sum(map(len, queue))
        taken = []
        while stream.queued:
            for credit in credits:
                stream.send_credit += credit
                size, pieces = stream.take(limit)
                data = b"".join(pieces)
                self.assertEqual(size, len(data))
                self.assertTrue(size <= limit)
                self.assertTrue(stream.send_credit >= 0)
                taken.append(data)
        self.assertEqual(b"".join(queue), b"".join(taken))
        self.assertFalse(stream.queue)


TUNNEL_NEXT: dict[TunnelHalf, dict[FrameKind, TunnelHalf]] = {
    TunnelHalf.PENDING: {
        FrameKind.TUNNEL_OPENED: TunnelHalf.OPEN,
        FrameKind.TUNNEL_REFUSED: TunnelHalf.ENDED,
        FrameKind.TUNNEL_CLOSE: TunnelHalf.ENDED,
    },
    TunnelHalf.OPEN: {FrameKind.TUNNEL_CLOSE: TunnelHalf.ENDED},
    TunnelHalf.ENDED: {},
}
TUNNEL_PATHS = {
    TunnelHalf.PENDING: [],
    TunnelHalf.OPEN: [FrameKind.TUNNEL_OPENED],
    TunnelHalf.ENDED: [FrameKind.TUNNEL_CLOSE],
}


class TunnelTableTests(SynchronousTestCase):
    def try_every_move(
        self,
        opener: bool,
        move: Callable[[Tunnel, FrameKind], None],
        now: Callable[[Tunnel], TunnelHalf],
        error: type[Exception],
    ) -> None:
        """
        Make every move from every state.
        """
        for half, moves in TUNNEL_NEXT.items():
            for kind in FrameKind:
                tunnel = Tunnel(7, opener=opener)
                for step in TUNNEL_PATHS[half]:
                    move(tunnel, step)
                self.assertIs(half, now(tunnel))
                if kind in moves:
                    move(tunnel, kind)
                    self.assertIs(moves[kind], now(tunnel))
                else:
                    self.assertRaises(error, move, tunnel, kind)
                    self.assertIs(half, now(tunnel))

    def test_this_side(self) -> None:
        self.try_every_move(False, Tunnel.say, lambda t: t.local, LocalProtocolError)

    def test_the_peer(self) -> None:
        self.try_every_move(True, Tunnel.hear, lambda t: t.remote, RemoteProtocolError)

    def test_over(self) -> None:
        tunnel = Tunnel(7, opener=True)
        tunnel.say(FrameKind.TUNNEL_CLOSE)
        self.assertFalse(tunnel.over)
        tunnel.hear(FrameKind.TUNNEL_REFUSED)
        self.assertTrue(tunnel.over)
