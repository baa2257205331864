"""
Makes a server or a client of its configuration, or says what is wrong with it, by
the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from reitunnel.auth import Token
from reitunnel.client import Client
from reitunnel.config import ClientConfig, ServerConfig
from reitunnel.errors import ConfigError, ConfigMistake
from reitunnel.server import Server
from reitunnel.transports import LinkURL


def build_server(reactor: Any, config: ServerConfig) -> Server:
    """
    Make a server.

    @raise ConfigError: for what is wrong with the configuration.
    @raise ReitunnelError: for a file that cannot be used.
    """
    _check(
        (f"listen[{index}]", LinkURL.parse, address)
        for index, address in enumerate(config.listen)
    )
    return Server(reactor, config)


def build_client(reactor: Any, config: ClientConfig) -> Client:
    """
    Make a client.

    @raise ConfigError: for what is wrong with the configuration.
    @raise ReitunnelError: for a file that cannot be used.
    """
    token = "" if config.token is None else config.token.reveal()
    _check([("server", LinkURL.parse, config.server)])
    if token:
        _check([("token", Token.parse, token)])
    try:
        return Client(reactor, config)
    except ValueError as error:
        # The one value that only the TLS of a client reads.
        raise ConfigError([ConfigMistake("server_name", str(error))]) from None


def _check(values: Iterable[tuple[str, Callable[[str], object], str]]) -> None:
    """
    See that values can be read.

    @param values: for each the key's path, what reads it, and the value.
    @raise ConfigError: with every one that cannot.
    """
    mistakes = []
    for path, read, value in values:
        try:
            read(value)
        except ValueError as error:
            mistakes.append(ConfigMistake(path, str(error)))
    if mistakes:
        raise ConfigError(mistakes)
