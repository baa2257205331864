"""
The state of a server or a client, as C{reitunnel status} asks for it.

Only what is named here is shown: no configuration, no secret, no C{repr} of anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from reitunnel.interfaces import IStream, ITunnel
from reitunnel.monitoring.lag import LagMeter
from reitunnel.monitoring.totals import Totals
from reitunnel.monitoring.watched import (
    Watched,
    WatchedSession,
    in_kernel,
    sessions_of,
    side_of,
    transport_of,
)
from reitunnel.relay import shown

MOST_SESSIONS: Final = 1000
MOST_TUNNELS: Final = 10_000
MOST_STREAMS: Final = 10_000
"""How many are listed at most, in all. The counts are of all that there are."""


class StatusReport:
    """
    Describes a server or a client.
    """

    def __init__(
        self, clock: IReactorTime, watched: Watched, totals: Totals, lag: LagMeter
    ) -> None:
        self._clock = clock
        self._watched = watched
        self._totals = totals
        self._lag = lag
        self._started_at = clock.seconds()

    def describe(self, *, streams: bool = False) -> Mapping[str, Any]:
        """
        Say how things are now.

        @param streams: whether to list each stream.
        @return: what can be written as JSON. Times are seconds since the epoch,
            amounts bytes since the process has begun to be watched.
        """
        now = self._clock.seconds()
        sessions = list(sessions_of(self._watched))
        listing = _Listing(streams)
        listed = [listing.session(session) for session in sessions[:MOST_SESSIONS]]
        tunnels = [tunnel for session in sessions for tunnel in session.tunnels]
        return {
            "side": side_of(self._watched),
            "version": version("reitunnel"),
            "pid": os.getpid(),
            "time": now,
            "started_at": self._started_at,
            "unready": self._watched.unready,
            "lag": self._lag.newest,
            "worst_lag": self._lag.worst,
            "bytes_received": self._totals.bytes_received,
            "bytes_sent": self._totals.bytes_sent,
            "counts": {
                "sessions": len(sessions),
                "tunnels": len(tunnels),
                "streams": sum(len(tunnel.streams) for tunnel in tunnels),
                "sessions_ever": self._totals.sessions,
                "tunnels_ever": self._totals.tunnels,
            },
            "sessions": listed,
        }


class _Listing:
    """
    What is listed so far of one report.
    """

    def __init__(self, streams: bool) -> None:
        self._streams = streams
        self._tunnels_left = MOST_TUNNELS
        self._streams_left = MOST_STREAMS

    def session(self, session: WatchedSession) -> dict[str, Any]:
        """
        Describe a session.
        """
        mux, wire = session.mux, session.mux.session
        idle, used = session.data_links
        tunnels = session.tunnels[: self._tunnels_left]
        self._tunnels_left -= len(tunnels)
        return {
            "client": f"{session.identity}/{session.instance}",
            "scheme": session.facts.scheme,
            "peer": shown(session.facts.peer),
            "opened_at": session.opened_at,
            "round_trip": mux.heartbeat.round_trip,
            "link_up": session.link_up,
            "link_full": session.link_up and not mux.link.writable,
            "draining": wire.draining or wire.peer_draining,
            "answers_queued": wire.control_queued,
            "bytes_promised": wire.promised,
            "data_links": {
                "idle": idle,
                "used": used,
                "in_kernel": sum(
                    any(in_kernel(stream))
                    for tunnel in session.tunnels
                    for stream in tunnel.streams
                ),
            },
            "tunnels": [self.tunnel(tunnel) for tunnel in tunnels],
        }

    def tunnel(self, tunnel: ITunnel) -> dict[str, Any]:
        """
        Describe a tunnel.
        """
        streams = tunnel.streams
        entry = {
            "id": tunnel.id,
            "public": shown(tunnel.address),
            "target": tunnel.target,
            "opened_at": tunnel.opened_at,
            "bytes_received": tunnel.bytes_received,
            "bytes_sent": tunnel.bytes_sent,
            "streams": len(streams),
        }
        if self._streams:
            some = streams[: self._streams_left]
            self._streams_left -= len(some)
            entry["list"] = [describe_stream(stream) for stream in some]
        return entry


def describe_stream(stream: IStream) -> dict[str, Any]:
    """
    Describe a stream: what it has moved, and what its windows and buffers hold.
    """
    entry: dict[str, Any] = {
        "id": stream.id,
        "visitor": shown(stream.visitor),
        "opened_at": stream.opened_at,
        "bytes_received": stream.bytes_received,
        "bytes_sent": stream.bytes_sent,
    }
    transport = transport_of(stream)
    if transport is not None:
        said = transport.stream
        received, sent = in_kernel(stream)
        entry |= {
            "carrier": "mux" if transport.path is None else "direct",
            "in_kernel": {"received": received, "sent": sent},
            "local": said.local.value,
            "remote": said.remote.value,
            "send_credit": said.send_credit,
            "receive_credit": said.receive_credit,
            "window": said.window,
            "queued": said.queued,
            "unread": said.unread,
            "waits_for_room": said.blocked,
        }
    return entry
