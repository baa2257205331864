"""
Tests of L{reitunnel.wire.session}: C{SWITCH}, and the ends of streams that have
switched.
"""

from __future__ import annotations

from reitunnel.errors import Code, LocalProtocolError
from reitunnel.wire.events import (
    DataReceived,
    EOFReceived,
    LinkGiven,
    PeerSwitched,
    StreamOver,
    StreamReset,
    SwitchSent,
)
from reitunnel.wire.frames import FrameKind, encode_frame
from reitunnel.wire.messages import encode_number, encode_total
from reitunnel.wire.streams import Half
from tests.wire.session_case import SessionTestCase, kinds, sent

KIB = 1024
LINK = 7


def switch(link: int = LINK, stream: int = 2) -> bytes:
    return encode_number(FrameKind.SWITCH, stream, link)


class SwitchTestCase(SessionTestCase):
    """
    With a stream that is open on both sides.
    """

    def setUp(self) -> None:
        super().setUp()
        self.mine, self.theirs = self.peers.open_stream()

    def give(self) -> None:
        """
        The server gives the stream a data link.
        """
        self.server.session.switch(self.theirs, LINK)
        self.peers.settle()

    def switch_both(self) -> None:
        """
        Both sides go on there.
        """
        self.give()
        self.client.session.switch(self.mine, LINK)
        self.peers.settle()
        for peer in self.peers.both:
            peer.events()


class SwitchTests(SwitchTestCase):
    def test_each_way(self) -> None:
        self.server.session.send(self.theirs, b"before")
        self.give()
        self.assertEqual([SwitchSent(self.theirs)], self.server.events())
        self.assertEqual(
            [
                DataReceived(self.mine, b"before"),
                LinkGiven(self.mine),
                PeerSwitched(self.mine),
            ],
            self.client.events(),
        )
        self.assertEqual((LINK, LINK), (self.mine.link, self.theirs.link))
        self.assertIs(Half.OPEN, self.mine.local)
        self.client.session.send(self.mine, b"other way")
        self.client.session.switch(self.mine, LINK)
        self.peers.settle()
        self.assertEqual([SwitchSent(self.mine)], self.client.events())
        self.assertEqual(
            [DataReceived(self.theirs, b"other way"), PeerSwitched(self.theirs)],
            self.server.events(),
        )

    def test_after_what_is_queued(self) -> None:
        """
        However late there is credit for it.
        """
        self.server.session.send(self.theirs, bytes(600 * KIB))
        self.server.session.switch(self.theirs, LINK)
        for last in (False, False, True):
            self.peers.settle()
            switched = [SwitchSent(self.theirs)] if last else []
            self.assertEqual(switched, self.server.events())
            self.assertEqual(LINK if last else 0, self.theirs.link)
            self.assertIs(last, PeerSwitched(self.mine) in self.client.events())
            self.client.session.consumed(self.mine, self.mine.unread)

    def test_credit_goes_back(self) -> None:
        """
        What comes on a data link needs none; what is not consumed still counts.
        """
        self.server.session.send(self.theirs, bytes(1000))
        self.give()
        self.assertEqual(1000, self.client.session.promised)
        self.client.session.consumed(self.mine, 1000)
        self.assertEqual(0, self.client.session.promised)
        self.assertEqual([], kinds(self.client))
        # The other way has its credit still.
        self.assertEqual(self.mine.send_credit, self.server.session.promised)

    def test_credit_of_the_other_way(self) -> None:
        """
        Who has switched still gives credit, and takes it.
        """
        self.give()
        self.client.session.send(self.mine, bytes(200 * KIB))
        self.peers.settle()
        self.server.session.consumed(self.theirs, 200 * KIB)
        self.assertEqual([FrameKind.WINDOW], kinds(self.server))

    def test_late_credit(self) -> None:
        """
        Credit for what came before may cross SWITCH.
        """
        self.server.session.send(self.theirs, bytes(200 * KIB))
        self.peers.settle()
        self.server.session.switch(self.theirs, LINK)
        self.client.session.consumed(self.mine, 200 * KIB)
        self.assertEqual([FrameKind.SWITCH], kinds(self.server))
        self.peers.send(self.client)
        self.server.read(1000)
        self.assertIs(Half.SWITCHED, self.theirs.local)

    def test_no_data_while_switching(self) -> None:
        self.server.session.send(self.theirs, bytes(600 * KIB))
        self.server.session.switch(self.theirs, LINK)
        self.assertRaises(
            LocalProtocolError, self.server.session.send, self.theirs, b"x"
        )
        self.assertRaises(LocalProtocolError, self.server.session.send_eof, self.theirs)
        self.peers.settle()
        self.client.session.consumed(self.mine, self.mine.unread)
        self.peers.settle()
        self.client.session.consumed(self.mine, self.mine.unread)
        self.peers.settle()
        self.assertIs(Half.SWITCHED, self.theirs.local)
        self.assertRaises(
            LocalProtocolError, self.server.session.send, self.theirs, b"x"
        )


class GivingTests(SwitchTestCase):
    """
    The server has finished: it gives the link for the client's bytes alone.
    """

    def test_after_eof(self) -> None:
        self.server.session.send_eof(self.theirs)
        self.peers.settle()
        self.give()
        self.assertEqual([], self.server.events())
        self.assertEqual(
            [EOFReceived(self.mine), LinkGiven(self.mine)], self.client.events()
        )
        self.client.session.switch(self.mine, LINK)
        self.peers.settle()
        self.assertEqual([PeerSwitched(self.theirs)], self.server.events())
        self.assertEqual([SwitchSent(self.mine)], self.client.events())

    def test_while_eof_waits(self) -> None:
        self.server.session.send(self.theirs, bytes(300 * KIB))
        self.server.session.send_eof(self.theirs)
        self.give()
        self.client.events()
        self.client.session.consumed(self.mine, self.mine.unread)
        self.peers.settle()
        self.assertEqual(
            [EOFReceived(self.mine), LinkGiven(self.mine)], self.client.events()[-2:]
        )

    def test_stream_ends_first(self) -> None:
        """
        Before the word could go out.
        """
        self.server.session.send(self.theirs, bytes(300 * KIB))
        self.server.session.send_eof(self.theirs)
        self.client.session.send_eof(self.mine)
        self.peers.settle()
        self.server.session.switch(self.theirs, LINK)
        self.server.session.finish(self.theirs)
        self.client.session.consumed(self.mine, self.mine.unread)
        self.peers.settle()
        self.client.session.finish(self.mine)
        self.peers.settle()
        self.assertIn(StreamOver(self.theirs), self.server.events())
        self.check_nothing_left()
        self.assertFalse(self.server.session.wants_to_send)

    def test_not_by_the_client(self) -> None:
        self.client.session.send_eof(self.mine)
        self.give()
        self.assertRaises(
            LocalProtocolError, self.client.session.switch, self.mine, LINK
        )
        self.peers.settle()
        self.assertEqual(
            "SWITCH on stream 2: the peer is finished",
            self.refuse(self.server, switch()),
        )


class EndTests(SwitchTestCase):
    def test_in_order(self) -> None:
        """
        EOF says how many bytes the data link carries.
        """
        self.switch_both()
        self.server.session.send_eof(self.theirs, 5 << 32)
        self.client.session.send_eof(self.mine)
        self.assertIn(
            (FrameKind.EOF, 2, (5 << 32).to_bytes(8, "big")), sent(self.server)
        )
        self.client.hear(encode_total(FrameKind.EOF, 2, 5 << 32))
        self.peers.settle()
        self.assertEqual([EOFReceived(self.mine, 5 << 32)], self.client.events())
        self.assertEqual([EOFReceived(self.theirs, 0)], self.server.events())
        self.server.session.send_eof(self.theirs, 9)
        self.server.session.finish(self.theirs)
        self.client.session.finish(self.mine)
        self.peers.settle()
        self.assertEqual([StreamOver(self.mine)], self.client.events())
        self.assertEqual((Code.NONE, ""), self.mine.end)
        self.check_nothing_left()

    def test_finish_before_eof(self) -> None:
        """
        The last word waits for the EOF, which only the owner can say.
        """
        self.switch_both()
        self.client.session.send_eof(self.mine, 3)
        self.peers.settle()
        self.server.session.finish(self.theirs)
        self.assertEqual([], kinds(self.server))
        self.server.session.send_eof(self.theirs, 4)
        self.assertEqual([FrameKind.EOF, FrameKind.STREAM_CLOSE], kinds(self.server))

    def test_reset(self) -> None:
        self.switch_both()
        self.client.session.reset(self.mine, Code.LINK_LOST, "gone")
        self.peers.settle()
        self.assertEqual(
            [StreamReset(self.theirs, Code.LINK_LOST, "gone"), StreamOver(self.theirs)],
            self.server.events(),
        )
        self.check_nothing_left()

    def test_reset_while_switching(self) -> None:
        self.server.session.send(self.theirs, bytes(600 * KIB))
        self.server.session.switch(self.theirs, LINK)
        self.server.session.reset(self.theirs, Code.ABORTED)
        self.peers.settle()
        self.assertEqual(0, self.mine.link)
        self.check_nothing_left()
        self.server.session.switch(self.theirs, LINK)
        self.assertFalse(self.server.session.wants_to_send)

    def test_reset_crosses(self) -> None:
        """
        A switch on a stream that was reset meanwhile moves nothing, from either
        side. But the client must know that the data link is used up.
        """
        self.client.session.reset(self.mine, Code.ABORTED)
        self.give()
        self.assertEqual(
            [LinkGiven(self.mine), StreamOver(self.mine)], self.client.events()
        )
        self.check_nothing_left()
        self.mine, self.theirs = self.peers.open_stream()
        self.give()
        self.server.events()
        self.server.session.reset(self.theirs, Code.ABORTED)
        self.client.session.switch(self.mine, LINK)
        self.peers.send(self.client)
        self.server.read(1000)
        self.assertEqual([], self.server.events())
        self.peers.settle()
        self.check_nothing_left()

    def test_tunnel_closed(self) -> None:
        self.switch_both()
        self.client.session.close_tunnel(1, Code.CLOSED, "")
        self.peers.settle()
        self.check_nothing_left()


class RulesTests(SwitchTestCase):
    """
    What neither side may say.
    """

    def refuse_locally(self, link: int = LINK) -> None:
        for peer, stream in ((self.client, self.mine), (self.server, self.theirs)):
            self.assertRaises(LocalProtocolError, peer.session.switch, stream, link)

    def test_twice(self) -> None:
        self.switch_both()
        self.refuse_locally()
        self.assertEqual(
            f"SWITCH on stream 2: not to data link {LINK}",
            self.refuse(self.client, switch()),
        )
        self.assertEqual(
            "SWITCH on stream 2: the peer is switched",
            self.refuse(self.server, switch()),
        )

    def test_twice_while_the_first_waits(self) -> None:
        self.server.session.send(self.theirs, bytes(600 * KIB))
        self.server.session.switch(self.theirs, LINK)
        self.assertRaises(
            LocalProtocolError, self.server.session.switch, self.theirs, LINK
        )

    def test_client_first(self) -> None:
        """
        Only the server gives data links.
        """
        self.assertRaises(
            LocalProtocolError, self.client.session.switch, self.mine, LINK
        )
        self.assertEqual(
            f"SWITCH on stream 2: not to data link {LINK}",
            self.refuse(self.server, switch()),
        )

    def test_client_before_the_server_has_said_so(self) -> None:
        self.server.session.send(self.theirs, bytes(600 * KIB))
        self.server.session.switch(self.theirs, LINK)
        self.peers.settle()
        self.assertEqual(
            f"SWITCH on stream 2: not to data link {LINK}",
            self.refuse(self.server, switch()),
        )

    def test_another_link(self) -> None:
        self.give()
        self.assertRaises(
            LocalProtocolError, self.client.session.switch, self.mine, LINK + 1
        )
        self.assertEqual(
            f"SWITCH on stream 2: not to data link {LINK + 1}",
            self.refuse(self.server, switch(LINK + 1)),
        )

    def test_no_link(self) -> None:
        for peer in self.peers.both:
            self.assertEqual(
                "SWITCH on stream 2: not to data link 0", self.refuse(peer, switch(0))
            )

    def test_before_accepting(self) -> None:
        mine, theirs = self.peers.offer_stream()
        for peer, stream in ((self.client, mine), (self.server, theirs)):
            self.assertRaises(LocalProtocolError, peer.session.switch, stream, LINK)
        self.assertEqual(
            "SWITCH on stream 4: not accepted",
            self.refuse(self.client, switch(stream=4)),
        )

    def test_after_the_last_word(self) -> None:
        """
        Of the peer: what would still be moved?
        """
        self.server.session.send_eof(self.theirs)
        self.client.session.send_eof(self.mine)
        self.peers.settle()
        self.client.session.finish(self.mine)
        self.peers.settle()
        self.assertRaises(
            LocalProtocolError, self.server.session.switch, self.theirs, LINK
        )

    def test_data_after_switch(self) -> None:
        self.give()
        self.assertEqual(
            "DATA on stream 2: the peer is switched",
            self.refuse(self.client, encode_frame(FrameKind.DATA, 2, b"x")),
        )

    def test_eof_without_a_total(self) -> None:
        self.give()
        self.assertEqual(
            "0 bytes where 8 are due",
            self.refuse(self.client, encode_frame(FrameKind.EOF, 2)),
        )

    def test_eof_with_a_total(self) -> None:
        for size in range(1, 9):
            self.assertEqual(
                "EOF: a total without a data link",
                self.refuse(self.client, encode_frame(FrameKind.EOF, 2, bytes(size))),
            )

    def test_unknown_stream(self) -> None:
        self.assertEqual(
            "SWITCH: no stream 4", self.refuse(self.client, switch(stream=4))
        )

    def test_without_the_capability(self) -> None:
        for peer in self.peers.both:
            peer.session.direct = False
            self.assertEqual("SWITCH is out of turn", self.refuse(peer, switch()))
        self.refuse_locally()
