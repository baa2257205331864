"""
The target with sessions and data links: a server, or a client, whole and in memory,
and a peer that has authenticated and says anything, on any link.

Commands let the peer do what an honest one does, and visitors and targets speak. No
data link may be attached without its proof, a client may dial nothing but its server
and its targets, and nothing may be left behind.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ClientFactory

from reitunnel import Client, Server
from reitunnel.config.settings import ClientConfig, ServerConfig
from reitunnel.relay import host_and_port
from reitunnel.wire.frames import Frame, FrameKind, FrameReader
from reitunnel.wire.messages import (
    Attach,
    Attached,
    Challenge,
    Response,
    StreamOpen,
    TunnelOpen,
    TunnelOpened,
    decode_message,
    encode_message,
)
from reitunnel.wire.proofs import client_proof, server_proof
from tests.client.rogue import NONCE, WELCOME, RogueLink, RogueServer
from tests.fuzz.network import faults_raised
from tests.fuzz.script import edited, steps
from tests.memory import Caller, MemoryReactor, Peer, Peers
from tests.pair import (
    LINK_PORT,
    PUBLIC_PORT,
    TARGET_PORT,
    client_config,
    server_config,
)
from tests.server.raw import RawClient

DIAL: Final = 0xE0
"""A client dials a data link with this number and says C{ATTACH}; a server attaches
the oldest one that waits. What follows is said there."""
PROVE: Final = 0xE1
"""The proof; the payload edits it."""
TURN: Final = 0xE2
"""What follows is said on the link with this index; 0 is the control link."""
VISIT: Final = 0xE3
"""A visitor comes, or the server says so."""
SPEAK: Final = 0xE4
"""The newest visitor, or target, sends the payload."""
LEAVE: Final = 0xE5
"""It closes, finishes, or resets."""
WAIT: Final = 0xE6
"""Some seconds go by."""
PONG: Final = 0xE7
"""Every ping on the link is answered."""
BARE: Final = 0xE8
"""A client dials a link and says nothing yet."""
LISTEN: Final = 0xE9
"""A client asks for a tunnel with this number; a server opens it."""

_MOST_LINKS: Final = 8


def fuzz_data_links(data: bytes) -> None:
    """
    The first byte says which side is fuzzed.
    """
    with faults_raised():
        if data[:1] >= b"\x80":
            _HostileClient(server_config()).run(data[1:])
        else:
            _HostileServer(client_config(pool_size=2)).run(data[1:])


class _Ears:
    """
    Hears frames on a control link, and on a data link until C{SWITCH}: after it come
    the stream's bytes.
    """

    def __init__(self, *, data_link: bool) -> None:
        self._frames = FrameReader()
        self._data_link = data_link
        self._raw = False

    def hear(self, data: bytes) -> list[Frame]:
        """
        Take what was read.
        """
        frames: list[Frame] = []
        if not self._raw:
            for frame in self._frames.feed(data):
                frames.append(frame)
                if self._data_link and frame.kind is FrameKind.SWITCH:
                    self._raw = True
                    break
        return frames


class _ClientLink(RawClient):
    """
    A client's end of a link.
    """

    def __init__(self, reactor: MemoryReactor, *, data_link: bool) -> None:
        super().__init__(reactor)
        self._ears = _Ears(data_link=data_link)

    def dataReceived(self, data: bytes) -> None:
        """
        Keep the frames.
        """
        self.frames += self._ears.hear(data)


class _ServerLink(RogueLink):
    """
    A server's end of a link.
    """

    def __init__(self, reactor: MemoryReactor, *, data_link: bool) -> None:
        super().__init__(reactor)
        self._ears = _Ears(data_link=data_link)

    def dataReceived(self, data: bytes) -> None:
        """
        Keep the frames.
        """
        self.frames += self._ears.hear(data)


class _Once(ClientFactory):
    noisy = False

    def __init__(self, link: _ClientLink) -> None:
        self._link = link

    def buildProtocol(self, addr: IAddress | None) -> _ClientLink:
        """
        Give the link.
        """
        return self._link


class _Rogue(RogueServer):
    """
    Listens where the server would. The first link is the control link.
    """

    def buildProtocol(self, addr: IAddress | None) -> RogueLink:
        """
        Build one end.
        """
        link = _ServerLink(self._reactor, data_link=bool(self.links))
        self.links.append(link)
        return link


class _HostileClient:
    """
    A client that was let in.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._reactor = MemoryReactor()
        self._server = Server(self._reactor, config)
        self._server.privilegedStartService()
        self._server.startService()
        self._reactor.settle()
        control = self._connect(data_link=False)
        self._welcome = control.log_in(capabilities=("direct",))
        self._links = [control]
        self._link = control
        self._attaches: dict[_ClientLink, Attach] = {}
        self._proved: set[_ClientLink] = set()
        self._visitors = [Peer()]

    def run(self, script: bytes) -> None:
        for command, number, data in steps(script):
            self._step(command, number, data)
            self._reactor.settle()
        for link in self._links:
            attached = any(f.kind is FrameKind.ATTACHED for f in link.frames)
            assert link in self._proved or not attached, "attached without a proof"
        self._server.stopService()
        self._reactor.advance(120)
        assert not self._reactor.getDelayedCalls()
        assert not self._server.sessions

    def _step(self, command: int, number: int, data: bytes) -> None:
        link, visitor = self._link, self._visitors[-1]
        if command in (DIAL, BARE) and len(self._links) < _MOST_LINKS:
            self._dial(number, attach=command == DIAL)
        elif command == TURN:
            self._link = self._links[number % len(self._links)]
        elif command == VISIT:
            visitor = Peer()
            self._visitors.append(visitor)
            self._reactor.connectTCP("127.0.0.1", PUBLIC_PORT, Caller(visitor))
        elif command == SPEAK and _is_there(visitor):
            visitor.say(data)
        elif command == LEAVE and _is_there(visitor):
            _leave(visitor, number)
        elif command == WAIT:
            self._reactor.advance(number % 40)
        elif link.lost is not None:
            return
        elif command == PROVE:
            self._prove(link, data)
        elif command == LISTEN:
            asked = TunnelOpen(number or 1, "tcp", port=PUBLIC_PORT, carrier="direct")
            link.send(FrameKind.TUNNEL_OPEN, asked)
        elif command == PONG:
            for frame in link.frames:
                if frame.kind is FrameKind.PING:
                    link.send(FrameKind.PONG, frame.payload)
            link.frames = [f for f in link.frames if f.kind is not FrameKind.PING]
        elif not command:
            link.write(data)

    def _dial(self, number: int, *, attach: bool) -> None:
        link = self._connect(data_link=True)
        self._links.append(link)
        self._link = link
        if attach and link.lost is None:
            word = Attach([1], self._welcome.session, number or 1, NONCE)
            self._attaches[link] = word
            link.send(FrameKind.ATTACH, word)

    def _connect(self, *, data_link: bool) -> _ClientLink:
        link = _ClientLink(self._reactor, data_link=data_link)
        self._reactor.connectTCP("127.0.0.1", LINK_PORT, _Once(link))
        self._reactor.settle()
        return link

    def _prove(self, link: _ClientLink, edit: bytes) -> None:
        attach = self._attaches.get(link)
        challenges = [f for f in link.frames if f.kind is FrameKind.CHALLENGE]
        if attach is None or not challenges:
            return
        nonce = decode_message(Challenge, challenges[0].payload).data
        proof = client_proof(self._welcome.secret, attach, nonce, b"n,,")
        words = edited(proof, edit)
        if words == proof:
            self._proved.add(link)
        link.send(FrameKind.RESPONSE, Response("HMAC-SHA-256", words))


class _HostileServer:
    """
    A server that a client has dialled.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._reactor = MemoryReactor()
        self._rogue = _Rogue(self._reactor)
        self._targets = Peers()
        self._reactor.listenTCP(TARGET_PORT, self._targets, interface="127.0.0.1")
        self._client = Client(self._reactor, config)
        self._client.startService()
        self._reactor.settle()
        self._link = self._rogue.link
        self._rogue.welcome(max_links=3, capabilities=["direct"])
        self._stream = 0

    def run(self, script: bytes) -> None:
        for command, number, data in steps(script):
            self._step(command, number, data)
            self._reactor.settle()
        places = {
            host_and_port(connection.server.getHost())
            for connection in self._reactor.connections
        }
        known = {("127.0.0.1", LINK_PORT), ("127.0.0.1", TARGET_PORT)}
        assert places <= known, f"the client has dialled {places - known}"
        self._client.stopService()
        self._reactor.advance(120)
        assert not self._reactor.getDelayedCalls()

    def _step(self, command: int, number: int, data: bytes) -> None:
        link = self._link
        if command == TURN:
            self._link = self._rogue.links[number % len(self._rogue.links)]
        elif command == SPEAK and self._targets.all:
            if _is_there(self._targets.newest):
                self._targets.newest.say(data)
        elif command == LEAVE and self._targets.all:
            if _is_there(self._targets.newest):
                _leave(self._targets.newest, number)
        elif command == WAIT:
            self._reactor.advance(number % 40)
        elif command == DIAL:
            self._attach(data)
        elif link.lost is not None:
            return
        elif command == VISIT:
            self._stream = number
            opened = StreamOpen(number % 3, 65536, "192.0.2.7", 40000)
            if number and number % 3:
                word = encode_message(FrameKind.STREAM_OPEN, opened, number)
                link.transport.write(word)
        elif command == LISTEN:
            link.send(
                FrameKind.TUNNEL_OPENED, TunnelOpened(number or 1, "192.0.2.1", 6000)
            )
        elif command == PONG:
            for frame in link.frames:
                if frame.kind is FrameKind.PING:
                    link.send(FrameKind.PONG, frame.payload)
            link.frames = [f for f in link.frames if f.kind is not FrameKind.PING]
        elif not command:
            link.transport.write(data)

    def _attach(self, edit: bytes) -> None:
        """
        Take the oldest data link that waits.
        """
        for link in self._rogue.links[1:]:
            if link.lost is None and _next(link) is FrameKind.ATTACH:
                break
        else:
            return
        self._link = link
        attach = link.challenge()
        if _next(link) is FrameKind.RESPONSE:
            link.frames.pop(0)
            proof = server_proof(WELCOME.secret, attach, NONCE, b"n,,")
            words = edited(proof, edit)
            if len(words) == len(proof):
                link.send(FrameKind.ATTACHED, Attached(words))


def _next(link: RogueLink) -> FrameKind | None:
    return link.frames[0].kind if link.frames else None


def _is_there(peer: Peer) -> bool:
    return peer.lost is None and getattr(peer, "transport", None) is not None


def _leave(peer: Peer, number: int) -> None:
    (peer.hang_up, peer.finish, peer.abort)[number % 3]()
