"""
What a configuration without mistakes risks.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate
from msgspec.structs import fields

from reitunnel.auth.token_file import read_token_file
from reitunnel.config import (
    ClientConfig,
    ClientTimeouts,
    HookSettings,
    HostTarget,
    ServerConfig,
    ServerTimeouts,
    is_loopback,
    parse_link_address,
    parse_monitor_address,
)
from reitunnel.config.wording import number
from reitunnel.hooks.remote_policy import RemotePolicyHookFactory
from reitunnel.service.advice import Advice, risk
from reitunnel.service.hook_tables import hook_tables
from reitunnel.transports.pem import load_authorities, load_credentials, pem_files

SOON: Final = timedelta(days=14)
"""A certificate that expires within this is mentioned."""


def server_risks(config: ServerConfig, now: datetime) -> Iterator[Advice]:
    """
    What a server risks.

    @param config: one that a server was made of, so that its files can be read.
    """
    if config.insecure_no_auth:
        yield risk("insecure_no_auth", "whoever reaches the server can open tunnels")
    for index, text in enumerate(config.listen):
        if parse_link_address(text, listening=True).exposed:
            yield risk(f"listen[{index}]", _plaintext(text))
    yield from _tls(config, "auth.channel_binding", config.auth.channel_binding)
    yield from _common(
        config,
        {
            "pem": config.pem,
            "auth.tokens": config.auth.tokens,
            "auth.client_ca": config.auth.client_ca,
        },
    )
    if config.pem is not None:
        files = pem_files(config.pem) if config.pem.is_dir() else [config.pem]
        for file in files:
            certificate = load_credentials(file).certificate
            yield from _dates("pem", file, certificate, now)
    if config.auth.client_ca is not None:
        yield from _authorities("auth.client_ca", config.auth.client_ca, now)
    if config.auth.tokens is not None:
        yield from _tokens(config.auth.tokens, now)


def client_risks(config: ClientConfig, now: datetime) -> Iterator[Advice]:
    """
    What a client risks.

    @param config: one that a client was made of, so that its files can be read.
    """
    if parse_link_address(config.server, listening=False).exposed:
        yield risk("server", _plaintext(config.server))
    yield from _tls(config, "channel_binding", config.channel_binding)
    yield from _common(
        config,
        {"pem": config.pem, "ca": config.ca, "token_file": config.token_file},
    )
    if config.retry.max_delay > 300:
        yield risk(
            "retry.max_delay",
            f"after a failure the client may stay away for "
            f"{number(config.retry.max_delay)} s",
        )
    if config.token is None and config.pem is None:
        yield risk(
            "token", "without a token or a certificate only an open server takes it"
        )
    if config.ca is not None:
        yield from _authorities("ca", config.ca, now)
    if config.pem is not None:
        certificate = load_credentials(config.pem).certificate
        yield from _dates("pem", config.pem, certificate, now)


def _common(
    config: ServerConfig | ClientConfig, files: Mapping[str, Path | None]
) -> Iterator[Advice]:
    """
    @param files: those that decide who is let in or trusted, by key.
    """
    yield from _timeouts(config.timeouts)
    yield from _policies(config.hooks, config.timeouts.hook)
    for key, file in files.items():
        if file is not None:
            yield from _replaceable(key, file)
    text = config.monitoring.listen
    if text is not None:
        address = parse_monitor_address(text)
        if isinstance(address, HostTarget) and not is_loopback(address.host):
            yield risk(
                "monitoring.listen",
                f'whoever reaches "{text}" sees clients, targets and visitors, and can '
                "slow the process down",
            )


def _timeouts(timeouts: ServerTimeouts | ClientTimeouts) -> Iterator[Advice]:
    for name, most, what in (
        ("handshake", 60, "a stranger may hold a connection for so long"),
        ("heartbeat_timeout", 120, "a dead peer is noticed after so long"),
        ("stream_open", 120, "a visitor may wait for so long"),
        ("target", 120, "a visitor may wait for so long"),
        ("connect", 120, "a server that does not answer is waited for so long"),
        ("hook", 60, "a hook that hangs keeps clients and visitors for so long"),
    ):
        seconds = getattr(timeouts, name, 0.0)
        if seconds > most:
            yield risk(f"timeouts.{name}", f"{number(seconds)} s: {what}")


def _policies(hooks: Sequence[HookSettings], most: float) -> Iterator[Advice]:
    for table in hook_tables(hooks):
        if table.name != RemotePolicyHookFactory.name:
            continue
        options = RemotePolicyHookFactory.options
        [default] = (each.default for each in fields(options) if each.name == "timeout")
        seconds = table.options.get("timeout", default)
        if seconds > most:
            yield risk(
                f"{table.path}.timeout",
                f"{number(seconds)} s, of which timeouts.hook leaves {number(most)} s: "
                "who is asked about is refused then",
            )


def _replaceable(key: str, file: Path) -> Iterator[Advice]:
    """
    Whether others can change a file, or put another one in its place.
    """
    mode = file.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield risk(
            key,
            f"others can change {file} (mode {stat.S_IMODE(mode):04o}): chmod go-w",
        )
    directory = file.absolute().parent
    mode = directory.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield risk(key, f"others can replace {file}: everybody can write {directory}")


def _plaintext(text: str) -> str:
    return f'"{text}" is in plaintext: others on the way can read and change all of it'


def _tls(
    config: ServerConfig | ClientConfig, key: str, channel_binding: str
) -> Iterator[Advice]:
    if config.tls.minimum_version != "1.3":
        yield risk(
            "tls.minimum_version",
            f"TLS {config.tls.minimum_version} is allowed, which is weaker and takes "
            "a round trip more",
        )
    if channel_binding == "never":
        yield risk(key, "somebody between who ends TLS is not noticed")


def _tokens(file: Path, now: datetime) -> Iterator[Advice]:
    tokens = read_token_file(file).tokens
    if not tokens:
        yield risk("auth.tokens", f"there is no token in {file}")
    for name, token in tokens.items():
        if token.expires is not None and token.expires <= now.timestamp():
            yield risk("auth.tokens", f'the token "{name}" has expired')


def _authorities(key: str, file: Path, now: datetime) -> Iterator[Advice]:
    for certificate in load_authorities(file):
        yield from _dates(key, file, certificate, now)


def _dates(
    key: str, file: Path, certificate: Certificate, now: datetime
) -> Iterator[Advice]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end <= now:
        yield risk(key, f"the certificate in {file} expired on {end:%Y-%m-%d}")
    elif end - now <= SOON:
        yield risk(key, f"the certificate in {file} expires on {end:%Y-%m-%d}")
    if begin > now:
        yield risk(
            key, f"the certificate in {file} is not valid before {begin:%Y-%m-%d}"
        )
