"""
Hooks as a configuration file builds them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from zope.interface.verify import verifyObject

from reitunnel.hooks import build_hooks
from reitunnel.interfaces import IHookFactory


def built(factory: IHookFactory, **options: Any) -> Any:
    """
    Build the hook of a table.

    @raise ConfigError: when the options are wrong.
    """
    verifyObject(IHookFactory, factory)
    [hook] = build_hooks(
        [{"name": factory.name, **options}],
        MemoryReactorClock(),
        factories={factory.name: factory},
    )
    return hook
