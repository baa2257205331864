"""
The C{rate} hook: how often clients and visitors may connect.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.plugin import IPlugin
from zope.interface import Interface, directlyProvides, implementer

from reitunnel.errors import Code, Refused
from reitunnel.hooks.networks import host_of
from reitunnel.hooks.token_buckets import TokenBuckets
from reitunnel.interfaces import (
    IClientHook,
    IReactorHook,
    IRestrictedHookFactory,
    ISession,
    IStream,
    IStreamHook,
)

_ADDRESSLESS: Final = "none"
"""The one key of all that have no Internet address."""

_FROM_ADDRESS: Final = "too many connections from this address"


class Rate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    How often something may happen.

    @ivar rate: how many times a second in the long run.
    @ivar burst: how many times at once, after a pause.
    """

    rate: Annotated[float, Meta(gt=0, le=100_000)]
    burst: Annotated[int, Meta(ge=1, le=1_000_000)]


class RateOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{rate} hook. One or more of the four rates are needed.

    @ivar clients_per_address: how often clients may connect from one address.
    @ivar clients_per_identity: how often clients of one identity may connect.
    @ivar visitors_per_address: how often visitors may connect from one address.
    @ivar visitors_per_client: how often visitors may connect to the tunnels of one
        identity.
    @ivar ipv6_prefix: how many bits IPv6 addresses have in common that count as one.
    @ivar max_buckets: how many addresses, or identities, are remembered for each rate.
    """

    clients_per_address: Rate | None = None
    clients_per_identity: Rate | None = None
    visitors_per_address: Rate | None = None
    visitors_per_client: Rate | None = None
    ipv6_prefix: Annotated[int, Meta(ge=16, le=128)] = 64
    max_buckets: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000

    def __post_init__(self) -> None:
        rates = (
            self.clients_per_address,
            self.clients_per_identity,
            self.visitors_per_address,
            self.visitors_per_client,
        )
        if all(rate is None for rate in rates):
            known = ", ".join(self.__struct_fields__[: len(rates)])
            raise ValueError(f"needs one or more of {known}")


class RateHook:
    """
    Refuses clients and visitors that come too often.

    Each instance provides only the interfaces that its rates need. The clock is read
    in the calls, so the hook stays in the reactor's thread.
    """

    def __init__(self, options: RateOptions, clock: IReactorTime) -> None:
        """
        @param options: the rates.
        @param clock: tells the time.
        """
        self._clock = clock
        self._ipv6_prefix = options.ipv6_prefix

        def buckets(rate: Rate | None) -> TokenBuckets | None:
            if rate is None:
                return None
            return TokenBuckets(rate.rate, rate.burst, options.max_buckets)

        self._client_addresses = buckets(options.clients_per_address)
        self._identities = buckets(options.clients_per_identity)
        self._visitor_addresses = buckets(options.visitors_per_address)
        self._visited = buckets(options.visitors_per_client)
        faces: list[type[Interface]] = [IReactorHook]
        if self._client_addresses is not None or self._identities is not None:
            faces.append(IClientHook)
        if self._visitor_addresses is not None or self._visited is not None:
            faces.append(IStreamHook)
        directlyProvides(self, *faces)

    def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.

        @raise Refused: if clients come too often.
        """
        self._take(
            (self._client_addresses, self._key(client.facts.peer), _FROM_ADDRESS),
            (self._identities, client.identity, "the client connects too often"),
        )

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """

    def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.

        @raise Refused: if visitors come too often.
        """
        self._take(
            (self._visitor_addresses, self._key(stream.visitor), _FROM_ADDRESS),
            (
                self._visited,
                stream.tunnel.session.identity,
                "too many visitors of this client",
            ),
        )

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """

    def _take(self, *wanted: tuple[TokenBuckets | None, Hashable, str]) -> None:
        """
        Take a token from each bucket, or from none.

        @raise Refused: if one is empty.
        """
        now = self._clock.seconds()
        for buckets, key, reason in wanted:
            if buckets is not None and not buckets.has(key, now):
                raise Refused(reason, passing=True)
        for buckets, key, _ in wanted:
            if buckets is not None:
                buckets.take(key, now)

    def _key(self, address: object) -> Hashable:
        host = host_of(address)
        return _ADDRESSLESS if host is None else host.origin(self._ipv6_prefix)


@implementer(IPlugin, IRestrictedHookFactory)
class RateHookFactory:
    """
    Builds the C{rate} hook from a configuration file.
    """

    name = "rate"
    description = "Limits how often clients and visitors connect."
    options = RateOptions
    side = "server"
    written = ()

    def build(self, options: RateOptions, reactor: IReactorCore) -> RateHook:
        """
        See L{IHookFactory.build}.
        """
        clock: Any = reactor
        return RateHook(options, clock)
