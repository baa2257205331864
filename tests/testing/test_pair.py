"""
Tests of the pair in memory, and of what is asserted of it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import BaseHook, Refused
from reitunnel.config import ServerTimeouts
from reitunnel.hooks import AggregatingHook, CombinedHook, SampledHook
from reitunnel.interfaces import IStream
from reitunnel.testing import (
    PUBLIC_PORT,
    TARGET_PORT,
    MemoryPair,
    MemoryReactor,
    RecordingHook,
    assert_in_order,
    assert_stops,
    client_config,
    server_config,
)


class Strict(BaseHook):
    """
    Lets in visitors of loopback only.
    """

    def on_stream_open(self, stream: IStream) -> None:
        visitor: object = stream.visitor
        if not (isinstance(visitor, IPv4Address) and visitor.host == "127.0.0.1"):
            raise Refused("not from here")


class PairTests(SynchronousTestCase):
    def test_carries(self) -> None:
        pair = MemoryPair().start()
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        self.assertEqual("anonymous", pair.session.identity)
        self.assertEqual("laptop", pair.session.instance)
        visitor, target = pair.open_stream()
        visitor.say(b"ping")
        pair.settle()
        target.say(b"pong")
        visitor.finish()
        pair.settle()
        self.assertEqual((b"ping", True), (target.received, target.finished))
        self.assertEqual((b"pong", False), (visitor.received, visitor.reset))
        assert_stops(pair)

    def test_hooks(self) -> None:
        """
        Of either side; what they refuse they refuse.
        """
        for hooks in ("server_hooks", "client_hooks"):
            given = {hooks: [Strict()]}
            pair = MemoryPair(**given).start()  # type: ignore[arg-type]  # by name
            self.assertFalse(pair.visit().reset)
            self.assertTrue(pair.visit(source=("192.0.2.7", 0)).reset)
            self.assertEqual(1, len(pair.targets.all))
            assert_stops(pair)

    def test_arrive(self) -> None:
        """
        Nothing happens before the test says so.
        """
        pair = MemoryPair().start()
        pair.arrive()
        self.assertEqual([], pair.targets.all)
        pair.settle()
        self.assertEqual(1, len(pair.targets.all))
        assert_stops(pair)

    def test_time(self) -> None:
        """
        Goes on when the test says so.
        """
        config = server_config(timeouts=ServerTimeouts(heartbeat_timeout=30.0))
        pair = MemoryPair(server=config).start()
        pair.silence_links()
        before = pair.reactor.seconds()
        pair.advance(20)
        self.assertEqual(before + 20, pair.reactor.seconds())
        self.assertEqual(1, len(pair.server.sessions))
        pair.advance(100)
        self.assertEqual(2, pair.told_server.count("on_client_connect"))
        assert_stops(pair)

    def test_links_that_are_cut(self) -> None:
        pair = MemoryPair().start()
        visitor, target = pair.open_stream()
        pair.cut_links()
        self.assertEqual((True, True), (visitor.reset, target.reset))
        self.assertEqual([], pair.public_ports)
        pair.advance(5)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        assert_stops(pair)

    def test_target(self) -> None:
        pair = MemoryPair().start()
        pair.close_target()
        self.assertTrue(pair.visit().reset)
        pair.open_target()
        self.assertFalse(pair.visit().reset)
        assert_stops(pair)

    def test_tunnels(self) -> None:
        pair = MemoryPair(client=client_config(tunnels=())).start()
        self.assertEqual([], pair.public_ports)
        pair.open_tunnel(f"127.0.0.1:{TARGET_PORT}", 6001)
        self.assertEqual([6001], pair.public_ports)
        error = self.assertRaises(AssertionError, pair.open_tunnel, Factory(), 6001)
        self.assertIn("the tunnel is not open: ", str(error))
        assert_stops(pair)

    def test_tunnel_that_waits(self) -> None:
        pair = MemoryPair()
        error = self.assertRaises(AssertionError, pair.open_tunnel, Factory(), 6001)
        self.assertEqual("the tunnel is not open: None", str(error))
        pair.client.stopService()

    def test_another_client(self) -> None:
        pair = MemoryPair().start()
        other = pair.start_another(client_config(client_id="other", tunnels=()))
        self.assertEqual(2, len(pair.server.sessions))
        assert other.session is not None
        self.assertEqual("other", other.session.instance)
        assert_stops(pair)
        self.assertIs(False, bool(other.running))

    def test_one_side_alone(self) -> None:
        pair = MemoryPair()
        pair.start_client()
        pair.advance(10)
        self.assertIs(None, pair.client.session)
        pair.start_server()
        pair.advance(60)
        self.assertEqual([PUBLIC_PORT], pair.public_ports)
        assert_stops(pair)

    def test_without_recording(self) -> None:
        pair = MemoryPair(recording=False).start()
        self.assertEqual([], pair.told_server.events)
        assert_stops(pair)

    def test_reactor(self) -> None:
        reactor = MemoryReactor()
        self.assertIs(reactor, MemoryPair(reactor=reactor).reactor)


class WrapperTests(SynchronousTestCase):
    """
    A recording hook inside of a wrapper is told by the rules too.
    """

    def told(self, wrap: Callable[[RecordingHook], object]) -> RecordingHook:
        hook = RecordingHook()
        pair = MemoryPair(server_hooks=[wrap(hook)]).start()
        for size in (1, 10, 100):
            visitor, target = pair.open_stream()
            for _ in range(size):
                visitor.say(b"hello")
                pair.settle()
            target.say(b"x" * size)
            pair.advance(0.3)
        assert_stops(pair)
        self.assertEqual((555, 111), (hook.bytes_received, hook.bytes_sent))
        self.assertEqual(pair.told_server.lines, hook.lines)
        assert_in_order(hook)
        return hook

    def test_sampled(self) -> None:
        hook = self.told(lambda hook: SampledHook(hook, 10))
        self.assertLess(hook.count("on_data_received"), 20)

    def test_aggregated(self) -> None:
        hook = self.told(lambda hook: AggregatingHook(hook, 1.0))
        self.assertLess(hook.count("on_data_received"), 5)

    def test_combined(self) -> None:
        other = RecordingHook()
        hook = self.told(lambda hook: CombinedHook(hook, other))
        self.assertEqual(hook.lines, other.lines)


class AssertionTests(SynchronousTestCase):
    """
    The assertions find what they are for.
    """

    def test_still_open(self) -> None:
        pair = MemoryPair().start()
        error = self.assertRaises(AssertionError, assert_in_order, pair.told_server)
        self.assertEqual(3, str(error).count("never closed: "))
        assert_stops(pair)
        assert_in_order(pair.told_server)
        assert_in_order(pair.told_client)

    def left(self, pair: MemoryPair) -> str:
        return str(self.assertRaises(AssertionError, assert_stops, pair))

    def test_port_that_is_left(self) -> None:
        pair = MemoryPair().start()
        pair.reactor.listenTCP(9000, Factory())
        self.assertIn("MemoryPort", self.left(pair))

    def test_delayed_call_that_is_left(self) -> None:
        pair = MemoryPair().start()
        pair.reactor.callLater(1000, lambda: None)
        self.assertIn("DelayedCall", self.left(pair))

    def test_what_a_hook_was_told_wrongly(self) -> None:
        pair = MemoryPair().start()
        [tunnel] = pair.server.tunnels
        pair.told_server.on_tunnel_open(tunnel)
        self.assertIn("the server's hook: tunnel+ 1: told twice", self.left(pair))
