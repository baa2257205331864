"""
A server, sessions, tunnels and streams that are only their attributes, and hooks
that write down what they are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from reitunnel.errors import Code
from reitunnel.interfaces import (
    Decision,
    IBrake,
    ICertificate,
    IClientHook,
    IDataHook,
    IErrorHook,
    ILinkFacts,
    IReturnHook,
    IServer,
    IServerHook,
    ISession,
    IStream,
    IStreamHook,
    ITunnel,
    ITunnelHook,
)

PEER = IPv4Address("TCP", "192.0.2.7", 40000)
HOST = IPv4Address("TCP", "198.51.100.1", 7000)
VISITOR = IPv4Address("TCP", "203.0.113.9", 50000)


@implementer(ICertificate)
@dataclass(eq=False)
class FakeCertificate:
    common_name: str = ""
    subject: str = ""
    organization: str = ""
    names: tuple[str, ...] = ()
    fingerprint: str = ""


@implementer(ILinkFacts)
@dataclass(eq=False)
class FakeFacts:
    scheme: str = "tls"
    peer: IAddress = PEER
    host: IAddress = HOST
    secure: bool = True
    tls_version: str | None = "1.3"
    channel_binding: bytes | None = None
    certificate: ICertificate | None = None


@implementer(IServer)
@dataclass(eq=False)
class FakeServer:
    sessions: Iterable[ISession] = ()
    tunnels: Iterable[ITunnel] = ()
    addresses: Iterable[IAddress] = ()


@implementer(ISession)
@dataclass(eq=False)
class FakeSession:
    id: str = "5e55"
    identity: str = "token:web"
    instance: str = "laptop"
    facts: ILinkFacts = field(default_factory=FakeFacts)
    opened_at: float = 0.0
    link_up: bool = True
    tunnels: Iterable[ITunnel] = ()

    def close(self, code: Code = Code.CLOSED, reason: str = "") -> None:
        pass


@implementer(ITunnel)
@dataclass(eq=False)
class FakeTunnel:
    id: int = 3
    session: ISession = field(default_factory=FakeSession)
    type: str = "tcp"
    bind: str = ""
    port: int = 6000
    address: IAddress | None = None
    target: str = "localhost:8080"
    metadata: Mapping[str, str] = field(default_factory=dict)
    opened_at: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
    streams: Iterable[IStream] = ()

    def close(self, code: Code = Code.CLOSED, reason: str = "") -> None:
        pass

    def rewrite(
        self, *, port: int | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.port = self.port if port is None else port
        self.metadata = self.metadata if metadata is None else metadata


@implementer(IBrake)
class FakeBrake:
    """
    Notes whether it holds.

    @ivar moved: who is told of bytes.
    """

    def __init__(self, moved: Callable[[int], None]) -> None:
        self.moved = moved
        self.held = False

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


@implementer(IStream)
@dataclass(eq=False)
class FakeStream:
    """
    @ivar brakes: those that were given, by direction.
    """

    id: int = 9
    tunnel: ITunnel = field(default_factory=FakeTunnel)
    visitor: IAddress = VISITOR
    opened_at: float = 0.0
    bytes_received: int = 0
    bytes_sent: int = 0
    brakes: dict[str, FakeBrake] = field(default_factory=dict)

    def close(self, code: Code = Code.ABORTED, reason: str = "") -> None:
        pass

    def pace_received(self, moved: Callable[[int], None]) -> FakeBrake:
        return self.brakes.setdefault("received", FakeBrake(moved))

    def pace_sent(self, moved: Callable[[int], None]) -> FakeBrake:
        return self.brakes.setdefault("sent", FakeBrake(moved))


def allow() -> Decision:
    """
    Decides at once: yes.
    """
    return None


@implementer(
    IServerHook,
    IClientHook,
    IReturnHook,
    ITunnelHook,
    IStreamHook,
    IDataHook,
    IErrorHook,
)
class RecordingHook:
    """
    Writes every call down, in a list that several hooks may share.

    @ivar calls: one tuple a call: this hook's label, the event, the arguments.
    """

    def __init__(
        self,
        label: str = "",
        calls: list[tuple[object, ...]] | None = None,
        decide: Callable[[], Decision] = allow,
    ) -> None:
        """
        @param decide: makes each decision.
        """
        self.label = label
        self.calls = [] if calls is None else calls
        self._decide = decide

    def on_server_start(self, server: IServer) -> Decision:
        self.calls.append((self.label, "on_server_start", server))
        return self._decide()

    def on_server_stop(self, server: IServer) -> None:
        self.calls.append((self.label, "on_server_stop", server))

    def on_client_connect(self, client: ISession) -> Decision:
        self.calls.append((self.label, "on_client_connect", client))
        return self._decide()

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        self.calls.append((self.label, "on_client_disconnect", client, code, reason))

    def on_client_return(self, client: ISession) -> Decision:
        self.calls.append((self.label, "on_client_return", client))
        return self._decide()

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        self.calls.append((self.label, "on_tunnel_open", tunnel))
        return self._decide()

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        self.calls.append((self.label, "on_tunnel_close", tunnel, code, reason))

    def on_stream_open(self, stream: IStream) -> Decision:
        self.calls.append((self.label, "on_stream_open", stream))
        return self._decide()

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        self.calls.append((self.label, "on_stream_close", stream, code, reason))

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        self.calls.append((self.label, "on_data_received", tunnel, count))

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        self.calls.append((self.label, "on_data_sent", tunnel, count))

    def on_error(self, error: BaseException, context: str) -> None:
        self.calls.append((self.label, "on_error", error, context))


@implementer(IErrorHook)
class ErrorRecorder:
    """
    Writes failures down.
    """

    def __init__(self) -> None:
        self.errors: list[tuple[BaseException, str]] = []

    def on_error(self, error: BaseException, context: str) -> None:
        self.errors.append((error, context))
