"""
Makes what a server needs out of its configuration.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.internet.interfaces import IAddress

from reitunnel.auth import CertificatePolicy, ServerAuthenticator, TokenStore
from reitunnel.config import ServerConfig
from reitunnel.errors import ConfigError, ConfigMistake
from reitunnel.interfaces import ILinkAdmission
from reitunnel.relay import host_and_port, shown
from reitunnel.transports import (
    LinkURL,
    ServerCertificates,
    ServerTransportSettings,
    TCPOptions,
)
from reitunnel.wire.frames import HEADER_SIZE


def files_of(config: ServerConfig) -> dict[str, Path | None]:
    """
    Name the files of certificates by the paths of their keys.
    """
    return {"pem": config.pem, "auth.client_ca": config.auth.client_ca}


def check_addresses(config: ServerConfig) -> None:
    """
    See that something listens on addresses as those in C{listen}.

    @raise ConfigError: with every one that nothing does.
    """
    mistakes = []
    for index, text in enumerate(config.listen):
        try:
            LinkURL.parse(text)
        except ValueError as error:
            mistakes.append(ConfigMistake(f"listen[{index}]", str(error)))
    if mistakes:
        raise ConfigError(mistakes)


def authenticator_from(config: ServerConfig) -> ServerAuthenticator:
    """
    Make the judge of clients.

    @raise ConfigError: when the token file cannot be used.
    """
    auth = config.auth
    if auth.tokens is None and auth.client_ca is None:
        return ServerAuthenticator(anonymous=True)
    return ServerAuthenticator(
        tokens=None if auth.tokens is None else _token_store(auth.tokens),
        certificates=None if auth.client_ca is None else CertificatePolicy(),
        require=auth.require,
        channel_binding=auth.channel_binding,
    )


def _token_store(file: Path) -> TokenStore:
    try:
        return TokenStore(file)
    except ConfigError as error:
        # What is wrong with all of the file has its name in place of a key.
        raise ConfigError(
            [
                ConfigMistake(
                    "auth.tokens",
                    f"{file} {mistake.message}"
                    if mistake.path == str(file)
                    else str(mistake),
                )
                for mistake in error.mistakes
            ]
        ) from error


def visitor_options_from(config: ServerConfig) -> TCPOptions:
    """
    Make the options of visitors' sockets.
    """
    # One read is one frame: with its header it fills what the other side reads, and
    # the records of TLS.
    return replace(
        TCPOptions.of(config.tuning), read_size=config.tuning.buffer_size - HEADER_SIZE
    )


def transport_settings_from(
    config: ServerConfig, admission: ILinkAdmission
) -> ServerTransportSettings:
    """
    Make what the endpoints of links are told.

    @param admission: who may connect.
    @raise CertificateError: when a certificate file cannot be used.
    """
    auth = config.auth
    certificates = None
    if config.pem is not None:
        certificates = ServerCertificates(
            config.pem,
            client_ca=auth.client_ca,
            require_client_certificate=auth.require == "all",
            minimum_version=config.tls.minimum_version,
        )
    return ServerTransportSettings(
        tcp=TCPOptions.of(config.tuning),
        handshake_timeout=config.timeouts.handshake,
        certificates=certificates,
        admission=admission,
        backlog=config.tuning.backlog,
    )


def default_bind_of(address: IAddress) -> str:
    """
    Choose the address that tunnels get when the client asks for none: the one
    that the server listens on for links, or loopback where that is none.

    @param address: where the server listens.
    """
    return host_and_port(address)[0] or "127.0.0.1"


def shown_address(text: str, address: IAddress) -> str:
    """
    Name a listener for people, with the port that it really got.
    """
    url = LinkURL.parse(text)
    if not url.host:
        return text
    return f"{url.scheme}://{shown(address)}{url.path}"
