"""
Tests of the recording hook: what it records, and which broken rules it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel import Code
from reitunnel.interfaces import (
    IClientHook,
    IDataHook,
    IErrorHook,
    IReturnHook,
    IServerHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnelHook,
)
from reitunnel.testing import MemoryPair, RecordingHook, assert_in_order, client_config


class RecordTests(SynchronousTestCase):
    def test_provides(self) -> None:
        for interface in (
            IServerHook,
            IClientHook,
            IReturnHook,
            ITunnelHook,
            IStreamHook,
            IDataHook,
            IErrorHook,
        ):
            verifyObject(interface, RecordingHook())

    def test_everything(self) -> None:
        """
        The life of a pair, as its server's hook is told of it.
        """
        pair = MemoryPair().start()
        hook = pair.told_server
        visitor = pair.visit(source=("192.0.2.7", 4321))
        visitor.say(b"hello")
        pair.settle()
        target = pair.targets.newest
        target.say(b"and hello")
        target.hang_up()
        pair.settle()
        self.assertEqual([], pair.stop())
        self.assertEqual(
            [
                "server+",
                "client+",
                "tunnel+ 1",
                "stream+ 2",
                "stream- 2 NONE (5/9)",
                "tunnel- 1 SHUTDOWN: the server is stopping (5/9)",
                "client- SHUTDOWN: the server is stopping",
                "server-",
            ],
            hook.lines,
        )
        self.assertEqual((5, 9), (hook.bytes_received, hook.bytes_sent))
        self.assertEqual(1, hook.count("on_stream_open"))
        self.assertEqual(0, hook.count("on_error"))
        [event] = [each for each in hook.events if each.name == "on_stream_open"]
        [stream] = event.arguments
        assert IStream.providedBy(stream)
        self.assertEqual(IPv4Address("TCP", "192.0.2.7", 4321), IStream(stream).visitor)
        assert_in_order(hook)

    def test_take(self) -> None:
        hook = RecordingHook()
        pair = MemoryPair(recording=False, client_hooks=[hook]).start()
        self.assertEqual(["client+", "tunnel+ 1"], hook.take())
        pair.visit()
        self.assertEqual(["stream+ 2"], hook.take())
        self.assertEqual([], hook.take())
        pair.stop()

    def test_errors(self) -> None:
        pair = MemoryPair().start()
        pair.close_target()
        self.assertTrue(pair.visit().reset)
        [(error, context)] = pair.told_client.errors
        self.assertEqual("connection refused", str(error))
        self.assertIn("a visitor", context)
        self.assertEqual([], pair.stop())

    def test_several_clients(self) -> None:
        """
        Are told apart by the order in which they came.
        """
        pair = MemoryPair().start()
        pair.start_another(client_config(client_id="other", tunnels=()))
        pair.told_server.take()
        self.assertEqual([], pair.stop())
        self.assertIn(
            "client- 2 SHUTDOWN: the server is stopping", pair.told_server.lines
        )


class RuleTests(SynchronousTestCase):
    """
    The hook is told what no server would tell.
    """

    def setUp(self) -> None:
        self.pair = MemoryPair(recording=False).start()
        self.addCleanup(self.pair.stop)
        self.pair.visit()
        self.hook = RecordingHook()
        self.client: ISession = self.pair.session
        [self.tunnel] = self.pair.server.tunnels
        [self.stream] = self.tunnel.streams

    def open(self) -> None:
        """
        Tell of what is there, by the rules.
        """
        self.hook.on_server_start(self.pair.server)
        self.hook.on_client_connect(self.client)
        self.hook.on_tunnel_open(self.tunnel)
        self.hook.on_stream_open(self.stream)

    def close(self) -> None:
        """
        And of the end.
        """
        self.hook.on_stream_close(self.stream, Code.NONE, "")
        self.hook.on_tunnel_close(self.tunnel, Code.CLOSED, "")
        self.hook.on_client_disconnect(self.client, Code.CLOSED, "")

    def broken(self, tell: Callable[[], Any]) -> str:
        """
        Tell something that is against one rule.
        """
        before = self.hook.broken_rules()
        tell()
        found = [rule for rule in self.hook.broken_rules() if rule not in before]
        error = self.assertRaises(AssertionError, assert_in_order, self.hook)
        self.assertIn("\n".join(found), str(error))
        [rule] = found
        return rule

    def test_by_the_rules(self) -> None:
        self.open()
        self.close()
        self.assertEqual(
            [f"never closed: {self.pair.server}"], self.hook.broken_rules()
        )

    def test_opened_twice(self) -> None:
        self.open()
        self.assertEqual(
            "stream+ 2: told twice",
            self.broken(lambda: self.hook.on_stream_open(self.stream)),
        )

    def test_opened_again(self) -> None:
        self.open()
        self.hook.on_stream_close(self.stream, Code.NONE, "")

        def again() -> None:
            self.hook.on_stream_open(self.stream)
            self.hook.on_stream_close(self.stream, Code.NONE, "")

        self.assertEqual("stream+ 2: told twice", self.broken(again))

    def test_opened_inside_of_nothing(self) -> None:
        def tell() -> None:
            self.hook.on_stream_open(self.stream)
            self.hook.on_stream_close(self.stream, Code.NONE, "")

        self.assertEqual("stream+ 2: inside of what is not open", self.broken(tell))

    def test_closed_twice(self) -> None:
        self.open()
        self.hook.on_stream_close(self.stream, Code.NONE, "")
        self.assertEqual(
            "stream- 2 NONE (0/0): not open",
            self.broken(lambda: self.hook.on_stream_close(self.stream, Code.NONE, "")),
        )

    def test_never_closed(self) -> None:
        rule = self.broken(lambda: self.hook.on_client_connect(self.client))
        self.assertEqual(f"never closed: {self.client}", rule)

    def test_tunnel_closed_before_its_stream(self) -> None:
        self.open()

        def tell() -> None:
            self.hook.on_tunnel_close(self.tunnel, Code.CLOSED, "")

        self.assertEqual("tunnel- 1: a stream is open", self.broken(tell))

    def test_client_gone_before_its_tunnel(self) -> None:
        self.open()

        def tell() -> None:
            self.hook.on_client_disconnect(self.client, Code.CLOSED, "")

        self.assertEqual("client-: a tunnel is open", self.broken(tell))

    def test_server_stopped_before_its_sessions(self) -> None:
        self.open()
        self.close()
        rule = self.broken(lambda: self.hook.on_server_stop(self.pair.server))
        self.assertEqual("server-: sessions are left", rule)

    def test_bytes_of_no_tunnel(self) -> None:
        rule = self.broken(lambda: self.hook.on_data_sent(self.tunnel, 1))
        self.assertEqual("sent: tunnel 1 is not open", rule)

    def test_no_bytes(self) -> None:
        self.open()
        rule = self.broken(lambda: self.hook.on_data_received(self.tunnel, 0))
        self.assertEqual("received: 0 bytes", rule)

    def test_bytes_of_data_events(self) -> None:
        self.open()
        self.hook.on_data_received(self.tunnel, 5)
        self.assertEqual(
            "tunnel- 1: the data hooks heard otherwise", self.broken(self.close)
        )

    def test_bytes_of_streams(self) -> None:
        """
        A stream that moved bytes and was not told of.
        """
        self.hook.on_server_start(self.pair.server)
        self.hook.on_client_connect(self.client)
        self.hook.on_tunnel_open(self.tunnel)
        self.pair.targets.newest.say(b"hello")
        self.pair.settle()
        self.hook.on_data_sent(self.tunnel, 5)

        def tell() -> None:
            self.hook.on_tunnel_close(self.tunnel, Code.CLOSED, "")

        self.assertEqual("tunnel- 1: its streams have other counts", self.broken(tell))
