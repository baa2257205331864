"""
A client's change to another configuration while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from zope.interface import implementer

from reitunnel.auth import ClientAuthenticator
from reitunnel.client.setup import (
    authenticator_from,
    files_of,
    transport_settings_from,
)
from reitunnel.client.targets import Target, TargetDialler
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.config import (
    ClientConfig,
    Gathering,
    TunnelSettings,
    changed_keys,
    verify_client_config,
)
from reitunnel.errors import Code, ReitunnelError
from reitunnel.hooks import HookManager, Strategy, rebuild_hooks
from reitunnel.transports import LinkURL, TCPOptions, client_endpoint

if TYPE_CHECKING:
    from reitunnel.client.session import ClientSession

_OF_A_SESSION: Final = {
    "": ("carrier", "pool_size"),
    "limits": ("max_streams", "max_session_bytes", "max_unacknowledged"),
    "timeouts": ("heartbeat_interval", "heartbeat_timeout", "resume"),
    "tuning": ("buffer_size", "stream_window"),
}
"""The keys that a session has taken over for good, by their table."""


@implementer(IStreamClientEndpoint)
class ChangingEndpoint:
    """
    An endpoint that can become another one.

    @ivar current: what it is now.
    """

    def __init__(self, current: IStreamClientEndpoint) -> None:
        self.current = current

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Dial.
        """
        return self.current.connect(protocolFactory)


class Reloading:
    """
    The part of L{reitunnel.client.Client} that reloads.
    """

    config: ClientConfig
    reactor: Any
    hooks: HookManager
    authenticator: ClientAuthenticator
    client_id: str
    running: int
    wanted: list[ClientTunnel]
    _log: Logger
    _endpoint: ChangingEndpoint
    _tcp_options: TCPOptions
    _session: ClientSession | None
    _connecting: ClientService
    _given_up: ReitunnelError | None
    _config_hooks: Sequence[object]
    _configured: list[tuple[TunnelSettings, ClientTunnel]]

    def reload(self, config: ClientConfig) -> tuple[str, ...]:
        """
        Change to another configuration. All of it is taken over, or nothing.

        Tunnels that it has not any more are closed, and those that are new are
        opened; the others stay, with their streams, and so do those that were opened
        in code. One that was refused is asked for again. Credentials, certificates
        and hooks hold for what begins from now on. Another C{server} or C{client_id}
        ends the session, and the client connects again; without a C{client_id} the
        client keeps the one it has. A client that is not connected tries again at
        once.

        @param config: what the client is told from now on.
        @return: the paths of the keys that have changed and hold from the next
            session on.
        @raise ConfigError: and L{CertificateError}: as the constructor does; nothing
            has changed then.
        """
        gathering = Gathering(files_of(config))
        gathering.make(lambda: verify_client_config(config))
        url = gathering.make(lambda: LinkURL.parse(config.server), "server")
        authenticator = gathering.make(lambda: authenticator_from(config), "token")
        made = gathering.make(lambda: transport_settings_from(config), "server_name")
        hooks = gathering.make(
            lambda: rebuild_hooks(
                self.config.hooks, self._config_hooks, config.hooks, self.reactor
            )
        )
        gathering.finish()
        options, settings = made
        endpoint = client_endpoint(self.reactor, url, settings)
        diallers = [
            TargetDialler(self.reactor, tunnel.target, options, config.timeouts.target)
            for tunnel in config.tunnels
        ]
        self.hooks.replace(self._config_hooks, hooks)
        # From here on nothing can fail.
        self._config_hooks = hooks
        # It reports whatever goes wrong itself.
        Deferred.fromCoroutine(self.hooks.finish_removed())
        self.hooks.configure(
            strategy=Strategy(config.hook_strategy),
            timeout=config.timeouts.hook,
            slow=config.timeouts.slow_hook,
        )
        former, self.config = self.config, config
        self.authenticator = authenticator
        self._tcp_options = options
        self._endpoint.current = endpoint
        self._change_tunnels(diallers)
        moves = config.server != former.server
        if config.client_id is not None and config.client_id != self.client_id:
            self.client_id = config.client_id
            moves = True
        if not self.running or self._given_up is not None:
            return ()
        return self._go_on(former, moves)

    def _want(
        self, target: Target, bind: str, port: int, metadata: Mapping[str, str]
    ) -> ClientTunnel:
        raise NotImplementedError

    def _change_tunnels(self, diallers: Sequence[TargetDialler]) -> None:
        """
        @param diallers: for each tunnel of the configuration, what connects its
            visitors.
        """
        left = [pair for pair in self._configured if not pair[1].closed]
        stays: dict[int, ClientTunnel] = {}
        for index, settings in enumerate(self.config.tunnels):
            found = next((pair for pair in left if pair[0] == settings), None)
            if found is not None:
                left.remove(found)
                stays[index] = found[1]
                found[1].dialler = diallers[index]
        # Before others are opened: they may want the same port.
        for _, wanted in left:
            wanted.close(Code.CLOSED, "it is not in the configuration any more")
        self._configured = []
        for index, settings in enumerate(self.config.tunnels):
            wanted = stays.get(index) or self._want(
                settings.target, settings.bind, settings.port, settings.metadata
            )
            self._configured.append((settings, wanted))

    def _go_on(self, former: ClientConfig, moves: bool) -> tuple[str, ...]:
        """
        @param moves: whether the session cannot stay.
        """
        session = self._session
        connected = session is not None and session.link_up
        if session is not None and moves:
            session.close(Code.CLOSED, "the client connects as another, or elsewhere")
            session = None
        if not connected:
            # Whatever it waits for, or has begun, is out of date.
            self._connecting.stopService()
            self._connecting.startService()
        if session is None:
            return ()
        for wanted in tuple(self.wanted):
            session.ask(wanted)
        return _of_the_next_session(former, self.config)


def _of_the_next_session(former: ClientConfig, config: ClientConfig) -> tuple[str, ...]:
    found: list[str] = []
    for table, keys in _OF_A_SESSION.items():
        old = getattr(former, table) if table else former
        new = getattr(config, table) if table else config
        prefix = f"{table}." if table else ""
        found += [prefix + key for key in changed_keys(old, new, keys)]
    return tuple(found)
