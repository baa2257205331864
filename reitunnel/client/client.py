"""
The client as a service: keeps a session with the server, and its tunnels open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Final

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from reitunnel.client.connecting import SessionEndpoint, SessionProtocol
from reitunnel.client.identity import default_client_id
from reitunnel.client.reloading import ChangingEndpoint, Reloading
from reitunnel.client.session import ClientSession
from reitunnel.client.setup import (
    authenticator_from,
    files_of,
    transport_settings_from,
)
from reitunnel.client.targets import Target, TargetDialler
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.client.waiting import Waiting, is_hopeless
from reitunnel.config import ClientConfig, Gathering, verify_client_config
from reitunnel.errors import (
    AuthenticationFailed,
    Code,
    ReitunnelError,
    SessionRefused,
    TunnelRefused,
)
from reitunnel.hooks import HookManager, Strategy, build_hooks
from reitunnel.interfaces import ISession, ITunnel
from reitunnel.relay import Link, Pipes
from reitunnel.transports import LinkURL, client_endpoint

_NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})
_random = Random()


class Client(Waiting, Reloading, Service):
    """
    Dials the server, dials it again when the link is lost, and has it open the
    tunnels that were asked for.

    It gives up, and L{when_over} fails, when nothing can be won by trying again:
    when another client with the same id takes over, and, as long as it was never
    let in, when the server's name cannot be resolved, its certificate is wrong,
    or it refuses the credentials.

    @ivar config: what it was told.
    @ivar reactor: the reactor.
    @ivar hooks: the hooks, to which more can be added.
    @ivar client_id: the client id, which names it to the server together with
        its credentials.
    @ivar wanted: its tunnels, open or not.
    """

    _log = Logger()
    name = "reitunnel client"

    def __init__(
        self, reactor: Any, config: ClientConfig, hooks: Iterable[object] = ()
    ) -> None:
        """
        @param reactor: an C{IReactorTCP}, C{IReactorTime} and C{IReactorCore}.
        @param config: what it is told.
        @param hooks: hooks besides those that C{config} switches on.
        @raise ConfigError: when C{config} is not safe or cannot work, a hook's options
            are wrong, or the token is none.
        @raise CertificateError: when a certificate file cannot be used.
        @raise ValueError: when a target is none.
        """
        gathering = Gathering(files_of(config))
        gathering.make(lambda: verify_client_config(config))
        url = gathering.make(lambda: LinkURL.parse(config.server), "server")
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
        self.authenticator = gathering.make(lambda: authenticator_from(config), "token")
        made = gathering.make(lambda: transport_settings_from(config), "server_name")
        gathering.finish()
        for hook in (*self._config_hooks, *hooks):
            self.hooks.register(hook)
        self.client_id = config.client_id or default_client_id(config)
        self.wanted: list[ClientTunnel] = []
        self._tcp_options, settings = made
        self._configured = [
            (each, self._want(each.target, each.bind, each.port, each.metadata))
            for each in config.tunnels
        ]
        self._endpoint = ChangingEndpoint(client_endpoint(reactor, url, settings))
        self._connecting = ClientService(
            SessionEndpoint(self, self._endpoint),
            Factory.forProtocol(SessionProtocol),
            retryPolicy=self._next_delay,
            clock=reactor,
        )
        self._session: ClientSession | None = None
        self._trouble = ""
        self._was_in = False
        self._waiting: list[Deferred[ISession]] = []
        self._over: list[Deferred[None]] = []
        self._links: set[Deferred[None]] = set()
        self._hopeless: IDelayedCall | None = None
        self._given_up: ReitunnelError | None = None
        self._stopped = False
        self._drained: Deferred[None] | None = None
        self._tried: list[Deferred[None]] = []

    # What embedding programs use.

    @property
    def wants_data_links(self) -> bool:
        """
        Whether the client can carry streams on data links.
        """
        return self.config.carrier != "mux" and self.config.pool_size > 0

    @property
    def session(self) -> ISession | None:
        """
        The session with the server, while there is one.
        """
        return self._session

    @property
    def sessions(self) -> Sequence[ISession]:
        """
        The session with the server as a sequence: of one, or empty.
        """
        return () if self._session is None else (self._session,)

    @property
    def unready(self) -> str:
        """
        Why visitors cannot reach every target now, in a few words; empty if they
        can, as far as the server goes.
        """
        session = self._session
        if session is None:
            return (
                f"not connected: {self._trouble}" if self._trouble else "not connected"
            )
        if session.draining or not self.running:
            return "nothing new is taken"
        if not session.link_up:
            return "the link is lost"
        missing = sum(wanted.address is None for wanted in self.wanted)
        return (
            f"{missing} of {len(self.wanted)} tunnels are not open" if missing else ""
        )

    @property
    def tunnels(self) -> Sequence[ITunnel]:
        """
        The tunnels that are open, as they are now.
        """
        return () if self._session is None else self._session.tunnels

    def open_tunnel(
        self,
        target: Target,
        port: int = 0,
        *,
        bind: str = "",
        metadata: Mapping[str, str] = _NO_METADATA,
    ) -> Deferred[ClientTunnel]:
        """
        Open a tunnel, and keep it open over reconnects until it is closed.

        @param target: where visitors are taken to: C{host:port},
            C{unix:/path}, any client endpoint, or a protocol factory that
            serves them in this process.
        @param port: the public port; 0 lets the server choose.
        @param bind: the public address; empty for the server's default.
        @param metadata: what the server's hooks are told of it.
        @return: fires with the tunnel once it is open; until the client is started
            and connected, it waits. It fails with L{TunnelRefused} when the tunnel
            is refused, and when the client gives up or is stopped. Cancelling it
            closes the tunnel.
        @raise ValueError: when the target is text and not an address, or the tunnel
            cannot be asked for.
        """
        wanted = self._want(target, bind, port, metadata)

        async def opened() -> ClientTunnel:
            try:
                return await wanted.when_open()
            except BaseException:
                wanted.close()
                raise

        opening = Deferred.fromCoroutine(opened())
        if self._session is not None:
            self._session.ask(wanted)
        return opening

    # IService.

    def startService(self) -> None:
        """
        Begin to connect.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._given_up = None
        self._stopped = False
        self._connecting.startService()

    def stopService(self) -> Deferred[None]:
        """
        Take no more visitors; wait C{timeouts.drain} seconds for the streams to
        end; close the session and connect no more.

        @return: fires when nothing is left open.
        """
        was_up = bool(self.running) and self._given_up is None
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop(was_up))

    def stop_now(self) -> None:
        """
        While C{stopService} waits: wait no longer, for streams or for the server.
        """
        if not self.running and self._session is not None:
            self._session.mux.abort(Code.SHUTDOWN, "the client is stopping")
            self.streams_over()

    @property
    def status(self) -> str:
        """
        Whether it is connected and what it carries, one line for people.
        """
        server = self.config.server
        if self._session is None:
            return f"not connected to {server}: {self._trouble or 'connecting'}"
        tunnels, streams = len(self.tunnels), self._session.streams
        if not self._session.link_up:
            return f"the link to {server} is lost, {streams} streams wait"
        return f"connected to {server}: {tunnels} tunnels, {streams} streams"

    # What sessions and tunnels ask and tell.

    @property
    def why_not(self) -> TunnelRefused | None:
        """
        Why no tunnel will be opened any more, once the client has given up.
        """
        if self._given_up is None:
            return None
        return TunnelRefused(Code.CLOSED, str(self._given_up))

    def session_begun(self, session: ClientSession) -> None:
        """
        The server has let the client in.
        """
        self._session = session
        self._trouble = ""
        self._was_in = True
        self._log.info(
            "connected to {server} as {identity}/{instance}",
            server=self.config.server,
            identity=session.identity,
            instance=session.instance,
        )
        for wanted in tuple(self.wanted):
            session.ask(wanted)
        self._tell_tried()
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(session)

    def session_over(self, session: ClientSession, code: Code, reason: str) -> None:
        """
        A session has ended.
        """
        if self._session is session:
            self._session = None
        self._trouble = reason or code.words
        if code is Code.TAKEN_OVER:
            error = SessionRefused(code, "another client with the same id took over")
            self._give_up_soon(error)

    def link_lost(self, reason: str) -> None:
        """
        The session waits for another link.
        """
        self._trouble = reason

    @property
    def waiting_session(self) -> ClientSession | None:
        """
        The session, if it waits for another link.
        """
        session = self._session
        return session if session is not None and session.mux.detached else None

    def streams_over(self) -> None:
        """
        The last stream of the session is over.
        """
        drained = self._drained
        if drained is not None and not drained.called:
            drained.callback(None)

    def link_made(self, link: Link) -> None:
        """
        A link to the server is there, and is to be shaken hands over.
        """
        if not link.lost:
            self._links.add(link.closed)
            link.closed.addBoth(lambda _: self._links.discard(link.closed))

    def tunnel_closed(self, wanted: ClientTunnel, code: Code, reason: str) -> None:
        """
        A tunnel is not wanted any more.
        """
        self.wanted.remove(wanted)
        if self._session is not None:
            self._session.close_tunnel(wanted, code, reason)

    def connection_failed(self, error: ReitunnelError) -> None:
        """
        An attempt to begin a session failed.
        """
        self._trouble = str(error)
        if isinstance(error, AuthenticationFailed) and error.detail:
            self._log.info("{detail}", detail=error.detail)
        if not self._was_in and is_hopeless(error):
            self._give_up_soon(error)

    # The parts.

    def _want(
        self, target: Target, bind: str, port: int, metadata: Mapping[str, str]
    ) -> ClientTunnel:
        dialler = TargetDialler(
            self.reactor, target, self._tcp_options, self.config.timeouts.target
        )
        wanted = ClientTunnel(self, dialler, bind, port, metadata)
        self.wanted.append(wanted)
        return wanted

    def _next_delay(self, attempt: int) -> float:
        """
        Choose how long to wait before the next attempt, in seconds.
        """
        if attempt == 1 and self.waiting_session is not None:
            return 0.0
        retry = self.config.retry
        delay = retry.initial_delay * retry.factor ** min(attempt - 1, 100)
        delay = min(delay, retry.max_delay)
        delay *= 1 + retry.jitter * _random.uniform(-1, 1)
        if self._hopeless is None:
            server = self.config.server
            reason = self._trouble or "the link was closed"
            self._log.info(
                "not connected to {server}: {reason}; next attempt in {delay:.1f} s",
                server=server,
                # What the transports say begins with the address.
                reason=reason.removeprefix(f"{server}: "),
                delay=delay,
            )
            self._tell_tried()
        return delay

    async def _stop(self, was_up: bool) -> None:
        reason = "the client is stopping"
        hopeless, self._hopeless = self._hopeless, None
        if hopeless is not None:
            hopeless.cancel()
        session = self._session
        if session is not None:
            session.drain(Code.SHUTDOWN, reason)
            await self._drain(session)
            session.close(Code.SHUTDOWN, reason)
        await self._connecting.stopService()
        await DeferredList(self._links)
        self.pipes.clear()
        self._disappoint(
            SessionRefused(Code.SHUTDOWN, reason), TunnelRefused(Code.SHUTDOWN, reason)
        )
        await self.hooks.finish()
        if was_up:
            self._log.info("stopped")
        self._given_up = None
        self._stopped = True
        over, self._over = self._over, []
        for deferred in over:
            deferred.callback(None)

    async def _drain(self, session: ClientSession) -> None:
        count, seconds = session.streams, self.config.timeouts.drain
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
