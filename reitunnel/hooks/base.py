"""
A hook that does nothing, to derive from.
"""

from __future__ import annotations

from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.interfaces import (
    Decision,
    IClientHook,
    IDataHook,
    IErrorHook,
    IReturnHook,
    IServer,
    IServerHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)


@implementer(
    IServerHook,
    IClientHook,
    IReturnHook,
    ITunnelHook,
    IStreamHook,
    IDataHook,
    IErrorHook,
)
class BaseHook:
    """
    Provides every hook interface, allows everything and does nothing.

    Override what is of interest. A method that is not overridden is never
    called, so it costs nothing.
    """

    def on_server_start(self, server: IServer) -> Decision:
        """
        See L{IServerHook.on_server_start}.
        """

    def on_server_stop(self, server: IServer) -> None:
        """
        See L{IServerHook.on_server_stop}.
        """

    def on_client_connect(self, client: ISession) -> Decision:
        """
        See L{IClientHook.on_client_connect}.
        """

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """

    def on_client_return(self, client: ISession) -> Decision:
        """
        See L{IReturnHook.on_client_return}.
        """

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        """
        See L{ITunnelHook.on_tunnel_open}.
        """

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """

    def on_stream_open(self, stream: IStream) -> Decision:
        """
        See L{IStreamHook.on_stream_open}.
        """

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_received}.
        """

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_sent}.
        """

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """
