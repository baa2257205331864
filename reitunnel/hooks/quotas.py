"""
The C{quota} hook: how much each client may use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorCore
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import Interface, directlyProvides, implementer

from reitunnel.errors import Code, QuotaFileError, Refused
from reitunnel.hooks.client_rules import ClientGroup, ClientRules
from reitunnel.hooks.threads import Threads, WorkerThreads
from reitunnel.hooks.usage import Usage, UsageBook, check_writable, read_usage
from reitunnel.hooks.usage_saving import UsageSaving
from reitunnel.interfaces import (
    IBackgroundHook,
    IClientHook,
    IDataHook,
    IHeirHook,
    IHookHost,
    IReactorHook,
    IRestrictedHookFactory,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)

Amount = Annotated[int, Meta(ge=0, le=1_000_000_000_000_000_000)]

_USED_UP: Final = "the bytes of today are used up"


class QuotaRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What some clients may use. What is left out is not restricted.

    @ivar clients: whom the rule is for; every client without it.
    @ivar max_tunnels: tunnels that are open at a time.
    @ivar max_streams: visitors at a time.
    @ivar tunnels_per_day: tunnels opened in a day.
    @ivar streams_per_day: visitors in a day.
    @ivar bytes_per_day: bytes in a day, in both directions together.
    """

    clients: ClientRules | None = None
    max_tunnels: Amount | None = None
    max_streams: Amount | None = None
    tunnels_per_day: Amount | None = None
    streams_per_day: Amount | None = None
    bytes_per_day: Amount | None = None


class QuotaOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{quota} hook.

    @ivar rules: the first whose C{clients} match decides; a client that none matches
        may use what it likes.
    @ivar file: where what was used today is kept over a restart. Without it, counting
        begins anew then.
    @ivar save_interval: the time between two writes of the file, in seconds.
    """

    rules: Annotated[tuple[QuotaRule, ...], Meta(min_length=1)]
    file: Path | None = None
    save_interval: Annotated[float, Meta(ge=1, le=3600)] = 60.0


class QuotaHook:
    """
    Refuses tunnels and visitors of clients that have used what they may, and resets
    the streams of a client whose bytes are used up.

    All sessions of one identity are one client. Days are those of UTC. Each instance
    provides only the interfaces that its rules need. By a reload it goes on with the
    counts of another one that has the same file, or has none either.
    """

    _log = Logger()

    def __init__(
        self,
        options: QuotaOptions,
        reactor: Any,
        *,
        threads: Callable[[], Threads] | None = None,
    ) -> None:
        """
        @param options: the rules. The file is read now.
        @param reactor: an L{IReactorTime}; with a file and without C{threads}, an
            L{IReactorFromThreads} too.
        @param threads: makes what the file is written in.
        @raise ValueError: if the file cannot be used; the message names it.
        """
        self._clock = reactor
        self._rules = [
            (None if rule.clients is None else ClientGroup(rule.clients), rule)
            for rule in options.rules
        ]
        self._interval = options.save_interval
        self._book = UsageBook(reactor.seconds())
        self._seats: dict[int, _Seat] = {}
        # Runs from when something is counted until that is saved: no longer than the
        # day lasts.
        self._timer: IDelayedCall | None = None
        self._host: IHookHost | None = None
        self._saving: UsageSaving | None = None
        self._path: str | None = None
        self._finished = False
        if options.file is not None:
            path = Path(options.file).absolute()
            self._path = os.path.realpath(path)
            self._open_file(path)
            self._saving = UsageSaving(
                path, threads or (lambda: WorkerThreads(reactor, "quota"))
            )
        directlyProvides(self, *_faces(options.rules))

    def usage(self, identity: str) -> Usage:
        """
        Tell what a client uses: an object that changes as it does.
        """
        self._book.turn_to(self._clock.seconds())
        return self._book.of(identity)

    # The hook at work in the background.

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.
        """
        self._host = host

    def inherit(self, former: object) -> bool:
        """
        See L{IHeirHook.inherit}. What was open is told to have ended to the former.
        """
        if not isinstance(former, QuotaHook) or former._path != self._path:
            return False
        if self._path is None and former._finished:
            # It was taken away before, with what it knew.
            return False
        self._book = former._book
        self._saving = former._saving
        self._book.forget_warnings()
        return True

    def finish(self) -> Deferred[None] | None:
        """
        Save what is not saved. See L{IBackgroundHook.finish}.
        """
        self._finished = True
        for seat in tuple(self._seats.values()):
            if not seat.connected:
                # Another hook may go on with the counts. If it is this one, it meets
                # the session again.
                self._leave(seat.session)
        counted = self._timer is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._saving is None:
            return None
        if counted or self._saving.unsaved:
            self._book.turn_to(self._clock.seconds())
            self._saving.save(self._book.snapshot(), self._not_saved)
        return self._saving.finish()

    # The events.

    def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.
        """
        self._leave(client)
        self._seat(client).connected = True

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """
        self._leave(client)

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        See L{ITunnelHook.on_tunnel_open}.

        @raise Refused: if the client has too many.
        """
        self._wake()
        seat = self._seat(tunnel.session)
        rule, usage = seat.rule, seat.usage
        _check(usage.open_tunnels, rule.max_tunnels, "tunnels at a time")
        _check(usage.tunnels, rule.tunnels_per_day, "tunnels a day")
        usage.open_tunnels += 1
        usage.tunnels += 1

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """
        self._book.of(tunnel.session.identity).open_tunnels -= 1

    def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.

        @raise Refused: if the client has too many, or its bytes are used up.
        """
        self._wake()
        seat = self._seat(stream.tunnel.session)
        rule, usage = seat.rule, seat.usage
        if usage.bytes >= seat.bytes_limit:
            raise Refused(_USED_UP, passing=True)
        _check(usage.open_streams, rule.max_streams, "visitors at a time")
        _check(usage.streams, rule.streams_per_day, "visitors a day")
        usage.open_streams += 1
        usage.streams += 1

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """
        self._book.of(stream.tunnel.session.identity).open_streams -= 1

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_received}.
        """
        if self._timer is None:
            self._wake()
        session = tunnel.session
        seat = self._seats.get(id(session)) or self._seat(session)
        usage = seat.usage
        usage.bytes += count
        if usage.bytes > seat.bytes_limit:
            self._exhausted(seat, tunnel)

    # The directions count alike. Not a call, because it is made for each chunk.
    on_data_sent = on_data_received

    # The parts.

    def _seat(self, session: ISession) -> _Seat:
        """
        Find what is known of a session. One that was there before the hook was
        registered is met here first.
        """
        seat = self._seats.get(id(session))
        if seat is None:
            rule = next(
                (
                    rule
                    for clients, rule in self._rules
                    if clients is None or session in clients
                ),
                _NO_RULE,
            )
            seat = _Seat(session, self._book.of(session.identity), rule)
            seat.usage.seats += 1
            self._seats[id(session)] = seat
        return seat

    def _leave(self, session: ISession) -> None:
        seat = self._seats.pop(id(session), None)
        if seat is not None:
            seat.usage.seats -= 1

    def _wake(self) -> None:
        """
        Something is about to be counted: see which day it is, and that it is saved.
        """
        if self._timer is None:
            self._finished = False
            now = self._clock.seconds()
            self._book.turn_to(now)
            delay = max(0.0, min(self._interval, self._book.seconds_left(now)))
            self._timer = self._clock.callLater(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._saving is not None:
            self._saving.save(self._book.snapshot(), self._not_saved)
        self._book.turn_to(self._clock.seconds())
        # Nobody will tell of the end of a session that was there before the hook.
        for seat in tuple(self._seats.values()):
            if not seat.connected and not seat.session.tunnels:
                self._leave(seat.session)

    def _exhausted(self, seat: _Seat, tunnel: ITunnel) -> None:
        """
        The bytes of a client are used up. Its streams are reset, but not here, in the
        midst of moving their bytes.
        """
        if not seat.closing:
            seat.closing = True
            self._clock.callLater(0, self._close_streams, seat, tunnel)
        if not seat.usage.warned:
            seat.usage.warned = True
            self._log.warn(
                "the quota of {client} is used up: more than {limit} bytes today",
                client=seat.session.identity,
                limit=seat.bytes_limit,
            )

    def _close_streams(self, seat: _Seat, tunnel: ITunnel) -> None:
        seat.closing = False
        # A tunnel that is closing is not among the session's any more.
        tunnels = [tunnel, *(each for each in seat.session.tunnels if each != tunnel)]
        for each in tunnels:
            for stream in each.streams:
                with self._log.failuresHandled("cannot reset a stream"):
                    stream.close(Code.LIMIT, _USED_UP)

    def _open_file(self, path: Path) -> None:
        try:
            check_writable(path)
            file = read_usage(path)
        except ValueError as error:
            raise ValueError(f"file: {error}") from error
        if file is not None:
            self._book.load(file)

    def _not_saved(self, error: Exception) -> None:
        reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
        failure = QuotaFileError(f"quotas cannot be saved to {self._path}: {reason}")
        failure.__cause__ = error
        if self._host is not None:
            self._host.failed("save", failure)
        else:
            self._log.error("{error}", error=failure)


@implementer(IPlugin, IRestrictedHookFactory)
class QuotaHookFactory:
    """
    Builds the C{quota} hook from a configuration file.
    """

    name = "quota"
    description = "Limits how much each client may use, at a time and in a day."
    options = QuotaOptions
    side = "server"
    written = ("file",)

    def build(self, options: QuotaOptions, reactor: IReactorCore) -> QuotaHook:
        """
        See L{IHookFactory.build}.
        """
        return QuotaHook(options, reactor)


_NO_RULE: Final = QuotaRule()


class _Seat:
    """
    What is known of a session.

    @ivar connected: whether the end of it will be told.
    @ivar closing: whether its streams are about to be reset.
    """

    __slots__ = ("bytes_limit", "closing", "connected", "rule", "session", "usage")

    def __init__(self, session: ISession, usage: Usage, rule: QuotaRule) -> None:
        self.session = session
        self.usage = usage
        self.rule = rule
        self.bytes_limit = inf if rule.bytes_per_day is None else rule.bytes_per_day
        self.connected = False
        self.closing = False


def _check(used: int, limit: int | None, what: str) -> None:
    """
    @raise Refused: if no more can be used.
    """
    if limit is not None and used >= limit:
        raise Refused(f"no more than {limit} {what}", passing=True)


def _faces(rules: tuple[QuotaRule, ...]) -> list[type[Interface]]:
    """
    Tell which interfaces the rules need.
    """

    def any_has(*keys: str) -> bool:
        return any(getattr(rule, key) is not None for rule in rules for key in keys)

    faces: list[type[Interface]] = [
        IBackgroundHook,
        IHeirHook,
        IReactorHook,
        IClientHook,
    ]
    if any_has("max_tunnels", "tunnels_per_day"):
        faces.append(ITunnelHook)
    if any_has("max_streams", "streams_per_day", "bytes_per_day"):
        faces.append(IStreamHook)
    if any_has("bytes_per_day"):
        faces.append(IDataHook)
    return faces
