"""
Reads C{-R}: a tunnel in the form that ssh uses.
"""

from __future__ import annotations

from reitunnel.config.addresses import parse_bind, parse_port, parse_target
from reitunnel.config.settings import TunnelSettings

_FORMS = "[bind:]port:host:hostport or [bind:]port:unix:/path"


def parse_remote(text: str) -> TunnelSettings:
    """
    Read C{[bind:]port:host:hostport} or C{[bind:]port:unix:/path}.

    IPv6 addresses stand in brackets. Port 0 lets the server choose. As with ssh,
    an empty bind address (C{:6000:localhost:8080}) and C{*} ask for every address,
    and none at all for the server's default.

    @raise ValueError: if it is neither; the message is for people.
    """
    first, rest = _take(text, text)
    if parse_port(first) is None and not first.isdigit():
        try:
            bind = parse_bind(_without_brackets(first) or "*")
        except ValueError as error:
            raise ValueError(f'"{text}": {error}') from None
        first, rest = _take(rest, text)
    else:
        bind = ""
    port = parse_port(first)
    if port is None:
        raise ValueError(f'"{text}": expected a port from 0 to 65535, got "{first}"')
    try:
        parse_target(rest)
    except ValueError as error:
        raise ValueError(f'"{text}": {error}') from None
    return TunnelSettings(bind=bind, port=port, target=rest)


def _without_brackets(piece: str) -> str:
    return piece[1:-1] if len(piece) > 2 and piece.startswith("[") else piece


def _take(text: str, whole: str) -> tuple[str, str]:
    """
    What stands before the first colon, and after it. An address in brackets is
    one piece.
    """
    if text.startswith("["):
        piece, bracket, rest = text.partition("]")
        piece += bracket
        colon, rest = rest[:1], rest[1:]
    else:
        piece, colon, rest = text.partition(":")
    if colon != ":" or not rest:
        raise ValueError(f'expected {_FORMS}, got "{whole}"')
    return piece, rest
