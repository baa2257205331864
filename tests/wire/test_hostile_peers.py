"""
Tests of L{reitunnel.wire.session} against peers that break the rules.
"""

from __future__ import annotations

from random import Random
from typing import Final, get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, RemoteProtocolError
from reitunnel.wire.events import (
    DataReceived,
    EOFReceived,
    Event,
    GoingAway,
    LinkGiven,
    StreamOpened,
    TunnelRequested,
)
from reitunnel.wire.frames import FrameKind, FrameReader, encode_frame
from reitunnel.wire.journal import Journal
from reitunnel.wire.messages import (
    Ended,
    StreamOpen,
    TunnelEnded,
    TunnelOpen,
    TunnelOpened,
    encode_message,
    encode_number,
)
from reitunnel.wire.session import Role, SessionLimits
from reitunnel.wire.streams import EARLY_CREDIT, Half, Stream
from tests.wire.peers import PING, Peer, Peers
from tests.wire.search import examples

LIMITS: Final = SessionLimits(
    max_tunnels=3, max_streams=5, max_session_bytes=200_000, max_window=40_000
)

# Who sends what after the handshake: docs/protocol.md, "Frames".
SENDERS: dict[FrameKind, str] = {
    FrameKind.TUNNEL_OPEN: "client",
    FrameKind.TUNNEL_OPENED: "server",
    FrameKind.TUNNEL_REFUSED: "server",
    FrameKind.TUNNEL_CLOSE: "client server",
    FrameKind.STREAM_OPEN: "server",
    FrameKind.STREAM_ACCEPTED: "client",
    FrameKind.STREAM_RESET: "client server",
    FrameKind.STREAM_CLOSE: "client server",
    FrameKind.DATA: "client server",
    FrameKind.WINDOW: "client server",
    FrameKind.EOF: "client server",
    FrameKind.SWITCH: "client server",
    FrameKind.PING: "client server",
    FrameKind.PONG: "client server",
    FrameKind.ACK: "client server",
    FrameKind.GOAWAY: "client server",
}
MESSAGE_KINDS: Final = (
    FrameKind.TUNNEL_OPEN,
    FrameKind.TUNNEL_OPENED,
    FrameKind.TUNNEL_REFUSED,
    FrameKind.TUNNEL_CLOSE,
    FrameKind.STREAM_OPEN,
    FrameKind.STREAM_RESET,
    FrameKind.GOAWAY,
)


def good_frame(kind: FrameKind, stream: int = 2, tunnel: int = 1) -> bytes:
    """
    Make a frame that is good by itself.
    """
    match kind:
        case FrameKind.TUNNEL_OPEN:
            return encode_message(kind, TunnelOpen(tunnel, "tcp"))
        case FrameKind.TUNNEL_OPENED:
            return encode_message(kind, TunnelOpened(tunnel, "192.0.2.1", 6000))
        case FrameKind.TUNNEL_REFUSED | FrameKind.TUNNEL_CLOSE:
            return encode_message(kind, TunnelEnded(tunnel, Code.POLICY, "no"))
        case FrameKind.STREAM_OPEN:
            return encode_message(kind, StreamOpen(tunnel, 1000), stream)
        case FrameKind.STREAM_RESET:
            return encode_message(kind, Ended(Code.ABORTED, "gone"), stream)
        case FrameKind.GOAWAY:
            return encode_message(kind, Ended(Code.SHUTDOWN, "bye"))
        case FrameKind.STREAM_ACCEPTED | FrameKind.WINDOW | FrameKind.SWITCH:
            return encode_number(kind, stream, 1000)
        case FrameKind.DATA:
            return encode_frame(kind, stream, b"data")
        case FrameKind.STREAM_CLOSE | FrameKind.EOF:
            return encode_frame(kind, stream)
        case FrameKind.PING | FrameKind.PONG | FrameKind.ACK:
            return encode_frame(kind, 0, PING)
        case _:
            return encode_frame(kind, 0, msgspec.msgpack.encode({}))


def check_books(peer: Peer) -> None:
    """
    Check that a side holds no more than it said, whatever it heard.
    """
    session = peer.session
    streams = session.streams.values()
    assert session.promised == sum(s.receive_credit + s.unread for s in streams)
    most = session.limits.max_session_bytes + EARLY_CREDIT * len(streams)
    assert session.promised <= most
    live = [stream for stream in streams if stream.local is not Half.ENDED]
    if session.role is Role.CLIENT:
        assert len(live) <= session.limits.max_streams
    assert all(stream.receive_credit >= 0 for stream in streams)


class Owner:
    """
    Somebody who uses a session by the rules, in moods of its own, whatever the
    peer does.
    """

    def __init__(self, peer: Peer, mood: Random) -> None:
        self.peer = peer
        self.session = peer.session
        self.mood = mood
        self.happened: set[type[Event]] = set()

    def hear(self, size: int) -> None:
        """
        Take what is on its way, and react to each frame.
        """
        data = bytes(self.peer.arriving[:size])
        del self.peer.arriving[:size]
        for frame in self.peer.reader.feed(data):
            self.session.receive(frame)
            for event in self.peer.events():
                self.happened.add(type(event))
                self.react(event)
            check_books(self.peer)

    def act(self) -> None:
        """
        Do something unasked.
        """
        self.do_something()
        self.peer.events()
        check_books(self.peer)

    def react(self, event: Event) -> None:
        match event:
            case TunnelRequested(request):
                if self.mood.random() < 0.8:
                    self.session.accept_tunnel(request.tunnel, "192.0.2.1", 6000)
                else:
                    self.session.refuse_tunnel(request.tunnel, Code.POLICY, "no")
            case StreamOpened(stream):
                if self.mood.random() < 0.8:
                    self.session.accept_stream(stream)
                else:
                    self.session.reset(stream, Code.TARGET_REFUSED)
            case DataReceived(stream, data):
                self.echo(stream, len(data))
            case EOFReceived(stream):
                if stream.local is not Half.PENDING and not stream.switch_queued:
                    self.session.finish(stream)
            case LinkGiven(stream):
                if _writable(stream) and self.mood.random() < 0.7:
                    self.session.switch(stream, stream.link)

    def echo(self, stream: Stream, size: int) -> None:
        if stream.local is not Half.ENDED and self.mood.random() < 0.7:
            self.session.consumed(stream, size)
        if _writable(stream):
            self.session.send(stream, bytes(size))

    def do_something(self) -> None:
        dice = self.mood.random()
        streams = list(self.session.streams.values())
        if dice < 0.2 and self.session.role is Role.CLIENT:
            number = self.mood.randint(1, 4)
            if number not in self.session.tunnels:
                self.session.open_tunnel(TunnelOpen(number, "tcp"))
        elif dice < 0.5 and self.session.role is Role.SERVER:
            for tunnel in list(self.session.tunnels.values())[:1]:
                if tunnel.local is tunnel.remote:
                    stream = self.session.open_stream(tunnel.number, "", 0)
                    self.session.send(stream, bytes(self.mood.randint(1, 30000)))
        elif dice < 0.55 and self.session.tunnels:
            number = self.mood.choice(list(self.session.tunnels))
            self.session.close_tunnel(number, Code.CLOSED, "")
        elif dice < 0.6:
            self.session.ping(PING)
        elif dice < 0.75 and streams:
            stream = self.mood.choice(streams)
            if stream.local is not Half.PENDING and not stream.switch_queued:
                self.session.send_eof(stream)
        elif dice < 0.85 and streams and self.session.role is Role.SERVER:
            stream = self.mood.choice(streams)
            accepted = stream.remote in (Half.OPEN, Half.FINISHED)
            if accepted and not (stream.link or stream.switch_queued):
                self.session.switch(stream, self.mood.randint(1, 9))
        elif dice < 0.9 and streams:
            self.session.reset(self.mood.choice(streams), Code.ABORTED)


def _writable(stream: Stream) -> bool:
    waits = stream.eof_queued or stream.switch_queued
    return stream.local is Half.OPEN and not waits


class OutOfTurnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.peers = Peers(LIMITS, LIMITS)
        for peer in self.peers.both:
            peer.session.journal = Journal(1 << 20)
        self.peers.open_tunnel()
        self.peers.open_stream()

    def test_no_resumption(self) -> None:
        """
        A session that cannot be resumed has nothing to acknowledge.
        """
        self.peers.client.session.journal = None
        error: RemoteProtocolError = self.assertRaises(
            RemoteProtocolError, self.peers.client.hear, good_frame(FrameKind.ACK)
        )
        self.assertEqual("ACK is out of turn", error.reason)

    def test_every_kind_from_each_side(self) -> None:
        """
        Each side takes what only the other may send, and nothing else. Another
        handshake is refused by both.
        """
        for kind in FrameKind:
            for side in ("client", "server"):
                self.setUp()
                peer = self.peers.server if side == "client" else self.peers.client
                try:
                    peer.hear(good_frame(kind))
                except RemoteProtocolError as error:
                    out_of_turn = error.reason == f"{kind.name} is out of turn"
                else:
                    out_of_turn = False
                allowed = side in SENDERS.get(kind, "")
                self.assertEqual(allowed, not out_of_turn, (kind, side))

    def test_bad_payloads(self) -> None:
        """
        Every message is checked, in every kind of frame that carries one.
        """
        for kind in MESSAGE_KINDS:
            for payload in (b"\x80", b"\xc1", b"\x81\xa4code\xa1x", b"\x91\x01"):
                self.setUp()
                peer = self.peers.both["client" in SENDERS[kind]]
                stream = 4 if kind is FrameKind.STREAM_OPEN else 2
                on_stream = kind in (FrameKind.STREAM_OPEN, FrameKind.STREAM_RESET)
                frame = encode_frame(kind, stream if on_stream else 0, payload)
                error: RemoteProtocolError = self.assertRaises(
                    RemoteProtocolError, peer.hear, frame
                )
                self.assertTrue(error.reason.startswith("bad "), error)

    def test_unknown_tunnel(self) -> None:
        for kind in (
            FrameKind.TUNNEL_OPENED,
            FrameKind.TUNNEL_REFUSED,
            FrameKind.TUNNEL_CLOSE,
        ):
            error: RemoteProtocolError = self.assertRaises(
                RemoteProtocolError,
                self.peers.client.hear,
                good_frame(kind, tunnel=9),
            )
            self.assertEqual(f"{kind.name}: no tunnel 9", error.reason)

    def test_answers_that_come_twice(self) -> None:
        """
        What was said already is not said again.
        """
        for kind in (FrameKind.TUNNEL_OPENED, FrameKind.TUNNEL_REFUSED):
            self.assertRaises(
                RemoteProtocolError, self.peers.client.hear, good_frame(kind)
            )
        self.assertRaises(
            RemoteProtocolError,
            self.peers.server.hear,
            good_frame(FrameKind.STREAM_ACCEPTED),
        )

    def test_nothing_after_the_last_word(self) -> None:
        """
        A peer that has reset a stream says nothing more on it, even while this
        side has not answered yet.
        """
        for last in (FrameKind.STREAM_RESET, FrameKind.STREAM_CLOSE):
            for kind in (
                FrameKind.DATA,
                FrameKind.WINDOW,
                FrameKind.EOF,
                FrameKind.STREAM_RESET,
                FrameKind.STREAM_CLOSE,
            ):
                self.setUp()
                client = self.peers.client
                stream = client.session.streams[2]
                if last is FrameKind.STREAM_CLOSE:
                    client.session.send_eof(stream)
                    client.session.data_to_send(1)
                    client.hear(good_frame(FrameKind.EOF))
                client.hear(good_frame(last))
                self.assertRaises(RemoteProtocolError, client.hear, good_frame(kind))


class FloodTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.peers = Peers(LIMITS, LIMITS)
        self.peers.open_tunnel()
        self.client = self.peers.client

    def test_open_and_reset(self) -> None:
        """
        Streams that come and go leave nothing but answers, which are counted.
        """
        for number in range(2, 10000, 2):
            self.client.hear(good_frame(FrameKind.STREAM_OPEN, number))
            self.client.hear(good_frame(FrameKind.STREAM_RESET, number))
            self.assertEqual(3, len(self.client.events()))
        self.assertEqual({}, self.client.session.streams)
        self.assertEqual(0, self.client.session.promised)
        answer = len(good_frame(FrameKind.STREAM_RESET))
        self.assertEqual(4999 * answer, self.client.session.control_queued)

    def test_open_beyond_the_limit(self) -> None:
        """
        Streams over the limit are refused, not held.
        """
        for number in range(2, 1000, 2):
            self.client.hear(good_frame(FrameKind.STREAM_OPEN, number))
        self.assertEqual(LIMITS.max_streams, len(self.client.events()))
        check_books(self.client)

    def test_windows(self) -> None:
        """
        Grants of single bytes cost nothing that stays.
        """
        self.client.hear(good_frame(FrameKind.STREAM_OPEN))
        (opened,) = self.client.events()
        assert isinstance(opened, StreamOpened)
        for _ in range(1000):
            self.client.hear(encode_number(FrameKind.WINDOW, 2, 1))
        self.assertEqual([], self.client.events())
        self.assertEqual(2000, opened.stream.send_credit)
        self.assertFalse(opened.stream.listed)

    def test_single_bytes(self) -> None:
        """
        DATA of single bytes is credit like any other.
        """
        self.client.hear(good_frame(FrameKind.STREAM_OPEN))
        byte = encode_frame(FrameKind.DATA, 2, b"x")
        self.client.hear(byte * EARLY_CREDIT)
        self.assertRaises(RemoteProtocolError, self.client.hear, byte)

    def test_endless_frame(self) -> None:
        """
        A frame that begins and never ends fills no more than itself.
        """
        frame = good_frame(FrameKind.GOAWAY)[:6] + b"\x00\x01\x00\x00"
        self.client.hear(frame)
        for _ in range(65):
            self.client.hear(bytes(1000))
        self.assertRaises(RemoteProtocolError, self.client.hear, bytes(1000))


class PlausibleFramesTests(SynchronousTestCase):
    """
    Frames that are good by themselves, in any order, against an owner that keeps
    the rules.
    """

    frames = st.builds(
        good_frame,
        st.sampled_from(sorted(SENDERS)).map(FrameKind),
        st.sampled_from([2, 2, 2, 4, 6, 8, 3]),
        st.sampled_from([1, 1, 2]),
    )

    @examples(300)
    @given(
        st.sampled_from([0, 1]),
        st.lists(st.lists(frames, max_size=4), max_size=30),
        st.integers(0, 1 << 16),
    )
    def test_any_order(self, side: int, batches: list[list[bytes]], seed: int) -> None:
        peers = Peers(LIMITS, LIMITS)
        peers.open_tunnel()
        peers.open_stream()
        owner = Owner(peers.both[side], Random(seed))
        for batch in batches:
            for frame in batch:
                owner.peer.arriving += frame
                try:
                    owner.hear(len(frame))
                except RemoteProtocolError:
                    # A real owner stops here; this one goes on, to get further.
                    owner.peer.reader = FrameReader()
            owner.act()
            owner.session.data_to_send(10000)


class MutatedBytesTests(SynchronousTestCase):
    """
    A conversation whose bytes are changed on the way.
    """

    @examples(300)
    @given(
        seed=st.integers(0, 1 << 16),
        rounds=st.integers(0, 25),
        victim=st.sampled_from([0, 1]),
        place=st.integers(0, 1 << 16),
        removed=st.integers(0, 12),
        added=st.binary(max_size=12),
    )
    def test_changed(
        self,
        seed: int,
        rounds: int,
        victim: int,
        place: int,
        removed: int,
        added: bytes,
    ) -> None:
        """
        Only the typed error comes of it, and no more memory is used.
        """
        peers = Peers(LIMITS, LIMITS)
        peers.open_tunnel()
        mood = Random(seed)
        owners = [Owner(peer, mood) for peer in peers.both]
        for number in range(rounds + 20):
            for owner in owners:
                owner.act()
                peers.send(owner.peer, 20000)
            if number == rounds:
                arriving = peers.both[victim].arriving
                begin = place % (len(arriving) + 1)
                arriving[begin : begin + removed] = added
            try:
                for owner in owners:
                    owner.hear(mood.randint(1, 40000))
            except RemoteProtocolError:
                break

    def test_unchanged(self) -> None:
        """
        The same conversations, left alone, break no rule.
        """
        happened: set[type[Event]] = set()
        for seed in range(30):
            peers = Peers(LIMITS, LIMITS)
            peers.open_tunnel()
            mood = Random(seed)
            owners = [Owner(peer, mood) for peer in peers.both]
            for _ in range(45):
                for owner in owners:
                    owner.act()
                    peers.send(owner.peer, 20000)
                for owner in owners:
                    owner.hear(mood.randint(1, 40000))
            for owner in owners:
                happened |= owner.happened
        expected = {*get_args(Event)} - {GoingAway}
        self.assertEqual(expected, happened)
