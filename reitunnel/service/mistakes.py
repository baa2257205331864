"""
The mistakes in a configuration that its loader cannot see: they are named together with
those that it does see.
"""

from __future__ import annotations

from collections.abc import Iterator

from reitunnel.config import ClientConfig, ServerConfig
from reitunnel.errors import ConfigError, ConfigMistake
from reitunnel.hooks import hook_mistakes
from reitunnel.server import check_addresses
from reitunnel.transports import LinkURL


def server_mistakes(config: ServerConfig) -> Iterator[ConfigMistake]:
    """
    Find what C{Server} would find too, and can be found without making anything.
    """
    try:
        check_addresses(config)
    except ConfigError as error:
        yield from error.mistakes
    yield from hook_mistakes(config.hooks, "server")


def client_mistakes(config: ClientConfig) -> Iterator[ConfigMistake]:
    """
    Find what C{Client} would find too, and can be found without making anything.
    """
    try:
        LinkURL.parse(config.server)
    except ValueError as error:
        yield ConfigMistake("server", str(error))
    yield from hook_mistakes(config.hooks, "client")
