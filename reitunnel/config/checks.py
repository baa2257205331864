"""
Finds what single keys cannot show: combinations that are not safe or make no sense,
and files that are not there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reitunnel.config.addresses import (
    HostTarget,
    is_loopback,
    parse_link_address,
    parse_monitor_address,
)
from reitunnel.config.settings import (
    ClientConfig,
    ClientLimits,
    ClientTimeouts,
    Limits,
    Monitoring,
    ServerConfig,
    ServerTimeouts,
    Tuning,
)
from reitunnel.config.wording import join, number


@dataclass(frozen=True)
class Finding:
    """
    A mistake in a combination of keys.

    @ivar path: the key to blame. A list as a whole: what stands where in it is not
        known here.
    @ivar depends: the other keys that it depends on. If one of them is wrong by
        itself, there is nothing to say of the combination.
    """

    path: str
    message: str
    depends: tuple[str, ...] = ()


def check_server(config: ServerConfig) -> Iterator[Finding]:
    """
    Every mistake in a server's combinations of keys.
    """
    yield from _authentication(config)
    for text in config.listen:
        yield from _listener(config, text)
    if config.auth.channel_binding == "require" and config.auth.tokens is None:
        yield Finding(
            "auth.channel_binding",
            'only tokens are bound to a channel: set auth.tokens, or leave "require" '
            "out",
            ("auth.tokens",),
        )
    for text, count in Counter(config.listen).items():
        if count > 1:
            yield Finding("listen", f'"{text}" is given twice')
    yield from _file("pem", config.pem, directory=True)
    yield from _file("auth.tokens", config.auth.tokens)
    yield from _file("auth.client_ca", config.auth.client_ca)
    for pattern in config.policy.clients:
        if not pattern.startswith(
            ("token:", "certificate:", "anonymous", "*", "?", "[")
        ):
            yield Finding(
                join("policy.clients", pattern),
                "matches no client: an identity is token:NAME, certificate:NAME or "
                "anonymous",
            )
    yield from _heartbeat(config.timeouts)
    yield from _buffers(config.limits, config.tuning)
    yield from _monitoring(config.monitoring)


def check_client(
    config: ClientConfig, *, needs_tunnels: bool = True
) -> Iterator[Finding]:
    """
    Every mistake in a client's combinations of keys.

    @param needs_tunnels: whether a client without tunnels makes no sense.
    """
    yield from _server_address(config)
    yield from _file("ca", config.ca)
    yield from _file("pem", config.pem)
    if config.channel_binding == "require" and not (config.token or config.token_file):
        yield Finding(
            "channel_binding",
            'only tokens are bound to a channel: set a token, or leave "require" out',
            ("token", "token_file"),
        )
    if needs_tunnels and not config.tunnels:
        yield Finding(
            "tunnels", "nothing to do: give -R or a [[tunnels]] table", ("tunnels",)
        )
    public = Counter((tunnel.bind, tunnel.port) for tunnel in config.tunnels)
    for (bind, port), count in public.items():
        if port and count > 1:
            where = f"port {port} of {bind}" if bind else f"port {port}"
            yield Finding("tunnels", f"{where} is asked for twice")
    if config.carrier == "direct" and not config.pool_size:
        yield Finding(
            "pool_size", 'carrier = "direct" needs at least 1 data link', ("carrier",)
        )
    if config.retry.initial_delay > config.retry.max_delay:
        yield Finding(
            "retry.initial_delay",
            f"{number(config.retry.initial_delay)} s is more than max_delay, "
            f"{number(config.retry.max_delay)} s",
            ("retry.max_delay",),
        )
    yield from _heartbeat(config.timeouts)
    yield from _buffers(config.limits, config.tuning)
    yield from _monitoring(config.monitoring)


def _authentication(config: ServerConfig) -> Iterator[Finding]:
    set_keys = [
        path
        for path, value in (
            ("auth.tokens", config.auth.tokens),
            ("auth.client_ca", config.auth.client_ca),
        )
        if value is not None
    ]
    if config.insecure_no_auth:
        if set_keys:
            yield Finding(
                "insecure_no_auth",
                f"contradicts {set_keys[0]}: leave one of them out",
                tuple(set_keys),
            )
    elif not set_keys:
        yield Finding(
            "auth",
            "anybody could open tunnels: set auth.tokens (--tokens) or auth.client_ca, "
            "or say insecure_no_auth (--insecure-no-auth)",
            ("auth.tokens", "auth.client_ca", "insecure_no_auth"),
        )


def _listener(config: ServerConfig, text: str) -> Iterator[Finding]:
    """
    Whether one listener is safe and can work.
    """
    address = parse_link_address(text, listening=True)
    if address.exposed and not config.insecure_plaintext:
        yield Finding(
            "listen",
            f'"{text}" may listen in plaintext beyond this machine: use tls:// or '
            "wss://, a loopback address, or say insecure_plaintext "
            "(--insecure-plaintext)",
            ("insecure_plaintext",),
        )
    if address.is_url and address.tls and config.pem is None:
        yield Finding(
            "pem", f'missing: "{text}" needs a certificate and key (--pem)', ("pem",)
        )
    if address.tls is not False:
        return
    if config.auth.tokens is not None and config.auth.channel_binding == "require":
        yield Finding(
            "auth.channel_binding",
            f'"{text}" has no TLS channel, so every client there would be refused',
            ("auth.tokens",),
        )
    if config.auth.client_ca is not None and (
        config.auth.tokens is None or config.auth.require == "all"
    ):
        yield Finding(
            "auth.client_ca",
            f'"{text}" has no TLS and so no client certificates: every client there '
            "would be refused",
            ("auth.tokens", "auth.require"),
        )


def _server_address(config: ClientConfig) -> Iterator[Finding]:
    """
    Whether the link to the server is safe and can do what the other keys ask.
    """
    if not config.server:
        return
    address = parse_link_address(config.server, listening=False)
    if address.exposed and not config.insecure_plaintext:
        yield Finding(
            "server",
            f'"{config.server}" would be used in plaintext: use tls:// or wss://, or '
            "say insecure_plaintext (--insecure-plaintext)",
            ("insecure_plaintext",),
        )
    if address.tls is not False:
        return
    for key, value in (
        ("ca", config.ca),
        ("pem", config.pem),
        ("server_name", config.server_name),
    ):
        if value is not None:
            yield Finding(key, f'has no effect: "{config.server}" has no TLS')
    if config.channel_binding == "require":
        yield Finding(
            "channel_binding", f'"{config.server}" has no TLS channel to bind to'
        )


def _heartbeat(timeouts: ServerTimeouts | ClientTimeouts) -> Iterator[Finding]:
    if timeouts.heartbeat_interval >= timeouts.heartbeat_timeout:
        yield Finding(
            "timeouts.heartbeat_interval",
            f"{number(timeouts.heartbeat_interval)} s is not less than "
            f"heartbeat_timeout, {number(timeouts.heartbeat_timeout)} s",
            ("timeouts.heartbeat_timeout", "timeouts.base", "timeouts.preset"),
        )


def _buffers(limits: Limits | ClientLimits, tuning: Tuning) -> Iterator[Finding]:
    if tuning.stream_window > limits.max_session_bytes:
        yield Finding(
            "limits.max_session_bytes",
            f"{limits.max_session_bytes} is less than tuning.stream_window, "
            f"{tuning.stream_window}",
            ("tuning.stream_window", "tuning.preset"),
        )


def _monitoring(monitoring: Monitoring) -> Iterator[Finding]:
    """
    Whether the pages of the running process are for this machine alone.
    """
    text = monitoring.listen
    if text is None or monitoring.insecure_expose:
        return
    address = parse_monitor_address(text)
    if isinstance(address, HostTarget) and not is_loopback(address.host):
        yield Finding(
            "monitoring.listen",
            f'"{text}" would show everybody who reaches it what this process does: use '
            "a loopback address or unix:/path, or say monitoring.insecure_expose",
            ("monitoring.insecure_expose",),
        )


def _file(
    path: str, file: Path | None, *, directory: bool = False
) -> Iterator[Finding]:
    """
    Whether a file is there and can be read. What is in it is for others to judge.
    """
    if file is None:
        return
    what = "file or directory" if directory else "file"
    if not file.exists():
        yield Finding(path, f"no such {what}: {file}")
    elif file.is_dir() and not directory:
        yield Finding(path, f"is a directory: {file}")
    elif not os.access(file, os.R_OK):
        yield Finding(path, f"cannot be read: {file}")
