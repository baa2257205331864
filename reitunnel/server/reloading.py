"""
A server's change to another configuration while it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.logger import Logger

from reitunnel.auth import ServerAuthenticator
from reitunnel.config import (
    Gathering,
    ServerConfig,
    changed_keys,
    verify_server_config,
)
from reitunnel.errors import ReitunnelError
from reitunnel.hooks import (
    NOTHING_OPENED,
    HookManager,
    Opened,
    Strategy,
    owed_to,
    rebuild_hooks,
)
from reitunnel.server.descriptors import Descriptors
from reitunnel.server.limits import Admission, Gauge, Places
from reitunnel.server.setup import (
    authenticator_from,
    check_addresses,
    files_of,
    transport_settings_from,
)
from reitunnel.transports import ServerTransportSettings

RESTART: Final = {
    "tuning": ("nodelay", "keepalive", "send_buffer", "receive_buffer", "backlog"),
    "timeouts": ("handshake",),
}
"""The keys that listeners have taken over for good, by their table."""


class Reloading:
    """
    The part of L{reitunnel.server.Server} that reloads.
    """

    config: ServerConfig
    reactor: Any
    hooks: HookManager
    authenticator: ServerAuthenticator
    visitors: Gauge
    descriptors: Descriptors
    _log: Logger
    _transport_settings: ServerTransportSettings
    _admission: Admission
    _clients: Places
    _config_hooks: Sequence[object]
    _ports: list[IListeningPort]
    _opened: Opened
    _starting: Deferred[None] | None
    _stopping: bool
    _turn: DeferredLock | None = None

    def reload(self, config: ServerConfig) -> Deferred[tuple[str, ...]]:
        """
        Change to another configuration. All of it is taken over, or nothing.

        Listeners are opened and closed as it says; links, sessions, tunnels and
        streams that are open stay. Tokens, certificates, policy, limits, time-outs
        and hooks hold for what begins from now on. A hook whose table has not
        changed stays as it is; a new one is asked C{on_server_start}, one that goes
        is told C{on_server_stop}. Calls wait for each other, and for the start.

        @param config: what the server is told from now on.
        @return: fires with the paths of the keys that have changed and stay as they
            were until a restart. It fails, and nothing has changed, with
            L{ConfigError} and L{CertificateError} as the constructor does, with
            L{TransportError} when a new listener cannot listen, with L{Refused} when
            a new hook refuses, and with L{ReitunnelError} when the server is
            stopping.
        """
        if self._turn is None:
            self._turn = DeferredLock()
        return self._turn.run(lambda: Deferred.fromCoroutine(self._reload(config)))

    def when_listening(self) -> Deferred[tuple[IAddress, ...]]:
        """
        Wait until every listener is up.
        """
        raise NotImplementedError

    async def _listen_on(
        self, text: str, settings: ServerTransportSettings
    ) -> IListeningPort:
        raise NotImplementedError

    async def _reload(self, config: ServerConfig) -> tuple[str, ...]:
        self._see_that_it_goes_on()
        if self._starting is not None:
            await self.when_listening()
        running = self._starting is not None
        gathering = Gathering(files_of(config))
        gathering.make(lambda: verify_server_config(config))
        gathering.make(lambda: check_addresses(config))
        former = self.config
        if running:
            config, kept = _with_what_stays(former, config)
        else:
            kept = ()
        authenticator = gathering.make(lambda: authenticator_from(config))
        transports = gathering.make(
            lambda: transport_settings_from(config, self.descriptors)
        )
        hooks = gathering.make(
            lambda: rebuild_hooks(
                former.hooks, self._config_hooks, config.hooks, self.reactor
            )
        )
        gathering.finish()
        _, made, _ = transports
        known = self._transport_settings.certificates
        certificates = made.certificates
        if known is not None and certificates is not None:
            certificates = known
        settings = replace(made, certificates=certificates, admission=self._admission)
        opened: dict[str, IListeningPort] = {}
        welcomed = NOTHING_OPENED
        old_hooks = self._config_hooks
        added = [hook for hook in hooks if not _is_in(hook, old_hooks)]
        gone = [hook for hook in old_hooks if not _is_in(hook, hooks)]
        try:
            if running:
                welcomed = await self.hooks.welcome(added, self, gone)  # type: ignore[arg-type]  # a Server
                for text in config.listen:
                    if text not in former.listen:
                        opened[text] = await self._listen_on(text, settings)
            self._see_that_it_goes_on()
            self.hooks.replace(old_hooks, hooks)
        except BaseException:
            await self.descriptors.close(opened.values())
            self.hooks.notify_server_stop(welcomed, self)  # type: ignore[arg-type]  # a Server
            self.hooks.dismiss()
            await self.hooks.finish_removed()
            raise
        # From here on nothing can fail.
        if known is not None and made.certificates is not None:
            known.become(made.certificates)
        self.config = config
        self.authenticator = authenticator
        self._transport_settings = settings
        self._config_hooks = hooks
        self._set_limits(config)
        closing = self._change_ports(former, config, opened) if running else []
        leaving, staying = owed_to(self._opened, gone)
        self._opened = Opened((*welcomed, *staying))
        self.hooks.notify_server_stop(leaving, self)  # type: ignore[arg-type]  # a Server
        await self.descriptors.close(closing)
        await self.hooks.finish_removed()
        return kept

    def _see_that_it_goes_on(self) -> None:
        if self._stopping:
            raise ReitunnelError("the server is stopping")

    def _set_limits(self, config: ServerConfig) -> None:
        limits = config.limits
        self.visitors.change(limits.max_conns)
        self._clients.change(limits.max_clients, limits.max_clients_per_identity)
        self._admission.change(limits.max_handshakes, limits.max_handshakes_per_address)
        self.hooks.configure(
            strategy=Strategy(config.hook_strategy),
            timeout=config.timeouts.hook,
            slow=config.timeouts.slow_hook,
        )

    def _change_ports(
        self,
        former: ServerConfig,
        config: ServerConfig,
        opened: dict[str, IListeningPort],
    ) -> list[IListeningPort]:
        """
        @return: the ports that are not wanted any more.
        """
        known = dict(zip(former.listen, self._ports, strict=True))
        every = {**known, **opened}
        self._ports = [every[text] for text in config.listen]
        gone = [text for text in former.listen if text not in config.listen]
        for text in gone:
            self._log.info("not listening on {address} any more", address=text)
        return [known[text] for text in gone]


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


def _is_in(hook: object, hooks: Sequence[object]) -> bool:
    """
    Whether it is one of them itself: hooks may be equal.
    """
    return any(each is hook for each in hooks)
