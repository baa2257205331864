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

SMALL: Final = 4 << 10
"""
Fewer bytes than these are worth being held back until the end of the reactor's turn, if
more joins them then: the kernel takes longer for each write than for its bytes.
"""
LONE: Final = 8
"""
Small writes that are made at once after one that nothing has joined: to hold it back
was in vain.
"""


def prompt_writer(
    transport: ITransport, *, shared: bool = False
) -> Callable[[bytes | bytearray], None]:
    """
    Give what writes to a transport as its C{write} does; but where that is Twisted's
    own socket, and nothing waits to be written to it, the bytes go to the kernel at
    once. That spares a turn of the reactor, and telling the kernel twice what to wait
    for.

    Nobody may change what was written.

    @param shared: whether several write to it, so that small writes may come together
        in one turn of the reactor. When they do, they wait for each other.
    """
    if isinstance(transport, Connection) and hasattr(transport, "_tempDataLen"):
        return _PromptWriter(transport, shared)

    def write(data: bytes | bytearray) -> None:
        transport.write(bytes(data))

    return write


class _PromptWriter:
    """
    Writes to one socket.
    """

    __slots__ = ("_held_back", "_joined", "_lone", "_row", "_shared", "_transport")

    def __init__(self, transport: Connection, shared: bool) -> None:
        self._transport = transport
        self._shared = shared
        self._row = 0
        self._lone = LONE
        self._held_back = False
        self._joined = False

    def __call__(self, data: bytes | bytearray) -> None:
        transport = self._transport
        # What Twisted holds goes first. It has no public name for a part of it.
        if transport._tempDataLen or transport.dataBuffer:
            self._joined = True
        elif (
            self._row < IN_A_ROW
            and data
            and not (self._shared and self._hold_back(len(data)))
            # A producer that is asked for each piece is asked by the reactor.
            and (transport.streamingProducer or transport.producer is None)
            and transport.connected
            and not (transport.disconnecting or transport.TLS)
        ):
            sent = transport.writeSomeData(data)  # type: ignore[arg-type]  # says bytes, takes a view of any
            # An error is found once more by the reactor, which knows what to do.
            if isinstance(sent, int) and sent > 0:
                self._row += sent
                if sent == len(data):
                    return
                data = data[sent:]
        self._row = 0
        transport.write(bytes(data))

    def _hold_back(self, size: int) -> bool:
        """
        Choose whether a write waits for others, while nothing else does.
        """
        if self._held_back:
            self._held_back = False
            if not self._joined:
                self._lone = LONE
        if size >= SMALL:
            return False
        if self._lone:
            self._lone -= 1
            return False
        self._held_back = True
        self._joined = False
        return True
