"""
Tests of L{reitunnel.service.notices}, with real datagram sockets.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

from twisted.internet.task import Clock
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.service.notices import REFRESH, Notices


class NoticesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.status = "idle"
        # A socket's path has at most 107 characters.
        directory = mkdtemp(prefix="notices")
        self.addCleanup(FilePath(directory).remove)
        self.path = str(Path(directory) / "notify")

    def listen(self, address: str) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listening.close)
        listening.bind(address)
        listening.setblocking(False)
        return listening

    def notices(self, **environ: str) -> Notices:
        notices = Notices(self.clock, lambda: self.status, environ)
        self.addCleanup(notices.close)
        return notices

    def heard(self, listening: socket.socket) -> list[str]:
        """
        The notices that came since the last time.
        """
        found = []
        while True:
            try:
                found.append(listening.recv(4096).decode())
            except BlockingIOError:
                return found

    def test_without_a_service_manager(self) -> None:
        """
        Nothing is sent, and nothing is timed.
        """
        notices = self.notices(WATCHDOG_USEC="1000000")
        notices.ready()
        notices.reloading()
        notices.reloaded()
        notices.stopping()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_ready(self) -> None:
        listening = self.listen(self.path)
        self.notices(NOTIFY_SOCKET=self.path).ready()
        self.assertEqual(["READY=1\nSTATUS=idle"], self.heard(listening))

    def test_abstract_name(self) -> None:
        name = f"reitunnel-{uuid4().hex}"
        listening = self.listen(f"\0{name}")
        self.notices(NOTIFY_SOCKET=f"@{name}").ready()
        self.assertEqual(["READY=1\nSTATUS=idle"], self.heard(listening))

    def test_other_kinds_of_sockets(self) -> None:
        """
        They are not known, and left alone.
        """
        notices = self.notices(NOTIFY_SOCKET="vsock:2:1234")
        notices.ready()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_status(self) -> None:
        """
        It is sent when it has changed.
        """
        listening = self.listen(self.path)
        self.notices(NOTIFY_SOCKET=self.path).ready()
        self.heard(listening)
        self.clock.advance(REFRESH)
        self.assertEqual([], self.heard(listening))
        self.status = "3 clients\nREADY=0"
        self.clock.advance(REFRESH)
        self.assertEqual(["STATUS=3 clients READY=0"], self.heard(listening))

    def test_watchdog(self) -> None:
        """
        It hears twice in its time.
        """
        listening = self.listen(self.path)
        notices = self.notices(
            NOTIFY_SOCKET=self.path, WATCHDOG_USEC="4000000", WATCHDOG_PID=_pid()
        )
        self.clock.advance(10)
        self.assertEqual([], self.heard(listening))
        notices.ready()
        self.assertIn("WATCHDOG=1", self.heard(listening))
        self.clock.pump([1.0, 1.0])
        self.assertEqual(["WATCHDOG=1"], self.heard(listening))
        notices.stopping()
        self.heard(listening)
        self.clock.pump([2.0])
        self.assertIn("WATCHDOG=1", self.heard(listening))
        notices.close()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_watchdog_of_another_process(self) -> None:
        listening = self.listen(self.path)
        self.notices(
            NOTIFY_SOCKET=self.path, WATCHDOG_USEC="4000000", WATCHDOG_PID="1"
        ).ready()
        self.clock.advance(4)
        self.assertNotIn("WATCHDOG=1", self.heard(listening))

    def test_watchdog_that_is_no_time(self) -> None:
        listening = self.listen(self.path)
        self.notices(NOTIFY_SOCKET=self.path, WATCHDOG_USEC="-1").ready()
        self.clock.advance(4)
        self.assertNotIn("WATCHDOG=1", self.heard(listening))

    def test_reload(self) -> None:
        listening = self.listen(self.path)
        notices = self.notices(NOTIFY_SOCKET=self.path)
        notices.reloading()
        [heard] = self.heard(listening)
        self.assertRegex(heard, r"\ARELOADING=1\nMONOTONIC_USEC=[1-9]\d+\Z")
        notices.reloaded("a: wrong")
        self.assertEqual(
            ["READY=1\nSTATUS=idle; not reloaded: a: wrong"], self.heard(listening)
        )
        notices.reloaded()
        self.assertEqual(["READY=1\nSTATUS=idle"], self.heard(listening))

    def test_stopping(self) -> None:
        listening = self.listen(self.path)
        notices = self.notices(NOTIFY_SOCKET=self.path)
        notices.stopping()
        self.assertEqual(["STOPPING=1\nSTATUS=stopping: idle"], self.heard(listening))

    def test_nobody_listens(self) -> None:
        notices = self.notices(NOTIFY_SOCKET=self.path, WATCHDOG_USEC="2000000")
        notices.ready()
        self.clock.advance(1)
        self.assertEqual(2, len(self.clock.getDelayedCalls()))

    def test_service_manager_is_stuck(self) -> None:
        """
        Its socket is full: the process does not wait for it.
        """
        listening = self.listen(self.path)
        notices = self.notices(NOTIFY_SOCKET=self.path)
        for _ in range(5000):
            notices.stopping()
        self.assertTrue(len(self.heard(listening)) < 5000)


def _pid() -> str:
    return str(os.getpid())
