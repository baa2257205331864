"""
Ways to close connections that not every transport has, and to see that one is broken.
"""

from __future__ import annotations

import socket
from typing import cast

from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IProcessTransport,
    ITransport,
)

from reitunnel.interfaces import IHalfCloseTransport


def half_close(transport: ITransport) -> bool:
    """
    Close the direction away from this side, once all is sent.

    @return: whether the transport can do that. If not, nothing has happened.
    """
    if IProcessTransport.providedBy(transport):
        IProcessTransport(transport).closeStdin()
        return True
    # The instance must not be asked: Twisted's TLS says that it can do what the
    # connection below it can, and would close that one.
    if not IHalfCloseableDescriptor.implementedBy(type(transport)):
        return False
    cast(IHalfCloseTransport, transport).loseWriteConnection()
    return True


def cut(transport: ITransport) -> None:
    """
    Close a connection at once if it can do so, in order if it cannot, as the pipes
    to a process.
    """
    abort = getattr(transport, "abortConnection", None)
    (transport.loseConnection if abort is None else abort)()


def is_broken(transport: ITransport) -> bool:
    """
    Ask the kernel whether a connection was reset, or its peer is gone. The reactor
    finds that out only while the connection is read from or written to.

    @return: whether it is broken; then close it, for the kernel tells it once. False
        if the transport is no socket.
    """
    get_handle = getattr(transport, "getHandle", None)
    handle = None if get_handle is None else get_handle()
    if not isinstance(handle, socket.socket):
        return False
    return handle.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
