"""
Records what happens, for a while, in the Chrome trace event format: sessions, tunnels
and streams as they open and close, calls of hooks, turns of the reactor, bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.interfaces import (
    IClientHook,
    IErrorHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)
from reitunnel.monitoring.turns import TurnWatcher
from reitunnel.monitoring.watched import Watched, sessions_of
from reitunnel.relay import shown

MOST_EVENTS: Final = 200_000
"""How many events are recorded; those after them are only counted."""
COUNTING: Final = 0.1
"""How often bytes are looked at, in seconds."""

_REACTOR, _HOOKS = 1, 2
"""The rows of the picture that stand for threads."""


@implementer(IClientHook, ITunnelHook, IStreamHook, IErrorHook)
class Trace:
    """
    A recording. It is a hook while it goes on.
    """

    hook_name = "trace"

    def __init__(
        self,
        reactor: Any,
        watched: Watched,
        *,
        least_turn: float,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        @param least_turn: the CPU time, in seconds, that a turn of the reactor must
            have taken to be recorded.
        @param timer: the same as the hook manager's, in seconds.
        """
        self._clock: IReactorTime = reactor
        self._watched = watched
        self._timer = timer
        self._turns = TurnWatcher(reactor, self._turn, least_turn, timer)
        self._begun = 0.0
        self._events: list[dict[str, Any]] = []
        self._lost = 0
        self._open: dict[tuple[str, str], ITunnel | IStream | None] = {}
        self._known_bytes: dict[str, tuple[int, int]] = {}
        self._counting: IDelayedCall | None = None
        self._going = False

    def start(self) -> None:
        """
        Begin.
        """
        self._begun = self._timer()
        self._going = True
        for name, row in (("reactor", _REACTOR), ("hooks", _HOOKS)):
            self._add(ph="M", name="thread_name", tid=row, args={"name": name})
        for session in sessions_of(self._watched):
            peer = shown(session.facts.peer)
            name = f"{session.identity}/{session.instance}"
            self._begin("session", name, {"peer": peer})
            for tunnel in session.tunnels:
                self._tunnel_began(tunnel, tunnel)
                for stream in tunnel.streams:
                    self._stream_began(stream, stream)
        self._watched.hooks.register(self)
        self._watched.hooks.watch_calls(self._hook_called)
        self._turns.start()
        self._known_bytes = {key: (r, s) for key, r, s, _ in self._tunnels()}
        self._counting = self._clock.callLater(COUNTING, self._count)

    def stop(self) -> dict[str, Any]:
        """
        End.

        @return: what C{chrome://tracing} and Perfetto open, once it is JSON.
        """
        self._watched.hooks.watch_calls(None)
        self._watched.hooks.unregister(self)
        if self._counting is not None:
            self._counting.cancel()
            self._counting = None
        self._turns.stop()
        self._look()
        for kind, key in tuple(self._open):
            self._end(kind, key, {"ended": "after the trace"})
        self._going = False
        # What began meanwhile owes this hook its close, and may stay open for long.
        events, self._events = self._events, []
        self._known_bytes = {}
        return {
            "traceEvents": events,
            "displayTimeUnit": "ms",
            "otherData": {
                "lost_events": self._lost,
                "turns": "recorded" if self._turns.possible else "not on this reactor",
            },
        }

    # The hook.

    def on_client_connect(self, client: ISession) -> None:
        """
        Record it.
        """
        self._begin("session", _client(client), {"peer": shown(client.facts.peer)})

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        Record it.
        """
        self._end("session", _client(client), {"code": code.name, "reason": reason})

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        Record it.
        """
        self._tunnel_began(tunnel)

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        Record it.
        """
        self._end(
            "tunnel",
            _tunnel(tunnel),
            {"code": code.name, "reason": reason, **_moved(tunnel)},
        )

    def on_stream_open(self, stream: IStream) -> None:
        """
        Record it.
        """
        self._stream_began(stream)

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        Record it.
        """
        self._end(
            "stream",
            _stream(stream),
            {"code": code.name, "reason": reason, **_moved(stream)},
        )

    def on_error(self, error: BaseException, context: str) -> None:
        """
        Record that there was one. Its text may be anything, and is left out.
        """
        self._add(
            ph="i",
            s="p",
            cat="error",
            name=type(error).__name__,
            tid=_HOOKS,
            args={"context": context},
        )

    # The parts.

    def _now(self) -> float:
        return (self._timer() - self._begun) * 1e6

    def _add(self, *, ts: float | None = None, **event: Any) -> None:
        if not self._going:
            return
        if len(self._events) >= MOST_EVENTS and event["ph"] != "e":
            self._lost += 1
            return
        time_stamp = self._now() if ts is None else ts
        self._events.append({"pid": os.getpid(), "ts": round(time_stamp, 1), **event})

    def _tunnel_began(self, tunnel: ITunnel, found: ITunnel | None = None) -> None:
        args = {"port": tunnel.port, "target": tunnel.target}
        self._begin("tunnel", _tunnel(tunnel), args, found)

    def _stream_began(self, stream: IStream, found: IStream | None = None) -> None:
        self._begin(
            "stream", _stream(stream), {"visitor": shown(stream.visitor)}, found
        )

    def _begin(
        self,
        kind: str,
        key: str,
        args: dict[str, Any],
        found: ITunnel | IStream | None = None,
    ) -> None:
        """
        @param found: what was open before the trace: nobody tells when it closes.
        """
        if len(self._events) < MOST_EVENTS:
            self._open[kind, key] = found
        self._add(ph="b", cat=kind, name=key, id=key, tid=_REACTOR, args=args)

    def _end(self, kind: str, key: str, args: dict[str, Any]) -> None:
        if (kind, key) in self._open:
            del self._open[kind, key]
            self._add(ph="e", cat=kind, name=key, id=key, tid=_REACTOR, args=args)

    def _hook_called(self, hook: str, event: str, begun: float, seconds: float) -> None:
        if hook != self.hook_name:
            self._add(
                ts=(begun - self._begun) * 1e6,
                ph="X",
                dur=round(seconds * 1e6, 1),
                cat="hook",
                name=f"{hook}.{event}",
                tid=_HOOKS,
            )

    def _turn(self, name: str, begun: float, seconds: float, cpu: float) -> None:
        self._add(
            ts=(begun - self._begun) * 1e6,
            ph="X",
            dur=round(seconds * 1e6, 1),
            tdur=round(cpu * 1e6, 1),
            cat="reactor",
            name=name,
            tid=_REACTOR,
        )

    def _count(self) -> None:
        self._counting = self._clock.callLater(COUNTING, self._count)
        self._look()

    def _look(self) -> None:
        """
        Record the bytes of each tunnel since it was last looked at, and the ends of
        what was open before.
        """
        there = set()
        for key, received, sent, streams in self._tunnels():
            there.add(key)
            former = self._known_bytes.get(key, (0, 0))
            self._known_bytes[key] = (received, sent)
            moved = {"received": received - former[0], "sent": sent - former[1]}
            if any(moved.values()):
                self._add(ph="C", name=f"bytes of {key}", tid=_REACTOR, args=moved)
            there.update(streams)
        for (kind, key), found in tuple(self._open.items()):
            if found is not None and key not in there:
                self._end(kind, key, _moved(found))

    def _tunnels(self) -> Iterator[tuple[str, int, int, list[str]]]:
        for session in sessions_of(self._watched):
            for tunnel in session.tunnels:
                yield (
                    _tunnel(tunnel),
                    tunnel.bytes_received,
                    tunnel.bytes_sent,
                    [_stream(stream) for stream in tunnel.streams],
                )


def _client(client: ISession) -> str:
    return f"{client.identity}/{client.instance}"


def _tunnel(tunnel: ITunnel) -> str:
    return f"tunnel {tunnel.id} of {_client(tunnel.session)}"


def _stream(stream: IStream) -> str:
    return f"stream {stream.id} of {_tunnel(stream.tunnel)}"


def _moved(thing: ITunnel | IStream) -> dict[str, int]:
    return {"received": thing.bytes_received, "sent": thing.bytes_sent}
