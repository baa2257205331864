"""
Tests of L{reitunnel.service.status} and L{reitunnel.service.asking}.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.service.asking import NotAnswered, ask_status
from reitunnel.service.status import StatusOptions, show_status

ONCE = (
    """
server 1.2, process 7, up 0:01:40: ready
1 session, 1 tunnel, 2 streams; in 5 MB, out 0 B; lag 1.0 ms, at most 20.0

token:office/lap?[2Jtop: tls 192.0.2.1:4000, for 0:00:10, round trip 12.5 ms, """
    """data links 3 idle 2 used (1 in the kernel), link full
  TUNNEL  PUBLIC        TARGET          STREAMS    IN  OUT      IN/S  OUT/S
  1       0.0.0.0:6000  localhost:8080        2  5 MB  0 B  500 kB/s  0 B/s
"""
)
"""What is shown of L{status_of} 5 million bytes."""


def status_of(moved: int = 0, now: float = 1000.0) -> dict[str, Any]:
    """
    What a server says that has moved so much on its one tunnel.
    """
    return {
        "side": "server",
        "version": "1.2",
        "pid": 7,
        "time": now,
        "started_at": 900.0,
        "unready": "",
        "lag": 0.001,
        "worst_lag": 0.02,
        "bytes_received": moved,
        "bytes_sent": 0,
        "counts": {
            "sessions": 1,
            "tunnels": 1,
            "streams": 2,
            "sessions_ever": 1,
            "tunnels_ever": 1,
        },
        "sessions": [
            {
                "client": "token:office/lap\x1b[2Jtop",
                "scheme": "tls",
                "peer": "192.0.2.1:4000",
                "opened_at": 990.0,
                "round_trip": 0.0125,
                "link_up": True,
                "link_full": True,
                "draining": False,
                "answers_queued": 0,
                "bytes_promised": 0,
                "data_links": {"idle": 3, "used": 2, "in_kernel": 1},
                "tunnels": [
                    {
                        "id": 1,
                        "public": "0.0.0.0:6000",
                        "target": "localhost:8080",
                        "opened_at": 990.0,
                        "bytes_received": moved,
                        "bytes_sent": 0,
                        "streams": 2,
                    }
                ],
            }
        ],
    }


class Terminal(StringIO):
    """
    Output that somebody looks at.
    """

    def isatty(self) -> bool:
        """
        It is.
        """
        return True


CLEAR = "\x1b[H\x1b[2J"


def parsed(*arguments: str) -> StatusOptions:
    options = StatusOptions()
    options.parseOptions(list(arguments))
    return options


class OptionTests(SynchronousTestCase):
    def test_where(self) -> None:
        self.assertEqual("unix:/run/reitunnel/monitor.sock", parsed().where)
        self.assertEqual("unix:/x/y", parsed("--socket", "/x/y").where)
        self.assertEqual(f"unix:{Path.cwd()}/y", parsed("--socket", "y").where)
        self.assertEqual("[::1]:9", parsed("--address", "[::1]:9").where)

    def test_mistakes(self) -> None:
        for arguments, message in (
            (["--interval", "0"], "--interval is a number from 0.1 to 3600"),
            (["--interval", "nan"], "--interval is a number from 0.1 to 3600"),
            (["--interval", "soon"], "--interval is a number from 0.1 to 3600"),
            (["--format", "xml"], "--format is table or json"),
            (["--address", "h"], "--address: expected"),
            (["--address", "127.0.0.1:1", "--socket", "s"], "contradict"),
            (["somewhere"], "takes no arguments"),
        ):
            error = self.assertRaises(UsageError, parsed, *arguments)
            self.assertIn(message, str(error))


class TableTests(SynchronousTestCase):
    def show(self, *answers: dict[str, Any], out: StringIO | None = None) -> str:
        """
        Show some answers, one after the other, until somebody interrupts.
        """
        left = list(answers)
        out = StringIO() if out is None else out

        def sleep(seconds: float) -> None:
            self.assertEqual(2.0, seconds)
            if not left:
                raise KeyboardInterrupt

        code = show_status(parsed(), out, lambda where: left.pop(0), sleep)
        self.assertEqual(0, code)
        return out.getvalue()

    def test_narrow_terminal(self) -> None:
        """
        What does not fit is cut, and not broken.
        """
        self.patch(os, "environ", {**os.environ, "COLUMNS": "40"})
        lines = self.show(status_of(), out=Terminal()).replace(CLEAR, "").splitlines()
        self.assertLessEqual(max(len(line) for line in lines), 40)
        self.assertTrue(any(line.endswith("\N{HORIZONTAL ELLIPSIS}") for line in lines))
        whole = self.show(status_of()).splitlines()
        self.assertGreater(max(len(line) for line in whole), 40)

    def test_once(self) -> None:
        out = StringIO()
        asked: list[str] = []

        def ask(where: str) -> dict[str, Any]:
            asked.append(where)
            return status_of(5_000_000)

        self.assertEqual(0, show_status(parsed("--once"), out, ask, self.fail))
        self.assertEqual(["unix:/run/reitunnel/monitor.sock"], asked)
        self.assertEqual(ONCE.strip(), out.getvalue().strip())

    def test_rates(self) -> None:
        """
        Rates are since the look before.
        """
        shown = self.show(status_of(5000, 1000.0), status_of(25_000, 1002.0))
        self.assertIn("500 B/s", shown)
        self.assertIn("10 kB/s", shown)

    def test_terminal(self) -> None:
        """
        On a terminal each look takes the place of the one before, and nothing that
        clients say gets at it.
        """
        shown = self.show(status_of(), status_of(), out=Terminal())
        self.assertEqual(2, shown.count("\x1b[H\x1b[2J"))
        self.assertEqual(4, shown.count("\x1b"))

    def test_more(self) -> None:
        status = status_of()
        status["counts"]["sessions"] = 1500
        status["unready"] = "the server is stopping"
        status["sessions"][0] |= {"round_trip": None, "draining": True, "tunnels": []}
        shown = self.show(status)
        self.assertIn("up 0:01:40: the server is stopping", shown)
        self.assertIn("no answer yet", shown)
        self.assertIn(", draining", shown)
        self.assertIn("and 1499 sessions more", shown)
        self.assertNotIn("TUNNEL", shown)

    def test_lost_link(self) -> None:
        """
        A session that waits for its link says so.
        """
        status = status_of()
        status["sessions"][0] |= {"link_up": False, "link_full": False}
        shown = self.show(status)
        self.assertIn(", link lost\n", shown)
        self.assertNotIn("link full", shown)

    def test_days_and_amounts(self) -> None:
        status = status_of(1_234_567_890_123, 900.0 + 2 * 86400 + 3661)
        shown = self.show(status)
        self.assertIn("up 2 d 1:01:01", shown)
        self.assertIn("in 1.23 TB", shown)

    def test_json(self) -> None:
        out = StringIO()
        options = parsed("--once", "--format", "json")
        show_status(options, out, lambda where: status_of(), self.fail)
        self.assertEqual(status_of(), json.loads(out.getvalue()))

    def test_json_lines(self) -> None:
        out = StringIO()
        left = [status_of(1), status_of(2)]

        def sleep(seconds: float) -> None:
            if not left:
                raise KeyboardInterrupt

        show_status(parsed("--format", "json"), out, lambda where: left.pop(0), sleep)
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        self.assertEqual([status_of(1), status_of(2)], lines)

    def test_unknown_answer(self) -> None:
        def ask(where: str) -> dict[str, Any]:
            return {"side": "server"}

        error = self.assertRaises(
            NotAnswered, show_status, parsed("--once"), StringIO(), ask
        )
        self.assertRegex(str(error), "not one that this version knows")


class AskingTests(SynchronousTestCase):
    """
    Over a real Unix socket, answered by a thread.
    """

    def setUp(self) -> None:
        # The path of a socket must be short.
        directory = mkdtemp()
        self.path = f"{directory}/s"
        self.addCleanup(os.rmdir, directory)

    def answered(self, answer: bytes) -> Callable[[], dict[str, Any]]:
        """
        Have one connection answered.

        @return: asks.
        """
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()
        self.addCleanup(os.remove, self.path)
        self.addCleanup(listener.close)
        self.asked = b""

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                self.asked = connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 30)
        return lambda: ask_status(f"unix:{self.path}", 30)

    def refused(self, answer: bytes) -> str:
        return str(self.assertRaises(NotAnswered, self.answered(answer)))

    def test_answer(self) -> None:
        body = json.dumps(status_of()).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.assertEqual(status_of(), self.answered(head + body)())
        self.assertTrue(self.asked.startswith(b"GET /status HTTP/1.1\r\n"))
        self.assertIn(b"Host: localhost", self.asked)

    def test_nobody(self) -> None:
        error = self.assertRaises(NotAnswered, ask_status, f"unix:{self.path}")
        self.assertEqual(
            f"unix:{self.path}: nobody answers: No such file or directory", str(error)
        )

    def test_not_ours(self) -> None:
        self.assertIn("not a Reitunnel process", self.refused(b"SSH-2.0-x\r\n"))

    def test_other_json(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
        self.assertIn("not a Reitunnel process", self.refused(answer))

    def test_other_code(self) -> None:
        answer = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        self.assertIn("answered 404", self.refused(answer))

    def test_too_slow(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()
        self.addCleanup(os.remove, self.path)
        self.addCleanup(listener.close)
        error = self.assertRaises(NotAnswered, ask_status, f"unix:{self.path}", 0.05)
        self.assertIn("no answer for 0.05 s", str(error))
