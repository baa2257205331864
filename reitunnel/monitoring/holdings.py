"""
What the reactor holds: descriptors, timed calls, threads.

Only names of classes and functions are shown, never a C{repr} or arguments, which
may be anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from reitunnel.relay import shown

MOST_LISTED: Final = 1000
"""How many of a kind are listed; the counts are of all."""


def describe_reactor(reactor: Any) -> dict[str, Any]:
    """
    Describe a reactor.

    @return: what can be written as JSON.
    """
    calls = sorted(reactor.getDelayedCalls(), key=lambda call: call.getTime())
    now = reactor.seconds()
    return {
        "reactor": type(reactor).__name__,
        "readers": _descriptors(getattr(reactor, "getReaders", list)()),
        "writers": _descriptors(getattr(reactor, "getWriters", list)()),
        "delayed_calls": {
            "count": len(calls),
            "by_function": _counted(_function(call.func) for call in calls),
            "list": [
                {"in": round(call.getTime() - now, 3), "calls": _function(call.func)}
                for call in calls[:MOST_LISTED]
            ],
        },
        "threads": _threads(getattr(reactor, "threadpool", None)),
    }


def _descriptors(descriptors: Iterable[Any]) -> dict[str, Any]:
    known = list(descriptors)
    return {
        "count": len(known),
        "by_class": _counted(_class(each) for each in known),
        "list": [_descriptor(each) for each in known[:MOST_LISTED]],
    }


def _descriptor(descriptor: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"class": _class(descriptor)}
    protocol = getattr(descriptor, "protocol", None)
    if protocol is not None:
        entry["protocol"] = _class(protocol)
    for key, method, show in (
        ("fd", "fileno", int),
        ("host", "getHost", shown),
        ("peer", "getPeer", shown),
    ):
        # It may be closed just now, or have no such end, as a waker has.
        with suppress(OSError, AttributeError, NotImplementedError):
            entry[key] = show(getattr(descriptor, method)())
    return entry


def _threads(pool: Any) -> dict[str, Any]:
    # reactor.getThreadPool would make one.
    if pool is None:
        return {"count": 0}
    return {
        "count": len(pool.threads),
        "busy": len(pool.working),
        "waiting": len(pool.waiters),
        "least": pool.min,
        "most": pool.max,
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common(MOST_LISTED))


def _class(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _function(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__qualname__", None)
    if name is None:
        return _class(function)
    return f"{getattr(function, '__module__', '?')}.{name}"
