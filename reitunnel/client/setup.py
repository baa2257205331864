"""
Makes what a client needs out of its configuration.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reitunnel.auth import ClientAuthenticator, ClientCredentials
from reitunnel.config import ClientConfig
from reitunnel.transports import ClientTLS, ClientTransportSettings, TCPOptions
from reitunnel.wire.frames import HEADER_SIZE


def files_of(config: ClientConfig) -> dict[str, Path | None]:
    """
    Name the files of certificates by the paths of their keys.
    """
    return {"pem": config.pem, "ca": config.ca}


def authenticator_from(config: ClientConfig) -> ClientAuthenticator:
    """
    Make what proves the client.

    @raise ValueError: when the token is none.
    """
    return ClientAuthenticator(
        ClientCredentials(
            token=None if config.token is None else config.token.reveal(),
            channel_binding=config.channel_binding,
            certificate=config.pem is not None,
        )
    )


def transport_settings_from(
    config: ClientConfig,
) -> tuple[TCPOptions, ClientTransportSettings]:
    """
    Make what the endpoint is told.

    @return: the options of targets' sockets, and the settings of the endpoint.
    @raise CertificateError: when a certificate file cannot be used.
    """
    links = TCPOptions.of(config.tuning)
    # One read is one frame: with its header it fills what the other side reads, and
    # the records of TLS.
    targets = replace(links, read_size=config.tuning.buffer_size - HEADER_SIZE)
    settings = ClientTransportSettings(
        tcp=links,
        connect_timeout=config.timeouts.connect,
        handshake_timeout=config.timeouts.handshake,
        tls=ClientTLS(
            ca_file=config.ca,
            certificate_file=config.pem,
            server_name=config.server_name,
            minimum_version=config.tls.minimum_version,
        ),
    )
    return targets, settings
