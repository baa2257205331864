"""
Reads the addresses that people write: where links are made, public addresses and
targets.

Only what a configuration needs to know of an address is read here: whether what
it says makes sense, and whether a link there is safe. Making the link is for
L{reitunnel.transports}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from reitunnel.config.urls import is_url, parse_url

_ENDPOINT_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_HOST = re.compile(r"[^\s/\[\]:@?#%\\]+\Z")

_PLAIN_ENDPOINTS = frozenset({"tcp", "tcp4", "tcp6"})
_LOCAL_ENDPOINTS = frozenset({"unix", "stdio"})
_SAFE_ENDPOINTS = frozenset({"ssl", "tls", "onion"})


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """
    Where links are made, as far as safety goes.

    @ivar scheme: the URL's scheme, or the type of the endpoint description.
    @ivar is_url: whether it is a URL.
    @ivar host: the host, if one is named.
    @ivar tls: whether Reitunnel speaks TLS on such a link. L{None} if that is
        for a plugin to say.
    @ivar exposed: whether links would be in plaintext where others can see them.
        A plugin's URL scheme counts as safe here, because the plugin itself is
        asked; an endpoint type that is not known counts as exposed.
    """

    scheme: str
    is_url: bool
    host: str
    tls: bool | None
    exposed: bool


def parse_link_address(text: str, *, listening: bool) -> LinkAddress:
    """
    Read a URL or a Twisted endpoint description.

    @param listening: whether it is a server's.
    @raise ValueError: if it is neither; the message is for people.
    """
    if is_url(text):
        return _parse_url(text)
    return _parse_endpoint(text, listening=listening)


def is_loopback(host: str) -> bool:
    """
    Whether a host name or address never leaves this machine.
    """
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def parse_bind(text: str) -> str:
    """
    Read the public address of a tunnel: an IP address, C{localhost}, or C{*} for
    every address.

    @return: the address in its usual form.
    @raise ValueError: if it is none of these; the message is for people.
    """
    if text == "*":
        return text
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(
            f'expected an IP address, "localhost" or "*", got "{text}"'
        ) from None


@dataclass(frozen=True, slots=True)
class HostTarget:
    """
    A target that is dialled over TCP.
    """

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class UnixTarget:
    """
    A target that is a Unix socket.
    """

    path: Path


def parse_target(text: str) -> HostTarget | UnixTarget:
    """
    Read a target: C{host:port}, C{[ipv6]:port} or C{unix:/path}.

    @raise ValueError: if it is none of these; the message is for people.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f'expected an absolute path after "unix:", got "{text}"')
        return UnixTarget(Path(path))
    host, _, digits = text.rpartition(":")
    port = parse_port(digits) if host else None
    name = _unbracketed(host)
    if not port or name is None:
        raise ValueError(f'expected "host:port" or "unix:/path", got "{text}"')
    return HostTarget(name, port)


def parse_monitor_address(text: str) -> HostTarget | UnixTarget:
    """
    Read where the pages of a running process are: C{host:port}, where the host is
    an IP address or C{localhost}, and port 0 lets the system choose; or
    C{unix:/path}.

    @raise ValueError: if it is neither; the message is for people.
    """
    if text.startswith("unix:"):
        return parse_target(text)
    host, _, digits = text.rpartition(":")
    port = parse_port(digits) if host else None
    name = _unbracketed(host)
    try:
        if port is None or name is None:
            raise ValueError
        return HostTarget(_address(name), port)
    except ValueError:
        raise ValueError(
            f'expected "address:port", with an IP address, or "unix:/path", got '
            f'"{text}"'
        ) from None


def _address(host: str) -> str:
    """
    @raise ValueError: if it is neither an IP address nor C{localhost}.
    """
    return "127.0.0.1" if host == "localhost" else str(ip_address(host))


def parse_port(digits: str) -> int | None:
    """
    Read a port from 0 to 65535.

    @return: the port, or L{None} if it is none.
    """
    # str.isdigit accepts digits of other scripts, and int() accepts signs,
    # spaces and underscores: neither is a port.
    if digits.isascii() and digits.isdigit() and len(digits) <= 5:
        port = int(digits)
        return port if port <= 65535 else None
    return None


def _unbracketed(host: str) -> str | None:
    """
    A host without the brackets of an IPv6 address; L{None} if it is no host.
    """
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            return None
    return host if _HOST.match(host) else None


def _parse_url(text: str) -> LinkAddress:
    url = parse_url(text)
    return LinkAddress(
        scheme=url.scheme,
        is_url=True,
        host=url.host,
        tls=url.form.tls,
        exposed=url.form.tls is False and not is_loopback(url.host),
    )


def _parse_endpoint(text: str, *, listening: bool) -> LinkAddress:
    kind, *arguments = _endpoint_parts(text)
    if not arguments or not _ENDPOINT_TYPE.match(kind):
        example = "tls://0.0.0.0:7000" if listening else "tls://example.com:7000"
        raise ValueError(
            f"expected a URL such as {example} or a Twisted endpoint description, "
            f'got "{text}"'
        )
    if kind == "haproxy":
        # It wraps the description that follows it.
        return _parse_endpoint(text.partition(":")[2], listening=listening)
    host = _endpoint_host(arguments, listening=listening)
    if kind in _PLAIN_ENDPOINTS:
        exposed = not is_loopback(host)
    else:
        exposed = kind not in _LOCAL_ENDPOINTS | _SAFE_ENDPOINTS
    tls = None if kind in _SAFE_ENDPOINTS else False
    return LinkAddress(scheme=kind, is_url=False, host=host, tls=tls, exposed=exposed)


def _endpoint_host(arguments: list[str], *, listening: bool) -> str:
    """
    The host of a C{tcp:} description: C{tcp:PORT:INTERFACE} for a server,
    C{tcp:HOST:PORT} for a client, in either case also by keyword.
    """
    keywords = dict(each.split("=", 1) for each in arguments if "=" in each)
    positional = [each for each in arguments if "=" not in each]
    if listening:
        # Without an interface it listens on every one.
        return keywords.get("interface", (*positional, "", "")[1])
    return keywords.get("host", (*positional, "")[0])


def _endpoint_parts(text: str) -> Iterator[str]:
    """
    Take a description apart at its colons, except those behind a backslash.
    """
    part = ""
    characters = iter(text)
    for character in characters:
        if character == ":":
            yield part
            part = ""
        else:
            part += next(characters, "") if character == "\\" else character
    yield part
