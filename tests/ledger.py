"""
Hooks for tests: one that writes down what it is told, and one that decides as it is
told.
"""

from __future__ import annotations

from collections.abc import Callable

from reitunnel import BaseHook, Code
from reitunnel.interfaces import Decision, IServer, ISession, IStream, ITunnel
from reitunnel.testing import RecordingHook


class Ledger(RecordingHook):
    """
    Allows everything, and writes it down.
    """


class Decider(BaseHook):
    """
    Decides as it is told.

    @ivar on: for C{server}, C{client}, C{tunnel} and C{stream}, what decides on
        their opens, and for C{back} on clients that come back; those that are not
        there are allowed.
    @ivar told: the closes that it was told, by the same names.
    """

    def __init__(self, **on: Callable[..., Decision]) -> None:
        self.on = on
        self.told: list[str] = []

    def on_server_start(self, server: IServer) -> Decision:
        return self._decide("server", server)

    def on_server_stop(self, server: IServer) -> None:
        self.told.append("server")

    def on_client_connect(self, client: ISession) -> Decision:
        return self._decide("client", client)

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        self.told.append("client")

    def on_client_return(self, client: ISession) -> Decision:
        return self._decide("back", client)

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        return self._decide("tunnel", tunnel)

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        self.told.append("tunnel")

    def on_stream_open(self, stream: IStream) -> Decision:
        return self._decide("stream", stream)

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        self.told.append("stream")

    def _decide(self, what: str, subject: object) -> Decision:
        decide = self.on.get(what)
        return None if decide is None else decide(subject)
