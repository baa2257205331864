"""
Tests of L{reitunnel.wire.stream_moves}: streams, through a session.
"""

from __future__ import annotations

from reitunnel.errors import Code, LocalProtocolError
from reitunnel.wire.events import (
    DataReceived,
    EOFReceived,
    StreamAccepted,
    StreamOpened,
    StreamOver,
    StreamReset,
    TunnelEnded,
)
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import (
    Ended,
    StreamOpen,
    TunnelOpen,
    encode_message,
    encode_number,
)
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import MAX_CREDIT, Half
from tests.wire.peers import PING
from tests.wire.session_case import SessionTestCase, kinds, read, sent

KIB = 1024


class StreamOpeningTests(SessionTestCase):
    def server_limits(self) -> SessionLimits:
        return SessionLimits(max_streams=2)

    def client_limits(self) -> SessionLimits:
        return SessionLimits(max_streams=2)

    def test_opened(self) -> None:
        stream = self.server.session.open_stream(1, "198.51.100.7", 40000)
        self.peers.settle()
        opened = self.client.event(StreamOpened)
        self.assertEqual(("198.51.100.7", 40000), (opened.host, opened.port))
        self.assertEqual((2, 1), (opened.stream.number, opened.stream.tunnel))
        self.client.session.accept_stream(opened.stream)
        self.peers.settle()
        self.assertEqual([StreamAccepted(stream)], self.server.events())

    def test_given_up_before_it_goes_out(self) -> None:
        """
        The peer never hears of it, and owes no answer.
        """
        session = self.server.session
        session.ping(PING)
        first = session.open_stream(1, "198.51.100.7", 40000)
        queued = session.control_queued
        second = session.open_stream(1, "198.51.100.8", 40000)
        session.send(second, b"hello")
        session.send_eof(second)
        session.reset(second, Code.ABORTED, "the visitor left")
        self.assertEqual([StreamOver(second)], self.server.events())
        self.assertEqual((Code.ABORTED, "the visitor left"), second.end)
        self.assertEqual(queued, session.control_queued)
        self.assertEqual(
            [(FrameKind.PING, 0), (FrameKind.STREAM_OPEN, first.number)],
            [frame[:2] for frame in sent(self.server)],
        )
        session.reset(first, Code.ABORTED)
        self.assertEqual([], self.server.events())
        self.assertEqual([FrameKind.STREAM_RESET], kinds(self.server))

    def test_closed_with_its_tunnel_before_it_goes_out(self) -> None:
        session = self.server.session
        stream = session.open_stream(1, "198.51.100.7", 40000)
        session.close_tunnel(1, Code.CLOSED, "that is all")
        self.assertEqual(
            [StreamReset(stream, Code.CLOSED, "that is all"), StreamOver(stream)],
            self.server.events(),
        )
        self.assertEqual([FrameKind.TUNNEL_CLOSE], kinds(self.server))
        self.peers.settle()
        self.check_nothing_left()

    def test_refused(self) -> None:
        mine, theirs = self.peers.offer_stream()
        self.client.session.reset(mine, Code.TARGET_REFUSED, "refused")
        self.peers.settle()
        self.assertEqual(
            [
                StreamReset(theirs, Code.TARGET_REFUSED, "refused"),
                StreamOver(theirs),
            ],
            self.server.events(),
        )
        self.assertEqual([StreamOver(mine)], self.client.events())
        self.assertEqual((Code.TARGET_REFUSED, "refused"), mine.end)
        self.assertEqual(mine.end, theirs.end)
        self.check_nothing_left()

    def test_limit(self) -> None:
        for _ in range(2):
            self.peers.open_stream()
        third = self.server.session.open_stream(1, "", 0)
        self.peers.settle()
        self.assertEqual((Code.LIMIT, "too many streams"), third.end)
        self.assertEqual(2, len(self.client.session.streams))

    def test_tunnel_not_open(self) -> None:
        self.client.session.open_tunnel(TunnelOpen(2, "tcp"))
        self.peers.settle()
        for number in (2, 3):
            self.assertRaises(
                LocalProtocolError, self.server.session.open_stream, number, "", 0
            )
            self.assertEqual(
                f"STREAM_OPEN: tunnel {number} not open",
                self.refuse(
                    self.client,
                    encode_message(FrameKind.STREAM_OPEN, StreamOpen(number, 0), 2),
                ),
            )

    def test_tunnel_closed_meanwhile(self) -> None:
        """
        A stream that crosses the close of its tunnel is reset.
        """
        stream = self.server.session.open_stream(1, "", 0)
        self.client.session.close_tunnel(1, Code.CLOSED, "bye")
        self.peers.settle()
        self.assertEqual(
            [
                StreamReset(stream, Code.CLOSED, "bye"),
                TunnelEnded(1, Code.CLOSED, "bye", False),
                StreamOver(stream),
            ],
            self.server.events(),
        )
        (over,) = self.client.events()
        assert isinstance(over, StreamOver)
        self.assertEqual(stream.end, over.stream.end)
        self.assertEqual((Code.CLOSED, "bye"), stream.end)
        self.check_nothing_left()

    def test_odd_number(self) -> None:
        self.assertEqual(
            "STREAM_OPEN: stream 3 cannot be opened",
            self.refuse(
                self.client, encode_message(FrameKind.STREAM_OPEN, StreamOpen(1, 0), 3)
            ),
        )

    def test_number_in_use(self) -> None:
        self.peers.open_stream()
        self.assertEqual(
            "STREAM_OPEN: stream 2 cannot be opened",
            self.refuse(
                self.client, encode_message(FrameKind.STREAM_OPEN, StreamOpen(1, 0), 2)
            ),
        )

    def test_window_too_large(self) -> None:
        for window, good in ((MAX_CREDIT, True), (MAX_CREDIT + 1, False)):
            frame = encode_message(FrameKind.STREAM_OPEN, StreamOpen(1, window), 2)
            if good:
                self.client.hear(frame)
                stream = self.client.event(StreamOpened).stream
                self.client.session.reset(stream, Code.ABORTED)
                self.client.hear(
                    encode_message(FrameKind.STREAM_RESET, Ended(Code.ABORTED), 2)
                )
            else:
                self.refuse(self.client, frame)

    def test_client_opens_none(self) -> None:
        self.assertRaises(LocalProtocolError, self.client.session.open_stream, 1, "", 0)
        self.check_nothing_left()

    def test_bad_visitor_leaves_nothing(self) -> None:
        self.assertRaises(
            LocalProtocolError, self.server.session.open_stream, 1, "x" * 256, 0
        )
        self.check_nothing_left()
        self.assertEqual([], sent(self.server))

    def test_accepting_after_reset_does_nothing(self) -> None:
        mine, theirs = self.peers.offer_stream()
        self.server.session.reset(theirs, Code.ABORTED)
        self.peers.settle()
        self.client.session.accept_stream(mine)
        self.assertEqual([], sent(self.client))
        self.check_nothing_left()

    def test_accepting_twice(self) -> None:
        mine, _ = self.peers.open_stream()
        self.assertRaises(LocalProtocolError, self.client.session.accept_stream, mine)

    def test_nothing_to_say_before_accepting(self) -> None:
        mine, _ = self.peers.offer_stream()
        session = self.client.session
        self.assertRaises(LocalProtocolError, session.send, mine, b"x")
        self.assertRaises(LocalProtocolError, session.send_eof, mine)
        self.assertRaises(LocalProtocolError, session.finish, mine)


class NumberTests(SessionTestCase):
    """
    Numbers of streams are used again, when both sides have ended the stream.
    """

    def numbers(self, count: int) -> list[int]:
        session = self.server.session
        return [session.open_stream(1, "", 0).number for _ in range(count)]

    def test_even_and_ascending(self) -> None:
        self.assertEqual([2, 4, 6], self.numbers(3))

    def test_reserved(self) -> None:
        session = self.server.session
        number = session.reserve_number()
        self.assertEqual([4], self.numbers(1))
        self.assertEqual(number, session.open_stream(1, "", 0, number).number)

    def test_wrap_around(self) -> None:
        """
        After the last number comes the first that is free.
        """
        session = Session(Role.SERVER, SessionLimits(), first_number=0xFFFFFFFC)
        session.receive(read(FrameKind.TUNNEL_OPEN, TunnelOpen(1, "tcp")))
        session.accept_tunnel(1, "192.0.2.1", 6000)
        two = session.open_stream(1, "", 0, 2)
        numbers = [session.open_stream(1, "", 0).number for _ in range(4)]
        self.assertEqual(2, two.number)
        self.assertEqual([0xFFFFFFFC, 0xFFFFFFFE, 4, 6], numbers)

    def test_wrap_around_of_odd_numbers(self) -> None:
        session = Session(Role.CLIENT, SessionLimits(), first_number=0xFFFFFFFD)
        numbers = [session.reserve_number() for _ in range(3)]
        self.assertEqual([0xFFFFFFFD, 0xFFFFFFFF, 1], numbers)

    def test_used_again(self) -> None:
        """
        A number comes again right after its stream is over: the far side takes
        it as new.
        """
        mine, theirs = self.peers.open_stream()
        self.server.session.reset(theirs, Code.ABORTED)
        self.peers.settle()
        self.client.events()
        again = self.server.session.open_stream(1, "", 0, theirs.number)
        self.assertEqual(mine.number, again.number)
        self.peers.settle()
        stream = self.client.event(StreamOpened).stream
        self.assertIsNot(mine, stream)
        self.assertIs(Half.PENDING, stream.local)

    def test_not_before_the_last_word(self) -> None:
        """
        A reserved number that is still in use is exchanged.
        """
        _, theirs = self.peers.open_stream()
        self.server.session.reset(theirs, Code.ABORTED)
        again = self.server.session.open_stream(1, "", 0, theirs.number)
        self.assertNotEqual(theirs.number, again.number)


class DataTests(SessionTestCase):
    def test_both_ways(self) -> None:
        mine, theirs = self.peers.open_stream()
        self.client.session.send(mine, b"from the target")
        self.server.session.send(theirs, b"from the visitor")
        self.peers.settle()
        self.assertEqual(
            [DataReceived(mine, b"from the visitor")], self.client.events()
        )
        self.assertEqual(
            [DataReceived(theirs, b"from the target")], self.server.events()
        )

    def test_early(self) -> None:
        """
        The opener sends at once, 16 KiB at most.
        """
        stream = self.server.session.open_stream(1, "", 0)
        self.server.session.send(stream, bytes(20 * KIB))
        self.peers.settle()
        opened, data = self.client.events()
        assert isinstance(opened, StreamOpened)
        assert isinstance(data, DataReceived)
        self.assertEqual(16 * KIB, len(data.data))
        self.client.session.accept_stream(opened.stream)
        self.peers.settle()
        self.assertEqual(4 * KIB, len(self.client.event(DataReceived).data))

    def test_nothing_to_send(self) -> None:
        mine, _ = self.peers.open_stream()
        self.client.session.send(mine, b"")
        self.assertFalse(self.client.session.wants_to_send)
        self.assertEqual([], self.client.session.data_to_send(1000))

    def test_in_frames_of_a_chunk(self) -> None:
        mine, _ = self.peers.open_stream()
        self.client.session.send(mine, bytes(150 * KIB))
        sizes = [len(payload) for _, _, payload in sent(self.client)]
        self.assertEqual([64 * KIB, 64 * KIB, 22 * KIB], sizes)

    def test_budget(self) -> None:
        """
        As little is taken as is asked for, to the next frame.
        """
        mine, _ = self.peers.open_stream()
        self.client.session.send(mine, bytes(200 * KIB))
        sizes = [len(sent(self.client, 1)) for _ in range(5)]
        self.assertEqual([1, 1, 1, 1, 0], sizes)

    def test_budget_of_nothing(self) -> None:
        """
        What is not DATA goes out all the same.
        """
        mine, _ = self.peers.open_stream()
        self.client.session.send(mine, b"x")
        self.client.session.ping(PING)
        frames = sent(self.client, 0)
        self.assertEqual([(FrameKind.PING, 0, PING)], frames)

    def test_control_first(self) -> None:
        mine, _ = self.peers.open_stream()
        self.client.session.send(mine, b"x")
        self.client.session.ping(PING)
        self.assertEqual([FrameKind.PING, FrameKind.DATA], kinds(self.client))

    def test_control_queued(self) -> None:
        self.client.session.ping(PING)
        self.assertEqual(18, self.client.session.control_queued)
        self.client.session.data_to_send(0)
        self.assertEqual(0, self.client.session.control_queued)

    def test_drained(self) -> None:
        """
        A writer that was told to wait is told when the queue is short again.
        """
        mine, _ = self.peers.open_stream()
        session = self.client.session
        session.send(mine, bytes(200 * KIB))
        mine.blocked = True
        session.data_to_send(64 * KIB)
        session.data_to_send(64 * KIB)
        self.assertEqual(([], True), (session.drained, mine.blocked))
        session.data_to_send(64 * KIB)
        self.assertEqual(([mine], False), (session.drained, mine.blocked))

    def test_none_after_eof(self) -> None:
        mine, _ = self.peers.open_stream()
        session = self.client.session
        session.send_eof(mine)
        self.assertRaises(LocalProtocolError, session.send, mine, b"x")
        self.peers.settle()
        self.assertRaises(LocalProtocolError, session.send, mine, b"x")

    def test_dropped_after_reset(self) -> None:
        mine, _ = self.peers.open_stream()
        session = self.client.session
        session.send(mine, b"lost")
        session.reset(mine, Code.ABORTED)
        session.send(mine, b"lost")
        session.send_eof(mine)
        self.assertEqual([FrameKind.STREAM_RESET], kinds(self.client))

    def test_unknown_stream(self) -> None:
        for frame in (
            encode_frame(FrameKind.DATA, 8, b"x"),
            encode_frame(FrameKind.EOF, 8),
            encode_frame(FrameKind.STREAM_CLOSE, 8),
            encode_number(FrameKind.WINDOW, 8, 1),
            encode_message(FrameKind.STREAM_RESET, Ended(Code.ABORTED), 8),
        ):
            self.assertIn("no stream 8", self.refuse(self.client, frame))
        frame = encode_number(FrameKind.STREAM_ACCEPTED, 8, 1)
        self.assertIn("no stream 8", self.refuse(self.server, frame))


class EndTests(SessionTestCase):
    """
    How streams end; tests.wire.test_session_machine tries all the orders.
    """

    def setUp(self) -> None:
        super().setUp()
        self.mine, self.theirs = self.peers.open_stream()

    def finish_both(self) -> None:
        self.client.session.finish(self.mine)
        self.server.session.finish(self.theirs)
        self.peers.settle()

    def check_end(self, code: Code, reason: str = "") -> None:
        self.assertEqual((code, reason), self.mine.end)
        self.assertEqual((code, reason), self.theirs.end)
        self.check_nothing_left()

    def test_in_order(self) -> None:
        self.server.session.send(self.theirs, b"question")
        self.server.session.send_eof(self.theirs)
        self.peers.settle()
        self.assertEqual(
            [DataReceived(self.mine, b"question"), EOFReceived(self.mine)],
            self.client.events(),
        )
        self.client.session.consumed(self.mine, 8)
        self.client.session.send(self.mine, b"answer")
        self.client.session.finish(self.mine)
        self.peers.settle()
        self.assertEqual(
            [DataReceived(self.theirs, b"answer"), EOFReceived(self.theirs)],
            self.server.events(),
        )
        self.server.session.consumed(self.theirs, 6)
        self.server.session.finish(self.theirs)
        self.assertEqual([StreamOver(self.theirs)], self.server.events())
        self.peers.settle()
        self.assertEqual([StreamOver(self.mine)], self.client.events())
        self.check_end(Code.NONE)

    def test_eof_goes_after_what_is_queued(self) -> None:
        """
        However late there is credit for it.
        """
        self.client.session.send(self.mine, bytes(600 * KIB))
        self.client.session.send_eof(self.mine)
        total = 0
        for last in (False, False, True):
            self.peers.settle()
            *data, end = self.server.events()
            self.assertIs(last, end == EOFReceived(self.theirs))
            for event in data if last else [*data, end]:
                assert isinstance(event, DataReceived)
                total += len(event.data)
            self.server.session.consumed(self.theirs, self.theirs.unread)
        self.assertEqual(600 * KIB, total)

    def test_finish_before_the_peer_has(self) -> None:
        self.assertRaises(LocalProtocolError, self.client.session.finish, self.mine)

    def test_finish_twice(self) -> None:
        self.server.session.send_eof(self.theirs)
        self.peers.settle()
        for _ in range(2):
            self.client.session.finish(self.mine)
        self.assertEqual([FrameKind.EOF, FrameKind.STREAM_CLOSE], kinds(self.client))
        self.client.session.finish(self.mine)
        self.client.session.send_eof(self.mine)
        self.assertEqual([], kinds(self.client))

    def test_close_before_eof(self) -> None:
        """
        Nobody can say that all was delivered before all was sent.
        """
        self.client.session.send_eof(self.mine)
        self.client.session.data_to_send(1)
        frame = encode_frame(FrameKind.STREAM_CLOSE, 2)
        self.assertEqual(
            "STREAM_CLOSE on stream 2: the peer is open",
            self.refuse(self.client, frame),
        )

    def test_close_before_our_eof(self) -> None:
        frame = encode_frame(FrameKind.STREAM_CLOSE, 2)
        self.client.hear(encode_frame(FrameKind.EOF, 2))
        self.assertEqual(
            "STREAM_CLOSE on stream 2: the peer is finished",
            self.refuse(self.client, frame),
        )

    def test_reset(self) -> None:
        self.client.session.reset(self.mine, Code.INTERNAL, "broken")
        self.peers.settle()
        self.assertEqual([StreamOver(self.mine)], self.client.events())
        self.assertEqual(
            [
                StreamReset(self.theirs, Code.INTERNAL, "broken"),
                StreamOver(self.theirs),
            ],
            self.server.events(),
        )
        self.check_end(Code.INTERNAL, "broken")

    def test_reset_without_a_code(self) -> None:
        """
        A reset is never an end in order.
        """
        self.client.session.reset(self.mine, Code.NONE, "hm")
        self.peers.settle()
        self.check_end(Code.ABORTED, "hm")
        self.setUp()
        self.client.hear(encode_message(FrameKind.STREAM_RESET, Ended(0, "hm"), 2))
        self.assertEqual(
            [StreamReset(self.mine, Code.ABORTED, "hm"), StreamOver(self.mine)],
            self.client.events(),
        )

    def test_resets_cross(self) -> None:
        """
        Both sides name the opener's reason.
        """
        self.client.session.reset(self.mine, Code.INTERNAL, "client")
        self.server.session.reset(self.theirs, Code.ABORTED, "server")
        self.peers.settle()
        self.assertEqual([StreamOver(self.mine)], self.client.events())
        self.assertEqual([StreamOver(self.theirs)], self.server.events())
        self.check_end(Code.ABORTED, "server")

    def test_reset_crosses_close(self) -> None:
        self.client.session.send_eof(self.mine)
        self.server.session.send_eof(self.theirs)
        self.peers.settle()
        self.client.session.finish(self.mine)
        self.server.session.reset(self.theirs, Code.ABORTED, "late")
        self.peers.settle()
        self.check_end(Code.ABORTED, "late")

    def test_reset_after_close(self) -> None:
        """
        One side is done; the other turns out not to be able to deliver.
        """
        self.client.session.send_eof(self.mine)
        self.server.session.send_eof(self.theirs)
        self.peers.settle()
        self.client.session.finish(self.mine)
        self.peers.settle()
        self.client.events()
        self.server.session.reset(self.theirs, Code.ABORTED, "gone")
        self.peers.settle()
        self.assertEqual([StreamOver(self.mine)], self.client.events())
        self.check_end(Code.ABORTED, "gone")

    def test_reset_again(self) -> None:
        for _ in range(2):
            self.client.session.reset(self.mine, Code.ABORTED)
        self.assertEqual([FrameKind.STREAM_RESET], kinds(self.client))
        self.peers.settle()
        self.client.session.reset(self.mine, Code.ABORTED)
        self.assertEqual([], kinds(self.client))

    def test_any_reason(self) -> None:
        """
        Whatever an operating system says can be sent, and both sides know the
        same.
        """
        self.client.session.reset(self.mine, Code.INTERNAL, "a\nb\udcff" + "x" * 2000)
        self.peers.settle()
        self.check_end(Code.INTERNAL, "a b?" + "x" * 1019 + "…")

    def test_data_for_a_reset_stream(self) -> None:
        """
        What was on its way is dropped, within its credit.
        """
        self.server.session.send(self.theirs, bytes(1000))
        self.client.session.reset(self.mine, Code.ABORTED)
        self.peers.settle()
        self.assertEqual([StreamOver(self.mine)], self.client.events())
        self.check_end(Code.ABORTED)

    def test_tunnel_closed(self) -> None:
        """
        The streams of a tunnel end with it, and first.
        """
        self.server.session.close_tunnel(1, Code.POLICY, "no more")
        self.peers.settle()
        self.assertEqual(
            [
                StreamReset(self.mine, Code.POLICY, "no more"),
                StreamOver(self.mine),
                TunnelEnded(1, Code.POLICY, "no more", False),
            ],
            self.client.events(),
        )
        self.check_end(Code.POLICY, "no more")

    def test_tunnel_closed_without_a_code(self) -> None:
        """
        For its streams that is no end in order.
        """
        self.client.session.close_tunnel(1, Code.NONE, "bye")
        self.peers.settle()
        self.assertEqual(
            [
                StreamReset(self.theirs, Code.CLOSED, "bye"),
                StreamOver(self.theirs),
                TunnelEnded(1, Code.NONE, "bye", False),
            ],
            self.server.events(),
        )
        self.check_end(Code.CLOSED, "bye")

    def test_tunnel_closed_without_a_code_by_the_peer(self) -> None:
        late = self.server.session.open_stream(1, "", 0)
        self.client.session.close_tunnel(1, Code.NONE, "bye")
        self.peers.settle()
        self.assertIn(StreamReset(late, Code.CLOSED, "bye"), self.server.events())
        self.assertEqual((Code.CLOSED, "bye"), late.end)
        self.check_nothing_left()
