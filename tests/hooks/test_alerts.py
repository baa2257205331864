"""
Tests of the C{alerts} hook.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import ConfigError
from reitunnel.hooks import HookManager
from reitunnel.hooks.alert_sender import WAITING
from reitunnel.hooks.alerts import AlertsHook, AlertsHookFactory, AlertsOptions
from reitunnel.interfaces import (
    IBackgroundHook,
    IErrorHook,
    IHookFactory,
    IReactorHook,
)
from tests.hooks.building import built
from tests.hooks.posters import ManualPoster

OPTIONS = AlertsOptions(url="https://localhost/x", count=3, window=10.0, quiet=100.0)


class AlertsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.poster = ManualPoster()
        self.hook = self.make()

    def make(self, **changes: Any) -> AlertsHook:
        options = msgspec.structs.replace(OPTIONS, **changes)
        hook = AlertsHook(options, self.poster)
        HookManager(self.clock).register(hook)
        return hook

    def errors(self, count: int, error: Exception | None = None) -> None:
        """
        Let errors happen, one a second.
        """
        for _ in range(count):
            self.hook.on_error(error or ValueError("broken"), "doing something")
            self.clock.advance(1)


class CountingTests(AlertsCase):
    def errors(self, count: int, error: Exception | None = None) -> None:
        for _ in range(count):
            super().errors(1, error)
            while self.poster.answers:
                self.poster.answer()

    def test_interfaces(self) -> None:
        for interface in (IErrorHook, IBackgroundHook, IReactorHook):
            verifyObject(interface, self.hook)

    def test_alert(self) -> None:
        self.errors(2)
        self.assertEqual([], self.poster.bodies)
        self.errors(1)
        self.assertEqual(
            [
                {
                    "text": "reitunnel: 3 errors ValueError within 10 s, the last one: "
                    "doing something",
                    "source": "reitunnel",
                    "time": "1970-01-01T00:00:02+00:00",
                    "kind": "ValueError",
                    "count": 3,
                    "window": 10.0,
                    "unsaid": 0,
                    "quiet": 100.0,
                    "context": "doing something",
                    "error": "broken",
                }
            ],
            self.poster.bodies,
        )

    def test_too_seldom(self) -> None:
        for _ in range(20):
            self.errors(1)
            self.clock.advance(5)
        self.assertEqual([], self.poster.bodies)

    def test_kinds(self) -> None:
        """
        Each kind counts by itself.
        """
        for error in (ValueError(), KeyError(), OSError(), ValueError(), KeyError()):
            self.errors(1, error)
        self.assertEqual([], self.poster.bodies)
        self.errors(1, KeyError())
        self.assertEqual("KeyError", self.poster.bodies[0]["kind"])

    def test_patterns(self) -> None:
        self.hook = self.make(kinds=("Conn*Error",))
        self.errors(3)
        self.errors(3, ConnectionResetError())
        self.assertEqual(
            ["ConnectionResetError"], [body["kind"] for body in self.poster.bodies]
        )

    def test_quiet(self) -> None:
        """
        Errors that go on are told of less and less often, and counted meanwhile.
        """
        self.errors(1000)
        times = [body["time"][11:] for body in self.poster.bodies[:1]]
        quiet = [body["quiet"] for body in self.poster.bodies]
        self.assertEqual(["00:00:02+00:00"], times)
        self.assertEqual([100, 200, 400, 800], quiet)
        self.assertEqual(
            [0, 99, 199, 399], [body["unsaid"] for body in self.poster.bodies]
        )

    def test_quiet_again(self) -> None:
        """
        When they have stopped for a while, it begins anew.
        """
        self.errors(3)
        self.clock.advance(1000)
        self.errors(3)
        self.assertEqual([100, 100], [body["quiet"] for body in self.poster.bodies])

    def test_many_kinds(self) -> None:
        for number in range(100):
            self.errors(1, type(f"E{number}", (Exception,), {})())
        self.assertEqual({"other"}, {body["kind"] for body in self.poster.bodies})

    def test_long_texts(self) -> None:
        self.hook = self.make(count=1)
        self.hook.on_error(ValueError("x" * 10_000), "y" * 10_000)
        [body] = self.poster.bodies
        self.assertLess(sum(len(str(value)) for value in body.values()), 2000)


class SendingTests(AlertsCase):
    def setUp(self) -> None:
        super().setUp()
        self.hook = self.make(count=1, quiet=0.1, attempts=3)

    def test_one_at_a_time(self) -> None:
        self.errors(3)
        self.assertEqual(1, len(self.poster.bodies))
        self.poster.answer()
        self.assertEqual(2, len(self.poster.bodies))

    def test_tried_again(self) -> None:
        """
        With growing pauses, and in the end it is logged, in one line and without what
        may be secret.
        """
        self.errors(1)
        with capturedLogs() as events:
            self.poster.fail()
            self.clock.advance(0.9)
            self.assertEqual(1, len(self.poster.bodies))
            self.clock.advance(0.2)
            self.poster.fail()
            self.clock.advance(1.9)
            self.assertEqual(2, len(self.poster.bodies))
            self.clock.advance(0.2)
            self.assertEqual([], events)
            self.poster.fail()
        self.assertEqual(
            ["cannot send an alert to http://localhost:1: no answer within 1 s"],
            [formatEvent(event) for event in events],
        )
        self.assertEqual(3, len(self.poster.bodies))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_goes_on(self) -> None:
        self.errors(1)
        self.poster.fail()
        self.clock.advance(1)
        self.poster.answer()
        self.errors(1)
        self.assertEqual(3, len(self.poster.bodies))

    def test_too_many(self) -> None:
        self.errors(WAITING)
        with capturedLogs() as events:
            self.errors(1)
        self.assertEqual(
            ["cannot send an alert to http://localhost:1: too many alerts wait"],
            [formatEvent(event) for event in events],
        )

    def test_finish(self) -> None:
        """
        What waits is sent first.
        """
        self.errors(2)
        finished = self.hook.finish()
        assert finished is not None
        self.poster.answer()
        self.assertNoResult(finished)
        self.poster.answer()
        self.successResultOf(finished)
        self.assertEqual(1, self.poster.closed)

    def test_finish_in_a_pause(self) -> None:
        """
        It is tried once more, and no more than that.
        """
        self.errors(1)
        self.poster.fail()
        finished = self.hook.finish()
        assert finished is not None
        with capturedLogs() as events:
            self.poster.fail()
        self.successResultOf(finished)
        self.assertEqual(1, len(events))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_finish_with_nothing(self) -> None:
        finished = self.hook.finish()
        assert finished is not None
        self.successResultOf(finished)

    def test_no_time_left(self) -> None:
        self.errors(2)
        finished = self.hook.finish()
        assert isinstance(finished, Deferred)
        with capturedLogs() as events:
            finished.cancel()
        self.successResultOf(finished)
        self.assertEqual(1, len(events))
        self.assertEqual(1, len(self.poster.bodies))


class OptionsTests(SynchronousTestCase):
    def build(self, **options: Any) -> Any:
        return built(AlertsHookFactory(), **options)

    def mistake(self, **options: Any) -> str:
        error = self.assertRaises(ConfigError, self.build, **options)
        return str(error)

    def file(self, text: str, mode: int = 0o600) -> str:
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return str(path)

    def test_factory(self) -> None:
        verifyObject(IHookFactory, AlertsHookFactory())

    def test_good(self) -> None:
        for url in ("https://example.com/x", "http://127.0.0.1:8080", "http://[::1]/"):
            token = self.file("s3cret\n")
            self.assertIsInstance(self.build(url=url, token_file=token), AlertsHook)
        self.build(url="http://example.com/x", insecure_plaintext=True)

    def test_urls(self) -> None:
        for url, what in (
            ("ftp://example.com", "expected https"),
            ("https:///x", "expected https"),
            ("https://example.com:99999/", "hooks[0].url: Port out of range"),
            ("https://[::1/", "hooks[0].url: Invalid IPv6 URL"),
            ("https://u:s3cret@example.com/", "use token_file"),
            ("http://example.com/", "http is not safe"),
            ("https://example.com/a b", "printable"),
        ):
            mistake = self.mistake(url=url)
            self.assertIn(what, mistake)
            self.assertNotIn("s3cret", mistake)

    def test_token_file(self) -> None:
        url = "https://example.com/"
        for path, what in (
            ("/none", "No such file"),
            (self.file("x", 0o644), "others can read"),
            (self.file(""), "has no token"),
            (self.file("a\nb"), "has no token"),
        ):
            self.assertIn(what, self.mistake(url=url, token_file=path))

    def test_ca(self) -> None:
        url = "https://example.com/"
        broken = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
        for path, what in (
            ("/none", "No such file"),
            (self.file("x"), "no PEM"),
            (self.file(broken), "no PEM"),
        ):
            self.assertIn(what, self.mistake(url=url, ca=path))
