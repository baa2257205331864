"""
Ways to close connections that not every transport has.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.interfaces import IHalfCloseableDescriptor, ITransport

from reitunnel.interfaces import IHalfCloseTransport


def half_close(transport: ITransport) -> bool:
    """
    Close the direction away from this side, once all is sent.

    @return: whether the transport can do that. If not, nothing has happened.
    """
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
