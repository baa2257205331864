"""
Tests of L{reitunnel.service.logs} and L{reitunnel.service.log_files}.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import syslog
from collections.abc import Mapping
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any, get_args

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.config import Secret
from reitunnel.config.values import LogLevel as LogLevelName
from reitunnel.errors import Code, ReitunnelError
from reitunnel.service.log_files import (
    SyslogObserver,
    log_observer,
    logs_to_the_terminal,
)
from reitunnel.service.logs import LineObserver, is_wanted, json_line, text_line
from tests.service.fakes import FakeReactor


@implementer(ILogObserver)
class Collector:
    """
    Keeps the last event.
    """

    def __init__(self) -> None:
        self.event: LogEvent = {}

    def __call__(self, event: LogEvent) -> None:
        """
        Keep it.
        """
        self.event = event


def logged(level: str, message: str, **fields: object) -> LogEvent:
    """
    An event as L{Logger} makes it, at a known time.
    """
    collector = Collector()
    log = Logger("reitunnel.test", observer=collector)
    log.emit(LogLevel.levelWithName(level), message, **fields)
    return {**collector.event, "log_time": 1767268800.25}


def failed(message: str) -> LogEvent:
    """
    An event with a failure.
    """
    collector = Collector()
    log = Logger("reitunnel.test", observer=collector)
    try:
        raise ValueError("the reason")
    except ValueError:
        log.failure(message, failure=Failure())
    return collector.event


def legacy(event: LogEvent) -> LogEvent:
    """
    An event after an observer of Twisted's older interface has seen it.
    """
    return {
        **event,
        "message": (),
        "time": 1.0,
        "system": "-",
        "format": "%(log_legacy)s",
        "isError": 0,
    }


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")


class TextTests(SynchronousTestCase):
    def line(self, event: LogEvent) -> str:
        """
        A line without its time.
        """
        text = text_line(event)
        assert text is not None
        self.assertTrue(text.endswith("\n"))
        time, _, rest = text.rstrip("\n").partition(" ")
        self.assertRegex(time, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}\Z")
        return rest

    def test_info(self) -> None:
        self.assertEqual("a is open", self.line(logged("info", "{t} is open", t="a")))

    def test_other_levels(self) -> None:
        for level in ("debug", "warn", "error", "critical"):
            line = self.line(logged(level, "said"))
            self.assertEqual(f"{level.upper()} said", line)

    def test_empty(self) -> None:
        """
        There is no line without a message.
        """
        self.assertIsNone(text_line(logged("info", " ")))

    def test_failure(self) -> None:
        """
        A traceback follows, each line indented.
        """
        first, *rest = self.line(failed("it broke")).split("\n")
        self.assertEqual("CRITICAL it broke", first)
        self.assertTrue(all(line.startswith("\t") for line in rest))
        self.assertIn("ValueError: the reason", rest[-1])

    def test_nothing_but_text(self) -> None:
        """
        Whoever has a say in a message cannot forge a line or command a terminal.
        """
        event = logged("info", "{x}", x="a\n2026-01-01 b\x1b[2J\u202e\r\tc")
        self.assertEqual("a\n\t2026-01-01 b\\x1b[2J\\u202e\\r\tc", self.line(event))

    def test_addresses(self) -> None:
        for address, text in ADDRESSES:
            line = self.line(logged("info", "from {peer}", peer=address))
            self.assertEqual(f"from {text}", line)

    def test_bad_format(self) -> None:
        """
        A message that cannot be formatted is a line all the same.
        """
        self.assertIn("nothing", self.line(logged("info", "{nothing}")))


ADDRESSES = (
    (IPv4Address("TCP", "192.0.2.1", 80), "192.0.2.1:80"),
    (IPv6Address("TCP", "2001:db8::1", 80), "[2001:db8::1]:80"),
    (UNIXAddress(b"/run/a"), "unix:/run/a"),
    (UNIXAddress(None), "unix"),
)


class JSONTests(SynchronousTestCase):
    def line(self, event: LogEvent) -> dict[str, Any]:
        text = json_line(event)
        assert text is not None
        self.assertEqual(1, text.count("\n"))
        result: dict[str, Any] = json.loads(text)
        return result

    def test_fields(self) -> None:
        """
        The event's own fields stand beside time, level, namespace and message.
        """
        event = logged(
            "warn", "{tunnel}: {count} bytes", tunnel="t", count=3, extra=1.5
        )
        self.assertEqual(
            {
                "time": "2026-01-01T12:00:00.250Z",
                "level": "warn",
                "namespace": "reitunnel.test",
                "message": "t: 3 bytes",
                "tunnel": "t",
                "count": 3,
                "extra": 1.5,
            },
            self.line(event),
        )

    def test_older_interface(self) -> None:
        """
        What the older interface adds to events is not in the line.
        """
        event = logged("info", "said", tunnel="t")
        self.assertEqual(self.line(event), self.line(legacy(event)))

    def test_values(self) -> None:
        """
        Every value becomes what JSON can say.
        """
        given: Mapping[str, tuple[object, object]] = {
            "enum": (Code.POLICY, "POLICY"),
            "none": (None, None),
            "true": (True, True),
            "octets": (b"a\xff", "a\\xff"),
            "inf": (math.inf, "inf"),
            "table": ({1: (2, None)}, {"1": [2, None]}),
            "set": ({"b", "a"}, ["a", "b"]),
            "object": (Path("/a"), "/a"),
            "unprintable": (Unprintable(), "<Unprintable>"),
            "secret": (Secret("geheim"), "Secret(...)"),
            **{str(address): (address, text) for address, text in ADDRESSES},
        }
        values = {name: value for name, (value, _) in given.items()}
        line = self.line(logged("info", "said", **values))
        for name, (_, expected) in given.items():
            self.assertEqual(expected, line[name], name)

    def test_depth(self) -> None:
        """
        A value that contains itself ends somewhere.
        """
        loop: list[object] = []
        loop.append(loop)
        self.assertIn("loop", self.line(logged("info", "said", loop=loop)))

    def test_failure(self) -> None:
        line = self.line(failed("it broke"))
        self.assertEqual("it broke", line["message"])
        self.assertEqual("ValueError: the reason", line["failure"])
        self.assertTrue(line["traceback"].startswith("Traceback"))
        self.assertEqual("critical", line["level"])

    def test_lines_in_a_message(self) -> None:
        self.assertEqual("a\nb", self.line(logged("info", "a\nb"))["message"])

    def test_empty(self) -> None:
        self.assertIsNone(json_line(logged("info", "")))


class WantedTests(SynchronousTestCase):
    def test_level(self) -> None:
        names: tuple[LogLevelName, ...] = get_args(LogLevelName)
        for least in names:
            wanted = [name for name in names if is_wanted(logged(name, "said"), least)]
            self.assertEqual(list(names[names.index(least) :]), wanted)

    def test_noise(self) -> None:
        """
        What Twisted says is wanted from C{warn} on, unless all of it is.
        """
        for namespace in ("twisted.application.app", "log_legacy", "autobahn.x"):
            info = {**logged("info", "said"), "log_namespace": namespace}
            warn = {**logged("warn", "said"), "log_namespace": namespace}
            self.assertFalse(is_wanted(info, "info"), namespace)
            self.assertTrue(is_wanted(info, "debug"), namespace)
            self.assertTrue(is_wanted(warn, "info"), namespace)

    def test_others(self) -> None:
        """
        Plugins and what is printed are no noise.
        """
        for namespace in ("stdout", "their.hook", "twistedly", ""):
            event = {**logged("info", "said"), "log_namespace": namespace}
            self.assertTrue(is_wanted(event, "info"), namespace)


class LineObserverTests(SynchronousTestCase):
    def test_interface(self) -> None:
        verifyObject(ILogObserver, LineObserver(StringIO(), "text", "info"))

    def test_formats(self) -> None:
        out = StringIO()
        LineObserver(out, "text", "info")(logged("info", "said"))
        self.assertRegex(out.getvalue(), r"\A\S+ said\n\Z")
        out = StringIO()
        LineObserver(out, "json", "info")(logged("info", "said"))
        self.assertEqual("said", json.loads(out.getvalue())["message"])

    def test_unwanted(self) -> None:
        out = StringIO()
        LineObserver(out, "text", "warn")(logged("info", "said"))
        self.assertEqual("", out.getvalue())

    def test_narrow_terminal(self) -> None:
        """
        What a terminal cannot show is escaped.
        """
        below = BytesIO()
        out = TextIOWrapper(below, encoding="ascii")
        LineObserver(out, "text", "info")(logged("info", "b\u00fcsy"))
        self.assertTrue(below.getvalue().endswith(b" b\\xfcsy\n"), below.getvalue())


class WhereTests(SynchronousTestCase):
    """
    The log goes where C{twistd} was told.
    """

    def setUp(self) -> None:
        self.reactor: Any = FakeReactor()
        previous = signal.getsignal(signal.SIGUSR1)
        self.addCleanup(signal.signal, signal.SIGUSR1, previous)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)

    def test_terminal(self) -> None:
        for twistd, expected in (
            ({}, True),
            ({"nodaemon": 1, "logfile": None}, True),
            ({"nodaemon": 1, "logfile": "-"}, True),
            ({"nodaemon": 0, "logfile": "-"}, True),
            ({"nodaemon": 0, "logfile": None}, False),
            ({"nodaemon": 1, "logfile": "log"}, False),
            ({"nodaemon": 1, "syslog": 1}, False),
            ({"nodaemon": 1, "logger": object()}, False),
        ):
            self.assertEqual(expected, logs_to_the_terminal(twistd), twistd)

    def test_standard_output(self) -> None:
        out = StringIO()
        self.patch(sys, "stdout", out)
        observer = log_observer(self.reactor, {"nodaemon": 1}, "text", "info")
        observer(logged("info", "said"))
        self.assertIn("said", out.getvalue())

    def test_daemon_on_standard_output(self) -> None:
        twistd = {"nodaemon": 0, "logfile": "-"}
        error = self.assertRaises(
            ReitunnelError, log_observer, self.reactor, twistd, "text", "info"
        )
        self.assertIn("a daemon cannot log to standard output", str(error))

    def test_file(self) -> None:
        """
        A file is appended to, and rotated on SIGUSR1.
        """
        path = Path(self.mktemp())
        path.write_text("before\n")
        twistd = {"nodaemon": 1, "logfile": str(path)}
        observer = log_observer(self.reactor, twistd, "json", "info")
        observer(logged("info", "said"))
        before, line = path.read_text().splitlines()
        self.assertEqual(("before", "said"), (before, json.loads(line)["message"]))
        signal.raise_signal(signal.SIGUSR1)
        self.assertEqual("", path.read_text())
        self.assertIn("said", path.with_name(f"{path.name}.1").read_text())

    def test_handler_of_others(self) -> None:
        """
        Who handles SIGUSR1 already goes on doing so.
        """
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        twistd = {"nodaemon": 1, "logfile": self.mktemp()}
        log_observer(self.reactor, twistd, "text", "info")
        self.assertEqual(signal.SIG_IGN, signal.getsignal(signal.SIGUSR1))

    def test_file_that_cannot_be_written(self) -> None:
        twistd = {"nodaemon": 1, "logfile": f"{self.mktemp()}/log"}
        error = self.assertRaises(
            ReitunnelError, log_observer, self.reactor, twistd, "text", "info"
        )
        self.assertRegex(str(error), "^--logfile: .*/log: cannot be written: No such")

    def test_syslog(self) -> None:
        twistd = {"nodaemon": 1, "syslog": 1, "prefix": "tests"}
        observer = log_observer(self.reactor, twistd, "text", "info")
        self.addCleanup(syslog.closelog)
        self.assertIsInstance(observer, SyslogObserver)


class SyslogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sent: list[tuple[int, str]] = []

    def send(self, priority: int, line: str) -> None:
        self.sent.append((priority, line))

    def test_interface(self) -> None:
        verifyObject(ILogObserver, SyslogObserver("text", "info", self.send))

    def test_text(self) -> None:
        """
        Each line has the priority of the event, and no time.
        """
        observer = SyslogObserver("text", "info", self.send)
        observer(logged("warn", "a\nb"))
        self.assertEqual(
            [(syslog.LOG_WARNING, "a"), (syslog.LOG_WARNING, "\tb")], self.sent
        )

    def test_json(self) -> None:
        observer = SyslogObserver("json", "info", self.send)
        observer(logged("info", "a\nb"))
        [(priority, line)] = self.sent
        self.assertEqual(syslog.LOG_INFO, priority)
        self.assertEqual("a\nb", json.loads(line)["message"])

    def test_unwanted(self) -> None:
        SyslogObserver("text", "error", self.send)(logged("warn", "a"))
        self.assertEqual([], self.sent)
