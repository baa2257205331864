"""
Tests of L{reitunnel.wire.session}: the rules, one by one.
"""

from __future__ import annotations

from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire.events import (
    DataReceived,
    EOFReceived,
    GoingAway,
    PingAnswered,
    StreamAccepted,
    StreamOpened,
    StreamOver,
    StreamReset,
    TunnelAccepted,
    TunnelEnded,
    TunnelRequested,
)
from reitunnel.wire.frames import Frame, FrameKind, FrameReader, encode_frame
from reitunnel.wire.messages import (
    Ended,
    StreamOpen,
    TunnelOpen,
    encode_message,
    encode_number,
)
from reitunnel.wire.messages import (
    TunnelEnded as TunnelEndedMessage,
)
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import EARLY_CREDIT, MAX_CREDIT, Half
from tests.wire.peers import PING, Peer, Peers

KIB = 1024


def sent(peer: Peer, budget: int = 1 << 20) -> list[tuple[FrameKind, int, bytes]]:
    """
    Take what a side wants to send, as frames.
    """
    data = b"".join(peer.session.data_to_send(budget))
    return [
        (frame.kind, frame.stream, bytes(frame.payload))
        for frame in FrameReader().feed(data)
    ]


def read(kind: FrameKind, message: Struct, stream: int = 0) -> Frame:
    """
    Make a frame as it is read.
    """
    (frame,) = FrameReader().feed(encode_message(kind, message, stream))
    return frame


def kinds(peer: Peer) -> list[FrameKind]:
    """
    Take what a side wants to send, as kinds of frames.
    """
    return [kind for kind, _, _ in sent(peer)]


class SessionTestCase(SynchronousTestCase):
    """
    Two sides with an open tunnel.
    """

    def setUp(self) -> None:
        self.peers = Peers(self.client_limits(), self.server_limits())
        self.client, self.server = self.peers.both
        self.peers.open_tunnel()

    def client_limits(self) -> SessionLimits:
        return SessionLimits()

    def server_limits(self) -> SessionLimits:
        return SessionLimits()

    def check_nothing_left(self) -> None:
        """
        Neither side keeps a stream or credit.
        """
        for peer in self.peers.both:
            self.assertEqual({}, peer.session.streams)
            self.assertEqual(0, peer.session.promised)
            self.assertFalse(peer.session.peer_overdue)
            for tunnel in peer.session.tunnels.values():
                self.assertEqual({}, tunnel.streams)

    def refuse(self, peer: Peer, frame: bytes) -> str:
        """
        A side refuses a frame.

        @return: the reason.
        """
        error: RemoteProtocolError = self.assertRaises(
            RemoteProtocolError, peer.hear, frame
        )
        return error.reason


class TunnelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.peers = Peers(server=SessionLimits(max_tunnels=2))
        self.client, self.server = self.peers.both

    def ask(self, number: int) -> None:
        self.client.session.open_tunnel(TunnelOpen(number, "tcp"))

    def check_none(self) -> None:
        self.assertEqual({}, self.client.session.tunnels)
        self.assertEqual({}, self.server.session.tunnels)

    def test_accepted(self) -> None:
        request = TunnelOpen(
            3, "tcp", "192.0.2.1", 6000, "localhost:80", {"team": "web"}
        )
        self.client.session.open_tunnel(request)
        self.peers.settle()
        self.assertEqual([TunnelRequested(request)], self.server.events())
        self.server.session.accept_tunnel(3, "192.0.2.1", 6000)
        self.peers.settle()
        self.assertEqual([TunnelAccepted(3, "192.0.2.1", 6000)], self.client.events())

    def test_refused(self) -> None:
        self.ask(1)
        self.peers.settle()
        self.server.event(TunnelRequested)
        self.server.session.refuse_tunnel(1, Code.ADDRESS_IN_USE, "taken")
        self.peers.settle()
        self.assertEqual(
            [TunnelEnded(1, Code.ADDRESS_IN_USE, "taken", True)], self.client.events()
        )
        self.assertEqual([], self.server.events())
        self.check_none()

    def test_closed_by_the_client(self) -> None:
        self.peers.open_tunnel()
        self.client.session.close_tunnel(1, Code.CLOSED, "done")
        self.peers.settle()
        self.assertEqual([], self.client.events())
        self.assertEqual(
            [TunnelEnded(1, Code.CLOSED, "done", False)], self.server.events()
        )
        self.check_none()

    def test_closed_by_the_server(self) -> None:
        self.peers.open_tunnel()
        self.server.session.close_tunnel(1, Code.POLICY, "no longer")
        self.peers.settle()
        self.assertEqual(
            [TunnelEnded(1, Code.POLICY, "no longer", False)], self.client.events()
        )
        self.check_none()

    def test_closed_by_both(self) -> None:
        """
        Each side hears of the end that it did not say, and neither says it twice.
        """
        self.peers.open_tunnel()
        self.client.session.close_tunnel(1, Code.CLOSED, "")
        self.server.session.close_tunnel(1, Code.POLICY, "")
        self.peers.settle()
        self.assertEqual([], self.client.events() + self.server.events())
        self.check_none()

    def test_closed_before_the_answer(self) -> None:
        self.ask(1)
        self.client.session.close_tunnel(1, Code.CLOSED, "never mind")
        self.peers.settle()
        requested, ended = self.server.events()
        self.assertIsInstance(requested, TunnelRequested)
        self.assertEqual(TunnelEnded(1, Code.CLOSED, "never mind", True), ended)
        self.check_none()
        self.assertRaises(
            LocalProtocolError, self.server.session.accept_tunnel, 1, "", 0
        )

    def test_answer_crosses_close(self) -> None:
        self.ask(1)
        self.peers.settle()
        self.server.event(TunnelRequested)
        self.server.session.accept_tunnel(1, "192.0.2.1", 6000)
        self.client.session.close_tunnel(1, Code.CLOSED, "")
        self.peers.settle()
        self.assertEqual([], self.client.events())
        self.assertEqual([TunnelEnded(1, Code.CLOSED, "", False)], self.server.events())
        self.check_none()

    def test_closing_again_does_nothing(self) -> None:
        self.peers.open_tunnel()
        for _ in range(2):
            self.client.session.close_tunnel(1, Code.CLOSED, "")
        self.client.session.close_tunnel(9, Code.CLOSED, "")
        self.assertEqual([FrameKind.TUNNEL_CLOSE], kinds(self.client))

    def test_limit(self) -> None:
        """
        A tunnel counts until this side has ended it.
        """
        for number in (1, 2, 3):
            self.ask(number)
        self.peers.settle()
        self.assertEqual(2, len(self.server.events()))
        self.assertEqual(
            [TunnelEnded(3, Code.LIMIT, "more than 2 tunnels", True)],
            self.client.events(),
        )
        self.server.session.refuse_tunnel(1, Code.POLICY, "")
        self.ask(3)
        self.peers.settle()
        self.server.event(TunnelRequested)

    def test_number_in_use(self) -> None:
        self.ask(1)
        self.assertRaises(LocalProtocolError, self.ask, 1)
        frame = encode_message(FrameKind.TUNNEL_OPEN, TunnelOpen(1, "tcp"))
        self.server.hear(frame)
        self.assertRaises(RemoteProtocolError, self.server.hear, frame)

    def test_number_is_free_when_both_have_ended(self) -> None:
        self.peers.open_tunnel()
        self.server.session.close_tunnel(1, Code.POLICY, "")
        self.peers.send(self.server)
        self.client.read(1000)
        self.ask(1)
        self.assertIn(1, self.server.session.tunnels)
        self.peers.settle()
        self.server.event(TunnelRequested)

    def test_bad_request_leaves_nothing(self) -> None:
        """
        A request that cannot be sent is an error here, not on the far side.
        """
        for request in (
            TunnelOpen(0, "tcp"),
            TunnelOpen(1, "tcp", port=65536),
            TunnelOpen(1, "tcp", metadata={"k": "v" * 1025}),
        ):
            self.assertRaises(
                LocalProtocolError, self.client.session.open_tunnel, request
            )
        self.check_none()
        self.assertEqual([], sent(self.client))

    def test_bad_answer_leaves_the_question(self) -> None:
        self.ask(1)
        self.peers.settle()
        accept = self.server.session.accept_tunnel
        self.assertRaises(LocalProtocolError, accept, 1, "x" * 256, 1)
        accept(1, "192.0.2.1", 1)

    def test_server_opens_none(self) -> None:
        self.assertRaises(
            LocalProtocolError,
            self.server.session.open_tunnel,
            TunnelOpen(1, "tcp"),
        )
        self.check_none()

    def test_client_answers_none(self) -> None:
        self.ask(1)
        session = self.client.session
        self.assertRaises(LocalProtocolError, session.accept_tunnel, 1, "", 0)
        self.assertRaises(LocalProtocolError, session.refuse_tunnel, 1, Code.POLICY, "")

    def test_answered_once(self) -> None:
        self.peers.open_tunnel()
        session = self.server.session
        self.assertRaises(LocalProtocolError, session.accept_tunnel, 1, "", 0)
        self.assertRaises(LocalProtocolError, session.refuse_tunnel, 1, Code.POLICY, "")

    def test_unknown_code(self) -> None:
        self.peers.open_tunnel()
        message = TunnelEndedMessage(1, 999, "new")
        self.client.hear(encode_message(FrameKind.TUNNEL_CLOSE, message))
        self.assertIs(Code.INTERNAL, self.client.event(TunnelEnded).code)

    def test_flood(self) -> None:
        """
        A client that does not confirm refusals is stopped.
        """
        self.server.session.goaway(Code.SHUTDOWN, "")

        def flood() -> None:
            for number in range(1, 5000):
                self.server.hear(
                    encode_message(FrameKind.TUNNEL_OPEN, TunnelOpen(number, "tcp"))
                )

        self.assertRaises(RemoteProtocolError, flood)
        self.assertTrue(len(self.server.session.tunnels) < 1100)


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


class CreditTests(SessionTestCase):
    def client_limits(self) -> SessionLimits:
        return SessionLimits(max_window=64 * KIB)

    def test_window_is_kept(self) -> None:
        """
        More is sent only when bytes were consumed.
        """
        mine, theirs = self.peers.open_stream()
        self.server.session.send(theirs, bytes(1000 * KIB))
        total = 0
        for _ in range(20):
            self.peers.settle()
            for event in self.client.events():
                assert isinstance(event, DataReceived)
                total += len(event.data)
            self.assertEqual(64 * KIB, mine.unread)
            self.client.session.consumed(mine, 40 * KIB)
            total -= 40 * KIB
            self.assertEqual(total, mine.unread)

    def test_little_is_not_given_back(self) -> None:
        """
        A grant is at least half of the window.
        """
        mine, theirs = self.peers.open_stream()
        self.server.session.send(theirs, bytes(64 * KIB))
        self.peers.settle()
        self.client.session.consumed(mine, 32 * KIB - 1)
        self.assertEqual([], sent(self.client))
        self.client.session.consumed(mine, 1)
        self.assertEqual(
            encode_number(FrameKind.WINDOW, 2, 32 * KIB),
            b"".join(self.client.session.data_to_send(0)),
        )

    def test_no_credit_left(self) -> None:
        """
        Data beyond the credit is refused, to the byte.
        """
        self.peers.open_stream()
        self.client.hear(encode_frame(FrameKind.DATA, 2, bytes(64 * KIB)))
        self.assertEqual(
            "DATA on stream 2: no credit left",
            self.refuse(self.client, encode_frame(FrameKind.DATA, 2, b"x")),
        )

    def test_no_credit_left_before_accepting(self) -> None:
        self.peers.offer_stream()
        self.client.hear(encode_frame(FrameKind.DATA, 2, bytes(16 * KIB)))
        self.refuse(self.client, encode_frame(FrameKind.DATA, 2, b"x"))

    def test_no_credit_left_after_reset(self) -> None:
        """
        A stream that this side has reset costs the peer its credit all the same.
        """
        mine, _ = self.peers.open_stream()
        self.client.session.reset(mine, Code.ABORTED)
        self.client.hear(encode_frame(FrameKind.DATA, 2, bytes(64 * KIB)))
        self.assertEqual([], self.client.events())
        self.assertEqual(0, self.client.session.promised)
        self.refuse(self.client, encode_frame(FrameKind.DATA, 2, b"x"))

    def test_early_bytes_consumed_before_accepting(self) -> None:
        """
        Their credit comes back when the stream is accepted.
        """
        mine, theirs = self.peers.offer_stream()
        self.server.session.send(theirs, bytes(100 * KIB))
        self.peers.settle()
        self.client.session.consumed(mine, EARLY_CREDIT)
        self.client.session.accept_stream(mine)
        self.assertEqual(
            64 * KIB, self.client.session.promised, "the whole window is open"
        )
        self.peers.settle()
        self.assertEqual(64 * KIB, mine.unread)

    def test_accepting_after_eof_gives_no_credit(self) -> None:
        mine, theirs = self.peers.offer_stream()
        self.server.session.send(theirs, b"all")
        self.server.session.send_eof(theirs)
        self.peers.settle()
        self.client.session.accept_stream(mine)
        self.assertEqual(
            encode_number(FrameKind.STREAM_ACCEPTED, 2, 0),
            b"".join(self.client.session.data_to_send(0)),
        )
        self.assertEqual(3, self.client.session.promised)

    def test_consumed_more_than_received(self) -> None:
        mine, theirs = self.peers.open_stream()
        self.server.session.send(theirs, b"abc")
        self.peers.settle()
        self.assertRaises(LocalProtocolError, self.client.session.consumed, mine, 4)
        self.assertRaises(LocalProtocolError, self.client.session.consumed, mine, -1)
        self.client.session.consumed(mine, 3)
        self.assertEqual(0, mine.unread)

    def test_no_grant_after_eof(self) -> None:
        mine, theirs = self.peers.open_stream()
        self.server.session.send(theirs, bytes(60 * KIB))
        self.server.session.send_eof(theirs)
        self.peers.settle()
        self.client.session.consumed(mine, 60 * KIB)
        self.assertEqual([], sent(self.client))
        self.assertEqual(0, self.client.session.promised)

    def test_grant_of_nothing(self) -> None:
        self.peers.open_stream()
        self.assertEqual(
            "WINDOW on stream 2: no bytes",
            self.refuse(self.client, encode_number(FrameKind.WINDOW, 2, 0)),
        )

    def test_too_much(self) -> None:
        """
        Credit has a bound, 2 GiB less one byte.
        """
        mine, _ = self.peers.open_stream()
        rest = MAX_CREDIT - mine.send_credit
        self.client.hear(encode_number(FrameKind.WINDOW, 2, rest))
        self.assertEqual(
            "WINDOW on stream 2: too much",
            self.refuse(self.client, encode_number(FrameKind.WINDOW, 2, 1)),
        )

    def test_too_much_on_accepting(self) -> None:
        _, theirs = self.peers.offer_stream()
        more = MAX_CREDIT - EARLY_CREDIT + 1
        self.assertEqual(
            "STREAM_ACCEPTED on stream 2: too much",
            self.refuse(
                self.server,
                encode_number(FrameKind.STREAM_ACCEPTED, theirs.number, more),
            ),
        )

    def test_each_stream_has_its_own(self) -> None:
        """
        A stream whose target does not read stalls no other.
        """
        _, slow = self.peers.open_stream()
        quick, fast = self.peers.open_stream()
        self.server.session.send(slow, bytes(200 * KIB))
        self.peers.settle()
        self.client.events()
        self.server.session.send(fast, b"quick")
        self.peers.settle()
        self.assertEqual(DataReceived(quick, b"quick"), self.client.event(DataReceived))


class TotalTests(SessionTestCase):
    """
    The credit of all streams together has a bound.
    """

    def client_limits(self) -> SessionLimits:
        return SessionLimits(max_window=256 * KIB, max_session_bytes=1024 * KIB)

    def server_limits(self) -> SessionLimits:
        return self.client_limits()

    def test_many_streams(self) -> None:
        """
        Beyond the bound a stream gets the least, and still moves.
        """
        pairs = [self.peers.open_stream() for _ in range(100)]
        for peer in self.peers.both:
            promised = peer.session.promised
            self.assertTrue(promised <= (1024 + 16 * 100) * KIB, promised)
        mine, theirs = pairs[-1]
        self.server.session.send(theirs, bytes(100 * KIB))
        self.peers.settle()
        self.assertEqual(16 * KIB, mine.unread)
        self.client.session.consumed(mine, 16 * KIB)
        self.peers.settle()
        self.assertEqual(16 * KIB, mine.unread)

    def test_windows_give_way(self) -> None:
        """
        What a stream has consumed, and another stream was given meanwhile, it
        does not get back before there is room again.
        """
        limits = SessionLimits(max_window=512 * KIB, max_session_bytes=8192 * KIB)
        self.peers = Peers(limits, limits)
        self.client, self.server = self.peers.both
        self.peers.open_tunnel()
        first = [self.peers.open_stream() for _ in range(40)]
        for mine, theirs in first:
            self.server.session.send(theirs, bytes(theirs.send_credit))
            self.peers.settle()
            self.client.events()
            self.client.session.consumed(mine, mine.window // 2 - 1)
        rest = [self.peers.open_stream() for _ in range(40)]
        for mine, _ in first:
            self.client.session.consumed(mine, mine.unread)
        promised = self.client.session.promised
        self.assertTrue(promised <= (8192 + 16 * 80) * KIB, promised)
        for mine, _ in rest:
            self.client.session.reset(mine, Code.ABORTED)
        self.peers.settle()
        for mine, theirs in first:
            self.server.session.send(theirs, bytes(theirs.send_credit))
            self.peers.settle()
            self.client.session.consumed(mine, mine.unread)
            self.assertEqual(mine.window, mine.receive_credit)


class UnansweredTests(SessionTestCase):
    """
    A peer that does not answer resets cannot make this side keep streams for
    ever.
    """

    def client_limits(self) -> SessionLimits:
        return SessionLimits(max_streams=10)

    def server_limits(self) -> SessionLimits:
        return SessionLimits(max_streams=10)

    def test_server(self) -> None:
        """
        It never answers: neither in order nor with a reset.
        """
        client = self.client

        def flood() -> None:
            for number in range(2, 10000, 2):
                self.assertFalse(client.session.peer_overdue)
                client.hear(
                    encode_message(FrameKind.STREAM_OPEN, StreamOpen(1, 0), number)
                )
                for event in client.events():
                    if isinstance(event, StreamOpened):
                        client.session.reset(event.stream, Code.LIMIT)

        self.assertRaises(AssertionError, flood)
        self.assertTrue(client.session.peer_overdue)
        self.assertEqual(10 + 1024 + 1, len(client.session.streams))
        self.assertEqual(
            "STREAM_OPEN: resets are not answered",
            self.refuse(
                client, encode_message(FrameKind.STREAM_OPEN, StreamOpen(1, 0), 9000)
            ),
        )

    def test_client(self) -> None:
        session = self.server.session
        while not session.peer_overdue:
            session.reset(session.open_stream(1, "", 0), Code.ABORTED)
            session.data_to_send(0)
        self.assertEqual(10 + 1024 + 1, len(session.streams))


class AnsweredTests(SessionTestCase):
    def server_limits(self) -> SessionLimits:
        return SessionLimits(max_streams=0)

    def test_never_overdue(self) -> None:
        """
        A peer that has answered owes nothing, however often it was asked.
        """
        server, client = self.server.session, self.client.session
        for _ in range(1100):
            _, theirs = self.peers.open_stream()
            server.reset(theirs, Code.ABORTED)
            self.peers.settle()
            self.client.events()
            mine, theirs = self.peers.open_stream()
            server.send_eof(theirs)
            client.send_eof(mine)
            self.peers.settle()
            server.finish(theirs)
            self.peers.settle()
            client.finish(mine)
            self.peers.settle()
            self.client.events()
            self.assertEqual({}, server.streams)
        self.assertFalse(server.peer_overdue)


class PingTests(SessionTestCase):
    def test_answered(self) -> None:
        for peer in self.peers.both:
            peer.session.ping(PING)
            self.peers.settle()
            self.assertEqual([PingAnswered(PING)], peer.events())

    def test_answers_to_nothing(self) -> None:
        """
        A pong answers the oldest ping that is not answered.
        """
        other = b"87654321"
        session = self.client.session
        self.assertEqual(
            "PONG: nothing was asked",
            self.refuse(self.client, encode_frame(FrameKind.PONG, 0, PING)),
        )
        session.ping(PING)
        session.ping(other)
        self.assertEqual(
            "PONG: not what was asked",
            self.refuse(self.client, encode_frame(FrameKind.PONG, 0, other)),
        )

    def test_answered_in_order(self) -> None:
        other = b"87654321"
        self.client.session.ping(PING)
        self.client.session.ping(other)
        self.peers.settle()
        self.assertEqual(
            [PingAnswered(PING), PingAnswered(other)], self.client.events()
        )

    def test_size(self) -> None:
        for payload in (b"", b"1234567", b"123456789"):
            self.assertRaises(LocalProtocolError, self.client.session.ping, payload)
        self.assertFalse(self.client.session.wants_to_send)

    def test_flood_is_visible(self) -> None:
        """
        The answers wait where the owner sees them.
        """
        flood = encode_frame(FrameKind.PING, 0, PING) * 1000
        self.server.hear(flood)
        self.assertEqual(len(flood), self.server.session.control_queued)


class GoAwayTests(SessionTestCase):
    def test_told(self) -> None:
        self.server.session.goaway(Code.SHUTDOWN, "restart")
        self.server.session.goaway(Code.SHUTDOWN, "again")
        self.peers.settle()
        self.assertEqual([GoingAway(Code.SHUTDOWN, "restart")], self.client.events())
        self.assertTrue(self.server.session.draining)
        self.assertTrue(self.client.session.peer_draining)

    def test_said_twice(self) -> None:
        frame = encode_message(FrameKind.GOAWAY, Ended(Code.SHUTDOWN))
        self.client.hear(frame)
        self.assertEqual("GOAWAY: said twice", self.refuse(self.client, frame))

    def test_server_takes_no_tunnels(self) -> None:
        self.server.session.goaway(Code.SHUTDOWN, "")
        self.client.session.open_tunnel(TunnelOpen(2, "tcp"))
        self.peers.settle()
        self.assertEqual(
            [
                GoingAway(Code.SHUTDOWN, ""),
                TunnelEnded(2, Code.SHUTDOWN, "the server is stopping", True),
            ],
            self.client.events(),
        )

    def test_client_takes_no_streams(self) -> None:
        self.client.session.goaway(Code.SHUTDOWN, "")
        stream = self.server.session.open_stream(1, "", 0)
        self.peers.settle()
        self.assertEqual((Code.SHUTDOWN, "this side is stopping"), stream.end)
        self.check_nothing_left()

    def test_what_is_open_goes_on(self) -> None:
        mine, theirs = self.peers.open_stream()
        for peer in self.peers.both:
            peer.session.goaway(Code.SHUTDOWN, "")
        self.server.session.send(theirs, b"still")
        self.peers.settle()
        self.assertIn(DataReceived(mine, b"still"), self.client.events())


class LimitsTests(SynchronousTestCase):
    def test_bad_limits(self) -> None:
        """
        Limits with which a session could not work are refused.
        """
        for wrong in (
            {"chunk": 0},
            {"chunk": -1},
            {"max_window": -1},
            {"max_window": MAX_CREDIT + 1},
            {"max_streams": -1},
            {"max_tunnels": -1},
            {"max_session_bytes": -1},
        ):
            self.assertRaises(ValueError, SessionLimits, **wrong)

    def test_large_chunk(self) -> None:
        """
        A frame never carries more than version 1 allows.
        """
        peers = Peers(
            SessionLimits(chunk=4 << 20),
            SessionLimits(max_window=8 << 20, max_session_bytes=1 << 30),
        )
        peers.open_tunnel()
        mine, _ = peers.open_stream()
        peers.client.session.send(mine, bytes(3 << 20))
        sizes = [len(p) for k, _, p in sent(peers.client, 1 << 30)]
        self.assertEqual(1 << 20, max(sizes))

    def test_tiny_window(self) -> None:
        """
        The least window is what may be sent early.
        """
        peers = Peers(SessionLimits(max_window=1), SessionLimits(max_window=1))
        peers.open_tunnel()
        mine, theirs = peers.open_stream()
        self.assertEqual(EARLY_CREDIT, mine.receive_credit)
        self.assertEqual(EARLY_CREDIT, theirs.receive_credit)


class RoleTests(SynchronousTestCase):
    def test_first_numbers(self) -> None:
        """
        The client's streams, which later versions may have, are odd.
        """
        for role, first in ((Role.CLIENT, 1), (Role.SERVER, 2)):
            session = Session(role, SessionLimits())
            self.assertEqual(
                [first, first + 2], [session.reserve_number() for _ in range(2)]
            )
