"""
Hooks: what programs and plugins are told of, and may refuse.

docs/hooks.md says when each event comes and what it may do.
"""

from __future__ import annotations

from reitunnel.hooks.asking import Asking, Owed, watch
from reitunnel.hooks.base import BaseHook
from reitunnel.hooks.calls import NOTHING_OPENED, Opened
from reitunnel.hooks.data import DataSink
from reitunnel.hooks.deciding import GIVEN_UP
from reitunnel.hooks.decisions import Strategy
from reitunnel.hooks.manager import HookManager
from reitunnel.hooks.plugins import build_hooks, load_hook_factories

__all__ = [
    "GIVEN_UP",
    "NOTHING_OPENED",
    "Asking",
    "BaseHook",
    "DataSink",
    "HookManager",
    "Opened",
    "Owed",
    "Strategy",
    "build_hooks",
    "load_hook_factories",
    "watch",
]
