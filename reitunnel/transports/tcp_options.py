"""
The options of TCP sockets, and how much is read from them, the same for links,
visitors and targets.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import ITransport
from twisted.internet.tcp import Connection
from twisted.logger import Logger

from reitunnel.config import Tuning
from reitunnel.transports.layers import base_transport, handle

_log = Logger()

_FAMILIES: Final = frozenset({socket.AF_INET, socket.AF_INET6})

_PROBES: Final = 3
"""How many keep-alive probes go unanswered before the peer counts as gone."""

_IDLE_OPTION: Final = getattr(
    socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None)
)
"""The seconds before the first probe: macOS has another name for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPOptions:
    """
    What to set on a TCP socket, and on what reads from it.

    @ivar nodelay: send small pieces at once (C{TCP_NODELAY}).
    @ivar keepalive: seconds of silence before the peer is probed; 0 for never.
        A peer that answers no probe is gone after twice that time.
    @ivar send_buffer: bytes (C{SO_SNDBUF}); L{None} leaves it to the system.
    @ivar receive_buffer: bytes (C{SO_RCVBUF}); L{None} leaves it to the system.
    @ivar read_size: the most bytes that are read at a time; L{None} leaves it to
        Twisted.
    """

    nodelay: bool = True
    keepalive: float = 30.0
    send_buffer: int | None = None
    receive_buffer: int | None = None
    read_size: int | None = None

    @classmethod
    def of(cls, tuning: Tuning) -> TCPOptions:
        """
        Take what a configuration says.
        """
        return cls(
            nodelay=tuning.nodelay,
            keepalive=tuning.keepalive,
            send_buffer=tuning.send_buffer or None,
            receive_buffer=tuning.receive_buffer or None,
            read_size=tuning.buffer_size,
        )


def apply_tcp_options(transport: ITransport, options: TCPOptions) -> None:
    """
    Set the options on the socket below a transport. Nothing happens to one that is
    not TCP; what the system refuses is logged and left as it was. How much is read is
    set on whatever of Twisted's reads from a socket.
    """
    base = base_transport(transport)
    if options.read_size is not None and isinstance(base, Connection):
        base.bufferSize = options.read_size
    target = _socket(base)
    if target is None:
        return
    for level, name, value in _socket_options(options):
        try:
            target.setsockopt(level, name, value)
        except OSError as error:
            _log.debug(
                "the system refuses socket option {option}: {error}",
                option=(level, name),
                error=error,
            )


def _socket(transport: ITransport) -> socket.socket | None:
    found = handle(transport)
    if isinstance(found, socket.socket) and found.family in _FAMILIES:
        return found
    return None


def _socket_options(options: TCPOptions) -> Iterator[tuple[int, int, int]]:
    tcp = socket.IPPROTO_TCP
    yield tcp, socket.TCP_NODELAY, int(options.nodelay)
    yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(options.keepalive > 0)
    if options.keepalive > 0:
        if _IDLE_OPTION is not None:
            yield tcp, _IDLE_OPTION, max(1, round(options.keepalive))
        if hasattr(socket, "TCP_KEEPINTVL"):
            interval = max(1, round(options.keepalive / _PROBES))
            yield tcp, socket.TCP_KEEPINTVL, interval
        if hasattr(socket, "TCP_KEEPCNT"):
            yield tcp, socket.TCP_KEEPCNT, _PROBES
    if options.send_buffer is not None:
        yield socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer
    if options.receive_buffer is not None:
        yield socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer
