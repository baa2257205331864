"""
Tests of L{reitunnel.wire.session}: the session as a whole.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, LocalProtocolError
from reitunnel.wire.events import (
    DataReceived,
    GoingAway,
    PingAnswered,
    StreamOpened,
    TunnelEnded,
)
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import (
    Ended,
    StreamOpen,
    TunnelOpen,
    encode_message,
)
from reitunnel.wire.session import Role, Session, SessionLimits
from reitunnel.wire.streams import EARLY_CREDIT, MAX_CREDIT
from tests.wire.peers import PING, Peers
from tests.wire.session_case import SessionTestCase, sent


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
            stream = session.open_stream(1, "", 0)
            session.data_to_send(0)
            session.reset(stream, Code.ABORTED)
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
