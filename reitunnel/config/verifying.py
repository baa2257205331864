"""
Refuses a configuration that was made in code and is not safe or cannot work.

What L{reitunnel.config.load_server_config} and its like return has been looked at
already. Types and bounds of single keys are the type checker's and theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from reitunnel.config.addresses import parse_link_address, parse_monitor_address
from reitunnel.config.checks import Finding, check_client, check_server
from reitunnel.config.settings import ClientConfig, ServerConfig
from reitunnel.errors import ConfigError, ConfigMistake


def verify_server_config(config: ServerConfig) -> None:
    """
    Refuse what a server must not do unless it is told so in words.

    A server without listeners is fine: its links may come by another way.

    @raise ConfigError: with every mistake found.
    """
    for index, text in enumerate(config.listen):
        _verify_address(f"listen[{index}]", text, listening=True)
    _verify_monitoring(config)
    _raise_any(check_server(config))


def verify_client_config(config: ClientConfig) -> None:
    """
    Refuse what a client must not do unless it is told so in words.

    A client without tunnels is fine: they may be opened later.

    @raise ConfigError: with every mistake found.
    """
    _verify_address("server", config.server, listening=False)
    if config.token is None and config.token_file is not None:
        message = "is read by load_client_config only: give the token itself"
        raise ConfigError([ConfigMistake("token_file", message)])
    _verify_monitoring(config)
    _raise_any(check_client(config, needs_tunnels=False))


def _verify_address(path: str, text: str, *, listening: bool) -> None:
    try:
        parse_link_address(text, listening=listening)
    except ValueError as error:
        raise ConfigError([ConfigMistake(path, str(error))]) from None


def _verify_monitoring(config: ServerConfig | ClientConfig) -> None:
    try:
        if config.monitoring.listen is not None:
            parse_monitor_address(config.monitoring.listen)
    except ValueError as error:
        mistake = ConfigMistake("monitoring.listen", str(error))
        raise ConfigError([mistake]) from None


def _raise_any(findings: Iterable[Finding]) -> None:
    mistakes = [ConfigMistake(each.path, each.message) for each in findings]
    if mistakes:
        raise ConfigError(mistakes)


def changed_keys(former: Struct, new: Struct, keys: Iterable[str]) -> list[str]:
    """
    Name the keys of a table that two configurations say differently.
    """
    return [key for key in keys if getattr(former, key) != getattr(new, key)]
