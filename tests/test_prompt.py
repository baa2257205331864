"""
Tests of L{reitunnel.prompt}.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.prompt import IN_A_ROW, LONE, SMALL, prompt_writer


class Sink(Connection):
    """
    A connection whose kernel takes as much as it is told to.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        self._pair = socket.socketpair()
        super().__init__(self._pair[0], Protocol(), reactor)
        self.connected = True
        self.room = 1 << 30
        self.failure: Exception | None = None
        self.taken: list[bytes] = []

    def writeSomeData(self, data: bytes) -> int | Exception:  # type: ignore[override]  # tells less of what it gives
        if self.failure is not None:
            return self.failure
        size = min(self.room, len(data))
        self.room -= size
        if size:
            self.taken.append(bytes(data[:size]))
        return size

    def close(self) -> None:
        for each in self._pair:
            each.close()


class PromptWriterTestCase(SynchronousTestCase):
    """
    A connection, and what writes to it.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.sink = Sink(self.reactor)
        self.addCleanup(self.sink.close)
        self.write: Callable[[bytes | bytearray], None] = prompt_writer(self.sink)

    @property
    def waits(self) -> bool:
        """
        Whether the reactor has to write.
        """
        return self.sink in self.reactor.getWriters()


class PromptWriterTests(PromptWriterTestCase):
    def test_at_once(self) -> None:
        self.write(b"word")
        self.assertEqual([b"word"], self.sink.taken)
        self.assertFalse(self.waits)

    def test_no_room(self) -> None:
        """
        What the kernel does not take is written by the reactor, in order, and what
        follows comes after it.
        """
        self.sink.room = 3
        self.write(b"abcde")
        self.write(b"fg")
        self.assertEqual([b"abc"], self.sink.taken)
        self.assertTrue(self.waits)
        self.sink.room = 1 << 30
        self.write(b"h")
        self.assertEqual([b"abc"], self.sink.taken)
        self.sink.doWrite()
        self.assertEqual([b"abc", b"defgh"], self.sink.taken)
        self.assertFalse(self.waits)
        self.write(b"i")
        self.assertEqual(b"i", self.sink.taken[-1])

    def test_array(self) -> None:
        """
        A buffer goes to the kernel as it is; what waits of it is bytes, as Twisted
        wants them, and so is what other transports get.
        """
        self.sink.room = 3
        self.write(bytearray(b"abcde"))
        self.sink.room = 1 << 30
        self.sink.doWrite()
        self.assertEqual([b"abc", b"de"], self.sink.taken)
        transport = StringTransport()
        prompt_writer(transport)(bytearray(b"word"))
        self.assertEqual(b"word", transport.value())

    def test_part_of_what_waits_is_written(self) -> None:
        self.sink.room = 0
        self.write(b"abcd")
        self.sink.room = 2
        self.sink.doWrite()
        self.sink.room = 100
        self.write(b"ef")
        self.assertEqual([b"ab"], self.sink.taken)
        self.sink.doWrite()
        self.assertEqual(b"abcdef", b"".join(self.sink.taken))

    def test_producer_is_paused(self) -> None:
        told: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                told.append("pause")

            def resumeProducing(self) -> None:
                told.append("resume")

            def stopProducing(self) -> None:
                told.append("stop")

        self.sink.registerProducer(Producer(), True)
        self.write(bytes(self.sink.bufferSize + 1))
        self.assertEqual([], told)
        self.sink.room = 0
        self.write(bytes(self.sink.bufferSize + 1))
        self.assertEqual(["pause"], told)
        self.sink.room = 1 << 30
        self.sink.doWrite()
        self.assertEqual(["pause", "resume"], told)

    def test_producer_that_is_asked(self) -> None:
        """
        It is asked for the next piece when the reactor has written the one before.
        """
        pieces = [b"a", b"b", b"c"]
        write = self.write

        class Producer:
            def resumeProducing(self) -> None:
                if pieces:
                    write(pieces.pop(0))

            def stopProducing(self) -> None:
                pass

        self.sink.registerProducer(Producer(), False)
        for _ in range(3):
            self.assertTrue(self.waits)
            self.sink.doWrite()
        self.assertEqual([b"a", b"b", b"c"], self.sink.taken)
        self.sink.unregisterProducer()
        self.write(b"d")
        self.assertEqual(b"d", self.sink.taken[-1])

    def test_reactor_has_its_turn(self) -> None:
        """
        Who writes whenever there is room does not keep the reactor from the others.
        """
        piece, written = bytes(64 << 10), 0
        while not self.waits:
            self.write(piece)
            written += len(piece)
            self.assertTrue(written <= IN_A_ROW + len(piece))
        self.assertEqual(written - len(piece), sum(map(len, self.sink.taken)))
        self.sink.doWrite()
        self.write(piece)
        self.assertFalse(self.waits)

    def test_failure_is_left_to_the_reactor(self) -> None:
        self.sink.failure = ConnectionResetError()
        self.write(b"word")
        self.assertTrue(self.waits)
        self.assertIs(self.sink.failure, self.sink.doWrite())

    def test_nothing(self) -> None:
        self.write(b"")
        self.assertEqual([], self.sink.taken)
        self.assertFalse(self.waits)

    def test_closing(self) -> None:
        """
        A connection that is being closed is left to the reactor.
        """
        self.sink.loseConnection()
        self.write(b"word")
        self.assertEqual([], self.sink.taken)
        self.assertTrue(self.waits)

    def test_lost(self) -> None:
        self.sink.connected = False
        self.write(b"word")
        self.assertEqual([], self.sink.taken)
        self.assertFalse(self.waits)

    def test_tls(self) -> None:
        """
        Bytes do not get round TLS that a connection speaks itself.
        """
        self.sink.TLS = True
        written: list[bytes] = []
        self.sink.write = written.append  # type: ignore[method-assign]  # as TLS does
        self.write(b"word")
        self.assertEqual(([], [b"word"]), (self.sink.taken, written))

    def test_other_transports(self) -> None:
        transport = StringTransport()
        write = prompt_writer(transport)
        write(b"word")
        self.assertEqual(b"word", transport.value())

    def test_small_writes(self) -> None:
        for _ in range(3 * LONE):
            self.write(b"alone")
            self.assertFalse(self.waits)


class SharedTests(PromptWriterTestCase):
    """
    Several write to one connection.
    """

    def setUp(self) -> None:
        super().setUp()
        self.write = prompt_writer(self.sink, shared=True)

    def test_small_writes_that_come_together(self) -> None:
        """
        From time to time a small write is held back. As long as others join it, so is
        the next.
        """
        for _ in range(LONE):
            self.write(b"alone")
        self.assertEqual([b"alone"] * LONE, self.sink.taken)
        for _ in range(3):
            self.sink.taken.clear()
            for word in (b"a", b"b", b"c"):
                self.write(word)
            self.assertEqual([], self.sink.taken)
            self.sink.doWrite()
            self.assertEqual([b"abc"], self.sink.taken)

    def test_small_write_that_stays_alone(self) -> None:
        for _ in range(3):
            for _ in range(LONE):
                self.write(b"alone")
                self.assertFalse(self.waits)
            self.write(b"held back")
            self.assertTrue(self.waits)
            self.sink.doWrite()

    def test_large_writes_are_not_held_back(self) -> None:
        for _ in range(3 * LONE):
            self.write(bytes(SMALL))
            self.assertFalse(self.waits)
