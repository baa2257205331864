"""
TLS records in batches, in memory: all that one read has brought are opened at once,
all that one write needs are sealed at once. No I/O.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from OpenSSL.SSL import Connection, Error, WantReadError, ZeroReturnError

Buffer = bytes | memoryview

RECORD: Final = 1 << 14
"""The most plain bytes that one record holds (RFC 8446, section 5.1)."""

_LONGEST: Final = RECORD + 256
"""The most bytes of a sealed record, without its header (section 5.2)."""

_HEADER: Final = 5
"""Bytes of a record's header, which is not sealed: the length stands at its end."""

_TURN: Final = 8 * RECORD
"""Plain bytes that are sealed at a time. OpenSSL keeps the memory that they need for
as long as the connection lasts."""

_OVERHEAD: Final = 64
"""More than what any cipher that is spoken adds to a record."""

_REMARK: Final = 4096
"""Bytes of what TLS says on its own that are taken at a time."""


class Records:
    """
    One side of a TLS connection: bytes of the network and plain bytes, each in and
    out.

    To ask OpenSSL for what is not there, and to be told so by an exception, costs as
    much as to open a small record. So the records that come are counted, and only
    those that are whole are asked for. One that turns out to have had no plain bytes
    was said by TLS itself, and only then there may be an answer.

    @ivar connection: OpenSSL's, with the side that it is on chosen.
    @ivar ended: whether the peer has said that it sends no more (close_notify).
    @ivar problem: what has gone wrong, after which nothing more can be opened or
        sealed. There may be a last remark: the alert.
    @ivar addressed: whether what was opened last had something for TLS itself:
        there may be L{remarks}.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.ended = False
        self.problem: Error | None = None
        self.addressed = False
        # Of the records that came: how many are whole, how many bytes are missing
        # of one that is not, and its header if that is not whole.
        self._whole = 0
        self._missing = 0
        self._header = b""

    def receive(self, sealed: bytes) -> None:
        """
        Take bytes that came from the network; there is at least one.
        """
        self.connection.bio_write(sealed)
        if self._header:
            sealed = self._header + sealed
            self._header = b""
        size = len(sealed)
        position = self._missing
        if position:
            if position > size:
                self._missing -= size
                return
            self._whole += 1
        while size - position >= _HEADER:
            length = sealed[position + 3] << 8 | sealed[position + 4]
            position += _HEADER + length
            if position > size:
                self._missing = position - size
                # One that is too long is for OpenSSL to refuse, at once.
                self._whole += length > _LONGEST
                return
            self._whole += 1
        self._missing = 0
        self._header = sealed[position:]

    def shake_hands(self) -> bool:
        """
        Go on with the handshake.

        @return: whether it is over.
        """
        try:
            self.connection.do_handshake()
        except WantReadError:
            return False
        except Error as error:
            self._fail(error)
            return False
        return True

    def open(self) -> bytes:
        """
        Open the records that are there. What comes before the end, or before a
        record that is broken, is given.
        """
        whole, self._whole = self._whole, 0
        self.addressed = False
        receive = self.connection.recv
        plain: list[bytes] = []
        try:
            for _ in range(whole):
                plain.append(receive(RECORD))
        except WantReadError:
            self.addressed = True
        except ZeroReturnError:
            self.ended = True
        except Error as error:
            self._fail(error)
        return b"".join(plain)

    def seal(self, plain: Buffer) -> list[bytes]:
        """
        Seal bytes, of which there is at least one, in as few records as possible.

        @return: what is to be sent.
        """
        try:
            if len(plain) <= _TURN:
                return self._seal(plain)
            sealed: list[bytes] = []
            rest = memoryview(plain)
            while rest:
                sealed += self._seal(rest[:_TURN])
                rest = rest[_TURN:]
        except Error as error:
            self._fail(error)
            return []
        return sealed

    def end(self) -> list[bytes]:
        """
        End this direction.

        @return: what is to be sent: close_notify, if that can still be said.
        """
        with suppress(Error):
            self.connection.shutdown()
        return self.remarks()

    def remarks(self) -> list[bytes]:
        """
        What TLS has to say on its own, if anything: its part of a handshake,
        tickets, answers, alerts.
        """
        try:
            return self._take(_REMARK)
        except WantReadError:
            return []

    def _seal(self, plain: Buffer) -> list[bytes]:
        self.connection.sendall(plain)
        size = len(plain)
        return self._take(size + (size // RECORD + 2) * _OVERHEAD)

    def _take(self, size: int) -> list[bytes]:
        """
        Take all that is to be sent.

        @raise WantReadError: when that is nothing.
        """
        read = self.connection.bio_read
        taken = [read(size)]
        # As a rule the first has all. If it is full, there may be more.
        with suppress(WantReadError):
            while len(taken[-1]) == size:
                taken.append(read(size))
        return taken

    def _fail(self, error: Error) -> None:
        # The traceback would keep this, and all that it refers to, alive.
        self.problem = error.with_traceback(None)
