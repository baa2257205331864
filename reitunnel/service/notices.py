"""
Tells a service manager how the process is doing: sd_notify(3), without a library.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from twisted.internet.task import LoopingCall

REFRESH: Final = 5.0
"""Seconds between two looks at the status."""


class Notices:
    """
    Sends notices to the socket that C{NOTIFY_SOCKET} names. Without it nothing is
    sent and no timer runs.

    What cannot be sent is left out: the service manager may be gone, and there is
    nobody to tell.
    """

    def __init__(
        self,
        clock: Any,
        status: Callable[[], str],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """
        @param clock: an C{IReactorTime}. The watchdog hears of its turns, and so
            notices when it has none.
        @param status: what the process does, one line.
        """
        self._clock = clock
        self._status = status
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = _watchdog(environ)
        self._said = ""
        self._trouble = ""
        self._stops = False
        self._timers: list[LoopingCall] = []

    def ready(self) -> None:
        """
        The process serves. From now on the watchdog and the status are kept up.
        """
        if self._address is None:
            return
        self._send("READY=1", f"STATUS={self._new_status()}")
        if not self._timers:
            self._every(REFRESH, self._refresh)
            if self._watchdog:
                self._every(self._watchdog / 2, lambda: self._send("WATCHDOG=1"))

    def reloading(self) -> None:
        """
        The configuration is read again. L{reloaded} must follow.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def reloaded(self, trouble: str = "") -> None:
        """
        That is over.

        @param trouble: why the old configuration stays.
        """
        self._trouble = trouble
        self._send("READY=1", f"STATUS={self._new_status()}")

    def stopping(self) -> None:
        """
        The process begins to stop. The watchdog is kept up until L{close}.
        """
        self._stops = True
        self._send("STOPPING=1", f"STATUS={self._new_status()}")

    def close(self) -> None:
        """
        Say no more.
        """
        timers, self._timers = self._timers, []
        for timer in timers:
            timer.stop()

    def _every(self, seconds: float, act: Callable[[], None]) -> None:
        timer = LoopingCall(act)
        timer.clock = self._clock
        self._timers.append(timer)
        timer.start(seconds)

    def _refresh(self) -> None:
        said = self._said
        status = self._new_status()
        if status != said:
            self._send(f"STATUS={status}")

    def _new_status(self) -> str:
        if self._address is None:
            return ""
        status = self._status()
        if self._stops:
            status = f"stopping: {status}"
        if self._trouble:
            status = f"{status}; not reloaded: {self._trouble}"
        self._said = status
        return status

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        # A service manager that is stuck must not stop the process as well.
        with (
            suppress(OSError),
            socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
            ) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(text.encode(errors="replace"), self._address)


def _address(name: str) -> str | None:
    """
    @return: the address as the kernel has it. An @ begins an abstract name.
    """
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog(environ: Mapping[str, str]) -> float:
    """
    @return: in how many seconds the service manager loses its patience; 0 for never.
    """
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    digits = environ.get("WATCHDOG_USEC", "")
    return int(digits) / 1e6 if digits.isascii() and digits.isdigit() else 0.0
