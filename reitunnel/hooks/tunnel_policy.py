"""
The C{policy} hook: which ports, addresses and targets the tunnels of a client may have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Annotated, Final

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from zope.interface import implementer

from reitunnel.config.addresses import HostTarget, parse_bind, parse_target
from reitunnel.config.values import PortRange
from reitunnel.errors import Code, Refused
from reitunnel.hooks.client_rules import ClientGroup, ClientRules, Patterns
from reitunnel.hooks.networks import NetworkSet, parse_host, parse_network
from reitunnel.interfaces import IHookFactory, ITunnel, ITunnelHook

Texts = Annotated[tuple[str, ...], Meta(min_length=1)]

_EVERY: Final = "*"
"""Stands for every address."""


class TargetRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Describes targets: those with a host and port, by C{hosts}, C{networks} and
    C{ports}, or any others, by C{texts}.

    @ivar hosts: patterns of the host, which know no case.
    @ivar networks: networks in CIDR notation, for hosts that are addresses.
    @ivar ports: ports and ranges; any without it.
    @ivar texts: patterns of the whole target, as the client writes it.
    """

    hosts: Patterns | None = None
    networks: Texts | None = None
    ports: Texts | None = None
    texts: Patterns | None = None

    def __post_init__(self) -> None:
        by_host = (self.hosts, self.networks, self.ports)
        if (self.texts is None) == all(each is None for each in by_host):
            raise ValueError("needs hosts, networks or ports, or else texts")
        _check("networks", parse_network, self.networks)
        _check("ports", PortRange.parse, self.ports)


class TunnelRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What the tunnels of some clients may have. What is left out is not restricted.

    @ivar clients: whom the rule is for; every client without it.
    @ivar ports: public ports and ranges.
    @ivar server_chooses: whether a tunnel may leave the port to the server, which takes
        any that C{[policy]} allows; without it, only if C{ports} is left out.
    @ivar bind: public addresses and networks besides the server's default; C{"*"} is
        any.
    @ivar targets: targets, as the client describes them.
    """

    clients: ClientRules | None = None
    ports: tuple[str, ...] | None = None
    server_chooses: bool | None = None
    bind: tuple[str, ...] | None = None
    targets: tuple[TargetRule, ...] | None = None

    def __post_init__(self) -> None:
        _check("ports", PortRange.parse, self.ports)
        _check("bind", _read_bind, self.bind)


class PolicyOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{policy} hook.

    @ivar rules: the first whose C{clients} match decides; a client that none matches
        may have no tunnel.
    """

    rules: Annotated[tuple[TunnelRule, ...], Meta(min_length=1)]


@implementer(ITunnelHook)
class PolicyHook:
    """
    Refuses tunnels that the client may not have.
    """

    def __init__(self, options: PolicyOptions) -> None:
        """
        @param options: who may have what.
        """
        self._rules = [_RuleJudge(rule) for rule in options.rules]

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        See L{ITunnelHook.on_tunnel_open}.

        @raise Refused: if the client may not have the tunnel.
        """
        for rule in self._rules:
            if rule.is_for(tunnel):
                rule.judge(tunnel)
                return
        raise Refused(f"no tunnel is allowed for {tunnel.session.identity}")

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """


@implementer(IPlugin, IHookFactory)
class PolicyHookFactory:
    """
    Builds the C{policy} hook from a configuration file.
    """

    name = "policy"
    description = "Says which ports, addresses and targets clients may have."
    options = PolicyOptions

    def build(self, options: PolicyOptions, reactor: IReactorCore) -> PolicyHook:
        """
        See L{IHookFactory.build}.
        """
        return PolicyHook(options)


class _RuleJudge:
    """
    A L{TunnelRule} that is ready to be asked.
    """

    def __init__(self, rule: TunnelRule) -> None:
        self._clients = None if rule.clients is None else ClientGroup(rule.clients)
        self._ports = None if rule.ports is None else _port_ranges(rule.ports)
        self._server_chooses = (
            rule.ports is None if rule.server_chooses is None else rule.server_chooses
        )
        self._every_address = rule.bind is None or _EVERY in rule.bind
        self._addresses = NetworkSet(_without_every(rule.bind))
        self._targets: list[_TargetMatch] | None = None
        if rule.targets is not None:
            self._targets = [_TargetMatch(target) for target in rule.targets]

    def is_for(self, tunnel: ITunnel) -> bool:
        """
        Whether the rule is for the tunnel's client.
        """
        return self._clients is None or tunnel.session in self._clients

    def judge(self, tunnel: ITunnel) -> None:
        """
        @raise Refused: if the tunnel is not allowed.
        """
        if not self._allows_port(tunnel.port):
            if not tunnel.port:
                raise Refused("the port must be chosen, not left to the server")
            raise Refused(f"port {tunnel.port} is not allowed")
        if not self._allows_bind(tunnel.bind):
            raise Refused(f"the address {tunnel.bind!r} is not allowed")
        if self._targets is not None and not any(
            target.matches(tunnel.target) for target in self._targets
        ):
            raise Refused(f"the target {tunnel.target!r} is not allowed")

    def _allows_port(self, port: int) -> bool:
        if not port:
            return self._server_chooses
        return self._ports is None or any(port in ports for ports in self._ports)

    def _allows_bind(self, bind: str) -> bool:
        if not bind or self._every_address:
            return True
        try:
            host = parse_host(parse_bind(bind))
        except ValueError:
            return False
        # "*", 0.0.0.0 and :: are every address of the machine, and no address of one.
        return host is not None and host.number != 0 and host in self._addresses


class _TargetMatch:
    """
    A L{TargetRule} that is ready to be matched.
    """

    def __init__(self, rule: TargetRule) -> None:
        self._any_host = rule.hosts is None and rule.networks is None
        self._hosts = _matchers(pattern.lower() for pattern in rule.hosts or ())
        self._networks = NetworkSet(rule.networks or ())
        self._ports = None if rule.ports is None else _port_ranges(rule.ports)
        self._texts = None if rule.texts is None else _matchers(rule.texts)

    def matches(self, text: str) -> bool:
        """
        Whether it is one of these targets.
        """
        if self._texts is not None:
            return any(pattern.match(text) for pattern in self._texts)
        try:
            target = parse_target(text)
        except ValueError:
            return False
        return (
            isinstance(target, HostTarget)
            and self._has_host(target.host.lower())
            and (
                self._ports is None or any(target.port in each for each in self._ports)
            )
        )

    def _has_host(self, name: str) -> bool:
        if self._any_host or any(pattern.match(name) for pattern in self._hosts):
            return True
        host = parse_host(name)
        return host is not None and host in self._networks


def _matchers(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    return [re.compile(translate(pattern)) for pattern in patterns]


def _port_ranges(texts: Iterable[str] | None) -> list[PortRange]:
    return [PortRange.parse(text) for text in texts or ()]


def _read_bind(text: str) -> None:
    if text != _EVERY:
        parse_network(text)


def _without_every(bind: Iterable[str] | None) -> list[str]:
    return [text for text in bind or () if text != _EVERY]


def _check(
    key: str, read: Callable[[str], object], texts: Iterable[str] | None
) -> None:
    """
    @raise ValueError: for the first text that C{read} does not take, with its place.
    """
    for index, text in enumerate(texts or ()):
        try:
            read(text)
        except ValueError as error:
            raise ValueError(f"{key}[{index}]: {error}") from None
