"""
Tests of L{reitunnel.transports.tls_transport} with peers and protocols that do what
they should not, or at the worst moment.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProducer, IPullProducer
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure

from reitunnel.transports.records import RECORD
from tests.producers import Producer
from tests.transports.support import Wire
from tests.transports.test_tls_transport import PairTestCase, taken


class Asking(StringTransport):
    """
    Asks a pull producer for bytes as soon as it is registered, as TCP does.
    """

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        if not streaming:
            cast(IPullProducer, producer).resumeProducing()


class PullTests(PairTestCase):
    def send_file(self, content: bytes) -> None:
        """
        Let the server send a file, and close.
        """
        self.server_end.__class__ = Asking
        FileSender().beginFileTransfer(BytesIO(content), self.server.transport)
        self.server.transport.loseConnection()
        self.assertEqual(bool(content), self.server_end.producer is not None)
        while self.server_end.producer is not None:
            cast(IPullProducer, self.server_end.producer).resumeProducing()
        self.pump()
        self.assertEqual(content, self.client.received)
        for side in (self.server, self.client):
            side.lost[0].trap(ConnectionDone)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_file(self) -> None:
        self.send_file(bytes(100_000))

    def test_empty_file(self) -> None:
        """
        The producer is done before it is registered.
        """
        self.send_file(b"")

    def test_one_at_a_time(self) -> None:
        """
        The first one is not forgotten for one that is refused.
        """
        first = Producer()
        transport = self.server.transport
        transport.registerProducer(first, True)
        error = self.assertRaises(
            RuntimeError, transport.registerProducer, Producer(), True
        )
        self.assertIn(repr(first), str(error))
        self.assertIs(first, self.server_end.producer)
        transport.loseConnection()
        self.clock.advance(100)
        self.assertFalse(self.server_end.disconnecting)
        transport.unregisterProducer()
        self.pump()
        self.server.lost[0].trap(ConnectionDone)


class LastDataTests(PairTestCase):
    def test_failure_of_the_protocol(self) -> None:
        """
        It is told of the end all the same, once, and why.
        """

        def fail() -> None:
            raise ZeroDivisionError("on purpose")

        self.client.transport.pauseProducing()
        self.give_client(self.sealed(b"a"))
        self.client.on_data = fail
        self.wire.protocols[1].connectionLost(Failure(ConnectionDone()))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        [reason] = self.client.lost
        reason.trap(ZeroDivisionError)
        self.assertEqual([], self.clock.getDelayedCalls())


class PeerTests(PairTestCase):
    def broken(self) -> bytes:
        """
        A record of the server's that cannot be opened.
        """
        bad = bytearray(self.sealed(b"bad"))
        bad[-1] ^= 1
        return bytes(bad)

    def test_breaks_tls_and_does_not_read(self) -> None:
        """
        It is not waited for for ever.
        """
        self.client.transport.write(bytes(RECORD))
        self.give_client(self.broken())
        self.assertTrue(self.client_end.disconnecting)
        self.clock.advance(9.9)
        self.assertFalse(self.client_end.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(self.client_end.disconnected)
        self.pump()
        self.client.lost[0].trap(SSL.Error)

    def test_breaks_tls_while_it_is_waited_for(self) -> None:
        self.client.transport.loseConnection()
        self.give_client(self.broken())
        self.assertTrue(self.client_end.disconnecting)
        self.pump()
        self.client.lost[0].trap(SSL.Error)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_says_more_after_its_end(self) -> None:
        """
        Nothing that stands behind close_notify is looked at (RFC 8446, section 6.1).
        """
        self.server.transport.loseConnection()
        end = taken(self.server_end)
        for rest in (b"\x17\x03\x03\x00\x20" + bytes(32), b"no TLS at all", b"\x17"):
            self.give_client(end + rest)
            end = b""
        self.pump()
        self.assertEqual([], self.client.pieces)
        self.client.lost[0].trap(ConnectionDone)
        self.assertEqual(1, len(self.client.lost))

    def test_sends_for_ever_after_this_side_has_ended(self) -> None:
        """
        Nothing is kept of it, and it is not waited for longer.
        """
        self.client.transport.loseConnection()
        for _ in range(100):
            self.give_client(self.sealed(bytes(RECORD)))
            self.clock.advance(0.099)
        self.assertFalse(self.client_end.disconnecting)
        self.assertEqual(0, self.client.transport.getHandle().pending())  # type: ignore[attr-defined]  # ISystemHandle
        self.clock.advance(0.2)
        self.assertTrue(self.client_end.disconnecting)
        self.assertEqual([], self.client.pieces)

    def test_closes_in_the_same_read(self) -> None:
        """
        What the protocol does about the last data comes before the answer.
        """
        self.client.on_data = lambda: self.client.transport.write(b"answer")
        self.give_client(self.close(b"question"))
        self.pump()
        self.assertTrue(self.client_end.disconnecting)
        self.client.lost[0].trap(ConnectionDone)

    def test_closes_in_the_same_read_as_this_side(self) -> None:
        for act in ("loseConnection", "abortConnection"):
            self.pair()
            self.pump()
            self.client.on_data = getattr(self.client.transport, act)
            self.give_client(self.close(b"question"))
            self.pump()
            self.assertEqual([b"question"], self.client.pieces)
            self.assertEqual(1, len(self.client.lost))
            self.assertEqual([], self.clock.getDelayedCalls())

    def close(self, last: bytes) -> bytes:
        """
        What the server sends when it writes something and closes.
        """
        self.server.transport.write(last)
        self.server.transport.loseConnection()
        return taken(self.server_end)


Step = tuple[str, int]

STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("server writes"), st.integers(0, 60_000)),
        st.tuples(st.just("client writes"), st.integers(0, 60_000)),
        st.tuples(st.just("move"), st.integers(1, 40_000)),
        st.tuples(
            st.sampled_from(["turn", "pause", "resume", "pause when data comes"]),
            st.just(0),
        ),
    ),
    max_size=30,
)


class AnyOrderTests(PairTestCase):
    @settings(deadline=None, max_examples=60)
    @given(steps=STEPS, closes=st.sampled_from(["server", "client"]))
    def test_every_byte_comes_once(self, steps: list[Step], closes: str) -> None:
        self.pair()
        self.pump()
        paused = pauses = False
        sent = {"server": b"", "client": b""}
        sides = {"server": self.server, "client": self.client}

        def data() -> None:
            self.assertFalse(paused)
            if pauses:
                pause()

        def pause() -> None:
            nonlocal paused, pauses
            paused, pauses = True, False
            self.client.transport.pauseProducing()

        def resume() -> None:
            nonlocal paused
            paused = False
            self.client.transport.resumeProducing()

        self.client.on_data = data
        acts: dict[str, Callable[[], None]] = {
            "turn": lambda: self.clock.advance(0),
            "pause": pause,
            "resume": resume,
        }
        for number, (step, size) in enumerate(steps):
            if step.endswith("writes"):
                side = step.partition(" ")[0]
                piece = bytes([number]) * size
                sent[side] += piece
                sides[side].transport.write(piece)
            elif step == "move":
                self.move(self.wire, size)
            elif step == "pause when data comes":
                pauses = True
            else:
                acts[step]()
        pauses = False
        resume()
        self.pump()
        sides[closes].transport.loseConnection()
        self.pump()
        self.assertEqual(sent["server"], self.client.received)
        self.assertEqual(sent["client"], self.server.received)
        for each in sides.values():
            [reason] = each.lost
            reason.trap(ConnectionDone)
        self.assertEqual([], self.clock.getDelayedCalls())

    def move(self, wire: Wire, size: int) -> None:
        """
        Move so many bytes to the client, if it reads.
        """
        data = self.server_end.value()
        if data and self.client_end.producerState == "producing":
            self.server_end.clear()
            self.server_end.io.write(data[size:])
            wire.protocols[1].dataReceived(data[:size])
