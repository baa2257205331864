"""
The targets that read what people write: addresses, C{-R}, configurations, token files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from reitunnel.auth.token_file import read_token_file
from reitunnel.auth.tokens import Token
from reitunnel.config import (
    PortRange,
    is_loopback,
    load_client_config,
    load_server_config,
    parse_bind,
    parse_link_address,
    parse_remote,
    parse_target,
)
from reitunnel.errors import ConfigError
from reitunnel.transports import LinkURL
from tests.fuzz.network import directory

_PARSERS: Final[tuple[Callable[[str], object], ...]] = (
    parse_bind,
    parse_target,
    PortRange.parse,
    Token.parse,
)


def fuzz_addresses(data: bytes) -> None:
    """
    Addresses of every kind, and tokens: only C{ValueError} may be raised. What the
    configuration takes for a safe address of a link must be one to the transports too.
    """
    text = data.decode(errors="replace")
    for parse in _PARSERS:
        _accepts(parse, text)
    for listening in (True, False):
        try:
            address = parse_link_address(text, listening=listening)
            url = LinkURL.parse(text)
        except ValueError:
            continue
        if address.is_url:
            assert address.scheme == url.scheme
            if address.scheme in ("tcp", "ws") and not address.exposed:
                assert is_loopback(url.host), f"{text!r} is dialled as {url.host!r}"


def fuzz_remote(data: bytes) -> None:
    """
    C{-R}. What is taken must have a target that can be dialled.
    """
    text = data.decode(errors="replace")
    try:
        tunnel = parse_remote(text)
    except ValueError:
        return
    parse_target(tunnel.target)
    assert not tunnel.bind or parse_bind(tunnel.bind) == tunnel.bind
    assert 0 <= tunnel.port <= 65535


def fuzz_config(data: bytes) -> None:
    """
    Configuration files: only C{ConfigError} may be raised.
    """
    file = _file("reitunnel.toml", data)
    for load in (load_server_config, _load_client):
        try:
            load(file)
        except ConfigError as error:
            assert error.mistakes
            assert "\n" not in "".join(m.message for m in error.mistakes)


def fuzz_tokens(data: bytes) -> None:
    """
    Token files: only C{ConfigError} may be raised.
    """
    try:
        read_token_file(_file("tokens.toml", data))
    except ConfigError as error:
        assert error.mistakes


def _load_client(file: Path) -> object:
    return load_client_config(file, environ={})


def _accepts(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _file(name: str, data: bytes) -> Path:
    file = directory() / name
    file.touch(0o600)
    file.write_bytes(data)
    return file
