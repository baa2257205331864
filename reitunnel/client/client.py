"""
The client as a service: keeps a session with the server, and its tunnels open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from reitunnel.client.attempts import Attempts
from reitunnel.client.identity import default_client_id
from reitunnel.client.reloading import Reloading
from reitunnel.client.session import ClientSession
from reitunnel.client.setup import (
    authenticator_from,
    files_of,
    transport_settings_from,
)
from reitunnel.client.standing import Standing
from reitunnel.client.targets import Target
from reitunnel.client.tunnel import ClientTunnel
from reitunnel.client.wanted import WantedTunnels
from reitunnel.config import ClientConfig, Gathering, verify_client_config
from reitunnel.errors import (
    AuthenticationFailed,
    Code,
    ReitunnelError,
    SessionRefused,
    TunnelRefused,
)
from reitunnel.hooks import ConfiguredHooks
from reitunnel.interfaces import ISession, ITunnel
from reitunnel.relay import Draining, Link, Pipes
from reitunnel.transports import LinkURL, client_endpoint

_NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})


class Client(Service):
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
    @ivar authenticator: proves to the server who it is.
    @ivar client_id: the client id, which names it to the server together with
        its credentials.
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
        configured = gathering.make(lambda: ConfiguredHooks(reactor, config))
        self.authenticator = gathering.make(lambda: authenticator_from(config), "token")
        made = gathering.make(lambda: transport_settings_from(config), "server_name")
        gathering.finish()
        options, settings = made
        configured.register(hooks)
        self.hooks = configured.manager
        self.client_id = config.client_id or default_client_id(config)
        self._tunnels = WantedTunnels(self, options)
        diallers = self._tunnels.diallers_for(config, options)
        self._tunnels.configure(config.tunnels, diallers)
        self._standing = Standing(reactor)
        endpoint = client_endpoint(reactor, url, settings)
        self._attempts = Attempts(self, self._standing, endpoint, self._log)
        self._reloading = Reloading(
            self, configured, self._standing, self._attempts, self._tunnels
        )
        self._draining = Draining(reactor, self._log)
        # The session that the client closes while it stops.
        self._leaving: ClientSession | None = None
        self._links: set[Link] = set()

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
        return self._standing.session

    @property
    def sessions(self) -> Sequence[ISession]:
        """
        The session with the server as a sequence: of one, or empty.
        """
        session = self._standing.session
        return () if session is None else (session,)

    @property
    def wanted(self) -> list[ClientTunnel]:
        """
        Its tunnels, open or not, as they are now.
        """
        return list(self._tunnels)

    @property
    def unready(self) -> str:
        """
        Why visitors cannot reach every target now, in a few words; empty if they
        can, as far as the server goes.
        """
        session, trouble = self._standing.session, self._standing.trouble
        if session is None:
            return f"not connected: {trouble}" if trouble else "not connected"
        if session.draining or not self.running:
            return "nothing new is taken"
        if not session.link_up:
            return "the link is lost"
        missing = sum(wanted.address is None for wanted in self._tunnels)
        return (
            f"{missing} of {len(self._tunnels)} tunnels are not open" if missing else ""
        )

    @property
    def tunnels(self) -> Sequence[ITunnel]:
        """
        The tunnels that are open, as they are now.
        """
        session = self._standing.session
        return () if session is None else session.tunnels

    def when_connected(self) -> Deferred[ISession]:
        """
        Wait for a session.

        @return: fires with the session, at once if there is one. It fails with
            the reason when the client gives up, and with L{SessionRefused} when it
            is stopped.
        """
        return self._standing.when_connected()

    def when_over(self) -> Deferred[None]:
        """
        Wait until the client has given up or has stopped.

        @return: fires when it was stopped, and fails with the reason when it
            gives up. If nobody waits, that is logged.
        """
        return self._standing.when_over()

    def when_tried(self) -> Deferred[None]:
        """
        Wait for the first attempt to connect that comes to something.

        @return: fires when the client is let in, or is not and will try again. It
            never does if the client gives up or is stopped before.
        """
        return self._standing.when_tried()

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
        wanted = self._tunnels.add(target, bind, port, metadata)

        async def opened() -> ClientTunnel:
            try:
                return await wanted.when_open()
            except BaseException:
                wanted.close()
                raise

        opening = Deferred.fromCoroutine(opened())
        if self._standing.session is not None:
            self._standing.session.ask(wanted)
        return opening

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
        return self._reloading.reload(config)

    # IService.

    def startService(self) -> None:
        """
        Begin to connect.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._standing.started()
        self._attempts.start()

    def stopService(self) -> Deferred[None]:
        """
        Take no more visitors; wait C{timeouts.drain} seconds for the streams to
        end; close the session and connect no more.

        @return: fires when nothing is left open.
        """
        was_up = bool(self.running) and self._standing.given_up is None
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop(was_up))

    def stop_now(self) -> None:
        """
        While C{stopService} waits: wait no longer for streams, and for the server
        a second, so that it hears that it is over. Called again, it waits
        for nothing.
        """
        if self._leaving is not None:
            self._draining.hurry(self._cut_off)

    @property
    def status(self) -> str:
        """
        Whether it is connected and what it carries, one line for people.
        """
        server, session = self.config.server, self._standing.session
        if session is None:
            trouble = self._standing.trouble or "connecting"
            return f"not connected to {server}: {trouble}"
        tunnels, streams = len(self.tunnels), session.streams
        if not session.link_up:
            return f"the link to {server} is lost, {streams} streams wait"
        return f"connected to {server}: {tunnels} tunnels, {streams} streams"

    # What sessions and tunnels ask and tell.

    @property
    def why_not(self) -> TunnelRefused | None:
        """
        Why no tunnel will be opened any more, once the client has given up.
        """
        given_up = self._standing.given_up
        return None if given_up is None else TunnelRefused(Code.CLOSED, str(given_up))

    def session_begun(self, session: ClientSession) -> None:
        """
        The server has let the client in.
        """
        self._standing.begun(session)
        self._log.info(
            "connected to {server} as {identity}/{instance}",
            server=self.config.server,
            identity=session.identity,
            instance=session.instance,
        )
        for wanted in self._tunnels:
            session.ask(wanted)
        self._standing.tell_connected(session)

    def session_over(self, session: ClientSession, code: Code, reason: str) -> None:
        """
        A session has ended.
        """
        self._standing.ended(session, reason or code.words)
        if code is Code.TAKEN_OVER:
            error = SessionRefused(code, "another client with the same id took over")
            self._give_up_soon(error)

    def link_lost(self, reason: str) -> None:
        """
        The session waits for another link.
        """
        self._standing.trouble = reason

    @property
    def waiting_session(self) -> ClientSession | None:
        """
        The session, if it waits for another link.
        """
        return self._standing.waiting_session

    def streams_over(self) -> None:
        """
        The last stream of the session is over.
        """
        self._draining.end()

    def link_made(self, link: Link) -> None:
        """
        A link to the server is there, and is to be shaken hands over.
        """
        if not link.lost:
            self._links.add(link)
            link.closed.addBoth(lambda _: self._links.discard(link))

    def tunnel_closed(self, wanted: ClientTunnel, code: Code, reason: str) -> None:
        """
        A tunnel is not wanted any more.
        """
        self._tunnels.remove(wanted)
        session = self._standing.session
        if session is not None:
            session.close_tunnel(wanted, code, reason)

    def connection_failed(self, error: ReitunnelError) -> None:
        """
        An attempt to begin a session failed.
        """
        hopeless = self._standing.failed(error)
        if isinstance(error, AuthenticationFailed) and error.detail:
            self._log.info("{detail}", detail=error.detail)
        if hopeless:
            self._give_up_soon(error)

    # The parts.

    def _give_up_soon(self, error: ReitunnelError) -> None:
        """
        Give up in the reactor's next turn, when the C{ClientService} has taken note
        of the failure.
        """
        if self.running:
            self._standing.give_up_soon(error, self._give_up)

    def _give_up(self, error: ReitunnelError) -> None:
        """
        Try no more.
        """
        standing = self._standing
        standing.gives_up(error)
        if standing.session is not None:
            standing.session.close(Code.CLOSED, "the client gives up")
        self._attempts.stop()
        if not standing.end_awaited:
            self._log.error("gave up: {reason}", reason=str(error))
        standing.disappoint(error)
        self._tunnels.refuse(TunnelRefused(Code.CLOSED, str(error)))
        standing.tell_given_up(error)

    async def _stop(self, was_up: bool) -> None:
        reason = "the client is stopping"
        standing = self._standing
        standing.does_not_give_up()
        self._leaving = session = standing.session
        if session is not None:
            session.drain(Code.SHUTDOWN, reason)
            seconds = self.config.timeouts.drain
            await self._draining.wait(session.streams, seconds)
            session.close(Code.SHUTDOWN, reason)
        await self._attempts.stop()
        await DeferredList([link.closed for link in self._links])
        self._draining.stop()
        self._leaving = None
        self.pipes.clear()
        standing.disappoint(SessionRefused(Code.SHUTDOWN, reason))
        self._tunnels.refuse(TunnelRefused(Code.SHUTDOWN, reason))
        await self.hooks.finish()
        if was_up:
            self._log.info("stopped")
        standing.stopped()

    def _cut_off(self) -> None:
        """
        Wait for the server no more.
        """
        for link in tuple(self._links):
            link.abort()
