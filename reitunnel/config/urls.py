"""
Reads the URLs of links.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final

import idna

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\Z")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*\Z")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class URLForm:
    """
    What a URL of one scheme looks like.

    @ivar port: the port if the URL names none; L{None} if it must name one.
    @ivar path: whether it has a path.
    @ivar tls: whether Reitunnel speaks TLS there; L{None} if that is for a plugin
        to say.
    """

    port: int | None
    path: bool
    tls: bool | None


URL_FORMS: Final[Mapping[str, URLForm]] = {
    "tcp": URLForm(port=None, path=False, tls=False),
    "tls": URLForm(port=None, path=False, tls=True),
    "ws": URLForm(port=80, path=True, tls=False),
    "wss": URLForm(port=443, path=True, tls=True),
}
"""The schemes that need no plugin."""

_PLUGIN_FORM: Final = URLForm(port=0, path=True, tls=None)


@dataclass(frozen=True, slots=True)
class URLParts:
    """
    What a URL says.

    @ivar scheme: in lower case.
    @ivar host: a name in its ASCII form, or an IP address without brackets.
    @ivar port: 0 lets the system choose, when listening.
    @ivar path: with its slash; empty if the scheme has none.
    @ivar form: what a URL of its scheme looks like.
    """

    scheme: str
    host: str
    port: int
    path: str
    form: URLForm


def is_url(text: str) -> bool:
    """
    Whether an address is a URL, as far as that can be told from what it looks like.
    If not it is a Twisted endpoint description.
    """
    return "://" in text


def parse_url(text: str) -> URLParts:
    """
    Read a URL. Whether there is a plugin for a scheme that is not in L{URL_FORMS} is
    not looked at.

    @raise ValueError: if it is none; the message is for people.
    """
    scheme, _, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        # What stands before the @ may be a secret: it is not repeated.
        raise ValueError("a URL with a user name or password cannot be used")
    if _BLANK.search(text):
        raise ValueError(f"{text!r} has blanks; a URL has none")
    scheme = scheme.lower()
    if not _SCHEME.match(scheme):
        raise ValueError(f'"{text}" has no scheme such as tls://')
    form = URL_FORMS.get(scheme, _PLUGIN_FORM)
    host, port = _authority(text, authority)
    if port is None:
        port = form.port
    if port is None:
        raise ValueError(f'"{text}" names no port')
    path = _path(text, rest[len(authority) :], form)
    return URLParts(scheme=scheme, host=host, port=port, path=path, form=form)


def _authority(text: str, authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        literal, bracket, tail = authority[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError(f'a bracket is wrong in "{text}"')
        host = _ipv6(text, literal)
        colon, digits = tail[:1], tail[1:]
    else:
        name, colon, digits = authority.partition(":")
        if ":" in digits:
            raise ValueError(f'an IPv6 address needs brackets, as in "{text}"')
        host = _host(text, name)
    if not colon:
        return host, None
    # str.isdigit alone accepts digits of other scripts.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5):
        raise ValueError(f'"{digits}" in "{text}" is not a port')
    port = int(digits)
    if port > 65535:
        raise ValueError(f'there is no port {port}, as in "{text}"')
    return host, port


def _ipv6(text: str, literal: str) -> str:
    try:
        IPv6Address(literal)
    except AddressValueError:
        raise ValueError(f'"{literal}" in "{text}" is not an IPv6 address') from None
    return literal


def _host(text: str, name: str) -> str:
    if not name:
        raise ValueError(f'"{text}" names no host; 0.0.0.0 and [::] mean every address')
    written = name
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError(f'"{written}" in "{text}" is not a host name') from None
    name = name.lower()
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(
        len(label) <= 63 and _LABEL.match(label) for label in labels
    ):
        raise ValueError(f'"{written}" in "{text}" is not a host name')
    return name


def _path(text: str, tail: str, form: URLForm) -> str:
    if "?" in tail or "#" in tail:
        raise ValueError(f'"{text}" has a query or a fragment; neither has a use')
    if not form.path:
        if tail not in ("", "/"):
            raise ValueError(f'"{text}" has a path; only ws:// and wss:// have one')
        return ""
    path = tail or "/"
    if not _PATH.match(path):
        raise ValueError(f'the path of "{text}" is none; escape it with %')
    return path
