"""
Public ports: which one a tunnel gets, and why not.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory

from reitunnel.config import Rule, parse_bind
from reitunnel.errors import Code, TunnelRefused
from reitunnel.relay import host_and_port, joined

_TRIES: Final = 64
"""How many ports are tried for a tunnel that leaves the choice to the server."""
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The failures of a machine that has no more; it may have again."""
_random = Random()


def bind_address(bind: str, default: str, rule: Rule) -> str:
    """
    Choose the address for a tunnel.

    @param bind: what the client asks for.
    @param default: the server's default, for an empty C{bind}.
    @raise TunnelRefused: when the policy does not allow it.
    """
    if not bind:
        return default
    try:
        asked = parse_bind(bind)
    except ValueError as error:
        raise TunnelRefused(Code.ADDRESS_INVALID, str(error)) from None
    address = asked
    if asked == "*":
        address = "::" if ":" in default else "0.0.0.0"
    if address != default and not rule.allows_bind(asked):
        raise TunnelRefused(Code.POLICY, f"the address {bind!r} is not allowed")
    return address


def listen(
    reactor: Any,
    port: int,
    address: str,
    rule: Rule,
    factory: Factory,
    backlog: int,
    close: Callable[[IListeningPort, int], None],
) -> IListeningPort:
    """
    Open a public port.

    @param port: the port, which C{rule} allows; 0 for any that it allows.
    @param close: closes a port that was opened in vain, and is told its number.
    @raise TunnelRefused: when none can be opened, with the reason.
    """
    if port:
        return _listen(reactor, port, address, factory, backlog)
    for choice in _choices(rule):
        try:
            listening = _listen(reactor, choice, address, factory, backlog)
        except TunnelRefused as refused:
            if refused.code is not Code.ADDRESS_IN_USE:
                raise
        else:
            number = port_of(listening)
            if rule.allows_port(number):
                return listening
            close(listening, number)
    raise TunnelRefused(Code.ADDRESS_IN_USE, "no allowed port is free")


def port_of(listening: IListeningPort) -> int:
    """
    Give the number of an open port.
    """
    return host_and_port(listening.getHost())[1]


def _choices(rule: Rule) -> Iterator[int]:
    """
    Ports to try: the kernel's choice first, then the allowed ones at random.
    """
    yield 0
    sizes = [ports.high - ports.low + 1 for ports in rule.ports]
    total = sum(sizes)
    if total:
        for choice in _random.sample(range(total), min(_TRIES, total)):
            index = choice
            for ports, size in zip(rule.ports, sizes, strict=True):
                if index < size:
                    yield ports.low + index
                    break
                index -= size


def _listen(
    reactor: Any,
    port: int,
    address: str,
    factory: Factory,
    backlog: int,
) -> IListeningPort:
    try:
        listening: IListeningPort = reactor.listenTCP(port, factory, backlog, address)
    except CannotListenError as error:
        number = getattr(error.socketError, "errno", None)
        text = getattr(error.socketError, "strerror", None) or str(error.socketError)
        code = {
            errno.EADDRINUSE: Code.ADDRESS_IN_USE,
            errno.EACCES: Code.POLICY,
            **dict.fromkeys(_SCARCE, Code.LIMIT),
        }.get(number or 0, Code.ADDRESS_INVALID)
        raise TunnelRefused(code, f"{joined(address, port)}: {text}") from None
    return listening
