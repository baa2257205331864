"""
A visitor that means harm: to the target it may reach by design, and so to all else.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import Ended, TunnelEnded, encode_message
from tests.pair import PUBLIC_PORT, Pair, client_config, server_config

FORGED = b"".join(
    (
        encode_message(FrameKind.GOAWAY, Ended(Code.SHUTDOWN, "forged")),
        encode_message(FrameKind.TUNNEL_CLOSE, TunnelEnded(1, Code.CLOSED)),
        encode_message(FrameKind.STREAM_RESET, Ended(Code.ABORTED), 2),
        encode_frame(FrameKind.EOF, 2),
        b"\x88\x02\x03\xe8",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    )
)
"""Frames, a WebSocket's end, and a request: to the tunnel they are bytes."""


class VisitorTests(SynchronousTestCase):
    def check(self, pair: Pair) -> None:
        """
        Bytes of a visitor are bytes, on every carrier.
        """
        pair.start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        visitor, target = pair.open_stream()
        for _ in range(3):
            visitor.say(FORGED)
            pair.reactor.settle()
        self.assertEqual(FORGED * 3, target.received)
        target.say(FORGED)
        pair.reactor.settle()
        self.assertEqual(FORGED, visitor.received)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        self.assertEqual(1, len(pair.session.tunnels[0].streams))

    def test_mux(self) -> None:
        self.check(Pair(client=client_config(carrier="mux")))

    def test_direct(self) -> None:
        self.check(Pair(client=client_config(carrier="direct")))

    def test_link_port_is_not_a_public_port(self) -> None:
        """
        A visitor of the link port is a stranger that must authenticate.
        """
        pair = Pair(server=server_config(), client=client_config()).start()
        self.addCleanup(lambda: self.assertEqual([], pair.stop()))
        stranger = pair.visit(port=7000)
        stranger.say(FORGED)
        pair.reactor.settle()
        self.assertIsNotNone(stranger.lost)
        self.assertEqual(1, len(pair.server.sessions))
