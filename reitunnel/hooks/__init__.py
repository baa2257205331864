"""
Hooks: what programs and plugins are told of, and may refuse.

docs/hooks.md says when each event comes and what it may do.
"""

from __future__ import annotations

from reitunnel.hooks.asking import Asking, Owed, watch
from reitunnel.hooks.base import BaseHook
from reitunnel.hooks.building import build_hooks, hook_mistakes
from reitunnel.hooks.calls import NOTHING_OPENED, Opened, name_of_hook, owed_to
from reitunnel.hooks.combining import CombinedHook
from reitunnel.hooks.configured import ConfiguredHooks, naming
from reitunnel.hooks.data import DataSink
from reitunnel.hooks.deciding import GIVEN_UP
from reitunnel.hooks.decisions import Strategy
from reitunnel.hooks.holding import AggregatingHook, SampledHook
from reitunnel.hooks.manager import HookManager
from reitunnel.hooks.off_thread import AsyncHook
from reitunnel.hooks.plugins import HookPlugins, find_hook_plugins, load_hook_factories
from reitunnel.hooks.reports import CallWatcher
from reitunnel.hooks.statistics import HookStatistics
from reitunnel.hooks.threads import Threads
from reitunnel.hooks.wrapping import HookWrapper, innermost

__all__ = [
    "GIVEN_UP",
    "NOTHING_OPENED",
    "AggregatingHook",
    "Asking",
    "AsyncHook",
    "BaseHook",
    "CallWatcher",
    "CombinedHook",
    "ConfiguredHooks",
    "DataSink",
    "HookManager",
    "HookPlugins",
    "HookStatistics",
    "HookWrapper",
    "Opened",
    "Owed",
    "SampledHook",
    "Strategy",
    "Threads",
    "build_hooks",
    "find_hook_plugins",
    "hook_mistakes",
    "innermost",
    "load_hook_factories",
    "name_of_hook",
    "naming",
    "owed_to",
    "watch",
]
