"""
Log events of a piece of a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher


@contextmanager
def captured_logs() -> Iterator[Sequence[LogEvent]]:
    """
    Collect what is logged. Unlike Twisted's own C{capturedLogs} it also ends when
    something is raised, as hypothesis does to give up an example.
    """
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observer)
