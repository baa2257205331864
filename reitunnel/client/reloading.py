"""
A client's change to another configuration while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred

from reitunnel.client.attempts import Attempts
from reitunnel.client.setup import (
    authenticator_from,
    files_of,
    transport_settings_from,
)
from reitunnel.client.standing import Standing
from reitunnel.client.wanted import WantedTunnels
from reitunnel.config import (
    ClientConfig,
    Gathering,
    changed_keys,
    verify_client_config,
)
from reitunnel.errors import Code
from reitunnel.hooks import ConfiguredHooks
from reitunnel.transports import LinkURL, client_endpoint

if TYPE_CHECKING:
    from reitunnel.client.client import Client

_OF_A_SESSION: Final = {
    "": ("carrier", "pool_size"),
    "limits": ("max_streams", "max_session_bytes", "max_unacknowledged"),
    "timeouts": ("heartbeat_interval", "heartbeat_timeout", "resume"),
    "tuning": ("buffer_size", "stream_window"),
}
"""The keys that a session has taken over for good, by their table."""


class Reloading:
    """
    Gives a client one configuration after the other.
    """

    def __init__(
        self,
        client: Client,
        hooks: ConfiguredHooks,
        standing: Standing,
        attempts: Attempts,
        tunnels: WantedTunnels,
    ) -> None:
        self._client = client
        self._hooks = hooks
        self._standing = standing
        self._attempts = attempts
        self._tunnels = tunnels

    def reload(self, config: ClientConfig) -> tuple[str, ...]:
        """
        Change to another configuration. See L{reitunnel.client.Client.reload}.
        """
        client = self._client
        gathering = Gathering(files_of(config))
        gathering.make(lambda: verify_client_config(config))
        url = gathering.make(lambda: LinkURL.parse(config.server), "server")
        authenticator = gathering.make(lambda: authenticator_from(config), "token")
        made = gathering.make(lambda: transport_settings_from(config), "server_name")
        hooks = gathering.make(lambda: self._hooks.rebuilt(config))
        gathering.finish()
        options, settings = made
        endpoint = client_endpoint(client.reactor, url, settings)
        diallers = self._tunnels.diallers_for(config, options)
        self._hooks.become(config, hooks)
        # From here on nothing can fail.
        # It reports whatever goes wrong itself.
        Deferred.fromCoroutine(client.hooks.finish_removed())
        former, client.config = client.config, config
        client.authenticator = authenticator
        self._attempts.go_to(endpoint)
        self._tunnels.options = options
        self._tunnels.configure(config.tunnels, diallers)
        moves = config.server != former.server
        if config.client_id is not None and config.client_id != client.client_id:
            client.client_id = config.client_id
            moves = True
        if not client.running or self._standing.given_up is not None:
            return ()
        return self._go_on(former, moves)

    def _go_on(self, former: ClientConfig, moves: bool) -> tuple[str, ...]:
        """
        @param moves: whether the session cannot stay.
        """
        session = self._standing.session
        connected = session is not None and session.link_up
        if session is not None and moves:
            session.close(Code.CLOSED, "the client connects as another, or elsewhere")
            session = None
        if not connected:
            # Whatever it waits for, or has begun, is out of date.
            self._attempts.begin_anew()
        if session is None:
            return ()
        for wanted in self._tunnels:
            session.ask(wanted)
        return _of_the_next_session(former, self._client.config)


def _of_the_next_session(former: ClientConfig, config: ClientConfig) -> tuple[str, ...]:
    found: list[str] = []
    for table, keys in _OF_A_SESSION.items():
        old = getattr(former, table) if table else former
        new = getattr(config, table) if table else config
        prefix = f"{table}." if table else ""
        found += [prefix + key for key in changed_keys(old, new, keys)]
    return tuple(found)
