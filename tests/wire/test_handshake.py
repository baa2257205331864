"""
Tests of L{reitunnel.wire.handshake}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, LocalProtocolError, RemoteProtocolError
from reitunnel.wire.frames import (
    HEADER_SIZE,
    MAX_HANDSHAKE_PAYLOAD,
    Frame,
    FrameKind,
    encode_frame,
)
from reitunnel.wire.handshake import (
    MAX_HANDSHAKE_BYTES,
    ClientHandshake,
    Phase,
    ServerHandshake,
    common_version,
    handshake_reader,
)
from reitunnel.wire.messages import (
    Attach,
    Attached,
    Challenge,
    Ended,
    Hello,
    Response,
    Resume,
    Resumed,
    Welcome,
    encode_message,
)
from tests.wire.search import examples

Side: TypeAlias = "ClientHandshake | ServerHandshake"

HELLO = Hello([1], "laptop", software="test")
OFFER = Challenge(["SCRAM-SHA-256"])
CHOICE = Response("SCRAM-SHA-256", b"n,,n=laptop,r=abc")
WELCOME = Welcome(
    version=1,
    session=b"s" * 16,
    secret=b"k" * 32,
    identity="token:laptop",
    auth=b"v=abc",
    heartbeat=10.0,
    heartbeat_timeout=30.0,
    max_tunnels=8,
    max_streams=64,
)
REFUSAL = Ended(Code.AUTHENTICATION, "no")
ATTACH = Attach([1], b"s" * 16, 7, b"n" * 32)
ATTACHED = Attached(b"p" * 32)
RESUME = Resume([1], b"s" * 16, 7, b"n" * 32)
RESUMED = Resumed(9, b"p" * 32)

MESSAGES: dict[FrameKind, Struct] = {
    FrameKind.HELLO: HELLO,
    FrameKind.CHALLENGE: OFFER,
    FrameKind.RESPONSE: CHOICE,
    FrameKind.WELCOME: WELCOME,
    FrameKind.REFUSED: REFUSAL,
    FrameKind.ATTACH: ATTACH,
    FrameKind.ATTACHED: ATTACHED,
    FrameKind.RESUME: RESUME,
    FrameKind.RESUMED: RESUMED,
}
# What may be said in each phase, and by whom: docs/protocol.md, "Handshake".
SERVER_SAYS = {
    Phase.START: {FrameKind.REFUSED: Phase.REFUSED},
    Phase.ASKED: {
        FrameKind.CHALLENGE: Phase.CHALLENGED,
        FrameKind.WELCOME: Phase.WELCOMED,
        FrameKind.REFUSED: Phase.REFUSED,
    },
    Phase.CHALLENGED: {FrameKind.REFUSED: Phase.REFUSED},
    Phase.WELCOMED: {},
    Phase.ATTACHING: {
        FrameKind.CHALLENGE: Phase.PROVING,
        FrameKind.REFUSED: Phase.REFUSED,
    },
    Phase.PROVING: {FrameKind.REFUSED: Phase.REFUSED},
    Phase.PROVEN: {
        FrameKind.ATTACHED: Phase.ATTACHED,
        FrameKind.REFUSED: Phase.REFUSED,
    },
    Phase.ATTACHED: {},
    Phase.RESUMING: {
        FrameKind.CHALLENGE: Phase.ANSWERING,
        FrameKind.REFUSED: Phase.REFUSED,
    },
    Phase.ANSWERING: {FrameKind.REFUSED: Phase.REFUSED},
    Phase.ANSWERED: {
        FrameKind.RESUMED: Phase.RESUMED,
        FrameKind.REFUSED: Phase.REFUSED,
    },
    Phase.RESUMED: {},
    Phase.REFUSED: {},
}
NEXT_LINK = (Phase.RESUMING, Phase.ANSWERING, Phase.ANSWERED, Phase.RESUMED)
DATA_LINK = (Phase.ATTACHING, Phase.PROVING, Phase.PROVEN, Phase.ATTACHED)
CLIENT_SAYS = {
    Phase.START: {
        FrameKind.HELLO: Phase.ASKED,
        FrameKind.ATTACH: Phase.ATTACHING,
        FrameKind.RESUME: Phase.RESUMING,
    },
    Phase.ASKED: {},
    Phase.CHALLENGED: {FrameKind.RESPONSE: Phase.ASKED},
    Phase.WELCOMED: {},
    Phase.ATTACHING: {},
    Phase.PROVING: {FrameKind.RESPONSE: Phase.PROVEN},
    Phase.PROVEN: {},
    Phase.ATTACHED: {},
    Phase.RESUMING: {},
    Phase.ANSWERING: {FrameKind.RESPONSE: Phase.ANSWERED},
    Phase.ANSWERED: {},
    Phase.RESUMED: {},
    Phase.REFUSED: {},
}


def read(data: bytes) -> Frame:
    """
    Read the only frame.
    """
    (frame,) = handshake_reader().feed(data)
    return frame


def any_frame(kind: FrameKind) -> Frame:
    """
    Make a frame of any kind, a good one where the handshake has such.
    """
    if kind in MESSAGES:
        return read(encode_message(kind, MESSAGES[kind]))
    return Frame(kind, 0, b"12345678")


def client_in(phase: Phase) -> ClientHandshake:
    """
    Bring a client into a phase.
    """
    client = ClientHandshake()
    if phase in DATA_LINK:
        client.attach(ATTACH)
        if phase is not Phase.ATTACHING:
            client.receive(any_frame(FrameKind.CHALLENGE))
        if phase in (Phase.PROVEN, Phase.ATTACHED):
            client.respond(CHOICE)
    elif phase in NEXT_LINK:
        client.resume(RESUME)
        if phase is not Phase.RESUMING:
            client.receive(any_frame(FrameKind.CHALLENGE))
        if phase in (Phase.ANSWERED, Phase.RESUMED):
            client.respond(CHOICE)
    elif phase is not Phase.START:
        client.hello(HELLO)
    last = {
        Phase.ATTACHED: FrameKind.ATTACHED,
        Phase.RESUMED: FrameKind.RESUMED,
        Phase.CHALLENGED: FrameKind.CHALLENGE,
        Phase.WELCOMED: FrameKind.WELCOME,
        Phase.REFUSED: FrameKind.REFUSED,
    }
    if phase in last:
        client.receive(any_frame(last[phase]))
    assert client.phase is phase
    return client


def server_in(phase: Phase) -> ServerHandshake:
    """
    Bring a server into a phase.
    """
    server = ServerHandshake()
    if phase in DATA_LINK:
        server.receive(any_frame(FrameKind.ATTACH))
        if phase is not Phase.ATTACHING:
            server.challenge(OFFER)
        if phase in (Phase.PROVEN, Phase.ATTACHED):
            server.receive(any_frame(FrameKind.RESPONSE))
    elif phase in NEXT_LINK:
        server.receive(any_frame(FrameKind.RESUME))
        if phase is not Phase.RESUMING:
            server.challenge(OFFER)
        if phase in (Phase.ANSWERED, Phase.RESUMED):
            server.receive(any_frame(FrameKind.RESPONSE))
    elif phase is not Phase.START:
        server.receive(any_frame(FrameKind.HELLO))
    if phase is Phase.CHALLENGED:
        server.challenge(OFFER)
    elif phase is Phase.WELCOMED:
        server.welcome(WELCOME)
    elif phase is Phase.ATTACHED:
        server.attached(ATTACHED)
    elif phase is Phase.RESUMED:
        server.resumed(RESUMED)
    elif phase is Phase.REFUSED:
        server.refuse(Code.AUTHENTICATION, "no")
    assert server.phase is phase
    return server


class ExchangeTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """
        What one side sends the other side reads, to the end.
        """
        client, server = ClientHandshake(), ServerHandshake()
        self.assertEqual(HELLO, server.receive(read(client.hello(HELLO))))
        for challenge, response in (
            (OFFER, CHOICE),
            (Challenge([], b"r=abcdef,s=QQ==,i=4096"), Response("", b"c=biws")),
        ):
            self.assertEqual(
                challenge, client.receive(read(server.challenge(challenge)))
            )
            self.assertEqual(response, server.receive(read(client.respond(response))))
            self.assertEqual((False, False), (client.over, server.over))
        self.assertEqual(WELCOME, client.receive(read(server.welcome(WELCOME))))
        self.assertEqual((True, True), (client.over, server.over))
        self.assertIs(Phase.WELCOMED, client.phase)
        self.assertIs(Phase.WELCOMED, server.phase)

    def test_data_link(self) -> None:
        client, server = ClientHandshake(), ServerHandshake()
        challenge = Challenge(["HMAC-SHA-256"], b"c" * 32)
        response = Response("HMAC-SHA-256", b"p" * 32)
        self.assertEqual(ATTACH, server.receive(read(client.attach(ATTACH))))
        self.assertEqual(challenge, client.receive(read(server.challenge(challenge))))
        self.assertEqual(response, server.receive(read(client.respond(response))))
        self.assertEqual((False, False), (client.over, server.over))
        self.assertEqual(ATTACHED, client.receive(read(server.attached(ATTACHED))))
        self.assertEqual((True, True), (client.over, server.over))
        self.assertIs(Phase.ATTACHED, client.phase)
        self.assertIs(Phase.ATTACHED, server.phase)

    def test_next_link(self) -> None:
        client, server = ClientHandshake(), ServerHandshake()
        challenge = Challenge(["HMAC-SHA-256"], b"c" * 32)
        response = Response("HMAC-SHA-256", b"p" * 32)
        self.assertEqual(RESUME, server.receive(read(client.resume(RESUME))))
        self.assertEqual(challenge, client.receive(read(server.challenge(challenge))))
        self.assertEqual(response, server.receive(read(client.respond(response))))
        self.assertEqual((False, False), (client.over, server.over))
        last = server.resumed(RESUMED)
        self.assertEqual(RESUMED, client.receive(read(last)))
        self.assertEqual((True, True), (client.over, server.over))
        sent = len(encode_message(FrameKind.CHALLENGE, challenge)) + len(last)
        self.assertEqual(sent, client.heard)

    def test_refused(self) -> None:
        client, server = ClientHandshake(), ServerHandshake()
        server.receive(read(client.hello(HELLO)))
        refusal = client.receive(read(server.refuse(Code.LIMIT, "full\n" + "x" * 2000)))
        assert isinstance(refusal, Ended)
        self.assertEqual(Code.LIMIT, refusal.code)
        self.assertEqual("full " + "x" * 1018 + "…", refusal.reason)
        self.assertEqual((True, True), (client.over, server.over))

    def test_refused_before_hello(self) -> None:
        """
        A server that is full says so without waiting.
        """
        client = ClientHandshake()
        frame = read(ServerHandshake().refuse(Code.LIMIT, "full"))
        client.hello(HELLO)
        self.assertEqual(Ended(Code.LIMIT, "full"), client.receive(frame))


class TableTests(SynchronousTestCase):
    """
    Every kind of frame in every phase, from each side.
    """

    def hears(
        self,
        make: Callable[[Phase], Side],
        table: dict[Phase, dict[FrameKind, Phase]],
    ) -> None:
        for phase in Phase:
            for kind in FrameKind:
                side = make(phase)
                move = table[phase].get(kind)
                if move is None:
                    error = self.assertRaises(
                        RemoteProtocolError, side.receive, any_frame(kind)
                    )
                    self.assertEqual(f"{kind.name} while {phase.value}", error.reason)
                    self.assertIs(phase, side.phase)
                else:
                    self.assertEqual(MESSAGES[kind], side.receive(any_frame(kind)))
                    self.assertIs(move, side.phase)

    def test_client_hears(self) -> None:
        self.hears(client_in, SERVER_SAYS)

    def test_server_hears(self) -> None:
        self.hears(server_in, CLIENT_SAYS)

    def says(
        self,
        side: Side,
        kind: FrameKind,
        say: Callable[[], bytes],
        move: Phase | None,
    ) -> None:
        phase = side.phase
        if move is None:
            error = self.assertRaises(LocalProtocolError, say)
            self.assertEqual(f"{kind.name} while {phase.value}", error.reason)
            self.assertIs(phase, side.phase)
        else:
            self.assertEqual(encode_message(kind, MESSAGES[kind]), say())
            self.assertIs(move, side.phase)

    def test_client_says(self) -> None:
        for phase, table in CLIENT_SAYS.items():
            client = client_in(phase)
            hello = partial(client.hello, HELLO)
            self.says(client, FrameKind.HELLO, hello, table.get(FrameKind.HELLO))
            client = client_in(phase)
            attach = partial(client.attach, ATTACH)
            self.says(client, FrameKind.ATTACH, attach, table.get(FrameKind.ATTACH))
            client = client_in(phase)
            resume = partial(client.resume, RESUME)
            self.says(client, FrameKind.RESUME, resume, table.get(FrameKind.RESUME))
            client = client_in(phase)
            respond = partial(client.respond, CHOICE)
            self.says(
                client, FrameKind.RESPONSE, respond, table.get(FrameKind.RESPONSE)
            )

    def test_server_says(self) -> None:
        for phase, table in SERVER_SAYS.items():
            for kind in (
                FrameKind.CHALLENGE,
                FrameKind.WELCOME,
                FrameKind.ATTACHED,
                FrameKind.RESUMED,
                FrameKind.REFUSED,
            ):
                server = server_in(phase)
                say: dict[FrameKind, Callable[[], bytes]] = {
                    FrameKind.CHALLENGE: partial(server.challenge, OFFER),
                    FrameKind.WELCOME: partial(server.welcome, WELCOME),
                    FrameKind.ATTACHED: partial(server.attached, ATTACHED),
                    FrameKind.RESUMED: partial(server.resumed, RESUMED),
                    FrameKind.REFUSED: partial(
                        server.refuse, Code.AUTHENTICATION, "no"
                    ),
                }
                self.says(server, kind, say[kind], table.get(kind))


class VersionTests(SynchronousTestCase):
    def test_common(self) -> None:
        self.assertEqual(1, common_version(Hello([1], "x")))
        self.assertEqual(1, common_version(Hello([3, 2, 1], "x")))
        self.assertEqual(1, common_version(ATTACH))
        self.assertEqual(1, common_version(RESUME))

    def test_none_in_common(self) -> None:
        self.assertIsNone(common_version(Hello([0, 2], "x")))
        self.assertIsNone(common_version(Hello([(1 << 64) - 1, -1], "x")))

    def test_welcome_to_another_version(self) -> None:
        client = client_in(Phase.ASKED)
        fields = {name: getattr(WELCOME, name) for name in Welcome.__struct_fields__}
        other = Welcome(**{**fields, "version": 2})
        error = self.assertRaises(
            RemoteProtocolError,
            client.receive,
            read(encode_message(FrameKind.WELCOME, other)),
        )
        self.assertEqual("WELCOME: version 2", error.reason)


class LimitTests(SynchronousTestCase):
    """
    A peer that has not authenticated cannot make this side read much.
    """

    def test_frame(self) -> None:
        reader = handshake_reader()
        header = encode_frame(FrameKind.DATA, 1, bytes(MAX_HANDSHAKE_PAYLOAD + 1))
        self.assertRaises(RemoteProtocolError, list, reader.feed(header[:HEADER_SIZE]))

    def test_all_frames_of_the_client(self) -> None:
        server = server_in(Phase.ASKED)
        response = Response("", bytes(16000))
        for _ in range(4):
            server.challenge(OFFER)
            server.receive(
                any_frame(FrameKind.RESPONSE)._replace(
                    payload=encode_message(FrameKind.RESPONSE, response)[HEADER_SIZE:]
                )
            )
        server.challenge(OFFER)
        error = self.assertRaises(
            RemoteProtocolError,
            server.receive,
            read(encode_message(FrameKind.RESPONSE, response)),
        )
        self.assertEqual(
            f"more than {MAX_HANDSHAKE_BYTES} bytes of handshake", error.reason
        )

    def test_all_frames_of_the_server(self) -> None:
        client = client_in(Phase.ASKED)
        challenge = read(
            encode_message(FrameKind.CHALLENGE, Challenge([], bytes(16000)))
        )
        for _ in range(4):
            client.receive(challenge)
            client.respond(CHOICE)
        self.assertRaises(RemoteProtocolError, client.receive, challenge)

    def test_rounds(self) -> None:
        """
        Small rounds end, too.
        """
        server = server_in(Phase.ASKED)

        def rounds() -> None:
            for _ in range(MAX_HANDSHAKE_BYTES // HEADER_SIZE):
                server.challenge(OFFER)
                server.receive(any_frame(FrameKind.RESPONSE))

        self.assertRaises(RemoteProtocolError, rounds)


class ArbitraryBytesTests(SynchronousTestCase):
    def hear(self, side: Side, data: bytes) -> None:
        """
        Whatever comes is a message that may come, or the protocol error.
        """
        try:
            for frame in handshake_reader().feed(data):
                self.assertIsInstance(side.receive(frame), Struct)
        except RemoteProtocolError:
            pass

    sides = st.one_of(
        st.sampled_from(Phase).map(client_in), st.sampled_from(Phase).map(server_in)
    )

    @examples(200)
    @given(sides, st.binary(max_size=60))
    def test_arbitrary(self, side: Side, data: bytes) -> None:
        self.hear(side, data)

    @examples(200)
    @given(sides, st.sampled_from(list(MESSAGES)), st.binary(max_size=60))
    def test_arbitrary_payload(
        self, side: Side, kind: FrameKind, payload: bytes
    ) -> None:
        self.hear(side, encode_frame(kind, 0, payload or b"\x80"))

    @examples(300)
    @given(sides, st.sampled_from(list(MESSAGES)), st.data())
    def test_mutated(self, side: Side, kind: FrameKind, data: st.DataObject) -> None:
        frame = bytearray(encode_message(kind, MESSAGES[kind]))
        place = data.draw(st.integers(0, len(frame)))
        frame[place : place + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3)
        )
        self.hear(side, bytes(frame))
