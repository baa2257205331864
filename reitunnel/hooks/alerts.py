"""
The C{alerts} hook: tells a webhook when errors of a kind come often.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from zope.interface import implementer

from reitunnel.hooks.alert_sender import AlertSender
from reitunnel.hooks.metric_rows import OTHER
from reitunnel.hooks.posting import Poster, check_url
from reitunnel.interfaces import (
    IBackgroundHook,
    IErrorHook,
    IHookFactory,
    IHookHost,
    IReactorHook,
)

_KINDS = 50
"""How many kinds are told apart."""
_LONGEST = 500
"""Characters of a text, at most."""
_LONGEST_QUIET = 86_400.0

Seconds = Annotated[float, Meta(ge=0.1, le=86_400.0)]


class AlertsOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{alerts} hook.

    @ivar url: where alerts are posted to.
    @ivar kinds: which errors count, as shell patterns for the names of exceptions.
    @ivar count: how many errors of a kind make an alert,
    @ivar window: within so many seconds.
    @ivar quiet: for how many seconds there is no other alert of the kind; twice as
        long each time, as long as alerts follow each other, up to a day.
    @ivar source: what the alerts say that they come from.
    @ivar timeout: for one attempt to send one, in seconds.
    @ivar attempts: how often it is tried.
    @ivar token_file: has a token to show to the webhook, as a bearer.
    @ivar ca: has the certificates of those who vouch for it; those that the system
        trusts if it is not said.
    @ivar insecure_plaintext: whether C{http} may leave this machine.
    """

    url: str
    kinds: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)
    ] = ("*",)
    count: Annotated[int, Meta(ge=1, le=10_000)] = 5
    window: Seconds = 60.0
    quiet: Seconds = 300.0
    source: str = "reitunnel"
    timeout: Annotated[float, Meta(ge=0.1, le=60.0)] = 10.0
    attempts: Annotated[int, Meta(ge=1, le=20)] = 5
    token_file: Path | None = None
    ca: Path | None = None
    insecure_plaintext: bool = False

    def __post_init__(self) -> None:
        check_url(self.url, plaintext=self.insecure_plaintext)


class _Kind:
    """
    What is known of one kind of errors.

    @ivar times: when the newest have come, as many as make an alert.
    @ivar muted: until when there is no alert.
    @ivar quiet: for how long there was none after the last alert.
    @ivar unsaid: how many have come while there was none.
    """

    __slots__ = ("muted", "quiet", "times", "unsaid")

    def __init__(self, count: int) -> None:
        self.times: deque[float] = deque(maxlen=count)
        self.muted = 0.0
        self.quiet = 0.0
        self.unsaid = 0


@implementer(IErrorHook, IBackgroundHook, IReactorHook)
class AlertsHook:
    """
    Counts errors by kind, and posts an alert when there are too many.
    """

    def __init__(self, options: AlertsOptions, poster: Poster) -> None:
        """
        @param poster: posts to the webhook.
        """
        self._options = options
        self._poster = poster
        self._kinds: dict[str, _Kind] = {}
        self._host: IHookHost | None = None
        self._sender: AlertSender | None = None

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.
        """
        self._host = host
        self._sender = AlertSender(host.reactor, self._poster, self._options.attempts)

    def finish(self) -> Deferred[None] | None:
        """
        Send what waits, trying once, and close the connections.
        """
        return None if self._sender is None else self._sender.finish()

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """
        name = type(error).__name__
        if self._host is None or self._sender is None:
            return
        if not any(fnmatchcase(name, pattern) for pattern in self._options.kinds):
            return
        now = float(self._host.reactor.seconds())
        name, kind = self._kind(name)
        kind.times.append(now)
        if now < kind.muted:
            kind.unsaid += 1
            return
        full = len(kind.times) == self._options.count
        if not full or now - kind.times[0] > self._options.window:
            return
        # One that comes as soon as there may be one again is the same trouble.
        follows = kind.quiet and now < kind.muted + kind.quiet
        kind.quiet = min(
            kind.quiet * 2 if follows else self._options.quiet, _LONGEST_QUIET
        )
        kind.muted = now + kind.quiet
        kind.times.clear()
        unsaid, kind.unsaid = kind.unsaid, 0
        self._sender.send(self._body(name, error, context, now, kind.quiet, unsaid))

    def _kind(self, name: str) -> tuple[str, _Kind]:
        if name not in self._kinds and len(self._kinds) >= _KINDS:
            name = OTHER
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds[name] = _Kind(self._options.count)
        return name, kind

    def _body(
        self,
        name: str,
        error: BaseException,
        context: str,
        now: float,
        quiet: float,
        unsaid: int,
    ) -> bytes:
        options = self._options
        text = (
            f"{options.source}: {options.count} errors {name} within "
            f"{options.window:g} s, the last one: {context[:_LONGEST]}"
        )
        body: dict[str, Any] = {
            "text": text,
            "source": options.source,
            "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
            "kind": name,
            "count": options.count,
            "window": options.window,
            "unsaid": unsaid,
            "quiet": quiet,
            "context": context[:_LONGEST],
            "error": str(error)[:_LONGEST],
        }
        return msgspec.json.encode(body)


@implementer(IPlugin, IHookFactory)
class AlertsHookFactory:
    """
    Builds the C{alerts} hook from a configuration file.
    """

    name = "alerts"
    description = "Tells a webhook when errors of a kind come often."
    options = AlertsOptions

    def build(self, options: AlertsOptions, reactor: IReactorCore) -> AlertsHook:
        """
        See L{IHookFactory.build}.
        """
        poster = Poster(
            reactor,
            options.url,
            timeout=options.timeout,
            token_file=options.token_file,
            ca=options.ca,
        )
        return AlertsHook(options, poster)
