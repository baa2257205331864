"""
Finds what lies below a transport: the one that the kernel knows, and the TLS
connection on the way there.
"""

from __future__ import annotations

from OpenSSL.SSL import Connection
from twisted.internet.interfaces import ITransport
from twisted.protocols.policies import ProtocolWrapper


class LayeredTransport:
    """
    A transport that sends its bytes through another one.

    @ivar lower: the other one.
    @ivar scheme: of the links that go over it, for L{ILinkFacts.scheme}.
    """

    def __init__(self, lower: ITransport, scheme: str) -> None:
        self.lower = lower
        self.scheme = scheme


def base_transport(transport: ITransport) -> ITransport:
    """
    The transport at the bottom, below TLS and WebSocket.

    @return: C{transport} itself, if there is none below it.
    """
    lower = _below(transport)
    while lower is not None:
        transport, lower = lower, _below(lower)
    return transport


def handle(transport: ITransport) -> object | None:
    """
    What the transport calls its handle: a socket, or a TLS connection.

    @return: L{None} if it has none, or none any more.
    """
    get_handle = getattr(transport, "getHandle", None)
    try:
        return None if get_handle is None else get_handle()
    except AttributeError:
        # The way of Twisted's TCP when the connection is gone.
        return None


def tls_connection(transport: ITransport) -> Connection | None:
    """
    The TLS connection that a transport goes through.

    @return: the topmost one, or L{None} if this process speaks no TLS on it.
    """
    current: ITransport | None = transport
    while current is not None:
        found = handle(current)
        if isinstance(found, Connection):
            return found
        current = _below(current)
    return None


def abort(transport: ITransport) -> None:
    """
    Close a transport at once if it can do so, in order if it cannot.
    """
    abort_connection = getattr(transport, "abortConnection", None)
    (transport.loseConnection if abort_connection is None else abort_connection)()


def _below(transport: ITransport) -> ITransport | None:
    if isinstance(transport, LayeredTransport):
        return transport.lower
    if isinstance(transport, ProtocolWrapper):
        return transport.transport
    return None
