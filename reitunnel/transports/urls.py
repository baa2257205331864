"""
Reads the addresses of links: URLs and Twisted endpoint descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final

import idna

from reitunnel.transports.plugins import plugin_transports

ENDPOINT: Final = "endpoint"
"""The scheme of an address that is a Twisted endpoint description."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\Z")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*\Z")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class _Form:
    """
    What a URL of one scheme looks like.

    @ivar port: the port if the URL names none; L{None} if it must name one.
    @ivar path: whether it has a path.
    """

    port: int | None
    path: bool


_FORMS: Final[Mapping[str, _Form]] = {
    "tcp": _Form(port=None, path=False),
    "tls": _Form(port=None, path=False),
    "ws": _Form(port=80, path=True),
    "wss": _Form(port=443, path=True),
}

_PLUGIN_FORM: Final = _Form(port=0, path=True)


@dataclass(frozen=True, slots=True)
class LinkURL:
    """
    Where links are made.

    @ivar scheme: in lower case; C{endpoint} for an endpoint description.
    @ivar host: a name in its ASCII form, or an IP address without brackets;
        empty for an endpoint description.
    @ivar port: 0 lets the system choose, when listening.
    @ivar path: with its slash; empty if the scheme has none.
    @ivar text: as it was written: the endpoint description itself.
    """

    scheme: str
    host: str
    port: int
    path: str
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> LinkURL:
        """
        Read an address.

        @param text: a URL such as C{tls://example.com:7000}; without C{://} it
            is taken for a Twisted endpoint description.
        @raise ValueError: if it is neither; the message is for people.
        """
        if not text.strip():
            raise ValueError("the address is empty")
        scheme, separator, rest = text.partition("://")
        if not separator:
            return cls(scheme=ENDPOINT, host="", port=0, path="", text=text)
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        if "@" in authority:
            # What stands before the @ may be a secret: it is not repeated.
            raise ValueError("a link's address has no user name or password")
        if _BLANK.search(text):
            raise ValueError(f"{text!r}: an address has no blanks")
        scheme = scheme.lower()
        form = _form(scheme)
        if form is None:
            raise ValueError(
                f"{text}: {scheme}:// is not known; tcp, tls, ws and wss are, "
                "and what plugins add"
            )
        host, port = _authority(text, authority)
        if port is None:
            port = form.port
        if port is None:
            raise ValueError(f"{text}: the port is missing")
        path = _path(text, rest[len(authority) :], form)
        return cls(scheme=scheme, host=host, port=port, path=path, text=text)


def _form(scheme: str) -> _Form | None:
    if scheme in _FORMS:
        return _FORMS[scheme]
    if _SCHEME.match(scheme) and scheme in plugin_transports():
        return _PLUGIN_FORM
    return None


def _authority(text: str, authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        literal, bracket, tail = authority[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError(f"{text}: a bracket is wrong")
        host = _ipv6(text, literal)
        colon, digits = tail[:1], tail[1:]
    else:
        name, colon, digits = authority.partition(":")
        if ":" in digits:
            raise ValueError(f"{text}: an IPv6 address needs brackets")
        host = _host(text, name)
    if not colon:
        return host, None
    # str.isdigit alone accepts digits of other scripts.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5):
        raise ValueError(f"{text}: {digits!r} is not a port")
    port = int(digits)
    if port > 65535:
        raise ValueError(f"{text}: there is no port {port}")
    return host, port


def _ipv6(text: str, literal: str) -> str:
    try:
        IPv6Address(literal)
    except AddressValueError:
        raise ValueError(f"{text}: {literal!r} is not an IPv6 address") from None
    return literal


def _host(text: str, name: str) -> str:
    if not name:
        raise ValueError(
            f"{text}: the host is missing; 0.0.0.0 and [::] mean every address"
        )
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError(f"{text}: {name!r} is not a host name") from None
    name = name.lower()
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(
        len(label) <= 63 and _LABEL.match(label) for label in labels
    ):
        raise ValueError(f"{text}: {name!r} is not a host name")
    return name


def _path(text: str, tail: str, form: _Form) -> str:
    if "?" in tail or "#" in tail:
        raise ValueError(f"{text}: a link's address has no query and no fragment")
    if not form.path:
        if tail not in ("", "/"):
            raise ValueError(f"{text}: an address of this kind has no path")
        return ""
    path = tail or "/"
    if not _PATH.match(path):
        raise ValueError(f"{text}: {path!r} is not a path; escape it with %")
    return path
