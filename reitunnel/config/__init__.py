"""
Typed settings, and the loading of them from TOML, flags and the environment.
"""

from __future__ import annotations

from reitunnel.config.addresses import (
    HostTarget,
    LinkAddress,
    UnixTarget,
    is_loopback,
    parse_bind,
    parse_link_address,
    parse_monitor_address,
    parse_target,
)
from reitunnel.config.gathering import Gathering
from reitunnel.config.loading import (
    TOKEN_VARIABLE,
    load_client_config,
    load_server_config,
)
from reitunnel.config.origin import flag_name
from reitunnel.config.presets import TIMEOUT_PRESETS, TUNING_PRESETS
from reitunnel.config.remotes import parse_remote
from reitunnel.config.settings import (
    AuthSettings,
    ClientConfig,
    ClientLimits,
    ClientPolicy,
    ClientTimeouts,
    HookSettings,
    Limits,
    Monitoring,
    Policy,
    Retry,
    Rule,
    ServerConfig,
    ServerTimeouts,
    ServerTuning,
    TLSSettings,
    Tuning,
    TunnelSettings,
)
from reitunnel.config.values import PortRange, Secret
from reitunnel.config.verifying import (
    changed_keys,
    verify_client_config,
    verify_server_config,
)

__all__ = [
    "TIMEOUT_PRESETS",
    "TOKEN_VARIABLE",
    "TUNING_PRESETS",
    "AuthSettings",
    "ClientConfig",
    "ClientLimits",
    "ClientPolicy",
    "ClientTimeouts",
    "Gathering",
    "HookSettings",
    "HostTarget",
    "Limits",
    "LinkAddress",
    "Monitoring",
    "Policy",
    "PortRange",
    "Retry",
    "Rule",
    "Secret",
    "ServerConfig",
    "ServerTimeouts",
    "ServerTuning",
    "TLSSettings",
    "Tuning",
    "TunnelSettings",
    "UnixTarget",
    "changed_keys",
    "flag_name",
    "is_loopback",
    "load_client_config",
    "load_server_config",
    "parse_bind",
    "parse_link_address",
    "parse_monitor_address",
    "parse_remote",
    "parse_target",
    "verify_client_config",
    "verify_server_config",
]
