"""
Writing to sockets at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import ITransport
from twisted.internet.tcp import Connection

IN_A_ROW: Final = 512 << 10
"""
Bytes that are written at once in a row, at most: then the reactor has its turn, also if
there is a producer that has more to write whenever it may.
"""


def prompt_writer(transport: ITransport) -> Callable[[bytes], None]:
    """
    Give what writes to a transport as its C{write} does; but where that is Twisted's
    own socket, and nothing waits to be written to it, the bytes go to the kernel at
    once. That spares a turn of the reactor, and telling the kernel twice what to wait
    for.
    """
    if isinstance(transport, Connection) and hasattr(transport, "_tempDataLen"):
        return _PromptWriter(transport)

    def write(data: bytes) -> None:
        transport.write(data)

    return write


class _PromptWriter:
    """
    Writes to one socket.
    """

    __slots__ = ("_row", "_transport")

    def __init__(self, transport: Connection) -> None:
        self._transport = transport
        self._row = 0

    def __call__(self, data: bytes) -> None:
        transport = self._transport
        if (
            self._row < IN_A_ROW
            and data
            # What Twisted holds goes first. It has no public name for a part of it.
            and not (transport._tempDataLen or transport.dataBuffer)
            # A producer that is asked for each piece is asked by the reactor.
            and (transport.streamingProducer or transport.producer is None)
            and transport.connected
            and not (transport.disconnecting or transport.TLS)
        ):
            sent = transport.writeSomeData(data)
            # An error is found once more by the reactor, which knows what to do.
            if isinstance(sent, int) and sent > 0:
                self._row += sent
                if sent == len(data):
                    return
                data = data[sent:]
        self._row = 0
        transport.write(data)
