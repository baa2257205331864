"""
Joining a connection and a stream: by copying, and in the kernel where that can be.
"""

from __future__ import annotations

from reitunnel.relay.kernel import kernel_pump
from reitunnel.relay.pump import SocketEnd, StreamEnd
from reitunnel.relay.stream import StreamTransport


def join(socket: SocketEnd, stream: StreamTransport) -> None:
    """
    Move bytes between a socket and a stream from now on. If one of them is lost
    already, the other is aborted.
    """
    if socket.lost:
        stream.abortConnection()
        return
    end = StreamEnd()
    socket.other = end
    end.other = socket
    socket.transport.registerProducer(end, True)
    stream.registerProducer(socket, True)
    stream.on_carrier = kernel_pump(stream, socket)
    stream.on_heartbeat = socket.look
    stream.connect(end)
    if not (end.lost or stream.writing_held):
        socket.resumeProducing()
