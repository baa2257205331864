"""
The server as a service: listens for links, keeps the sessions, and stops in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from secrets import token_bytes
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from zope.interface import implementer

from reitunnel.auth import Accepted
from reitunnel.config import Gathering, ServerConfig, verify_server_config
from reitunnel.errors import (
    Code,
    Refused,
    SessionRefused,
)
from reitunnel.hooks import (
    NOTHING_OPENED,
    HookManager,
    Opened,
    Strategy,
    build_hooks,
)
from reitunnel.interfaces import (
    ILinkFacts,
    IServer,
    ISession,
    ITunnel,
)
from reitunnel.relay import Link, LinkFactory, Pipes
from reitunnel.server.closing import ClosingPorts
from reitunnel.server.descriptors import Descriptors
from reitunnel.server.greeting import Greeting
from reitunnel.server.limits import Gauge, Places
from reitunnel.server.reloading import Reloading
from reitunnel.server.session import ServerSession
from reitunnel.server.setup import (
    authenticator_from,
    check_addresses,
    files_of,
    transport_settings_from,
)
from reitunnel.server.starting import Starting
from reitunnel.transports import (
    WebSocketLinkResource,
    base_transport,
)
from reitunnel.wire.handshake import handshake_reader
from reitunnel.wire.messages import DIRECT, RESUME, VERSION, Hello, Welcome


@implementer(IServer)
class Server(Starting, Reloading, Service):
    """
    Takes links of clients and opens their tunnels.

    As a service it starts to listen in C{privilegedStartService}, so that ports
    below 1024 can be had before privileges are dropped; L{when_listening} tells
    how that went.

    @ivar config: what it was told.
    @ivar reactor: the reactor.
    @ivar hooks: the hooks, to which more can be added.
    @ivar visitors: the streams of all clients, against C{limits.max_conns}.
    @ivar closing_ports: the public ports that are being closed.
    @ivar descriptors: accepts no more while there are few descriptors.
    @ivar pipes: for moving bytes in the kernel.
    """

    _log = Logger()
    name = "reitunnel server"

    def __init__(
        self, reactor: Any, config: ServerConfig, hooks: Iterable[object] = ()
    ) -> None:
        """
        @param reactor: an C{IReactorTCP}, C{IReactorTime} and C{IReactorCore}.
        @param config: what it is told.
        @param hooks: hooks besides those that C{config} switches on.
        @raise ConfigError: when C{config} is not safe or cannot work, or a hook's
            options or the token file are wrong.
        @raise CertificateError: when a certificate file cannot be used.
        """
        gathering = Gathering(files_of(config))
        gathering.make(lambda: verify_server_config(config))
        gathering.make(lambda: check_addresses(config))
        self.config = config
        self.reactor = reactor
        self.pipes = Pipes()
        self.hooks = HookManager(
            reactor,
            strategy=Strategy(config.hook_strategy),
            timeout=config.timeouts.hook,
            slow=config.timeouts.slow_hook,
        )
        tables = [table.table() for table in config.hooks]
        self._config_hooks = gathering.make(lambda: build_hooks(tables, reactor))
        self.authenticator = gathering.make(lambda: authenticator_from(config))
        self.visitors = Gauge("limits.max_conns", config.limits.max_conns)
        self.closing_ports = ClosingPorts()
        self.descriptors = Descriptors(reactor)
        made = gathering.make(lambda: transport_settings_from(config, self.descriptors))
        gathering.finish()
        self.tcp_options, self._transport_settings, self._admission = made
        for hook in (*self._config_hooks, *hooks):
            self.hooks.register(hook)
        limits = config.limits
        self._clients = Places(limits.max_clients, limits.max_clients_per_identity)
        self._sessions: dict[tuple[str, str], ServerSession] = {}
        self._by_id: dict[bytes, ServerSession] = {}
        self._greetings: dict[Greeting, ITransport] = {}
        self._links: set[Deferred[None]] = set()
        self._ports: list[IListeningPort] = []
        self._opened: Opened = NOTHING_OPENED
        self._starting: Deferred[None] | None = None
        self._waiting: list[Deferred[tuple[IAddress, ...]]] = []
        self._started: Failure | tuple[IAddress, ...] | None = None
        self._watched = False
        self._stopping = False
        self._drained: Deferred[None] | None = None
        self._hurried: Deferred[None] | None = None

    # What embedding programs use.

    @property
    def sessions(self) -> Sequence[ISession]:
        """
        The authenticated clients, as they are now.
        """
        return tuple(self._sessions.values())

    @property
    def tunnels(self) -> Sequence[ITunnel]:
        """
        The open tunnels of all clients, as they are now.
        """
        return tuple(
            tunnel for session in self._sessions.values() for tunnel in session.tunnels
        )

    @property
    def addresses(self) -> Sequence[IAddress]:
        """
        Where the server listens for links, in the order of the configuration.
        """
        return tuple(port.getHost() for port in self._ports)

    @property
    def unready(self) -> str:
        """
        Why no client can connect now, in a few words; empty if one can.
        """
        if self._stopping:
            return "the server is stopping"
        return "" if self._takes_links else "the server has not started"

    def link_factory(self, default_bind: str = "127.0.0.1") -> IProtocolFactory:
        """
        Make a factory for links that come by another way than C{config.listen}:
        give it to any endpoint whose connections are ready for use.

        @param default_bind: the address that tunnels get when the client asks
            for none.
        """
        return self._factory(lambda: default_bind)

    def websocket_resource(self, default_bind: str = "127.0.0.1") -> IResource:
        """
        Make a resource for a C{twisted.web} site, whose URL clients dial as
        C{ws://} or C{wss://}. Listening, and TLS, are the site's.

        @param default_bind: the address that tunnels get when the client asks
            for none.
        """
        return WebSocketLinkResource(
            self.link_factory(default_bind), self._transport_settings
        )

    # IService.

    def privilegedStartService(self) -> None:
        """
        Begin to listen.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._start()

    def startService(self) -> None:
        """
        Begin to listen, unless that was done.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._start()

    def stopService(self) -> Deferred[None]:
        """
        Take no more links, tunnels and visitors; wait C{timeouts.drain} seconds
        for the streams to end; close the sessions.

        @return: fires when nothing is left open.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    @property
    def status(self) -> str:
        """
        What it carries, one line for people.
        """
        clients, tunnels = len(self.sessions), len(self.tunnels)
        return f"{clients} clients, {tunnels} tunnels, {self.visitors.used} streams"

    def stop_now(self) -> None:
        """
        While C{stopService} waits: wait no longer, for streams or for clients. Hooks
        are told all the same.
        """
        if self._hurried is not None and not self._hurried.called:
            for session in tuple(self._sessions.values()):
                session.mux.abort(Code.SHUTDOWN, "the server is stopping")
            self._end_drain()
            self._hurried.callback(None)

    # What links and sessions tell.

    def link_arrived(self, greeting: Greeting, link: Link) -> bool:
        """
        A link is ready for its handshake.

        @return: whether to go on.
        """
        base = base_transport(link.transport)
        if not self._takes_links or not self._admission.admit(base):
            return False
        self._greetings[greeting] = base
        self._links.add(link.closed)
        link.closed.addBoth(lambda _: self._links.discard(link.closed))
        return True

    def link_settled(self, greeting: Greeting) -> None:
        """
        A handshake is over, one way or the other. Saying so again does nothing.
        """
        base = self._greetings.pop(greeting, None)
        if base is not None:
            self._admission.gone(base)

    def new_session(
        self, accepted: Accepted, hello: Hello, facts: ILinkFacts, default_bind: str
    ) -> ServerSession:
        """
        Make a session for a client that has authenticated.
        """
        return ServerSession(
            self, token_bytes(16), accepted, hello, facts, default_bind
        )

    def session_by_id(self, number: bytes) -> ServerSession | None:
        """
        Find a session that goes on.
        """
        return self._by_id.get(number)

    async def let_in(self, session: ServerSession) -> Opened:
        """
        Ask the hooks, and take over from an older session of the same client.

        @return: who is owed C{on_client_disconnect}.
        @raise SessionRefused: when the client may not come in.
        """
        if session.key not in self._sessions:
            self._clients.check(session.identity)
        try:
            opened = await self.hooks.decide_client_connect(session)
        except Refused as refused:
            raise SessionRefused(refused.code, str(refused)) from None
        except CancelledError:
            if session.end is None:
                raise
            raise SessionRefused(*session.end) from None
        try:
            self._admit(session)
        except SessionRefused as refused:
            self.hooks.notify_client_disconnect(
                opened, session, refused.code, refused.reason
            )
            raise
        return opened

    def welcome(
        self, session: ServerSession, accepted: Accepted, software: str
    ) -> Welcome:
        """
        Say what a client that is let in needs to know.
        """
        timeouts, limits = self.config.timeouts, self.config.limits
        return Welcome(
            version=VERSION,
            session=bytes.fromhex(session.id),
            secret=session.secret,
            identity=session.identity,
            auth=accepted.data,
            heartbeat=timeouts.heartbeat_interval,
            heartbeat_timeout=timeouts.heartbeat_timeout,
            max_tunnels=limits.max_tunnels,
            max_streams=limits.max_streams_per_client,
            max_links=session.max_links,
            resume=session.grace,
            capabilities=[
                *([DIRECT] if session.direct else []),
                *([RESUME] if session.grace else []),
            ],
            software=software,
        )

    def session_over(self, session: ServerSession) -> None:
        """
        A session has ended.
        """
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]
            del self._by_id[bytes.fromhex(session.id)]
            self._clients.give(session.identity)

    def visitor_gone(self) -> None:
        """
        A visitor's stream is over.
        """
        self.visitors.give()
        if not self.visitors.used:
            self._end_drain()

    # The parts.

    def _admit(self, session: ServerSession) -> None:
        """
        Let a client in that the hooks have allowed, in the place of an older session
        of the same client.

        @raise SessionRefused: when it may not come in any more.
        """
        if session.end is not None:
            raise SessionRefused(*session.end)
        if self._stopping:
            raise SessionRefused(Code.SHUTDOWN, "the server is stopping")
        older = self._sessions.get(session.key)
        if older is not None:
            older.close(Code.TAKEN_OVER, "the same client connected again")
        self._clients.take(session.identity)
        self._sessions[session.key] = session
        self._by_id[bytes.fromhex(session.id)] = session

    @property
    def _takes_links(self) -> bool:
        """
        Whether the server has started and does not stop.
        """
        return isinstance(self._started, tuple) and not self._stopping

    def _factory(self, default_bind: Callable[[], str]) -> IProtocolFactory:
        return LinkFactory(
            lambda: Link(handshake_reader(), Greeting(self, default_bind), self.reactor)
        )

    async def _stop(self) -> None:
        self._stopping = True
        hurried = self._hurried = Deferred[None]()
        if self._starting is not None:
            self._starting.cancel()
            await self._starting
        was_up = isinstance(self._started, tuple)
        await self._stop_listening()
        reason = "the server is stopping"
        for greeting in tuple(self._greetings):
            greeting.refuse(Code.SHUTDOWN, reason)
        for session in tuple(self._sessions.values()):
            session.drain(Code.SHUTDOWN, reason)
        await self._drain()
        for session in tuple(self._sessions.values()):
            session.close(Code.SHUTDOWN, reason)
        await self.closing_ports.all_freed()
        either: list[Deferred[Any]] = [DeferredList(self._links), hurried]
        await DeferredList(either, fireOnOneCallback=True)
        self.descriptors.stop()
        self.pipes.clear()
        if was_up:
            self.hooks.notify_server_stop(self._opened, self)
        await self.hooks.finish()
        if was_up:
            self._log.info("stopped")
        self._reset()

    def _end_drain(self) -> None:
        if self._drained is not None and not self._drained.called:
            self._drained.callback(None)

    async def _drain(self) -> None:
        """
        Wait for the streams to end, as long as C{timeouts.drain} allows.
        """
        seconds = self.config.timeouts.drain
        count = self.visitors.used
        if count and seconds:
            self._log.info(
                "waiting up to {seconds:g} s for {count} {streams}",
                seconds=seconds,
                count=count,
                streams="stream" if count == 1 else "streams",
            )
            self._drained = Deferred()
            patience = self.reactor.callLater(seconds, self._drained.callback, None)
            await self._drained
            self._drained = None
            if patience.active():
                patience.cancel()

    def _reset(self) -> None:
        """
        Be ready to be started again.
        """
        self._opened = NOTHING_OPENED
        self._starting = None
        self._started = None
        self._watched = False
        self._stopping = False
        self._hurried = None
