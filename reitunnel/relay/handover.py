"""
Taking sockets from Twisted for L{reitunnel.relay.splice}: which can be taken, and
when.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from errno import EAGAIN, ENOTCONN
from functools import cache
from socket import AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM, socket, socketpair
from typing import Final, TypeGuard

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IReactorTime
from twisted.internet.tcp import Connection
from zope.interface import implementer

_FAMILIES: Final = frozenset([AF_INET, AF_INET6, AF_UNIX])


def can_splice(transport: object) -> TypeGuard[Connection]:
    """
    Whether a transport's bytes can be moved by splice(2): it is Twisted's own
    transport of a connected TCP or Unix stream socket, without TLS or anything else
    between, and the kernel can do it.
    """
    # Nothing less than the class will do: wrappers say that they provide what the
    # transport below them does, and change the bytes on their way.
    if not isinstance(transport, Connection) or not transport.connected:
        return False
    handle: object = transport.getHandle()
    # With TLS started it is a TLS connection.
    if not isinstance(handle, socket) or handle.type != SOCK_STREAM:
        return False
    try:
        return handle.family in _FAMILIES and kernel_splices(handle.family)
    except OSError:
        return False


@cache
def kernel_splices(family: int) -> bool:
    """
    Whether splice(2) is there and takes stream sockets of a family: a socket with
    nothing to read says so.

    @raise OSError: when there are no descriptors to try it with.
    """
    if not hasattr(os, "splice"):
        return False
    with ExitStack() as stack:
        # An unconnected Unix socket would not tell.
        sockets = socketpair() if family == AF_UNIX else (socket(family),)
        for each in sockets:
            stack.enter_context(each)
        pipe = os.pipe()
        for descriptor in pipe:
            stack.callback(os.close, descriptor)
        sockets[0].setblocking(False)
        try:
            os.splice(sockets[0].fileno(), pipe[1], 1, flags=os.SPLICE_F_NONBLOCK)
        except OSError as error:
            return error.errno in (EAGAIN, ENOTCONN)
    return False


def hand_over(
    reactor: IReactorTime, source: Connection, sink: Connection
) -> Deferred[None]:
    """
    Make one direction ready for C{Splice.start}: C{source} reads no more, and
    everything written to C{sink} is in the kernel. A producer of C{sink} is
    unregistered. The other direction goes on.

    Data that C{source} has read already may still come to its protocol, and is to be
    written to C{sink} as before; nothing may resume C{source}. If C{source} turns out
    to have ended, or either of the two is closed, the direction is not worth moving:
    cancel.

    @param sink: a transport whose C{loseWriteConnection} was not called.
    @return: fires when the direction is ready: start it at once. Fails with
        L{ConnectionLost} if C{sink} is lost, and with L{ConnectionDone} if it was
        told to close. It can be cancelled; C{source} is then
        to be resumed, if it shall go on.
    """
    # The producer may be the source, or resume it.
    sink.unregisterProducer()
    source.pauseProducing()
    return _Flush(reactor, sink).done


@implementer(IPullProducer)
class _Flush:
    """
    Waits until a transport has written everything: as its producer, which is asked
    for more then.

    @ivar done: fires when it has.
    """

    def __init__(self, reactor: IReactorTime, transport: Connection) -> None:
        self._transport = transport
        self._begun = False
        self.done: Deferred[None] = Deferred(self._cancel)
        # The reactor may be calling the descriptors that were ready at one time, the
        # source that was just paused among them: it is asked for its data once more.
        self._call = reactor.callLater(0, self._begin)

    def resumeProducing(self) -> None:
        """
        The transport has written everything, unless it has only just been asked.
        """
        if not self._begun:
            return
        self._begun = False
        self._transport.unregisterProducer()
        if self._transport.disconnecting:
            self.done.errback(ConnectionDone())
        else:
            self.done.callback(None)

    def stopProducing(self) -> None:
        """
        The transport is lost.
        """
        self._begun = False
        self.done.errback(ConnectionLost())

    def _begin(self) -> None:
        transport = self._transport
        if not transport.connected:
            self.stopProducing()
            return
        transport.registerProducer(self, False)
        self._begun = True
        transport.startWriting()

    def _cancel(self, done: Deferred[None]) -> None:
        if self._call.active():
            self._call.cancel()
        elif self._begun:
            self._begun = False
            self._transport.unregisterProducer()
