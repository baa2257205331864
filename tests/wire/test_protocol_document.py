"""
docs/protocol.md says what the code does: its tables, its example, its program.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT
from msgspec.structs import fields
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth.scram import NO_BINDING, ServerFirst
from reitunnel.errors import Code, RemoteProtocolError
from reitunnel.wire.frames import FrameKind, FrameReader, encode_frame, encode_header
from reitunnel.wire.handshake import FromClient, ServerHandshake
from reitunnel.wire.messages import (
    Attach,
    Challenge,
    Hello,
    Response,
    Resume,
    Welcome,
)
from reitunnel.wire.proofs import (
    client_proof,
    client_resumes,
    server_proof,
    server_resumes,
)
from tests.quality.fences import Block, fenced_blocks
from tests.wire.example import (
    SERVER_NONCE,
    TOKEN,
    VERIFIER,
    conversation,
    render,
    split_frames,
)
from tests.wire.kinds import MESSAGES
from tests.wire.test_hostile_peers import SENDERS

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()

HANDSHAKE_SENDERS = {
    FrameKind.HELLO: "client",
    FrameKind.CHALLENGE: "server",
    FrameKind.RESPONSE: "client",
    FrameKind.WELCOME: "server",
    FrameKind.REFUSED: "server",
    FrameKind.ATTACH: "client",
    FrameKind.ATTACHED: "server",
    FrameKind.RESUME: "client",
    FrameKind.RESUMED: "server",
}
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}


def section(title: str) -> str:
    """
    Give what stands under a heading.
    """
    _, _, rest = TEXT.partition(f"\n## {title}\n")
    assert rest, f"no section {title!r}"
    return rest.partition("\n## ")[0]


def rows(text: str) -> Iterator[list[str]]:
    """
    Give the cells of every row of the tables in a text, without their heads.
    """
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def only_block(language: str) -> Block:
    """
    Give the only fenced block in a language.
    """
    (block,) = (each for each in fenced_blocks(TEXT) if each.language == language)
    return block


def span(text: str) -> tuple[int, int]:
    """
    Read a span of sizes, such as C{4} and C{1 - 16 KiB}.
    """
    first, dash, last = text.partition(" \N{EN DASH} ")
    number, _, unit = (last if dash else first).partition(" ")
    return int(first), int(number) * UNITS.get(unit, 1)


class FrameTableTests(SynchronousTestCase):
    def test_every_kind(self) -> None:
        """
        The table has every kind, its sender, its stream and its sizes.
        """
        seen = {}
        for number, name, sender, stream, length, payload in (
            row for row in rows(section("Frames")) if row[0].startswith("`0x")
        ):
            kind = FrameKind(int(number.strip("`"), 16))
            seen[kind] = name.strip("`")
            senders = {**HANDSHAKE_SENDERS, **SENDERS}.get(kind, "")
            self.assertEqual(
                {"client server": "either"}.get(senders, senders), sender, name
            )
            self.assertEqual(payload == "reserved", not senders, name)
            self.check_size(kind, int(stream == "yes"), *span(length))
        self.assertEqual({kind: kind.name for kind in FrameKind}, seen)

    def check_size(
        self, kind: FrameKind, stream: int, smallest: int, largest: int
    ) -> None:
        for size in (smallest, largest):
            list(FrameReader().feed(encode_header(kind, stream, size)))
        for size in {smallest - 1, largest + 1} - {-1}:
            header = encode_header(kind, stream, size)
            self.assertRaises(RemoteProtocolError, list, FrameReader().feed(header))
        header = encode_header(kind, 1 - stream, smallest)
        self.assertRaises(RemoteProtocolError, list, FrameReader().feed(header))


class MessageTableTests(SynchronousTestCase):
    def test_every_message(self) -> None:
        """
        The tables have every field in order, and say which have defaults.
        """
        text = section("Messages")
        for title, kinds in self.titles().items():
            [message] = {MESSAGES[kind] for kind in kinds}
            _, _, rest = text.partition(f"\n{title}\n")
            table = rest.strip().partition("\n\n")[0]
            stated = [(name, "default" in of) for name, of, _ in list(rows(table))[1:]]
            actual = [
                (
                    f"`{field.name}`",
                    field.default is not NODEFAULT
                    or field.default_factory is not NODEFAULT,
                )
                for field in fields(message)
            ]
            self.assertEqual(actual, stated, title)

    def test_each_once(self) -> None:
        described = [kind for kinds in self.titles().values() for kind in kinds]
        self.assertCountEqual(MESSAGES, described)

    def titles(self) -> dict[str, list[FrameKind]]:
        """
        What stands above each table, and the kinds of frame that it names.
        """
        text = section("Messages")
        return {
            title: [FrameKind[name] for name in re.findall(r"[A-Z_]+", title)]
            for title in re.findall(r"^(`[A-Z_`, ]+`)$", text, re.MULTILINE)
        }


class CodeTableTests(SynchronousTestCase):
    def test_every_code(self) -> None:
        table = list(rows(section("Codes")))[1:]
        self.assertEqual(
            [(str(int(code)), f"`{code.name}`") for code in Code],
            [(number, name) for number, name, _ in table],
        )


class ExampleTests(SynchronousTestCase):
    def test_up_to_date(self) -> None:
        """
        The example is what the code says.
        """
        self.assertEqual(render().rstrip("\n") + "\n", only_block("hex").source)

    def test_reads(self) -> None:
        """
        The bytes as they stand in the document are the frames that are named above
        them.
        """
        stated, data = [], b""
        for line in only_block("hex").source.splitlines():
            if line.startswith(("> ", "< ")):
                if not line[2:].startswith(" "):
                    stated.append(line[2:])
            else:
                data += bytes.fromhex(line)
        read = [
            frame.kind.name + (f" on stream {frame.stream}" if frame.stream else "")
            for frame in FrameReader().feed(data)
        ]
        self.assertEqual(stated, read)
        sent = [frame for each in conversation() for frame in split_frames(each.data)]
        self.assertEqual(b"".join(sent), data)


class ProofTests(SynchronousTestCase):
    def test_proofs(self) -> None:
        """
        The proofs of the example are those that the code makes.
        """
        attach = Attach([1], b"sixteen random B", 1, b"\x11" * 32)
        secret, challenge = b"thirty-two random bytes, for now", b"\x22" * 32
        for side, make in (("client", client_proof), ("server", server_proof)):
            proof = make(secret, attach, challenge, NO_BINDING.input).hex()
            self.assertIn(f"\n{side}  {proof}\n", section("Data links"))

    def test_proofs_of_resumption(self) -> None:
        resume = Resume([1], b"sixteen random B", 1000, b"\x11" * 32)
        secret, challenge = b"thirty-two random bytes, for now", b"\x22" * 32
        binding = NO_BINDING.input
        client = client_resumes(secret, resume, challenge, binding).hex()
        server = server_resumes(secret, resume, 2000, challenge, binding).hex()
        self.assertIn(f"\nclient  {client}\nserver  {server}\n", section("Resumption"))


class ProgramTests(SynchronousTestCase):
    """
    The document's program lets itself in with the project's own server.
    """

    def setUp(self) -> None:
        self.names: dict[str, Any] = {}
        exec(only_block("python").source, self.names)
        self.client: Generator[bytes, Any, dict[str, Any]] = self.names["handshake"](
            TOKEN.reveal(), "laptop", "a-nonce-of-the-client"
        )
        self.server = ServerHandshake()

    def hear(self, data: bytes) -> FromClient:
        (frame,) = FrameReader().feed(data)
        return self.server.receive(frame)

    def answer(self, data: bytes) -> Response:
        (frame,) = self.names["decode"](data)
        response = self.hear(self.client.send(frame))
        assert isinstance(response, Response)
        return response

    def exchange(self) -> bytes:
        """
        Go through the exchange.

        @return: the server's proof.
        """
        hello = self.hear(next(self.client))
        self.assertEqual(Hello([1], "laptop"), hello)
        offer = Challenge(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"])
        first = self.answer(self.server.challenge(offer))
        self.assertEqual("SCRAM-SHA-256", first.mechanism)
        exchange = ServerFirst.read(
            first.data, [NO_BINDING], lambda name: VERIFIER, SERVER_NONCE
        )
        self.assertEqual(TOKEN.name, exchange.name)
        final = self.answer(self.server.challenge(Challenge(data=exchange.message)))
        return exchange.answer(final.data)

    def welcome(self, auth: bytes) -> Any:
        """
        Let the client in.

        @return: the frame, as the program reads it.
        """
        welcome = Welcome(
            version=1,
            session=b"s" * 16,
            secret=b"k" * 32,
            identity="token:laptop",
            auth=auth,
            heartbeat=10,
            heartbeat_timeout=30,
            max_tunnels=1,
            max_streams=1,
        )
        (frame,) = self.names["decode"](self.server.welcome(welcome))
        return frame

    def test_let_in(self) -> None:
        frame = self.welcome(self.exchange())
        end = self.assertRaises(StopIteration, self.client.send, frame)
        self.assertEqual("token:laptop", end.value["identity"])

    def test_wrong_server(self) -> None:
        self.exchange()
        frame = self.welcome(b"v=" + b"A" * 43 + b"=")
        error = self.assertRaises(ValueError, self.client.send, frame)
        self.assertEqual("this is not the right server", str(error))

    def test_refused(self) -> None:
        self.exchange()
        data = self.server.refuse(Code.AUTHENTICATION, "authentication failed")
        (frame,) = self.names["decode"](data)
        error = self.assertRaises(ValueError, self.client.send, frame)
        self.assertEqual("not let in: authentication failed", str(error))

    def test_frames(self) -> None:
        """
        It encodes frames as the project does.
        """
        self.assertEqual(
            encode_frame(FrameKind.DATA, 7, b"abc"),
            self.names["encode"](0x24, b"abc", 7),
        )
