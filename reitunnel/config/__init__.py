"""
Typed settings, and the loading of them from TOML, flags and the environment.
"""

from __future__ import annotations

from reitunnel.config.settings import (
    AuthSettings,
    ClientConfig,
    ClientLimits,
    ClientPolicy,
    ClientTimeouts,
    HookSettings,
    Limits,
    Policy,
    Retry,
    Rule,
    ServerConfig,
    ServerTimeouts,
    TLSSettings,
    Tuning,
    TunnelSettings,
)
from reitunnel.config.values import PortRange, Secret

__all__ = [
    "AuthSettings",
    "ClientConfig",
    "ClientLimits",
    "ClientPolicy",
    "ClientTimeouts",
    "HookSettings",
    "Limits",
    "Policy",
    "PortRange",
    "Retry",
    "Rule",
    "Secret",
    "ServerConfig",
    "ServerTimeouts",
    "TLSSettings",
    "Tuning",
    "TunnelSettings",
]
