"""
The hooks of one server or client: those that its configuration switches on, and those
that are given in code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from reitunnel.config import ClientConfig, ServerConfig
from reitunnel.errors import ConfigError, ConfigMistake, InvalidHook
from reitunnel.hooks.building import rebuild_hooks
from reitunnel.hooks.decisions import Strategy
from reitunnel.hooks.manager import HookManager


@contextmanager
def naming(hooks: Sequence[object]) -> Iterator[None]:
    """
    Name the table of a hook that cannot be registered.

    @param hooks: those of the configuration, in order.
    """
    try:
        yield
    except InvalidHook as error:
        for index, hook in enumerate(hooks):
            if hook is error.hook:
                mistake = ConfigMistake(f"hooks[{index}]", str(error))
                raise ConfigError([mistake]) from error
        raise


class ConfiguredHooks:
    """
    Has a manager do what a configuration says of hooks.

    @ivar manager: holds those hooks, and after them the ones that are given in code.
    @ivar built: those of the configuration, in order.
    """

    def __init__(self, reactor: Any, config: ServerConfig | ClientConfig) -> None:
        """
        Make the hooks of the first configuration, which L{register} registers.

        @param reactor: an C{IReactorTime} and C{IReactorCore}.
        @raise ConfigError: when a hook's options are wrong.
        """
        self.manager = HookManager(
            reactor,
            strategy=Strategy(config.hook_strategy),
            timeout=config.timeouts.hook,
            slow=config.timeouts.slow_hook,
        )
        self._reactor = reactor
        self._settings = config.hooks
        self._side = "server" if isinstance(config, ServerConfig) else "client"
        self.built: Sequence[object] = rebuild_hooks(
            (), (), config.hooks, reactor, self._side
        )

    def register(self, hooks: Iterable[object]) -> None:
        """
        Register what was made.

        @param hooks: those that are given in code.
        @raise ConfigError: when one that was made cannot be registered.
        @raise InvalidHook: when one of C{hooks} is none.
        """
        with naming(self.built):
            for hook in (*self.built, *hooks):
                self.manager.register(hook)

    def rebuilt(self, config: ServerConfig | ClientConfig) -> Sequence[object]:
        """
        Make the hooks of another configuration: those whose tables have not changed
        are the same objects. Nothing else is changed.

        @raise ConfigError: when a hook's options are wrong.
        """
        return rebuild_hooks(
            self._settings, self.built, config.hooks, self._reactor, self._side
        )

    def become(
        self, config: ServerConfig | ClientConfig, hooks: Sequence[object]
    ) -> None:
        """
        Take over another configuration, or nothing of it.

        @param hooks: what L{rebuilt} made of it.
        @raise ConfigError: when one cannot be registered.
        """
        with naming(hooks):
            self.manager.replace(self.built, hooks)
        self.manager.configure(
            strategy=Strategy(config.hook_strategy),
            timeout=config.timeouts.hook,
            slow=config.timeouts.slow_hook,
        )
        self.built = hooks
        self._settings = config.hooks
