"""
Tests of the hooks that a configuration switches on, beside those given in code.
"""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import BaseHook
from reitunnel.config import HookSettings, ServerConfig
from reitunnel.errors import InvalidHook
from reitunnel.hooks import ConfiguredHooks


class RegisterTests(SynchronousTestCase):
    """
    Hooks are made first, and registered when all else is known to be right: what is
    not registered has begun nothing.
    """

    def setUp(self) -> None:
        tables = (HookSettings(name="logging"), HookSettings(name="metrics"))
        config = ServerConfig(listen=(), hooks=tables)
        self.hooks = ConfiguredHooks(MemoryReactorClock(), config)

    def test_made(self) -> None:
        self.assertEqual(2, len(self.hooks.built))
        self.assertEqual((), self.hooks.manager.hooks)

    def test_order(self) -> None:
        """
        Those of the configuration come before those that are given in code.
        """
        own = BaseHook()
        self.hooks.register([own])
        self.assertEqual((*self.hooks.built, own), self.hooks.manager.hooks)

    def test_no_hook(self) -> None:
        self.assertRaises(InvalidHook, self.hooks.register, [object()])
