"""
A server's side of WebSockets: the requests that it takes, and the channels.
"""

from __future__ import annotations

from http import HTTPStatus

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime

from reitunnel.errors import TransportError
from reitunnel.transports.gate import log_refusal
from reitunnel.transports.websocket_channel import SUBPROTOCOL, LinkChannel


class LinkServerChannel(LinkChannel, WebSocketServerProtocol):
    """
    A server's channel.
    """

    masks = False

    def __init__(
        self,
        factory: IProtocolFactory,
        clock: IReactorTime,
        timeout: float,
        path: str | None,
    ) -> None:
        """
        @param path: what clients must ask for; L{None} if that was looked at
            before.
        """
        super().__init__(factory, clock, timeout)
        self._path = path

    def onConnect(self, request: ConnectionRequest) -> str:
        """
        Look at a request that autobahn finds to be in order.
        """
        if self._path is not None and request.path != self._path:
            raise ConnectionDeny(HTTPStatus.NOT_FOUND.value, "no such path")
        if request.origin:
            # Browsers say where a page comes from; no client of ours does. Any
            # page could otherwise talk to a server on its visitor's machine.
            raise ConnectionDeny(HTTPStatus.FORBIDDEN.value, "browsers have no access")
        if SUBPROTOCOL not in request.protocols:
            raise ConnectionDeny(
                HTTPStatus.BAD_REQUEST.value,
                f"the client does not speak {SUBPROTOCOL}",
            )
        return SUBPROTOCOL

    def failHandshake(
        self,
        reason: str,
        code: int = HTTPStatus.BAD_REQUEST.value,
        responseHeaders: list[tuple[str, str]] | None = None,
    ) -> None:
        """
        Refuse a request.
        """
        asked_for = getattr(self, "http_request_path", self._path)
        if self._path is not None and asked_for != self._path:
            # Whatever else is wrong with it.
            code, reason = HTTPStatus.NOT_FOUND.value, "no such path"
        self.sendHttpErrorResponse(code, reason, responseHeaders)
        self._fail(TransportError(reason))
        self._start_timer(self._abort)
        self.dropConnection(abort=False)

    def sendHttpErrorResponse(
        self,
        code: int,
        reason: str,
        responseHeaders: list[tuple[str, str]] | None = None,
    ) -> None:
        """
        Answer with an error. The reason stays in the log: it may quote what the
        client has sent.
        """
        status = HTTPStatus(code)
        body = f"{status.phrase}\n"
        headers = [
            ("Connection", "close"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            *(responseHeaders or ()),
        ]
        if status == HTTPStatus.UPGRADE_REQUIRED:
            headers.append(("Upgrade", "websocket"))
        lines = [f"HTTP/1.1 {code} {status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.sendData("\r\n".join([*lines, "", body]).encode("ascii"))


class LinkServerFactory(WebSocketServerFactory):
    """
    Builds the channels of a server.
    """

    noisy = False

    def __init__(
        self,
        factory: IProtocolFactory,
        clock: IReactorTime,
        timeout: float,
        path: str | None,
    ) -> None:
        """
        @param factory: builds the protocols of links.
        @param timeout: seconds for the opening handshake, and for the closing
            one.
        @param path: what clients must ask for; L{None} if that was looked at
            before.
        """
        super().__init__(  # type: ignore[no-untyped-call]  # autobahn's
            protocols=[SUBPROTOCOL], server="", reactor=clock
        )
        # The channel has its own time-outs, because autobahn's use the global
        # reactor.
        self.setProtocolOptions(  # type: ignore[no-untyped-call]  # autobahn's
            versions=[13],
            webStatus=False,
            failByDrop=False,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
        )
        self._link_factory = factory
        self._clock = clock
        self._timeout = timeout
        self._path = path

    def buildProtocol(self, addr: IAddress | None) -> LinkServerChannel:
        """
        Build a channel.
        """
        channel = LinkServerChannel(
            self._link_factory, self._clock, self._timeout, self._path
        )
        channel.factory = self
        channel.ready.addErrback(log_refusal, addr)
        return channel

    def doStart(self) -> None:
        """
        Start the factory of the links' protocols.
        """
        self._link_factory.doStart()

    def doStop(self) -> None:
        """
        Stop the factory of the links' protocols.
        """
        self._link_factory.doStop()
