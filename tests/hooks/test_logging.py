"""
Tests for the C{logging} hook.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import (
    LogEvent,
    LogLevel,
    capturedLogs,
    eventAsJSON,
    formatEvent,
    textFileLogObserver,
)
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import Code
from reitunnel.hooks import HookManager
from reitunnel.hooks.logging import (
    ALL_EVENTS,
    LoggingHook,
    LoggingHookFactory,
    LoggingOptions,
)
from reitunnel.interfaces import (
    IClientHook,
    IDataHook,
    IErrorHook,
    IHookFactory,
    IServerHook,
    IStreamHook,
    ITunnelHook,
)
from tests.hooks.fakes import (
    FakeFacts,
    FakeServer,
    FakeSession,
    FakeStream,
    FakeTunnel,
)

INTERFACES = [
    IServerHook,
    IClientHook,
    ITunnelHook,
    IStreamHook,
    IDataHook,
    IErrorHook,
]


def provided(options: LoggingOptions) -> set[Any]:
    """
    The interfaces that the hook with these options provides.
    """
    hook = LoggingHook(options)
    return {interface for interface in INTERFACES if interface.providedBy(hook)}


class InterfaceTests(SynchronousTestCase):
    def test_all(self) -> None:
        hook = LoggingHook()
        for interface in INTERFACES:
            verifyObject(interface, hook)

    def test_only_what_is_needed(self) -> None:
        for events, interfaces in [
            (("server_stop",), {IServerHook}),
            (("client_connect",), {IClientHook}),
            (("tunnel_close", "error"), {ITunnelHook, IErrorHook}),
            (("stream_open", "stream_close"), {IStreamHook}),
            (("data_sent",), {IDataHook, ITunnelHook}),
        ]:
            self.assertEqual(
                interfaces,
                provided(LoggingOptions(events=events)),  # type: ignore[arg-type]  # mypy loses the Literals
            )

    def test_factory(self) -> None:
        factory = LoggingHookFactory()
        verifyObject(IHookFactory, factory)
        hook = factory.build(LoggingOptions(), MemoryReactorClock())
        self.assertIsInstance(hook, LoggingHook)


class LineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.session = FakeSession()
        self.tunnel = FakeTunnel(
            session=self.session, bytes_received=120, bytes_sent=3400
        )
        self.stream = FakeStream(tunnel=self.tunnel, bytes_received=12, bytes_sent=34)

    def events(self, act: Callable[[], object]) -> list[LogEvent]:
        with capturedLogs() as events:
            act()
        return list(events)

    def lines(self, act: Callable[[], object]) -> list[str]:
        return [str(formatEvent(event)) for event in self.events(act)]


class LineTests(LineTestCase):
    """
    One line for each event.
    """

    def setUp(self) -> None:
        super().setUp()
        self.hook = LoggingHook(LoggingOptions(sample=1))

    def test_server(self) -> None:
        server = FakeServer()
        self.assertEqual(
            ["server is starting"],
            self.lines(lambda: self.hook.on_server_start(server)),
        )
        self.assertEqual(
            ["server has stopped"], self.lines(lambda: self.hook.on_server_stop(server))
        )

    def test_client_connect(self) -> None:
        self.assertEqual(
            [
                (
                    "client token:web (laptop) connected from 192.0.2.7:40000 over "
                    "tls, session 5e55"
                )
            ],
            self.lines(lambda: self.hook.on_client_connect(self.session)),
        )

    def test_addresses(self) -> None:
        for address, shown in [
            (IPv6Address("TCP", "2001:db8::1", 7), "[2001:db8::1]:7"),
            (IPv4Address("TCP", "192.0.2.1", 7), "192.0.2.1:7"),
            (UNIXAddress(b"/run/x"), "unix:/run/x"),
            (UNIXAddress(None), "unix"),
            (HostnameAddress(b"h", 7), "HostnameAddress(hostname=b'h', port=7)"),
        ]:
            session = FakeSession(facts=FakeFacts(peer=address))
            [event] = self.events(lambda s=session: self.hook.on_client_connect(s))  # type: ignore[misc]  # mypy cannot infer the default's type
            self.assertEqual(shown, event["peer"])

    def test_client_disconnect(self) -> None:
        self.assertEqual(
            [
                (
                    "client token:web (laptop) disconnected, session 5e55: link lost, "
                    "no word for 60 s"
                )
            ],
            self.lines(
                lambda: self.hook.on_client_disconnect(
                    self.session, Code.LINK_LOST, "no word for 60 s"
                )
            ),
        )

    def test_tunnel_open(self) -> None:
        self.assertEqual(
            ["tunnel 3 of token:web opens: port 6000 to localhost:8080"],
            self.lines(lambda: self.hook.on_tunnel_open(self.tunnel)),
        )

    def test_tunnel_close(self) -> None:
        self.assertEqual(
            [
                (
                    "tunnel 3 of token:web closed, 120 bytes received, 3400 bytes "
                    "sent: closed"
                )
            ],
            self.lines(lambda: self.hook.on_tunnel_close(self.tunnel, Code.CLOSED, "")),
        )

    def test_stream_open(self) -> None:
        self.assertEqual(
            ["stream 9 of tunnel 3 opens for 203.0.113.9:50000"],
            self.lines(lambda: self.hook.on_stream_open(self.stream)),
        )

    def test_stream_close(self) -> None:
        self.assertEqual(
            [
                (
                    "stream 9 of tunnel 3 for 203.0.113.9:50000 closed, 12 bytes "
                    "received, 34 bytes sent: none"
                )
            ],
            self.lines(lambda: self.hook.on_stream_close(self.stream, Code.NONE, "")),
        )

    def test_data(self) -> None:
        self.assertEqual(
            ["tunnel 3 of token:web received 5 bytes in 1 events"],
            self.lines(lambda: self.hook.on_data_received(self.tunnel, 5)),
        )
        self.assertEqual(
            ["tunnel 3 of token:web sent 6 bytes in 1 events"],
            self.lines(lambda: self.hook.on_data_sent(self.tunnel, 6)),
        )

    def test_error(self) -> None:
        self.assertEqual(
            ["dialling localhost:8080: no route"],
            self.lines(
                lambda: self.hook.on_error(
                    OSError("no route"), "dialling localhost:8080"
                )
            ),
        )
        self.assertEqual(
            ["dialling: OSError"],
            self.lines(lambda: self.hook.on_error(OSError(), "dialling")),
        )

    def test_fields(self) -> None:
        [event] = self.events(
            lambda: self.hook.on_stream_close(self.stream, Code.ABORTED, "reset")
        )
        fields = json.loads(eventAsJSON(event))
        expected = {
            "event": "stream_close",
            "client": "token:web",
            "instance": "laptop",
            "session": "5e55",
            "tunnel": 3,
            "stream": 9,
            "visitor": "203.0.113.9:50000",
            "received": 12,
            "sent": 34,
            "code": "aborted",
        }
        self.assertEqual(expected, {key: fields[key] for key in expected})
        self.assertEqual(LogLevel.info, event["log_level"])

    def test_braces_in_names(self) -> None:
        self.session.identity = "token:{evil}"
        out = StringIO()
        [event] = self.events(lambda: self.hook.on_client_connect(self.session))
        textFileLogObserver(out)(event)
        self.assertIn("token:{evil} (laptop)", out.getvalue())


class OptionTests(LineTestCase):
    def test_level(self) -> None:
        for name, level in [
            ("debug", LogLevel.debug),
            ("warn", LogLevel.warn),
            ("critical", LogLevel.critical),
        ]:
            hook = LoggingHook(LoggingOptions(level=name))  # type: ignore[arg-type]  # mypy loses the Literals
            [event] = self.events(
                lambda told=hook: told.on_server_start(FakeServer())  # type: ignore[misc]  # mypy cannot infer the default's type
            )
            self.assertEqual(level, event["log_level"])

    def test_events(self) -> None:
        def everything(hook: LoggingHook) -> None:
            hook.on_server_start(FakeServer())
            hook.on_client_connect(self.session)
            hook.on_tunnel_open(self.tunnel)
            hook.on_stream_open(self.stream)
            hook.on_data_received(self.tunnel, 1)
            hook.on_data_sent(self.tunnel, 1)
            hook.on_stream_close(self.stream, Code.NONE, "")
            hook.on_tunnel_close(self.tunnel, Code.NONE, "")
            hook.on_client_disconnect(self.session, Code.NONE, "")
            hook.on_server_stop(FakeServer())
            hook.on_error(OSError(), "")

        seen = []
        for name in ALL_EVENTS:
            hook = LoggingHook(LoggingOptions(events=(name,), sample=1))
            for event in self.events(lambda told=hook: everything(told)):  # type: ignore[misc]  # mypy cannot infer the default's type
                self.assertEqual(name, event["event"])
                seen.append(name)
        self.assertEqual([*ALL_EVENTS], seen)


class SampleTests(LineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hook = LoggingHook(
            LoggingOptions(sample=3, events=("data_received", "data_sent"))
        )

    def test_sums(self) -> None:
        def receive() -> None:
            for count in range(1, 8):
                self.hook.on_data_received(self.tunnel, count)

        self.assertEqual(
            [
                "tunnel 3 of token:web received 6 bytes in 3 events",
                "tunnel 3 of token:web received 15 bytes in 3 events",
            ],
            self.lines(receive),
        )

    def test_directions_and_tunnels_are_apart(self) -> None:
        other = FakeTunnel(id=4, session=self.session)

        def move() -> None:
            for _ in range(2):
                self.hook.on_data_received(self.tunnel, 1)
                self.hook.on_data_sent(self.tunnel, 10)
                self.hook.on_data_received(other, 100)
            self.hook.on_data_sent(self.tunnel, 10)

        self.assertEqual(
            ["tunnel 3 of token:web sent 30 bytes in 3 events"], self.lines(move)
        )

    def test_rest_at_the_end(self) -> None:
        def move() -> None:
            self.hook.on_data_received(self.tunnel, 1)
            self.hook.on_data_received(self.tunnel, 2)
            self.hook.on_data_sent(self.tunnel, 10)
            self.hook.on_tunnel_close(self.tunnel, Code.CLOSED, "")
            self.hook.on_tunnel_close(self.tunnel, Code.CLOSED, "")

        self.assertEqual(
            [
                "tunnel 3 of token:web received 3 bytes in 2 events",
                "tunnel 3 of token:web sent 10 bytes in 1 events",
            ],
            self.lines(move),
        )

    def test_new_tunnel_starts_from_nothing(self) -> None:
        # The hook was registered late and missed the close of a tunnel; now a
        # new one is at the same place in memory.
        def move() -> None:
            self.hook.on_data_received(self.tunnel, 1)
            self.hook.on_data_sent(self.tunnel, 1)
            self.hook.on_tunnel_open(self.tunnel)
            self.hook.on_tunnel_close(self.tunnel, Code.CLOSED, "")

        self.assertEqual([], self.lines(move))

    def test_with_the_manager(self) -> None:
        hooks = HookManager(Clock())
        hooks.register(self.hook)

        def move() -> None:
            opened = self.successResultOf(
                Deferred.fromCoroutine(hooks.decide_tunnel_open(self.tunnel))
            )
            assert hooks.data_sent is not None
            for _ in range(4):
                hooks.data_sent(self.tunnel, 5)
            hooks.notify_tunnel_close(opened, self.tunnel, Code.CLOSED, "")

        self.assertEqual(
            [
                "tunnel 3 of token:web sent 15 bytes in 3 events",
                "tunnel 3 of token:web sent 5 bytes in 1 events",
            ],
            self.lines(move),
        )
