"""
A server's change to another configuration while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IListeningPort

from reitunnel.auth import ServerAuthenticator
from reitunnel.config import (
    Gathering,
    ServerConfig,
    changed_keys,
    verify_server_config,
)
from reitunnel.errors import ConfigError, ReitunnelError
from reitunnel.hooks import NOTHING_OPENED, ConfiguredHooks, Opened, naming, owed_to
from reitunnel.server.limits import Admission
from reitunnel.server.link_ports import LinkPorts
from reitunnel.server.setup import (
    authenticator_from,
    check_addresses,
    files_of,
    transport_settings_from,
)
from reitunnel.server.starting import Start

if TYPE_CHECKING:
    from reitunnel.server.server import Server

RESTART: Final = {
    "tuning": ("nodelay", "keepalive", "send_buffer", "receive_buffer", "backlog"),
    "timeouts": ("handshake",),
}
"""The keys that listeners have taken over for good, by their table."""


class Reloading:
    """
    Gives a server one configuration after the other.
    """

    def __init__(
        self,
        server: Server,
        hooks: ConfiguredHooks,
        start: Start,
        ports: LinkPorts,
        admission: Admission,
    ) -> None:
        self._server = server
        self._hooks = hooks
        self._start = start
        self._ports = ports
        self._admission = admission
        self._turn = DeferredLock()

    def reload(self, config: ServerConfig) -> Deferred[tuple[str, ...]]:
        """
        Change to another configuration, when those before it have their answer. See
        L{reitunnel.server.Server.reload}.
        """
        return self._turn.run(lambda: Deferred.fromCoroutine(self._reload(config)))

    async def _reload(self, config: ServerConfig) -> tuple[str, ...]:
        server, start, manager = self._server, self._start, self._hooks.manager
        self._see_that_it_goes_on()
        if start.begun:
            await start.when_over()
        running = start.begun
        gathering = Gathering(files_of(config))
        gathering.make(lambda: verify_server_config(config))
        gathering.make(lambda: check_addresses(config))
        kept: tuple[str, ...] = ()
        if running:
            config, kept = _with_what_stays(server.config, config)
        authenticator = gathering.make(lambda: self._authenticator(config))
        made = gathering.make(lambda: transport_settings_from(config, self._admission))
        hooks = gathering.make(lambda: self._hooks.rebuilt(config))
        gathering.finish()
        former_hooks = self._hooks.built
        settings, known = made, self._ports.settings.certificates
        if known is not None and made.certificates is not None:
            # Listeners that stay have these, and look here for others.
            settings = replace(made, certificates=known)
        opened: dict[str, IListeningPort] = {}
        welcomed = NOTHING_OPENED
        added, gone = _without(hooks, former_hooks), _without(former_hooks, hooks)
        try:
            if running:
                with naming(hooks):
                    welcomed = await manager.welcome(added, server, gone)
                await self._ports.open_others(config.listen, settings, opened)
            self._see_that_it_goes_on()
            self._hooks.become(config, hooks)
        except BaseException:
            await server.descriptors.close(opened.values())
            manager.notify_server_stop(welcomed, server)
            manager.dismiss()
            await manager.finish_removed()
            raise
        # From here on nothing can fail.
        if known is not None and made.certificates is not None:
            known.become(made.certificates)
        server.config = config
        server.authenticator = authenticator
        self._set_limits(config)
        self._ports.settings = settings
        closing = self._ports.become(config.listen, opened) if running else ()
        leaving, staying = owed_to(start.owed, gone)
        start.owed = Opened((*welcomed, *staying))
        manager.notify_server_stop(leaving, server)
        await server.descriptors.close(closing)
        await manager.finish_removed()
        return kept

    def _authenticator(self, config: ServerConfig) -> ServerAuthenticator:
        try:
            return authenticator_from(config)
        except ConfigError:
            # The one in force would say it again when the next client comes.
            self._server.authenticator.pass_over(config.auth.tokens)
            raise

    def _see_that_it_goes_on(self) -> None:
        if self._server.stopping:
            raise ReitunnelError("the server is stopping")

    def _set_limits(self, config: ServerConfig) -> None:
        limits = config.limits
        self._server.visitors.change(limits.max_conns)
        self._server.clients.change(limits)
        self._admission.change(limits.max_handshakes, limits.max_handshakes_per_address)


def _with_what_stays(
    former: ServerConfig, config: ServerConfig
) -> tuple[ServerConfig, tuple[str, ...]]:
    """
    Put what cannot change into a new configuration.

    @return: the configuration, and the paths of what it says otherwise.
    """
    kept: list[str] = []
    for table, keys in RESTART.items():
        old, new = getattr(former, table), getattr(config, table)
        changed = changed_keys(old, new, keys)
        kept += [f"{table}.{key}" for key in changed]
        fixed = {key: getattr(old, key) for key in changed}
        new = msgspec.structs.replace(new, **fixed)
        config = msgspec.structs.replace(config, **{table: new})
    return config, tuple(kept)


def _without(hooks: Sequence[object], others: Sequence[object]) -> list[object]:
    """
    Those that are not among the others. Hooks may be equal: each is itself.
    """
    return [hook for hook in hooks if not any(each is hook for each in others)]
