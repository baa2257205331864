"""
Tests of L{reitunnel.service.reloading}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import ConfigError, ConfigMistake, TransportError
from reitunnel.service.notices import Notices
from reitunnel.service.reloading import Reloader


class ReloaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.running: list[Deferred[Mapping[str, Sequence[str]]]] = []
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.reloader = Reloader(self.apply, Notices(Clock(), lambda: "", {}))

    def apply(self) -> Deferred[Mapping[str, Sequence[str]]]:
        self.running.append(Deferred())
        return self.running[-1]

    def break_off(self, error: Exception) -> None:
        self.running[-1].errback(error)

    @property
    def said(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def test_reload(self) -> None:
        self.reloader.ask()
        self.assertEqual([], self.said)
        self.running[0].callback({})
        self.assertEqual(["the configuration is reloaded"], self.said)

    def test_what_does_not_hold_yet(self) -> None:
        """
        It is named in one line of each kind.
        """
        self.reloader.ask()
        self.running[0].callback(
            {"later: {keys}": ["a.b", "c"], "soon: {keys}": [], "never: {keys}": ["d"]}
        )
        self.assertEqual(["later: a.b, c", "never: d"], self.said[1:])

    def test_mistakes(self) -> None:
        """
        A line for each, and the next time may be better.
        """
        self.reloader.ask()
        mistakes = [ConfigMistake("a.b", "wrong"), ConfigMistake("c", "too")]
        self.break_off(ConfigError(mistakes))
        self.assertEqual(
            ["not reloaded: a.b: wrong", "not reloaded: c: too"], self.said
        )
        self.reloader.ask()
        self.break_off(TransportError("taken"))
        self.assertEqual("not reloaded: taken", self.said[-1])
        self.reloader.ask()
        self.assertEqual(3, len(self.running))

    def test_defect(self) -> None:
        self.reloader.ask()
        self.break_off(ZeroDivisionError("defect"))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.reloader.ask()
        self.assertEqual(2, len(self.running))

    def test_twice(self) -> None:
        """
        Asked while it reloads, it does so once more, however often it was asked.
        """
        for _ in range(3):
            self.reloader.ask()
        self.assertEqual(1, len(self.running))
        self.running[0].callback({})
        self.assertEqual(2, len(self.running))
        self.running[1].callback({})
        self.assertEqual(2, len(self.running))

    def test_stopping(self) -> None:
        self.reloader.ask()
        self.reloader.ask()
        self.reloader.stop()
        self.running[0].callback({})
        self.reloader.ask()
        self.assertEqual(1, len(self.running))
        self.assertEqual("stopping, so that nothing is reloaded", self.said[-1])

    def test_fits(self) -> None:
        """
        A coroutine does as well.
        """

        async def apply() -> Any:
            return {}

        Reloader(apply, Notices(Clock(), lambda: "", {})).ask()
        self.assertEqual(["the configuration is reloaded"], self.said)
