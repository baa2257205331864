"""
What the targets share: faults that only a log tells of, and a place for files.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from twisted.logger import (
    ILogObserver,
    LogEvent,
    formatEvent,
    globalLogPublisher,
)
from zope.interface import implementer


@cache
def directory() -> Path:
    """
    A directory for files, which goes away with the process.
    """
    made = tempfile.mkdtemp(prefix="reitunnel-fuzz-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


class Fault(AssertionError):
    """
    Something failed that only went to the log.
    """


@contextmanager
def faults_raised() -> Iterator[None]:
    """
    Raise what is logged as a failure: the reactor, and whoever guards calls of others,
    catch what a bug raises, and log it.

    @raise Fault: with what was logged.
    """
    observer = _Observer()
    globalLogPublisher.addObserver(observer)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observer)
    if observer.faults:
        raise Fault("\n".join(observer.faults))


@implementer(ILogObserver)
class _Observer:
    def __init__(self) -> None:
        self.faults: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            trace = event["log_failure"].getTraceback()
            self.faults.append(f"{formatEvent(event)}\n{trace}")
