"""
The targets that need no network: frames, and sessions.
"""

from __future__ import annotations

from random import Random
from typing import Final, cast

from msgspec import Struct

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.relay.link import Link
from reitunnel.relay.outbox import Outbox
from reitunnel.wire.books import UNANSWERED_BEYOND
from reitunnel.wire.frames import (
    MAX_HANDSHAKE_PAYLOAD,
    MAX_PAYLOAD,
    Frame,
    FrameKind,
    FrameReader,
    largest_payload,
)
from reitunnel.wire.journal import Journal
from reitunnel.wire.messages import decode_message, encode_message
from reitunnel.wire.session import Role, SessionLimits
from tests.fuzz.script import steps
from tests.wire.kinds import MESSAGES
from tests.wire.peers import Peer
from tests.wire.test_hostile_peers import Owner

LIMITS: Final = SessionLimits(
    max_tunnels=3, max_streams=5, max_session_bytes=200_000, max_window=40_000
)
_ACT: Final = 0xE0
"""The command of the session's owner: do something unasked."""
_SEND: Final = 0xE1
"""Another: the link has room."""
_CUT: Final = 0xE2
"""The link is lost, and the session goes on on another one, after so many bytes."""
_KEPT: Final = 20_000
"""How many bytes that are not acknowledged stop C{DATA}."""
_PLENTY: Final = 1 << 30
_ANSWER: Final = 6000
"""
More than the longest answer to one frame about one stream or tunnel, in bytes: a
reason of 1024 characters, and some.
"""


def fuzz_frames(data: bytes) -> None:
    """
    Frames and messages. The first byte says how small the frames must be, and in which
    pieces the rest is read: the pieces must not matter.
    """
    how, data = data[:1], data[1:]
    limit = MAX_HANDSHAKE_PAYLOAD if how >= b"\x80" else MAX_PAYLOAD
    size = (how[0] & 0x7F) + 1 if how else 1
    whole, error = _read(data, len(data) or 1, limit)
    assert (whole, error) == _read(data, size, limit)
    for kind, stream, payload in whole:
        assert payload or kind in (FrameKind.EOF, FrameKind.STREAM_CLOSE)
        if kind is not FrameKind.DATA:
            assert len(payload) <= min(largest_payload(kind), limit)
        message = MESSAGES.get(kind)
        if message is not None:
            _decode(kind, message, stream, payload)


def _read(data: bytes, size: int, limit: int) -> tuple[list[Frame], str]:
    """
    Read frames.

    @param size: how many bytes are read at a time.
    @return: the frames, the bytes of a stream put together, and what was wrong.
    """
    reader = FrameReader(limit)
    frames: list[Frame] = []
    error = ""
    try:
        for start in range(0, len(data), size):
            for frame in reader.feed(data[start : start + size]):
                last = frames[-1] if frames else None
                if frame.kind is FrameKind.DATA and last and last[:2] == frame[:2]:
                    frames[-1] = last._replace(payload=last.payload + frame.payload)
                else:
                    frames.append(frame)
    except RemoteProtocolError as found:
        error = str(found)
    return frames, error


def _decode(
    kind: FrameKind, message: type[Struct], stream: int, payload: bytes
) -> None:
    """
    Decode a message; what was taken must be good enough to be sent.
    """
    try:
        decoded = decode_message(message, payload)
    except RemoteProtocolError:
        return
    [again] = FrameReader().feed(encode_message(kind, decoded, stream))
    assert decode_message(message, again.payload) == decoded


def fuzz_session(data: bytes) -> None:
    """
    A session after its handshake. The first byte says which side is fuzzed and whether
    it can be resumed, the second one in what mood its owner is.
    """
    how = data[:1] or b"\x00"
    role = Role.SERVER if how >= b"\x80" else Role.CLIENT
    peer = Peer(role, LIMITS)
    peer.session.direct = how != b"\x00"
    if how[0] & 0x40:
        peer.session.journal = Journal(_KEPT)
    owner, out = Owner(peer, Random(data[1:2])), _Out(peer)
    try:
        for command, number, payload in steps(data[2:]):
            if command == _ACT:
                _act(owner)
            elif command == _SEND:
                out.send(number % MAX_PAYLOAD)
            elif command == _CUT:
                out.cut(number)
            elif not command:
                _hear(owner, out, payload)
    except RemoteProtocolError as error:
        # As the mux does: the last words still go out.
        peer.session.goaway(Code.PROTOCOL, error.reason)
    out.send(_PLENTY)
    assert not peer.session.control_queued
    out.check_kept()


class _Wire:
    """
    A link, or several one after the other: what is sent again is the same.

    @ivar room: how much it takes now.
    @ivar said: the whole sequence.
    @ivar position: what of it was sent on this link, or before.
    """

    def __init__(self) -> None:
        self.room = 0
        self.said = bytearray()
        self.position = 0

    @property
    def writable(self) -> bool:
        """
        Whether it takes more.
        """
        return self.room > 0

    def send(self, data: bytes) -> None:
        """
        Take bytes.
        """
        known = self.said[self.position : self.position + len(data)]
        assert data[: len(known)] == known
        self.said += data[len(known) :]
        self.position += len(data)
        self.room -= len(data)


class _Out:
    """
    Takes from a session what it sends.
    """

    def __init__(self, peer: Peer) -> None:
        self._session = peer.session
        self._journal = peer.session.journal
        self._outbox = Outbox(peer.session, self._journal)
        self._wire = _Wire()

    def send(self, room: int) -> None:
        """
        Let the session send.
        """
        if self._journal is None:
            self._session.data_to_send(min(room, MAX_PAYLOAD))
            return
        self._wire.room = room
        if room & 1:
            self._journal.acknowledge_soon()
        self._outbox.flush(cast("Link", self._wire))

    def heard(self, count: int) -> None:
        """
        So many bytes of the peer were dealt with.
        """
        if self._journal is not None:
            self._journal.received += count

    def cut(self, received: int) -> None:
        """
        Go on on another link, after what the peer has received, if that can be.
        """
        journal = self._journal
        if journal is not None and journal.can_resume(received):
            journal.resume(received)
            self._wire.position = received

    def check_kept(self) -> None:
        """
        Everything that the peer has not acknowledged can be sent again.
        """
        journal, wire = self._journal, self._wire
        if journal is None:
            return
        assert journal.acknowledged <= journal.sent == len(wire.said)
        self.cut(journal.acknowledged)
        while journal.replaying:
            wire.send(journal.replay(MAX_PAYLOAD))
        assert wire.position == len(wire.said)


def _act(owner: Owner) -> None:
    try:
        owner.act()
    except LocalProtocolError:
        # The owner asked for what is not legal now, and was told so.
        owner.peer.events()


def _hear(owner: Owner, out: _Out, data: bytes) -> None:
    session = owner.session
    out.send(_PLENTY if session.journal else 0)
    owner.peer.arriving += data
    owner.hear(len(data))
    out.heard(len(data))
    # Each frame is answered at most once for each stream and tunnel.
    frames = len(data) // 10 + 1
    held = LIMITS.max_streams + LIMITS.max_tunnels
    assert session.control_queued <= frames * held * _ANSWER
    assert len(session.tunnels) <= LIMITS.max_tunnels + UNANSWERED_BEYOND
    assert len(session.streams) <= 2 * (LIMITS.max_streams + UNANSWERED_BEYOND)
