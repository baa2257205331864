"""
Tests of WebSocket conversations through a tunnel, with autobahn at both ends.
"""

from __future__ import annotations

from random import Random
from typing import Any

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint

from tests.integration.processes import PATIENCE, reactor
from tests.integration.programs.cases import TunnelTestCase, over_each_transport

_SIZES = (0, 1, 125, 126, 65_535, 65_536, 1_000_000)


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """
        Send it back.
        """
        self.sendMessage(payload, isBinary)


class Talk(WebSocketClientProtocol):
    """
    Says one thing after the other, each when the one before has come back.
    """

    factory: TalkFactory

    def onOpen(self) -> None:
        """
        Begin.
        """
        self._next()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """
        Go on.
        """
        self.factory.heard.append((payload, isBinary))
        self._next()

    def onClose(self, wasClean: bool, code: int, reason: str | None) -> None:
        """
        Tell how it ended.
        """
        self.factory.closed.callback((wasClean, code, reason))

    def _next(self) -> None:
        heard, to_say = self.factory.heard, self.factory.to_say
        if len(heard) < len(to_say):
            # In pieces, so that messages of many frames come too.
            payload, binary = to_say[len(heard)]
            self.sendMessage(payload, binary, fragmentSize=100_000)
        else:
            self.sendClose(1000)


class TalkFactory(WebSocketClientFactory):
    protocol = Talk  # type: ignore[assignment]  # as every factory does it

    def __init__(self, url: str, to_say: list[tuple[bytes, bool]]) -> None:
        super().__init__(url)
        self.to_say = to_say
        self.heard: list[tuple[bytes, bool]] = []
        self.closed: Deferred[tuple[bool, int, str | None]] = Deferred()
        # Its second for each of these is short for a busy machine.
        self.setProtocolOptions(
            openHandshakeTimeout=PATIENCE,
            closeHandshakeTimeout=PATIENCE,
            serverConnectionDropTimeout=PATIENCE,
        )


@over_each_transport
class WebSocketTests(TunnelTestCase):
    """
    Of an echo.
    """

    async def test_echo(self) -> None:
        factory: Any = WebSocketServerFactory()
        factory.protocol = Echo
        listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        [port] = await self.open_tunnels(f"127.0.0.1:{listening.getHost().port}")
        random = Random(7)
        to_say = [(random.randbytes(size), True) for size in _SIZES]
        to_say.append(("größer".encode(), False))
        talk = TalkFactory(f"ws://127.0.0.1:{port}/chat", to_say)
        await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(talk)
        how = await talk.closed
        self.assertEqual(how[:2], (True, 1000), how[2])
        self.assertEqual(talk.heard, to_say)
