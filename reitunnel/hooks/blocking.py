"""
The C{block} hook: addresses that fail too often are blocked for a time.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import Interface, directlyProvides, implementer

from reitunnel.errors import Code, CodedError, Refused, TunnelRefused
from reitunnel.hooks.block_list import Block, BlockList
from reitunnel.hooks.failure_counts import FailureCounts
from reitunnel.hooks.networks import NetworkSet, host_of, parse_host, parse_network
from reitunnel.interfaces import (
    IClientHook,
    IErrorHook,
    IReactorHook,
    IRestrictedHookFactory,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)

FailureKind = Literal["authentication", "handshake", "client", "tunnel", "visitor"]


class BlockOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{block} hook.

    @ivar failures: so many failures of an address block it.
    @ivar window: within so many seconds.
    @ivar duration: for so many seconds.
    @ivar count: which failures count.
    @ivar visitors: whether visitors from a blocked address are refused too.
    @ivar never: networks whose failures do not count.
    @ivar ipv6_prefix: how many bits IPv6 addresses have in common that count as one.
    @ivar max_addresses: how many addresses with failures, and how many blocks, are
        kept.
    """

    failures: Annotated[int, Meta(ge=1, le=1000)] = 10
    window: Annotated[float, Meta(gt=0, le=604_800)] = 60.0
    duration: Annotated[float, Meta(gt=0, le=31_536_000)] = 600.0
    count: Annotated[tuple[FailureKind, ...], Meta(min_length=1)] = (
        "authentication",
        "client",
        "tunnel",
    )
    visitors: bool = True
    never: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    ipv6_prefix: Annotated[int, Meta(ge=16, le=128)] = 64
    max_addresses: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000

    def __post_init__(self) -> None:
        for index, text in enumerate(self.never):
            try:
                parse_network(text)
            except ValueError as error:
                raise ValueError(f"never[{index}]: {error}") from None


class BlockHook:
    """
    Refuses clients and visitors from blocked addresses, and blocks addresses that
    failed too often. What is open stays open.

    It has to be registered before the hooks whose refusals are to count, because only
    those before a hook are told that it has refused. Each instance provides only the
    interfaces that its options need; the clock is read in the calls, so the hook stays
    in the reactor's thread.
    """

    _log = Logger()

    def __init__(self, options: BlockOptions | None, clock: IReactorTime) -> None:
        """
        @param options: the defaults if L{None}.
        @param clock: tells the time.
        """
        options = options or BlockOptions()
        self._options = options
        self._clock = clock
        self._counted = frozenset(options.count)
        self._never = NetworkSet(options.never)
        self._blocks = BlockList(clock, options.max_addresses)
        self._failures = FailureCounts(
            options.failures, options.window, options.max_addresses
        )
        faces: list[type[Interface]] = [IReactorHook, IClientHook]
        if not self._counted.isdisjoint(("authentication", "handshake", "tunnel")):
            faces.append(IErrorHook)
        if "tunnel" in self._counted:
            faces.append(ITunnelHook)
        if options.visitors or "visitor" in self._counted:
            faces.append(IStreamHook)
        directlyProvides(self, *faces)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """
        What is blocked now.
        """
        return tuple(self._blocks)

    def block(self, network: str, seconds: float | None = None) -> None:
        """
        Block an address or a network by hand, whatever C{never} says.

        @param network: an address, or a network in CIDR notation.
        @param seconds: for how long, more than 0; until it is unblocked if L{None}.
        @raise ValueError: if it is no network, or too many are blocked; the message is
            for people.
        """
        if seconds is not None and not seconds > 0:
            raise ValueError(f"the time must be more than 0, not {seconds}")
        self._blocks.block(parse_network(network), seconds)

    def unblock(self, network: str) -> bool:
        """
        End a block, made by hand or automatic, and forget the failures that were
        counted of it.

        @param network: just what is blocked: C{blocks} has it.
        @return: whether it was blocked.
        @raise ValueError: if it is no network; the message is for people.
        """
        parsed = parse_network(network)
        self._failures.forget(parsed)
        return self._blocks.unblock(parsed)

    def is_blocked(self, address: str) -> bool:
        """
        Whether an address is blocked now.

        @raise ValueError: if it is no address.
        """
        host = parse_host(address)
        if host is None:
            raise ValueError(f'"{address}" is no address')
        return host in self._blocks

    def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.

        @raise Refused: if the client's address is blocked.
        """
        self._judge(client.facts.peer)

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """
        if code is Code.REFUSED:
            self._failed("client", client.facts.peer)

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        See L{ITunnelHook.on_tunnel_open}.
        """

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """
        if code is Code.REFUSED:
            self._failed("tunnel", tunnel.session.facts.peer)

    def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.

        @raise Refused: if the visitor's address is blocked.
        """
        if self._options.visitors:
            self._judge(stream.visitor)

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """
        if code is Code.REFUSED:
            self._failed("visitor", stream.visitor)

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """
        if not isinstance(error, CodedError) or error.peer is None:
            return
        if isinstance(error, TunnelRefused):
            self._failed("tunnel", error.peer)
        elif error.code is Code.AUTHENTICATION:
            self._failed("authentication", error.peer)
        else:
            self._failed("handshake", error.peer)

    def _judge(self, address: object) -> None:
        host = host_of(address)
        if host is not None and host in self._blocks:
            raise Refused("the address is blocked", passing=True)

    def _failed(self, kind: FailureKind, address: object) -> None:
        host = host_of(address)
        if (
            kind not in self._counted
            or host is None
            or host in self._never
            or host in self._blocks
        ):
            return
        options = self._options
        origin = host.origin(options.ipv6_prefix)
        if self._failures.add(origin, self._clock.seconds()):
            self._blocks.block_automatically(origin, options.duration)
            self._log.warn(
                "{network} is blocked for {duration:g} s: {failures} failures within "
                "{window:g} s, the last of kind {kind}",
                network=str(origin),
                duration=options.duration,
                failures=options.failures,
                window=options.window,
                kind=kind,
            )


@implementer(IPlugin, IRestrictedHookFactory)
class BlockHookFactory:
    """
    Builds the C{block} hook from a configuration file.
    """

    name = "block"
    description = "Blocks addresses for a time that fail too often."
    options = BlockOptions
    side = "server"
    written = ()

    def build(self, options: BlockOptions, reactor: IReactorCore) -> BlockHook:
        """
        See L{IHookFactory.build}.
        """
        clock: Any = reactor
        return BlockHook(options, clock)
