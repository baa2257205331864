"""
Reads C{reitunnel:} endpoint strings: docs/embedding.md, "Any Twisted program".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.interfaces import (
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

from reitunnel.auth import Token
from reitunnel.client.endpoint import TunnelServerEndpoint
from reitunnel.config import ClientConfig, load_client_config, parse_bind
from reitunnel.config.addresses import parse_port
from reitunnel.config.origin import flag_name
from reitunnel.errors import ConfigError, ConfigMistake

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "server": "server",
        "ca": "ca",
        "serverName": "server_name",
        "pem": "pem",
        "tokenFile": "token_file",
        "channelBinding": "channel_binding",
        "clientId": "client_id",
        "carrier": "carrier",
        "poolSize": "pool_size",
        "timeout": "timeouts.base",
        "timeoutPreset": "timeouts.preset",
        "drainTimeout": "timeouts.drain",
        "preset": "tuning.preset",
        "bufferSize": "tuning.buffer_size",
        "insecurePlaintext": "insecure_plaintext",
    }
)
"""The words that stand for keys of a client's configuration, by their paths."""

_FLAG: Final = re.compile(r"--[a-z-]+")
_OWN_WORDS: Final = ("config", "port", "bind")


@implementer(IPlugin, IStreamServerEndpointStringParser)
class TunnelEndpointParser:
    """
    Makes a L{TunnelServerEndpoint} of C{reitunnel:SERVER:port=PORT}.

    SERVER is the address that a client dials; its colons are written C{\\:}. The other
    words are C{config}, a client's file, C{bind}, and L{WORDS}.

    @ivar prefix: what the strings begin with.
    """

    prefix = "reitunnel"

    def parseStreamServer(
        self, reactor: Any, *args: object, **kwargs: object
    ) -> IStreamServerEndpoint:
        """
        Read the words of a string.

        @raise ConfigError: with every mistake found, by its word.
        """
        if len(args) > 1:
            text = ":".join(map(str, args))
            message = f'":" in it is written "\\:", got "{text}"'
            raise ConfigError([ConfigMistake("server", message)])
        words = {word: str(value) for word, value in kwargs.items()}
        if args:
            words["server"] = str(args[0])
        mistakes = [
            ConfigMistake(word, "unknown word")
            for word in words
            if word not in WORDS and word not in _OWN_WORDS
        ]
        if args and "server" in kwargs:
            mistakes.append(ConfigMistake("server", "given twice"))
        port, bind, config = 0, "", None
        try:
            port = _port(words.get("port", "0"))
        except ValueError as error:
            mistakes.append(ConfigMistake("port", str(error)))
        try:
            bind = parse_bind(words["bind"]) if "bind" in words else ""
        except ValueError as error:
            mistakes.append(ConfigMistake("bind", str(error)))
        try:
            config = _load(words)
        except ConfigError as error:
            mistakes += error.mistakes
        if mistakes or config is None:
            raise ConfigError(mistakes)
        return TunnelServerEndpoint(reactor, config, port, bind=bind)


def _port(text: str) -> int:
    port = parse_port(text)
    if port is None:
        raise ValueError(f'expected a port from 0 to 65535, got "{text}"')
    return port


def _load(words: Mapping[str, str]) -> ClientConfig:
    """
    @raise ConfigError: with every mistake found; the words are named as they are
        written.
    """
    given = {key: words[word] for word, key in WORDS.items() if word in words}
    written = {flag_name(key): word for word, key in WORDS.items()}
    try:
        config = load_client_config(words.get("config"), given, needs_tunnels=False)
    except ConfigError as error:
        raise ConfigError(
            [
                ConfigMistake(
                    written.get(mistake.path, mistake.path),
                    _with_words(mistake.message, written),
                )
                for mistake in error.mistakes
            ]
        ) from None
    try:
        if config.token is not None:
            Token.parse(config.token.reveal())
    except ValueError as error:
        word = "tokenFile" if "tokenFile" in words else "token"
        raise ConfigError([ConfigMistake(word, str(error))]) from None
    return config


def _with_words(message: str, written: Mapping[str, str]) -> str:
    """
    Put words in the place of the flags that a message names.
    """
    return _FLAG.sub(lambda flag: written.get(flag[0], flag[0]), message)
