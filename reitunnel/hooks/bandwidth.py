"""
The C{bandwidth} hook: how much tunnels and clients may move in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.plugin import IPlugin
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.hooks.pacing import Flow, Rate
from reitunnel.interfaces import (
    IBackgroundHook,
    IHookFactory,
    IHookHost,
    IReactorHook,
    IStream,
    IStreamHook,
)

_MEGABIT: Final = 125_000
"""Bytes."""

Megabits = Annotated[float, Meta(ge=0.01, le=1_000_000)]

_Key = tuple[str, ...]

_NAMES: Final[dict[str, Callable[[IStream], _Key]]] = {
    "tunnel": lambda stream: (stream.tunnel.session.id, str(stream.tunnel.id)),
    "client": lambda stream: (
        stream.tunnel.session.identity,
        stream.tunnel.session.instance,
    ),
    "identity": lambda stream: (stream.tunnel.session.identity,),
    "total": lambda stream: (),
}
"""Which streams share a rate: those that have the same name."""


class DirectionRates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The rates of the two directions, in Mbit/s (1,000,000 bits).

    @ivar received: for what visitors send; any if it is not said.
    @ivar sent: for what visitors get; any if it is not said.
    """

    received: Megabits | None = None
    sent: Megabits | None = None

    def __post_init__(self) -> None:
        if self.received is None and self.sent is None:
            raise ValueError("one of received and sent is needed")


class BandwidthOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{bandwidth} hook.

    @ivar tunnel: the rates of each tunnel.
    @ivar client: the rates of each client: identity and instance.
    @ivar identity: the rates of each identity, whatever instances it has.
    @ivar total: the rates of the whole server; on a client, of the whole client.
    @ivar burst: for how many seconds what was not used may be used later.
    """

    tunnel: DirectionRates | None = None
    client: DirectionRates | None = None
    identity: DirectionRates | None = None
    total: DirectionRates | None = None
    burst: Annotated[float, Meta(ge=0.01, le=60.0)] = 0.1

    def __post_init__(self) -> None:
        if not any(getattr(self, level) for level in _NAMES):
            raise ValueError(f"one of {', '.join(_NAMES)} is needed")


@implementer(IStreamHook, IBackgroundHook, IReactorHook)
class BandwidthHook:
    """
    Slows streams down to the rates of what they belong to, by reading less from those
    who send. It allows everything.
    """

    def __init__(self, options: BandwidthOptions) -> None:
        self._burst = options.burst
        self._received = _rates(options, lambda rates: rates.received)
        self._sent = _rates(options, lambda rates: rates.sent)
        self._clock: IReactorTime | None = None
        self._rates: dict[tuple[str, str, _Key], Rate] = {}
        # By id(): a stream of somebody else may not be hashable. It lives as long.
        self._flows: dict[int, tuple[IStream, list[Flow]]] = {}

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.
        """
        self._clock = host.reactor

    def finish(self) -> None:
        """
        Hold nothing any more.
        """
        rates, self._rates = self._rates, {}
        for rate in rates.values():
            rate.stop()

    def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.
        """
        flows: list[Flow] = []
        if self._received:
            flow = self._flow(stream, "received", self._received)
            flows.append(flow)
            flow.begin(stream.pace_received(flow.moved))
        if self._sent:
            flow = self._flow(stream, "sent", self._sent)
            flows.append(flow)
            flow.begin(stream.pace_sent(flow.moved))
        self._flows[id(stream)] = (stream, flows)

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """
        _, flows = self._flows.pop(id(stream))
        for flow in flows:
            flow.end()

    def _flow(self, stream: IStream, direction: str, rates: dict[str, float]) -> Flow:
        return Flow(
            [
                self._rate((direction, level, _NAMES[level](stream)), rate)
                for level, rate in rates.items()
            ]
        )

    def _rate(self, key: tuple[str, str, _Key], rate: float) -> Rate:
        found = self._rates.get(key)
        if found is None:
            if self._clock is None:
                raise RuntimeError("the hook is not registered")
            found = Rate(self._clock, rate, self._burst, partial(self._forget, key))
            self._rates[key] = found
        return found

    def _forget(self, key: tuple[str, str, _Key]) -> None:
        self._rates.pop(key, None)


@implementer(IPlugin, IHookFactory)
class BandwidthHookFactory:
    """
    Builds the C{bandwidth} hook from a configuration file.
    """

    name = "bandwidth"
    description = "Limits how much tunnels and clients move in a second."
    options = BandwidthOptions

    def build(self, options: BandwidthOptions, reactor: IReactorCore) -> BandwidthHook:
        """
        See L{IHookFactory.build}.
        """
        return BandwidthHook(options)


def _rates(
    options: BandwidthOptions, of: Callable[[DirectionRates], float | None]
) -> dict[str, float]:
    """
    Give the rates of one direction that are said, in bytes a second.
    """
    rates: dict[str, float] = {}
    for level in _NAMES:
        both: DirectionRates | None = getattr(options, level)
        megabits = None if both is None else of(both)
        if megabits is not None:
            rates[level] = megabits * _MEGABIT
    return rates
