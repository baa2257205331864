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
        self._open: dict[tuple[str, str], tuple[str, ITunnel | IStream | None]] = {}
        self._known_bytes: dict[str, tuple[int, int]] = {}
        self._numbers: dict[str, int] = {}
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
            self._begin("session", self._session_key(session.id), name, {"peer": peer})
            for tunnel in session.tunnels:
                self._tunnel_began(tunnel, tunnel)
                for stream in tunnel.streams:
                    self._stream_began(stream, stream)
        self._watched.hooks.register(self)
        self._watched.hooks.watch_calls(self._hook_called)
        self._turns.start()
        self._known_bytes = {
            self._tunnel_key(tunnel): (tunnel.bytes_received, tunnel.bytes_sent)
            for tunnel in self._tunnels()
        }
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
        self._known_bytes, self._numbers = {}, {}
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
        peer = shown(client.facts.peer)
        key = self._session_key(client.id)
        self._begin("session", key, _client(client), {"peer": peer})

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        Record it.
        """
        key = self._session_key(client.id)
        self._end("session", key, {"code": code.name, "reason": reason})

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
            self._tunnel_key(tunnel),
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
            self._stream_key(stream),
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
        self._begin("tunnel", self._tunnel_key(tunnel), _tunnel(tunnel), args, found)

    def _stream_began(self, stream: IStream, found: IStream | None = None) -> None:
        args = {"visitor": shown(stream.visitor)}
        self._begin("stream", self._stream_key(stream), _stream(stream), args, found)

    def _begin(
        self,
        kind: str,
        key: str,
        name: str,
        args: dict[str, Any],
        found: ITunnel | IStream | None = None,
    ) -> None:
        """
        @param key: tells it apart from all others of its kind, those too that have
            taken the place of another one with the same name.
        @param found: what was open before the trace: nobody tells when it closes.
        """
        if len(self._events) < MOST_EVENTS:
            self._open[kind, key] = (name, found)
        self._add(ph="b", cat=kind, name=name, id=key, tid=_REACTOR, args=args)

    def _end(self, kind: str, key: str, args: dict[str, Any]) -> None:
        if (kind, key) in self._open:
            name, _ = self._open.pop((kind, key))
            self._add(ph="e", cat=kind, name=name, id=key, tid=_REACTOR, args=args)

    def _session_key(self, session: str) -> str:
        # The id of a session is not for everybody to see.
        return str(self._numbers.setdefault(session, len(self._numbers) + 1))

    def _tunnel_key(self, tunnel: ITunnel) -> str:
        return f"{self._session_key(tunnel.session.id)}/{tunnel.id}"

    def _stream_key(self, stream: IStream) -> str:
        return f"{self._tunnel_key(stream.tunnel)}/{stream.id}"

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
        for tunnel in self._tunnels():
            key = self._tunnel_key(tunnel)
            there.add(key)
            received, sent = tunnel.bytes_received, tunnel.bytes_sent
            former = self._known_bytes.get(key, (0, 0))
            self._known_bytes[key] = (received, sent)
            moved = {"received": received - former[0], "sent": sent - former[1]}
            if any(moved.values()):
                name = f"bytes of {_tunnel(tunnel)}"
                self._add(ph="C", name=name, id=key, tid=_REACTOR, args=moved)
            there.update(self._stream_key(stream) for stream in tunnel.streams)
        for (kind, key), (_, found) in tuple(self._open.items()):
            if found is not None and key not in there:
                self._end(kind, key, _moved(found))

    def _tunnels(self) -> Iterator[ITunnel]:
        for session in sessions_of(self._watched):
            yield from session.tunnels


def _client(client: ISession) -> str:
    return f"{client.identity}/{client.instance}"


def _tunnel(tunnel: ITunnel) -> str:
    return f"tunnel {tunnel.id} of {_client(tunnel.session)}"


def _stream(stream: IStream) -> str:
    return f"stream {stream.id} of {_tunnel(stream.tunnel)}"


def _moved(thing: ITunnel | IStream) -> dict[str, int]:
    return {"received": thing.bytes_received, "sent": thing.bytes_sent}
