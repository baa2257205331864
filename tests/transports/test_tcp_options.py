"""
Tests of L{reitunnel.transports.tcp_options}.
"""

from __future__ import annotations

import socket

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import Tuning
from reitunnel.transports import TCPOptions, apply_tcp_options
from tests.transports.test_layers import Layer


class SocketTransport(StringTransport):
    """
    A transport with a socket.
    """

    def __init__(self, handle: socket.socket) -> None:
        super().__init__()
        self.handle = handle

    def getHandle(self) -> socket.socket:
        return self.handle


class ApplyTests(SynchronousTestCase):
    def socket(self, family: int = socket.AF_INET) -> socket.socket:
        made = socket.socket(family, socket.SOCK_STREAM)
        self.addCleanup(made.close)
        return made

    def test_defaults(self) -> None:
        handle = self.socket()
        apply_tcp_options(SocketTransport(handle), TCPOptions())
        tcp = socket.IPPROTO_TCP
        self.assertTrue(handle.getsockopt(tcp, socket.TCP_NODELAY))
        self.assertTrue(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        self.assertEqual(30, handle.getsockopt(tcp, socket.TCP_KEEPIDLE))
        self.assertEqual(10, handle.getsockopt(tcp, socket.TCP_KEEPINTVL))
        self.assertEqual(3, handle.getsockopt(tcp, socket.TCP_KEEPCNT))

    def test_off(self) -> None:
        handle = self.socket()
        apply_tcp_options(SocketTransport(handle), TCPOptions())
        apply_tcp_options(
            SocketTransport(handle), TCPOptions(nodelay=False, keepalive=0)
        )
        self.assertFalse(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.assertFalse(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_less_than_a_second(self) -> None:
        handle = self.socket()
        apply_tcp_options(SocketTransport(handle), TCPOptions(keepalive=0.2))
        self.assertEqual(1, handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))

    def test_buffers(self) -> None:
        handle = self.socket()
        options = TCPOptions(send_buffer=50000, receive_buffer=40000)
        apply_tcp_options(SocketTransport(handle), options)
        level = socket.SOL_SOCKET
        # Linux doubles what it is told.
        self.assertIn(handle.getsockopt(level, socket.SO_SNDBUF), (50000, 100000))
        self.assertIn(handle.getsockopt(level, socket.SO_RCVBUF), (40000, 80000))

    def test_what_is_read_at_a_time(self) -> None:
        for made in (self.socket(), self.socket(socket.AF_UNIX)):
            connection = Connection(made, Protocol(), MemoryReactor())
            apply_tcp_options(Layer(connection), TCPOptions())
            self.assertEqual(Connection.bufferSize, connection.bufferSize)
            apply_tcp_options(Layer(connection), TCPOptions(read_size=8192))
            self.assertEqual(8192, connection.bufferSize)

    def test_of_a_configuration(self) -> None:
        self.assertEqual(TCPOptions(read_size=65536), TCPOptions.of(Tuning()))
        self.assertEqual(
            TCPOptions(
                nodelay=False,
                keepalive=0,
                send_buffer=1,
                receive_buffer=2,
                read_size=8192,
            ),
            TCPOptions.of(
                Tuning(
                    nodelay=False,
                    keepalive=0,
                    send_buffer=1,
                    receive_buffer=2,
                    buffer_size=8192,
                )
            ),
        )

    def test_below_layers(self) -> None:
        handle = self.socket(socket.AF_INET6)
        top = Layer(SocketTransport(handle))
        apply_tcp_options(top, TCPOptions())
        self.assertTrue(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_nothing_that_is_tcp(self) -> None:
        apply_tcp_options(StringTransport(), TCPOptions())
        handle = self.socket(socket.AF_UNIX)
        apply_tcp_options(SocketTransport(handle), TCPOptions())
        self.assertFalse(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_closed_socket(self) -> None:
        handle = self.socket()
        handle.close()
        apply_tcp_options(SocketTransport(handle), TCPOptions())
