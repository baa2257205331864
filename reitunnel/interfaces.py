"""
Every zope Interface of Reitunnel.

Three groups stand here: what links and streams are to their protocols
(L{ILinkTransport} and its like, L{ITunnelTransport}), what hooks see (L{IServer},
L{ISession}, L{ITunnel}, L{IStream}), and what hooks provide (L{IServerHook} and
its like, L{IHookFactory}). They stand in one room, however long, because they refer to
each other, and so that there is one place to read for who provides or uses them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IPushProducer,
    IReactorCore,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
    ITransport,
)
from zope.interface import Attribute, Interface

from reitunnel.errors import Code

Decision = Awaitable[None] | Deferred[None] | None
"""What a decision event may return. L{None} allows; raising refuses."""


class ILinkTransport(ITransport, IConsumer, IPushProducer):
    """
    What a link needs of the transport that it is connected to: back-pressure
    in both directions, and a way to close at once.
    """

    def write(data: bytes | memoryview) -> None:
        """
        Send bytes.
        """

    def writeSequence(data: Iterable[bytes | memoryview]) -> None:
        """
        Send several pieces.
        """

    def abortConnection() -> None:
        """
        Close at once; what was written may be lost.
        """


class IHalfCloseTransport(ILinkTransport):
    """
    What a stream is, and what it needs of visitors' and targets' connections.
    """

    def loseWriteConnection() -> None:
        """
        Close this direction once all is sent; the other stays open.
        """


class ICertificate(Interface):
    """
    A verified certificate of the peer.
    """

    common_name: str = Attribute("The subject's common name, or an empty string.")
    subject: str = Attribute("The subject as an RFC 4514 string.")
    organization: str = Attribute("The subject's organization, or an empty string.")
    names: tuple[str, ...] = Attribute(
        "The subject alternative names: DNS names, addresses, e-mail addresses, URIs."
    )
    fingerprint: str = Attribute("SHA-256 of the DER form, in lower-case hex.")


class ILinkFacts(Interface):
    """
    What is known of a link that is ready for use.
    """

    scheme: str = Attribute("C{tcp}, C{tls}, C{ws}, C{wss}, or a plugin's scheme.")
    peer: IAddress = Attribute("The far end of the link.")
    host: IAddress = Attribute("This end of the link.")
    secure: bool = Attribute("Whether this process speaks TLS on the link.")
    tls_version: str | None = Attribute(
        "The version of TLS, such as C{1.3}, or L{None} without TLS."
    )
    channel_binding: bytes | None = Attribute(
        "The C{tls-exporter} value (RFC 9266), or L{None} without TLS."
    )
    certificate: ICertificate | None = Attribute(
        "The peer's verified certificate, if it sent one."
    )


class ILinkAdmission(Interface):
    """
    Decides, before a byte is read, whether the server takes a new connection.
    """

    def admit(transport: ITransport) -> bool:
        """
        Take or refuse a new connection.

        @param transport: the transport that the kernel accepted, below TLS and
            WebSocket.
        @return: whether to go on. A refused connection is aborted.
        """

    def gone(transport: ITransport) -> None:
        """
        An admitted connection was closed.

        @param transport: the one given to L{admit}.
        """


class ITunnelTransport(Interface):
    """
    A way to make links, for a URL scheme of its own. Ship one as a Twisted
    plugin to add a scheme.

    The protocols that the endpoints' factories build are connected when the
    link is ready: any handshake below is over and verified. If it fails, the
    client's C{connect} fails with L{reitunnel.errors.TransportError}, and the
    server builds no protocol.
    """

    scheme: str = Attribute("The URL scheme, in lower case.")
    secure: bool = Attribute("Whether links are encrypted and the server verified.")

    def server_endpoint(
        reactor: IReactorCore, url: Any, settings: Any
    ) -> IStreamServerEndpoint:
        """
        Make the listening side.

        @param url: the L{reitunnel.transports.LinkURL} to listen on.
        @param settings: the L{reitunnel.transports.ServerTransportSettings}.
        """

    def client_endpoint(
        reactor: IReactorCore, url: Any, settings: Any
    ) -> IStreamClientEndpoint:
        """
        Make the dialling side.

        @param url: the L{reitunnel.transports.LinkURL} to dial.
        @param settings: the L{reitunnel.transports.ClientTransportSettings}.
        """


class IServer(Interface):
    """
    A running server, as hooks and embedding programs see it.
    """

    sessions: Sequence[ISession] = Attribute("The authenticated clients.")
    tunnels: Sequence[ITunnel] = Attribute("The open tunnels of all clients.")
    addresses: Sequence[IAddress] = Attribute("Where the server listens for links.")


class ISession(Interface):
    """
    An authenticated client, on the server; the session with the server, on the
    client. Hooks know it as the client.
    """

    id: str = Attribute("The session's id, unique on the server, in hex.")
    identity: str = Attribute(
        "Who authenticated: C{token:NAME}, C{certificate:SUBJECT} or C{anonymous}."
    )
    instance: str = Attribute("The client id that the client chose (C{--client-id}).")
    facts: ILinkFacts = Attribute("The facts of the newest link.")
    link_up: bool = Attribute(
        "Whether the control link is there. Without it the session waits for another."
    )
    opened_at: float = Attribute("When it began, seconds since the epoch.")
    tunnels: Sequence[ITunnel] = Attribute("Its open tunnels.")

    def close(code: Code = Code.CLOSED, reason: str = "") -> None:
        """
        End the session: its tunnels close, its streams are reset.
        """


class ITunnel(Interface):
    """
    A mapping from a public address on the server to a target of the client.
    """

    id: int = Attribute("The tunnel's number, unique within its session.")
    session: ISession = Attribute("The client that owns it.")
    type: str = Attribute("C{tcp}.")
    bind: str = Attribute("The address asked for; empty for the server's default.")
    port: int = Attribute("The port asked for; 0 lets the server choose.")
    address: IAddress | None = Attribute("The public address, once it is open.")
    target: str = Attribute("The target, as the client describes it.")
    metadata: Mapping[str, str] = Attribute("What the client says of the tunnel.")
    opened_at: float = Attribute("When it was opened, seconds since the epoch.")
    bytes_received: int = Attribute("Bytes that visitors sent, so far.")
    bytes_sent: int = Attribute("Bytes sent to visitors, so far.")
    streams: Sequence[IStream] = Attribute("Its open streams.")

    def close(code: Code = Code.CLOSED, reason: str = "") -> None:
        """
        Close the tunnel: its streams are reset.
        """

    def rewrite(
        *, port: int | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        """
        Change what the client asks for. Only on the server, and only while hooks decide
        in L{ITunnelHook.on_tunnel_open}. The server's policy judges the new port too.

        @param port: the port to bind; 0 lets the server choose.
        @param metadata: what L{metadata} is from now on. The client is not told.
        @raise RuntimeError: when it is too late, or on the client.
        """


class IBrake(Interface):
    """
    Holds one direction of a stream back. Several may hold it: it goes on when none
    does.
    """

    def hold() -> None:
        """
        Let nothing more through: who sends is not read from, until L{release}. A
        piece that has been read already may still come. Holding it again does nothing.
        """

    def release() -> None:
        """
        Hold it no more. Bytes may move from inside this call.
        """


class IStream(Interface):
    """
    One visitor's connection inside a tunnel.
    """

    id: int = Attribute("The stream's number, unique within its session while open.")
    tunnel: ITunnel = Attribute("The tunnel that it belongs to.")
    visitor: IAddress = Attribute("Where the visitor comes from.")
    opened_at: float = Attribute("When it was opened, seconds since the epoch.")
    bytes_received: int = Attribute("Bytes that the visitor sent, so far.")
    bytes_sent: int = Attribute("Bytes sent to the visitor, so far.")

    def close(code: Code = Code.ABORTED, reason: str = "") -> None:
        """
        Reset the stream, on both sides.
        """

    def pace_received(moved: Callable[[int], None]) -> IBrake:
        """
        Be able to hold back what the visitor sends. Call it in
        L{IStreamHook.on_stream_open}. The stream is not moved in the kernel then.

        @param moved: told of the bytes of each event, after the data hooks. It must
            not raise.
        @raise RuntimeError: when the stream carries bytes already.
        """

    def pace_sent(moved: Callable[[int], None]) -> IBrake:
        """
        The same for what the visitor gets.
        """


class IServerHook(Interface):
    """
    Told when a server starts and stops. Only on the server.
    """

    def on_server_start(server: IServer) -> Decision:
        """
        The server is about to listen, or takes this hook in by a reload. Raising
        stops the start, or the reload.
        """

    def on_server_stop(server: IServer) -> None:
        """
        The server has stopped: no session is left. Or it lets this hook go by a
        reload, and goes on.
        """


class IClientHook(Interface):
    """
    Told of clients. On the client, of its session with the server.
    """

    def on_client_connect(client: ISession) -> Decision:
        """
        A client has authenticated. Raising refuses it.
        """

    def on_client_disconnect(client: ISession, code: Code, reason: str) -> None:
        """
        The session is over: its tunnels are closed already.
        """


class ITunnelHook(Interface):
    """
    Told of tunnels.
    """

    def on_tunnel_open(tunnel: ITunnel) -> Decision:
        """
        A tunnel is asked for and not yet bound. Raising refuses it.
        """

    def on_tunnel_close(tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        The tunnel is closed: its streams are over already.
        """


class IStreamHook(Interface):
    """
    Told of streams.
    """

    def on_stream_open(stream: IStream) -> Decision:
        """
        A visitor came. Raising resets the visitor's connection.
        """

    def on_stream_close(stream: IStream, code: Code, reason: str) -> None:
        """
        The stream is over, with its final byte counts.

        @param code: L{Code.NONE} when both directions ended in order.
        """


class IDataHook(Interface):
    """
    Told of moving bytes, in the hot path: be quick, never block, never wait.
    Directions are the visitor's view of the tunnel, the same on both sides.
    """

    def on_data_received(tunnel: ITunnel, count: int) -> None:
        """
        C{count} bytes came from a visitor.
        """

    def on_data_sent(tunnel: ITunnel, count: int) -> None:
        """
        C{count} bytes went to a visitor.
        """


class IErrorHook(Interface):
    """
    Told of failures.
    """

    def on_error(error: BaseException, context: str) -> None:
        """
        Something failed: a hook, a target, a link, a handshake.

        @param error: what was raised.
        @param context: what was being done, one line for people.
        """


class IHookHost(Interface):
    """
    Whom a hook reports to, apart from its events: the manager that it is registered
    with. Call it in the reactor's thread only.
    """

    name: str = Attribute("The name that the hook has in messages.")
    reactor: Any = Attribute(
        "The reactor: an L{IReactorTime}, and whatever else the program's provides."
    )

    def failed(event: str, error: BaseException) -> None:
        """
        Something failed after the call of an event was over: log it, count it, and
        tell the hooks for errors.

        @param event: the method's name.
        """

    def dropped(event: str, count: int) -> None:
        """
        Calls of an event came to nothing because there were too many: count them, and
        log that now and then.
        """

    def worked(event: str, seconds: float) -> None:
        """
        An event has taken time in another thread: count that.
        """


class IBackgroundHook(Interface):
    """
    A hook with work of its own between the events: timers, threads, files,
    connections. It provides one or more of the interfaces of events too.
    """

    def attach(host: IHookHost) -> None:
        """
        The hook is being registered, and is about to be told of events. Raising
        refuses that.
        """

    def finish() -> Decision:
        """
        The server or client has stopped: bring to an end what was begun, and let go
        of what is held. It has C{timeouts.hook} for that, and is cancelled then. If
        the server or client is started again, events come again, without L{attach}.
        """


class IHeirHook(Interface):
    """
    A hook that goes on with what another one of its kind holds, such as a file or
    counts. A reload builds a hook anew whose table has changed, while the one before is
    still there and holds that.
    """

    def inherit(former: object) -> bool:
        """
        Go on with what another hook holds. Called before
        L{IBackgroundHook.attach}, for each hook that the reload takes away, and each
        L{IBackgroundHook} that one before has, until the answer is yes. C{former}
        still works. It goes on if the reload is refused in the end; if not, it is told
        the closes of what it has allowed, beside this hook.

        @param former: a hook of any kind.
        @return: whether it had what this hook needs. No other hook gets it then.
        """


class IReactorHook(Interface):
    """
    A hook that uses the reactor in the calls of events: it must not be called in
    another thread, so L{reitunnel.hooks.AsyncHook} does not take it. It has no
    methods.
    """


class IMetricsSource(Interface):
    """
    A hook with metrics of its own, which the C{/metrics} page of the process shows
    after those of Reitunnel itself. Their names must be others than those.
    """

    def exposition() -> bytes:
        """
        Give the metrics as they are now, in the text format of Prometheus (0.0.4),
        with a line feed at the end.
        """


class IHookFactory(Interface):
    """
    Builds a hook from a configuration file. Ship one as a Twisted plugin, and
    switch it on by name in a C{[[hooks]]} table.
    """

    name: str = Attribute("The name in the configuration file.")
    description: str = Attribute("One line for people.")
    options: type = Attribute(
        "A C{msgspec.Struct} class: the other keys of the C{[[hooks]]} table."
    )

    def build(options: Any, reactor: IReactorCore) -> object:
        """
        Make the hook.

        @param options: an instance of L{options}, validated.
        @return: an object that provides one or more of the hook interfaces.
        @raise ValueError: if the options cannot be used; the message is shown
            with the table's path.
        """


class IRestrictedHookFactory(IHookFactory):
    """
    A factory whose hooks cannot be switched on everywhere. What goes against that is a
    mistake in the configuration.
    """

    side: str | None = Attribute(
        'C{"server"} or C{"client"} if its hooks are of use there alone; else L{None}.'
    )
    written: Sequence[str] = Attribute(
        "The options that are files, of the type C{pathlib.Path}, which one hook alone "
        "can write."
    )
