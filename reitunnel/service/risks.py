"""
What a configuration without mistakes risks.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate

from reitunnel.auth.token_file import read_token_file
from reitunnel.config import ClientConfig, ServerConfig, parse_link_address
from reitunnel.transports.pem import load_authorities, load_credentials, pem_files

SOON: Final = timedelta(days=14)
"""A certificate that expires within this is mentioned."""


def server_risks(config: ServerConfig, now: datetime) -> Iterator[str]:
    """
    What a server risks, a line each, with the key's path.

    @param config: one that a server was made of, so that its files can be read.
    """
    if config.insecure_no_auth:
        yield "insecure_no_auth: whoever reaches the server can open tunnels"
    for index, text in enumerate(config.listen):
        if parse_link_address(text, listening=True).exposed:
            yield f"listen[{index}]: {_plaintext(text)}"
    yield from _tls(config, "auth.channel_binding", config.auth.channel_binding)
    if config.pem is not None:
        files = pem_files(config.pem) if config.pem.is_dir() else [config.pem]
        for file in files:
            certificate = load_credentials(file).certificate
            yield from _dates("pem", file, certificate, now)
    if config.auth.client_ca is not None:
        yield from _authorities("auth.client_ca", config.auth.client_ca, now)
    if config.auth.tokens is not None:
        yield from _tokens(config.auth.tokens, now)


def client_risks(config: ClientConfig, now: datetime) -> Iterator[str]:
    """
    What a client risks, a line each, with the key's path.

    @param config: one that a client was made of, so that its files can be read.
    """
    if parse_link_address(config.server, listening=False).exposed:
        yield f"server: {_plaintext(config.server)}"
    yield from _tls(config, "channel_binding", config.channel_binding)
    if config.token is None and config.pem is None:
        yield "token: without a token or a certificate only an open server takes it"
    if config.ca is not None:
        yield from _authorities("ca", config.ca, now)
    if config.pem is not None:
        certificate = load_credentials(config.pem).certificate
        yield from _dates("pem", config.pem, certificate, now)


def _plaintext(text: str) -> str:
    return f'"{text}" is in plaintext: others on the way can read and change all of it'


def _tls(
    config: ServerConfig | ClientConfig, key: str, channel_binding: str
) -> Iterator[str]:
    if config.tls.minimum_version != "1.3":
        yield f"tls.minimum_version: TLS {config.tls.minimum_version} is allowed"
    if channel_binding == "never":
        yield f"{key}: somebody between who ends TLS is not noticed"


def _tokens(file: Path, now: datetime) -> Iterator[str]:
    tokens = read_token_file(file).tokens
    if not tokens:
        yield f"auth.tokens: there is no token in {file}"
    for name, token in tokens.items():
        if token.expires is not None and token.expires <= now.timestamp():
            yield f'auth.tokens: the token "{name}" has expired'


def _authorities(key: str, file: Path, now: datetime) -> Iterator[str]:
    for certificate in load_authorities(file):
        yield from _dates(key, file, certificate, now)


def _dates(
    key: str, file: Path, certificate: Certificate, now: datetime
) -> Iterator[str]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end <= now:
        yield f"{key}: the certificate in {file} expired on {end:%Y-%m-%d}"
    elif end - now <= SOON:
        yield f"{key}: the certificate in {file} expires on {end:%Y-%m-%d}"
    if begin > now:
        yield f"{key}: the certificate in {file} is not valid before {begin:%Y-%m-%d}"
