"""
Calls the hooks: asks them for decisions, and tells them what happened.
"""

from __future__ import annotations

from reitunnel.errors import Code
from reitunnel.hooks.calls import Opened
from reitunnel.hooks.registry import Registry
from reitunnel.interfaces import IServer, ISession, IStream, ITunnel


class HookManager(Registry):
    """
    Holds the hooks of one server or one client, and calls them in the order in
    which they were registered.

    A C{decide_*} asks for a decision. It returns who allowed the open, which
    the caller keeps and gives to the matching C{notify_*} exactly once, at the
    close; L{decide_client_return} returns nothing, because no close answers it. It
    raises L{Refused} and nothing else when a hook refuses; the
    text is fit for the peer, and the C{__cause__} is what the hook raised, or
    with L{Strategy.COLLECT_AND_CONTINUE} an L{ExceptionGroup} of what they all
    raised. It is passing unless a hook has refused for good. The hooks that had
    allowed that open have been told its close by then, with L{Code.REFUSED}, or
    L{Code.INTERNAL} if there was no answer. The same holds, with L{Code.ABORTED},
    when the caller cancels the decision. So each hook sees one close for each open
    that it allowed, whatever is registered or unregistered in between.

    Hooks may be registered and unregistered, and the strategy changed, at any time,
    by a hook in a call too. What is under way then goes on as it began.

    @ivar strategy: what to do when a hook refuses.
    @ivar data_received: takes bytes that came from a visitor; L{None} while no
        hook wants to know. It never raises.
    @ivar data_sent: the same for bytes that went to a visitor.
    """

    @property
    def decides_server_start(self) -> bool:
        """
        Whether any hook is to be asked or told of a server.
        """
        return bool(self._server)

    @property
    def decides_client_connect(self) -> bool:
        """
        Whether any hook is to be asked or told of a client.
        """
        return bool(self._client)

    @property
    def decides_client_return(self) -> bool:
        """
        Whether any hook is to be asked about clients that come back. If not, the
        caller may do without the decision.
        """
        return bool(self._returns)

    @property
    def decides_tunnel_open(self) -> bool:
        """
        Whether any hook is to be asked or told of a tunnel.
        """
        return bool(self._tunnel)

    @property
    def decides_stream_open(self) -> bool:
        """
        Whether any hook is to be asked or told of a stream. If not, the caller
        may do without the decision, and keep L{NOTHING_OPENED}.
        """
        return bool(self._stream)

    async def decide_server_start(self, server: IServer) -> Opened:
        """
        Ask whether the server may start.

        @return: what to give to L{notify_server_stop}.
        @raise Refused: if it may not.
        """
        return await self._deciding.decide(
            self._server, server, "on_server_start", "on_server_stop", self.strategy
        )

    def notify_server_stop(self, opened: Opened, server: IServer) -> None:
        """
        Tell that the server has stopped.

        @param opened: what L{decide_server_start} returned.
        """
        self._deciding.notify(opened, "on_server_stop", server)
        self._report_rest()

    async def decide_client_connect(self, client: ISession) -> Opened:
        """
        Ask whether a client that has authenticated may connect.

        @return: what to give to L{notify_client_disconnect}.
        @raise Refused: if it may not.
        """
        return await self._deciding.decide(
            self._client,
            client,
            "on_client_connect",
            "on_client_disconnect",
            self.strategy,
        )

    def notify_client_disconnect(
        self, opened: Opened, client: ISession, code: Code, reason: str
    ) -> None:
        """
        Tell that a session is over.

        @param opened: what L{decide_client_connect} returned.
        """
        self._deciding.notify(opened, "on_client_disconnect", client, code, reason)
        self._report_rest()

    async def decide_client_return(self, client: ISession) -> None:
        """
        Ask whether a client may go on with its session on another link. No hook is
        told what comes of it.

        @raise Refused: if it may not.
        """
        await self._deciding.decide(
            self._returns, client, "on_client_return", None, self.strategy
        )

    async def decide_tunnel_open(self, tunnel: ITunnel) -> Opened:
        """
        Ask whether a tunnel may be opened.

        @return: what to give to L{notify_tunnel_close}.
        @raise Refused: if it may not.
        """
        return await self._deciding.decide(
            self._tunnel, tunnel, "on_tunnel_open", "on_tunnel_close", self.strategy
        )

    def notify_tunnel_close(
        self, opened: Opened, tunnel: ITunnel, code: Code, reason: str
    ) -> None:
        """
        Tell that a tunnel is closed.

        @param opened: what L{decide_tunnel_open} returned.
        """
        self._deciding.notify(opened, "on_tunnel_close", tunnel, code, reason)

    async def decide_stream_open(self, stream: IStream) -> Opened:
        """
        Ask whether a visitor's stream may be opened.

        @return: what to give to L{notify_stream_close}.
        @raise Refused: if it may not.
        """
        return await self._deciding.decide(
            self._stream, stream, "on_stream_open", "on_stream_close", self.strategy
        )

    def notify_stream_close(
        self, opened: Opened, stream: IStream, code: Code, reason: str
    ) -> None:
        """
        Tell that a stream is over.

        @param opened: what L{decide_stream_open} returned.
        """
        self._deciding.notify(opened, "on_stream_close", stream, code, reason)

    def notify_error(self, error: BaseException, context: str) -> None:
        """
        Tell of a failure. Logging it is left to the caller.

        @param error: what was raised.
        @param context: what was being done, one line for people.
        """
        self._reports.notify_error(error, context)
