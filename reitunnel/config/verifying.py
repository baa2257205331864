"""
Refuses a configuration that was made in code and is not safe or cannot work.

What L{reitunnel.config.load_server_config} and its like return has been looked at
already. Types and bounds of single keys are the type checker's and theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    mistakes = [
        *(
            mistake
            for index, text in enumerate(config.listen)
            for mistake in _address(f"listen[{index}]", text, listening=True)
        ),
        *_monitoring(config),
    ]
    _raise_any(mistakes, check_server(config))


def verify_client_config(config: ClientConfig) -> None:
    """
    Refuse what a client must not do unless it is told so in words.

    A client without tunnels is fine: they may be opened later.

    @raise ConfigError: with every mistake found.
    """
    mistakes = [*_address("server", config.server, listening=False)]
    if config.token is None and config.token_file is not None:
        message = "is read by load_client_config only: give the token itself"
        mistakes.append(ConfigMistake("token_file", message))
    mistakes += _monitoring(config)
    _raise_any(mistakes, check_client(config, needs_tunnels=False))


def _address(path: str, text: str, *, listening: bool) -> Iterator[ConfigMistake]:
    try:
        parse_link_address(text, listening=listening)
    except ValueError as error:
        yield ConfigMistake(path, str(error))


def _monitoring(config: ServerConfig | ClientConfig) -> Iterator[ConfigMistake]:
    try:
        if config.monitoring.listen is not None:
            parse_monitor_address(config.monitoring.listen)
    except ValueError as error:
        yield ConfigMistake("monitoring.listen", str(error))


def _raise_any(mistakes: list[ConfigMistake], findings: Iterable[Finding]) -> None:
    """
    @param mistakes: of single keys. If there is one, nothing can be said of
        combinations.
    """
    found = mistakes or [ConfigMistake(each.path, each.message) for each in findings]
    if found:
        raise ConfigError(found)


def changed_keys(former: Struct, new: Struct, keys: Iterable[str]) -> list[str]:
    """
    Name the keys of a table that two configurations say differently.
    """
    return [key for key in keys if getattr(former, key) != getattr(new, key)]
