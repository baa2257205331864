"""
The server as a service: listens for links, keeps the sessions, and stops in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from secrets import token_bytes
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IProtocolFactory, ITransport
from twisted.logger import Logger
from twisted.web.resource import IResource
from zope.interface import implementer

from reitunnel.auth import Accepted
from reitunnel.config import Gathering, ServerConfig, verify_server_config
from reitunnel.errors import Code
from reitunnel.hooks import ConfiguredHooks
from reitunnel.interfaces import ILinkFacts, IServer, ISession, ITunnel
from reitunnel.relay import Draining, Link, LinkFactory, Pipes
from reitunnel.server.clients import Clients
from reitunnel.server.closing import ClosingPorts
from reitunnel.server.descriptors import Descriptors
from reitunnel.server.greeting import Greeting
from reitunnel.server.limits import Admission, Gauge
from reitunnel.server.link_ports import LinkPorts
from reitunnel.server.reloading import Reloading
from reitunnel.server.session import ServerSession
from reitunnel.server.setup import (
    authenticator_from,
    check_addresses,
    files_of,
    transport_settings_from,
    visitor_options_from,
)
from reitunnel.server.starting import Start
from reitunnel.transports import WebSocketLinkResource, base_transport
from reitunnel.wire.handshake import handshake_reader
from reitunnel.wire.messages import DIRECT, RESUME, VERSION, Hello, Welcome


@implementer(IServer)
class Server(Service):
    """
    Takes links of clients and opens their tunnels.

    As a service it starts to listen in C{privilegedStartService}, so that ports
    below 1024 can be had before privileges are dropped; L{when_listening} tells
    how that went.

    @ivar config: what it was told.
    @ivar reactor: the reactor.
    @ivar hooks: the hooks, to which more can be added.
    @ivar authenticator: judges clients.
    @ivar clients: those that were let in.
    @ivar stopping: whether it takes nothing new any more.
    @ivar visitors: the visitors that are connected, against C{limits.max_conns}.
    @ivar streams: how many streams there are: one may have to wait for its client after
        its visitor has left.
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
        self.descriptors = Descriptors(reactor)
        limits = config.limits
        self._admission = Admission(
            limits.max_handshakes,
            limits.max_handshakes_per_address,
            self.descriptors.accepted,
        )
        configured = gathering.make(lambda: ConfiguredHooks(reactor, config))
        self.authenticator = gathering.make(lambda: authenticator_from(config))
        settings = gathering.make(
            lambda: transport_settings_from(config, self._admission)
        )
        gathering.finish()
        configured.register(hooks)
        self.hooks = configured.manager
        self.stopping = False
        self.clients = Clients(limits, self.hooks, lambda: self.stopping)
        self.visitors = Gauge("limits.max_conns", limits.max_conns)
        self.streams = 0
        self.closing_ports = ClosingPorts()
        self.tcp_options = visitor_options_from(config)
        self._ports = LinkPorts(
            reactor, settings, self.descriptors, self._factory, self._log
        )
        self._start = Start(reactor, self._log)
        self._reloading = Reloading(
            self, configured, self._start, self._ports, self._admission
        )
        self._draining = Draining(reactor, self._log)
        self._greetings: dict[Greeting, ITransport] = {}
        self._links: set[Link] = set()

    # What embedding programs use.

    @property
    def sessions(self) -> Sequence[ISession]:
        """
        The authenticated clients, as they are now.
        """
        return tuple(self.clients)

    @property
    def tunnels(self) -> Sequence[ITunnel]:
        """
        The open tunnels of all clients, as they are now.
        """
        return tuple(tunnel for session in self.clients for tunnel in session.tunnels)

    @property
    def addresses(self) -> Sequence[IAddress]:
        """
        Where the server listens for links, in the order of the configuration.
        """
        return self._ports.addresses

    @property
    def unready(self) -> str:
        """
        Why no client can connect now, in a few words; empty if one can.
        """
        if self.stopping:
            return "the server is stopping"
        return "" if self._takes_links else "the server has not started"

    def when_listening(self) -> Deferred[tuple[IAddress, ...]]:
        """
        Wait until every listener is up.

        @return: fires with where the server listens. It fails with
            L{TransportError} when it cannot listen or is stopped before, and with
            L{Refused} when a hook does not let it start; then nothing is left
            listening. If nobody waits, that is logged.
        """
        return self._start.when_over()

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
        return self._reloading.reload(config)

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
            self.link_factory(default_bind), self._ports.settings
        )

    # IService.

    def privilegedStartService(self) -> None:
        """
        Begin to listen.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._start.begin(self._listen)

    def startService(self) -> None:
        """
        Begin to listen, unless that was done.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._start.begin(self._listen)

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
        return f"{clients} clients, {tunnels} tunnels, {self.streams} streams"

    def stop_now(self) -> None:
        """
        While C{stopService} waits: wait no longer for streams, and for clients
        a second, so that they hear that it is over. Hooks are told all
        the same. Called again, it waits for nothing.
        """
        if self.stopping:
            self._draining.hurry(self._cut_off)

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
        self._links.add(link)
        link.closed.addBoth(lambda _: self._links.discard(link))
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

    def stream_over(self) -> None:
        """
        A visitor's stream is over.
        """
        self.streams -= 1
        if not self.streams:
            self._draining.end()

    # The parts.

    @property
    def _takes_links(self) -> bool:
        """
        Whether the server has started and does not stop.
        """
        return self._start.succeeded and not self.stopping

    def _factory(self, default_bind: Callable[[], str]) -> IProtocolFactory:
        return LinkFactory(
            lambda: Link(handshake_reader(), Greeting(self, default_bind), self.reactor)
        )

    async def _listen(self) -> tuple[IAddress, ...]:
        self._start.owed = await self.hooks.decide_server_start(self)
        try:
            await self._ports.open(self.config.listen)
        except BaseException:
            await self._ports.close()
            self.hooks.notify_server_stop(self._start.owed, self)
            raise
        return self._ports.addresses

    async def _stop(self) -> None:
        self.stopping = True
        await self._start.cancel()
        was_up = self._start.succeeded
        await self._ports.close()
        reason = "the server is stopping"
        for greeting in tuple(self._greetings):
            greeting.refuse(Code.SHUTDOWN, reason)
        for session in self.clients:
            session.drain(Code.SHUTDOWN, reason)
        await self._draining.wait(self.streams, self.config.timeouts.drain)
        for session in self.clients:
            session.close(Code.SHUTDOWN, reason)
        await self.closing_ports.all_freed()
        await DeferredList([link.closed for link in self._links])
        self.descriptors.stop()
        self.pipes.clear()
        if was_up:
            self.hooks.notify_server_stop(self._start.owed, self)
        await self.hooks.finish()
        self._draining.stop()
        if was_up:
            self._log.info("stopped")
        self._start.forget()
        self.stopping = False

    def _cut_off(self) -> None:
        """
        Wait for no client any more.
        """
        for link in tuple(self._links):
            link.abort()
