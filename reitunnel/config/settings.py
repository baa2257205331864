"""
What a server and a client can be told: one frozen Struct for each table of the
configuration file. docs/configuration.md says what each key does.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from reitunnel.config.values import (
    BindAddress,
    Carrier,
    ChannelBinding,
    ClientId,
    Count,
    DialAddress,
    HookStrategy,
    ListenAddress,
    LogFormat,
    LogLevel,
    Metadata,
    MonitorAddress,
    PortNumber,
    PortRange,
    PresetName,
    Requirement,
    Seconds,
    Secret,
    TargetAddress,
    TimeoutPresetName,
    TLSVersionName,
)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The base of every table.
    """


class TLSSettings(Settings, frozen=True, kw_only=True):
    """
    C{[tls]}: on C{tls} and C{wss} links.
    """

    minimum_version: TLSVersionName = "1.3"


class Tuning(Settings, frozen=True, kw_only=True):
    """
    C{[tuning]}: how bytes are moved. The defaults are the C{balanced} preset.

    @ivar preset: what the loader has filled the other keys in from. In code, give
        the keys themselves: C{Tuning(**TUNING_PRESETS["latency"])}.
    """

    preset: PresetName = "balanced"
    buffer_size: Annotated[int, Meta(ge=8192, le=131072)] = 65536
    stream_window: Annotated[int, Meta(ge=16384, le=16777216)] = 262144
    nodelay: bool = True
    keepalive: Annotated[int, Meta(ge=0, le=7200)] = 30
    send_buffer: Annotated[int, Meta(ge=0, le=67108864)] = 0
    receive_buffer: Annotated[int, Meta(ge=0, le=67108864)] = 0


class ServerTuning(Tuning, frozen=True, kw_only=True):
    """
    C{[tuning]} of a server, which listens too.
    """

    backlog: Annotated[int, Meta(ge=1, le=65535)] = 1024
    switch_after: Annotated[int, Meta(ge=0, le=1073741824)] = 1048576


class HookSettings(Settings, frozen=True, kw_only=True):
    """
    One C{[[hooks]]} table.

    @ivar name: the name of the L{reitunnel.interfaces.IHookFactory}.
    @ivar options: the other keys of the table, not yet validated: the factory's
        C{options} Struct says what they may be.
    @ivar directory: what paths in them are relative to; the working directory if
        L{None}.
    """

    name: Annotated[str, Meta(min_length=1)]
    options: Mapping[str, Any] = {}
    directory: Path | None = None

    def __repr__(self) -> str:
        """
        Without the values of the options: which of them are secret is the hook's to
        know.
        """
        return f"HookSettings(name={self.name!r}, options={sorted(self.options)})"

    def table(self) -> dict[str, Any]:
        """
        The table as it stands in the file.
        """
        return {"name": self.name, **self.options}


class AuthSettings(Settings, frozen=True, kw_only=True):
    """
    C{[auth]}: how clients prove who they are.
    """

    tokens: Path | None = None
    client_ca: Path | None = None
    require: Requirement = "all"
    channel_binding: ChannelBinding = "prefer"


class Rule(Settings, frozen=True, kw_only=True):
    """
    What one client may ask for, after L{Policy.rule} has resolved it.

    @ivar ports: the public ports.
    @ivar bind: the addresses besides the server's default; C{"*"} is any.
    """

    ports: tuple[PortRange, ...]
    bind: tuple[BindAddress, ...]

    def allows_port(self, port: int) -> bool:
        """
        Whether a tunnel may have this public port.
        """
        return any(port in ports for ports in self.ports)

    def allows_bind(self, address: str) -> bool:
        """
        Whether a tunnel may have this public address. The server's default,
        the empty string, is always allowed.
        """
        return not address or "*" in self.bind or address in self.bind


class ClientPolicy(Settings, frozen=True, kw_only=True):
    """
    One C{[policy.clients."PATTERN"]} table: what differs from C{[policy]}.
    """

    ports: tuple[PortRange, ...] | None = None
    bind: tuple[BindAddress, ...] | None = None


class Policy(Settings, frozen=True, kw_only=True):
    """
    C{[policy]}: what clients may ask for.

    @ivar clients: by identity, or shell-style pattern of it (C{token:web*}).
    """

    ports: tuple[PortRange, ...] = (PortRange(1024, 65535),)
    bind: tuple[BindAddress, ...] = ()
    clients: Mapping[str, ClientPolicy] = {}

    def rule(self, identity: str) -> Rule:
        """
        What a client may ask for: the first pattern that matches decides.

        @param identity: C{token:NAME}, C{certificate:NAME} or C{anonymous}.
        """
        own = next(
            (
                policy
                for pattern, policy in self.clients.items()
                if fnmatchcase(identity, pattern)
            ),
            ClientPolicy(),
        )
        return Rule(
            ports=self.ports if own.ports is None else own.ports,
            bind=self.bind if own.bind is None else own.bind,
        )


class Limits(Settings, frozen=True, kw_only=True):
    """
    C{[limits]} of a server.
    """

    max_clients: Count = 1000
    max_clients_per_identity: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    max_tunnels: Count = 1024
    max_streams_per_tunnel: Count = 16384
    max_streams_per_client: Count = 16384
    max_conns: Count = 20000
    max_handshakes: Count = 1024
    max_handshakes_per_address: Count = 128
    max_links_per_client: Annotated[int, Meta(ge=0, le=100000)] = 1024
    max_session_bytes: Annotated[int, Meta(ge=1048576, le=1073741824)] = 67108864
    max_unacknowledged: Annotated[int, Meta(ge=2097152, le=1073741824)] = 33554432


class ClientLimits(Settings, frozen=True, kw_only=True):
    """
    C{[limits]} of a client.
    """

    max_streams: Count = 16384
    max_session_bytes: Annotated[int, Meta(ge=1048576, le=1073741824)] = 67108864
    max_unacknowledged: Annotated[int, Meta(ge=2097152, le=1073741824)] = 33554432


class ServerTimeouts(Settings, frozen=True, kw_only=True):
    """
    C{[timeouts]} of a server, in seconds.

    @ivar preset: what the loader has filled other keys in from. In code, give the
        keys themselves.
    @ivar base: the same.
    """

    preset: TimeoutPresetName | None = None
    base: Seconds | None = None
    handshake: Seconds = 10.0
    heartbeat_interval: Seconds = 10.0
    heartbeat_timeout: Seconds = 30.0
    stream_open: Seconds = 30.0
    hook: Seconds = 5.0
    slow_hook: Seconds = 0.1
    drain: Annotated[float, Meta(ge=0, le=86400)] = 10.0
    resume: Annotated[float, Meta(ge=0, le=86400)] = 60.0


class ClientTimeouts(Settings, frozen=True, kw_only=True):
    """
    C{[timeouts]} of a client, in seconds.

    @ivar preset: what the loader has filled other keys in from. In code, give the
        keys themselves.
    @ivar base: the same.
    """

    preset: TimeoutPresetName | None = None
    base: Seconds | None = None
    connect: Seconds = 30.0
    handshake: Seconds = 10.0
    heartbeat_interval: Seconds = 10.0
    heartbeat_timeout: Seconds = 30.0
    target: Seconds = 10.0
    hook: Seconds = 5.0
    slow_hook: Seconds = 0.1
    drain: Annotated[float, Meta(ge=0, le=86400)] = 10.0
    resume: Annotated[float, Meta(ge=0, le=86400)] = 60.0


class Retry(Settings, frozen=True, kw_only=True):
    """
    C{[retry]}: how a client waits between two attempts to connect, in seconds.
    """

    initial_delay: Annotated[float, Meta(gt=0, le=3600)] = 0.5
    max_delay: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    factor: Annotated[float, Meta(ge=1, le=10)] = 1.5
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.2


class TunnelSettings(Settings, frozen=True, kw_only=True):
    """
    One C{[[tunnels]]} table, or one C{-R}.

    @ivar port: the public port; 0 lets the server choose.
    @ivar bind: the public address: empty for the server's default, C{"*"} for
        every address.
    @ivar target: C{host:port} or C{unix:/path}.
    @ivar metadata: what the server's hooks are told of the tunnel.
    """

    port: PortNumber
    target: TargetAddress
    bind: BindAddress = ""
    metadata: Metadata = {}


class Monitoring(Settings, frozen=True, kw_only=True):
    """
    C{[monitoring]}: the pages that show what a running process does.

    @ivar listen: C{host:port} or C{unix:/path}; L{None} shows nothing.
    """

    listen: MonitorAddress | None = None
    insecure_expose: bool = False
    debug: bool = True


class ServerConfig(Settings, frozen=True, kw_only=True):
    """
    Everything a server can be told.

    @ivar listen: URLs or endpoint descriptions. In code it may be empty, for a
        server whose links come by another way
        (L{reitunnel.server.Server.link_factory}).
    """

    listen: Annotated[tuple[ListenAddress, ...], Meta(min_length=1)]
    pem: Path | None = None
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"
    insecure_no_auth: bool = False
    insecure_plaintext: bool = False
    hook_strategy: HookStrategy = "stop_on_error"
    auth: AuthSettings = AuthSettings()
    tls: TLSSettings = TLSSettings()
    policy: Policy = Policy()
    limits: Limits = Limits()
    timeouts: ServerTimeouts = ServerTimeouts()
    tuning: ServerTuning = ServerTuning()
    monitoring: Monitoring = Monitoring()
    hooks: tuple[HookSettings, ...] = ()


class ClientConfig(Settings, frozen=True, kw_only=True):
    """
    Everything a client can be told.

    @ivar server: a URL or an endpoint description.
    @ivar token: the token's text. The loader fills it from C{token_file}.
    """

    server: DialAddress
    ca: Path | None = None
    pem: Path | None = None
    server_name: Annotated[str, Meta(min_length=1)] | None = None
    token: Secret | None = None
    token_file: Path | None = None
    channel_binding: ChannelBinding = "prefer"
    client_id: ClientId | None = None
    carrier: Carrier = "auto"
    pool_size: Annotated[int, Meta(ge=0, le=100)] = 10
    insecure_plaintext: bool = False
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"
    hook_strategy: HookStrategy = "stop_on_error"
    tls: TLSSettings = TLSSettings()
    limits: ClientLimits = ClientLimits()
    timeouts: ClientTimeouts = ClientTimeouts()
    tuning: Tuning = Tuning()
    monitoring: Monitoring = Monitoring()
    retry: Retry = Retry()
    tunnels: tuple[TunnelSettings, ...] = ()
    hooks: tuple[HookSettings, ...] = ()
