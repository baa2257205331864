"""
A client that has a valid token, and means harm: to other clients, or to the server.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.config.settings import ServerTuning
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import (
    Ended,
    TunnelEnded,
    TunnelOpened,
    encode_message,
    encode_number,
)
from reitunnel.wire.streams import EARLY_CREDIT
from tests.memory import Caller, MemoryReactor, Peer
from tests.pair import PUBLIC_PORT, Pair, server_config
from tests.server.raw import RawClient, raw_client


class HostileClientCase(SynchronousTestCase):
    def setUp(self) -> None:
        tuning = ServerTuning(stream_window=EARLY_CREDIT)
        self.pair = Pair(server=server_config(tuning=tuning)).start()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))
        self.reactor: MemoryReactor = self.pair.reactor

    def log_in(self) -> RawClient:
        client = raw_client(self.reactor)
        client.log_in("hostile")
        return client

    def check_cut_off(self, client: RawClient) -> None:
        """
        The hostile client is cut off, and the other one did not notice.
        """
        ended = client.take(FrameKind.GOAWAY, Ended)
        self.assertEqual(Code.PROTOCOL, ended.code)
        self.assertIsNotNone(client.lost)
        [left] = self.pair.server.sessions
        self.assertEqual("laptop", left.instance)
        visitor, target = self.pair.open_stream()
        visitor.say(b"still there?")
        self.reactor.settle()
        self.assertEqual(b"still there?", target.received)


class OthersTests(HostileClientCase):
    """
    Numbers of tunnels and streams are a session's own.
    """

    def test_stream_of_another(self) -> None:
        visitor, target = self.pair.open_stream()
        for frame in (
            encode_frame(FrameKind.DATA, 2, b"forged"),
            encode_number(FrameKind.STREAM_ACCEPTED, 2, 1000),
            encode_message(FrameKind.STREAM_RESET, Ended(Code.ABORTED), 2),
            encode_frame(FrameKind.EOF, 2),
        ):
            client = self.log_in()
            client.write(frame)
            self.check_cut_off(client)
        self.assertEqual((b"", None), (visitor.received, visitor.lost))
        self.assertIsNone(target.lost)

    def test_tunnel_of_another(self) -> None:
        client = self.log_in()
        client.send(FrameKind.TUNNEL_CLOSE, TunnelEnded(1, Code.CLOSED))
        self.check_cut_off(client)
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)

    def test_port_of_another(self) -> None:
        client = self.log_in()
        client.ask(1, PUBLIC_PORT)
        refused = client.take(FrameKind.TUNNEL_REFUSED, TunnelEnded)
        self.assertEqual(Code.ADDRESS_IN_USE, refused.code)
        client.transport.abortConnection()
        self.reactor.settle()
        self.assertEqual([PUBLIC_PORT], self.pair.public_ports)


class AmplificationTests(HostileClientCase):
    """
    What a client sends may cost the server some multiple of it, and no more.
    """

    def visit(self, client: RawClient, count: int) -> list[Peer]:
        """
        Have visitors come to a tunnel of the client's.
        """
        client.ask(1, 7777)
        client.take(FrameKind.TUNNEL_OPENED, TunnelOpened)
        visitors = [Peer() for _ in range(count)]
        for visitor in visitors:
            self.reactor.connectTCP("127.0.0.1", 7777, Caller(visitor))
        self.reactor.settle()
        return visitors

    def test_reason_for_many_visitors(self) -> None:
        """
        The longest reason, for a tunnel with many visitors, is not said at length for
        each of them.
        """
        client = self.log_in()
        visitors = self.visit(client, 50)
        client.frames.clear()
        reason = TunnelEnded(1, Code.CLOSED, "\N{PILE OF POO}" * 1024)
        client.send(FrameKind.TUNNEL_CLOSE, reason)
        resets = [f for f in client.frames if f.kind is FrameKind.STREAM_RESET]
        self.assertEqual(50, len(resets))
        self.assertLess(sum(len(reset.payload) for reset in resets), 50 * 1024)
        for reset in resets:
            client.write(
                encode_message(FrameKind.STREAM_RESET, Ended(Code.CLOSED), reset.stream)
            )
        self.assertTrue(all(visitor.reset for visitor in visitors))
