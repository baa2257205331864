"""
Tests of L{reitunnel.wire.tunnel_moves}: tunnels, through a session.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire.events import (
    TunnelAccepted,
    TunnelEnded,
    TunnelRequested,
)
from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import (
    TunnelEnded as TunnelEndedMessage,
)
from reitunnel.wire.messages import (
    TunnelOpen,
    encode_message,
)
from reitunnel.wire.session import SessionLimits
from tests.wire.peers import Peers
from tests.wire.session_case import kinds, sent


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
