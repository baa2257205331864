"""
What the tests of sessions share.
"""

from __future__ import annotations

from struct import unpack_from

from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import RemoteProtocolError
from reitunnel.wire.frames import HEADER_SIZE, Frame, FrameKind, FrameReader
from reitunnel.wire.messages import (
    encode_message,
)
from reitunnel.wire.session import SessionLimits
from tests.wire.peers import Peer, Peers


def sent(peer: Peer, budget: int = 1 << 20) -> list[tuple[FrameKind, int, bytes]]:
    """
    Take what a side wants to send, as frames.
    """
    data = b"".join(peer.session.data_to_send(budget))
    frames = []
    while data:
        # One by one: a reader joins frames of one stream.
        _, _, _, length = unpack_from(">BBII", data)
        end = HEADER_SIZE + length
        (frame,) = FrameReader().feed(data[:end])
        frames.append((frame.kind, frame.stream, frame.payload))
        data = data[end:]
    return frames


def read(kind: FrameKind, message: Struct, stream: int = 0) -> Frame:
    """
    Make a frame as it is read.
    """
    (frame,) = FrameReader().feed(encode_message(kind, message, stream))
    return frame


def kinds(peer: Peer) -> list[FrameKind]:
    """
    Take what a side wants to send, as kinds of frames.
    """
    return [kind for kind, _, _ in sent(peer)]


class SessionTestCase(SynchronousTestCase):
    """
    Two sides with an open tunnel.
    """

    def setUp(self) -> None:
        self.peers = Peers(self.client_limits(), self.server_limits())
        self.client, self.server = self.peers.both
        self.peers.open_tunnel()

    def client_limits(self) -> SessionLimits:
        return SessionLimits()

    def server_limits(self) -> SessionLimits:
        return SessionLimits()

    def check_nothing_left(self) -> None:
        """
        Neither side keeps a stream or credit.
        """
        for peer in self.peers.both:
            self.assertEqual({}, peer.session.streams)
            self.assertEqual(0, peer.session.promised)
            self.assertFalse(peer.session.peer_overdue)
            for tunnel in peer.session.tunnels.values():
                self.assertEqual({}, tunnel.streams)

    def refuse(self, peer: Peer, frame: bytes) -> str:
        """
        A side refuses a frame.

        @return: the reason.
        """
        error: RemoteProtocolError = self.assertRaises(
            RemoteProtocolError, peer.hear, frame
        )
        return error.reason
