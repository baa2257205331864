"""
Tests of L{reitunnel.relay.data_link}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import RemoteProtocolError
from reitunnel.relay import DataLink, Link
from reitunnel.wire.frames import FrameKind, FrameReader, encode_frame
from reitunnel.wire.messages import encode_number
from tests.relay.memory import Remote, connect
from tests.relay.rig import NoFrames

LINK = 7
STREAM = 2


def ping(number: int = 1) -> bytes:
    return encode_frame(FrameKind.PING, 0, number.to_bytes(8, "big"))


def pong(number: int = 1) -> bytes:
    return encode_frame(FrameKind.PONG, 0, number.to_bytes(8, "big"))


def switch(stream: int = STREAM, link: int = LINK) -> bytes:
    return encode_number(FrameKind.SWITCH, stream, link)


class Receiver:
    """
    Writes down what a stream is told of its data link.
    """

    def __init__(self) -> None:
        self.told: list[object] = []

    def raw_began(self) -> None:
        self.told.append("began")

    def raw_received(self, data: bytes) -> None:
        self.told.append(data)

    def raw_lost(self, reason: Failure) -> None:
        self.told.append("lost")

    def raw_full(self) -> None:
        self.told.append("full")

    def raw_writable(self) -> None:
        self.told.append("writable")


class DataLinkTestCase(SynchronousTestCase):
    """
    One data link; at its far end is a program that says what the test wants.
    """

    peer_gives = True

    def setUp(self) -> None:
        self.clock = Clock()
        self.lost: list[DataLink] = []
        self.link = Link(FrameReader(), NoFrames(), self.clock)
        self.peer = Remote()
        self.near, self.far = connect(self.link, self.peer, self.clock)
        self.data_link = DataLink(
            LINK,
            self.link,
            self.clock,
            heartbeat_interval=10,
            heartbeat_timeout=30,
            peer_gives=self.peer_gives,
            on_lost=self.lost.append,
        )
        self.data_link.start()
        self.receiver = Receiver()
        self.settle()
        self.assertEqual(ping(1), self.take())

    def settle(self) -> None:
        """
        Let everything happen that can happen now.
        """
        self.clock.advance(0)
        while self.near.turn() or self.far.turn():
            self.clock.advance(0)

    def say(self, *data: bytes) -> None:
        """
        The peer says this.
        """
        self.peer.transport.write(b"".join(data))
        self.settle()

    def take(self) -> bytes:
        """
        Take what the peer has heard.
        """
        self.settle()
        heard = bytes(self.peer.received)
        self.peer.received.clear()
        return heard

    def check_cut_off(self) -> None:
        """
        The link was aborted, and nothing is left.
        """
        self.settle()
        self.assertTrue(self.peer.was_reset)
        self.assertEqual([], self.clock.getDelayedCalls())


class IdleTests(DataLinkTestCase):
    def test_pinged(self) -> None:
        self.say(pong(1))
        self.clock.advance(10)
        self.assertEqual(ping(2), self.take())

    def test_answers(self) -> None:
        self.say(ping(5), ping(6))
        self.assertEqual(pong(5) + pong(6), self.take())

    def test_silent(self) -> None:
        """
        Nobody is to have it while it is being closed.
        """
        self.clock.pump([10, 10, 10])
        self.assertEqual([self.data_link], self.lost)
        self.check_cut_off()
        self.assertEqual([self.data_link], self.lost)

    def test_late(self) -> None:
        self.assertFalse(self.data_link.late)
        self.clock.advance(1.1)
        self.assertTrue(self.data_link.late)
        self.say(pong(1))
        self.assertFalse(self.data_link.late)

    def test_lost(self) -> None:
        self.near.cut()
        self.assertEqual([self.data_link], self.lost)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_close(self) -> None:
        self.data_link.close()
        self.settle()
        self.assertTrue(self.peer.finished)
        self.peer.transport.loseConnection()
        self.settle()
        self.assertEqual([], self.lost)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_abort(self) -> None:
        self.data_link.abort()
        self.check_cut_off()
        self.assertEqual([], self.lost)

    def test_broken(self) -> None:
        """
        Only pings, answers and SWITCH may come.
        """
        for frame in (
            encode_frame(FrameKind.DATA, STREAM, b"x"),
            encode_frame(FrameKind.EOF, STREAM),
            encode_frame(FrameKind.GOAWAY, 0, b"\x80"),
            encode_frame(FrameKind.HELLO, 0, b"\x80"),
            switch(link=LINK + 1),
            b"no frame at all",
        ):
            self.setUp()
            self.say(frame)
            self.assertEqual([self.data_link], self.lost)
            self.check_cut_off()

    def test_answers_are_not_read(self) -> None:
        """
        Who asks and does not read the answers fills no memory.
        """
        self.peer.transport.pauseProducing()
        for _ in range(100):
            self.say(ping() * 1000)
        self.assertLess(len(self.near.outgoing), 200_000)
        self.assertEqual(1, self.near.aborted)


class UseTests(DataLinkTestCase):
    def use(self) -> None:
        self.data_link.use(STREAM, self.receiver)

    def test_no_clocks(self) -> None:
        """
        While a stream has it, nothing is left to ask.
        """
        self.use()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertFalse(self.data_link.late)
        self.near.cut()
        self.assertEqual((["lost"], []), (self.receiver.told, self.lost))

    def test_each_way(self) -> None:
        self.use()
        self.data_link.begin()
        self.link.transport.write(b"there")
        self.assertEqual(switch() + b"there", self.take())
        self.say(switch(), b"back")
        self.say(b"more")
        self.assertEqual(["began", b"back", b"more"], self.receiver.told)

    def test_pings_are_answered_until_this_side_begins(self) -> None:
        """
        The peer may not hear of the stream for long: what was queued on the control
        link goes first.
        """
        self.use()
        self.say(ping(5))
        self.assertEqual(pong(5), self.take())
        self.data_link.begin()
        self.say(ping(6), pong(1))
        self.assertEqual(switch(), self.take())
        self.assertEqual([], self.receiver.told)

    def test_another_stream(self) -> None:
        self.use()
        self.say(switch(stream=STREAM + 2))
        self.check_cut_off()
        self.assertEqual((["lost"], []), (self.receiver.told, self.lost))

    def test_full(self) -> None:
        self.use()
        self.data_link.begin()
        self.peer.transport.pauseProducing()
        self.link.transport.write(bytes(100_000))
        self.assertEqual(["full"], self.receiver.told)
        self.peer.transport.resumeProducing()
        self.settle()
        self.assertEqual(["full", "writable"], self.receiver.told)

    def test_close(self) -> None:
        self.use()
        self.data_link.begin()
        self.link.transport.write(b"last")
        self.data_link.close()
        self.assertEqual(switch() + b"last", self.take())
        self.assertTrue(self.peer.finished)

    def test_full_while_idle(self) -> None:
        self.link.pauseProducing()
        self.link.resumeProducing()
        self.assertEqual([], self.lost)


class EarlyTests(DataLinkTestCase):
    """
    The server's bytes begin before the client knows of the stream.
    """

    def setUp(self) -> None:
        super().setUp()
        self.say(switch(), b"early")

    def test_held(self) -> None:
        """
        Nothing more is read, and no ping is sent.
        """
        self.assertFalse(self.near.reading)
        self.clock.advance(20)
        self.assertEqual(b"", self.take())
        self.data_link.use(STREAM, self.receiver)
        self.assertEqual(["began", b"early"], self.receiver.told)
        self.say(b"late")
        self.assertEqual(b"early", self.receiver.told[-1])
        self.link.resume_reading()
        self.settle()
        self.assertEqual(b"late", self.receiver.told[-1])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nobody_comes(self) -> None:
        self.clock.advance(29)
        self.assertEqual([], self.lost)
        self.clock.advance(1)
        self.assertEqual([self.data_link], self.lost)
        self.check_cut_off()

    def test_lost(self) -> None:
        self.near.cut()
        self.assertEqual([self.data_link], self.lost)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_another_stream(self) -> None:
        self.assertRaises(
            RemoteProtocolError, self.data_link.use, STREAM + 2, self.receiver
        )
        self.check_cut_off()
        self.assertEqual(([], []), (self.receiver.told, self.lost))

    def test_several_pieces(self) -> None:
        """
        A transport may bring more although it is to read nothing.
        """
        self.link.dataReceived(b"more")
        self.data_link.use(STREAM, self.receiver)
        self.assertEqual(["began", b"early", b"more"], self.receiver.told)


class GivingTests(DataLinkTestCase):
    """
    On the server: only it gives data links.
    """

    peer_gives = False

    def test_client_begins(self) -> None:
        self.say(switch())
        self.assertEqual([self.data_link], self.lost)
        self.check_cut_off()

    def test_client_follows(self) -> None:
        self.data_link.use(STREAM, self.receiver)
        self.say(switch(), b"bytes")
        self.assertEqual(["began", b"bytes"], self.receiver.told)
