"""
Tests of L{reitunnel.service.exits}.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import CertificateError, ConfigError, ConfigMistake
from reitunnel.service.exits import (
    ExitCode,
    NotStarted,
    explain,
    hide_traceback_of_not_started,
    leave,
)


class ExitCodeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.registered: list[Callable[[], None]] = []
        self.left: list[int] = []
        self.exit_code = ExitCode(self.registered.append, self.left.append)

    def test_success(self) -> None:
        """
        A process that does not fail ends as it would.
        """
        self.assertEqual(0, self.exit_code.value)
        self.assertEqual([], self.registered)

    def test_failure(self) -> None:
        """
        One that fails leaves with 1 in the end.
        """
        self.exit_code.fail()
        self.exit_code.fail()
        self.assertEqual(1, self.exit_code.value)
        [at_exit] = self.registered
        self.assertEqual([], self.left)
        at_exit()
        self.assertEqual([1], self.left)

    def test_closed_streams(self) -> None:
        """
        Streams that cannot be flushed do not change that.
        """
        closed = StringIO()
        closed.close()
        self.patch(sys, "stdout", closed)
        self.exit_code.fail()
        self.registered[0]()
        self.assertEqual([1], self.left)


class HideTracebackTests(SynchronousTestCase):
    def test_hidden(self) -> None:
        """
        L{NotStarted} is hidden, and nothing else.
        """
        shown: list[BaseException] = []
        self.patch(
            sys, "excepthook", lambda kind, error, traceback: shown.append(error)
        )
        hide_traceback_of_not_started()
        sys.excepthook(NotStarted, NotStarted("port taken"), None)
        self.assertEqual([], shown)
        error = ValueError("defect")
        sys.excepthook(ValueError, error, None)
        self.assertEqual([error], shown)


class LeaveTests(SynchronousTestCase):
    def test_config(self) -> None:
        """
        A line for each mistake, and 2.
        """
        error = ConfigError([ConfigMistake("a", "x"), ConfigMistake("b.c", "y")])
        self.assertEqual((["a: x", "b.c: y"], 2), explain(error))

    def test_file(self) -> None:
        error = CertificateError("server.pem: cannot be read")
        self.assertEqual((["server.pem: cannot be read"], 1), explain(error))

    def test_leave(self) -> None:
        stream = StringIO()
        error = ConfigError([ConfigMistake("a", "x"), ConfigMistake("b", "y")])
        left = self.assertRaises(SystemExit, leave, error, stream)
        self.assertEqual(2, left.code)
        self.assertEqual("a: x\nb: y\n", stream.getvalue())
