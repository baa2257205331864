"""
The target that shakes hands: with a server, and with a client, whole and in memory.

Commands let an honest peer speak, which knows the token; its words may be changed.
Nobody may get in without its proof, and no server be believed without its own.
"""

from __future__ import annotations

from base64 import b64decode
from functools import cache
from typing import Final

from reitunnel import Client, Server
from reitunnel.auth import (
    Accepted,
    ClientAuthenticator,
    ClientCredentials,
    ServerAuthenticator,
    TokenStore,
)
from reitunnel.config.settings import AuthSettings, ClientConfig, ServerConfig
from reitunnel.config.values import Secret
from reitunnel.errors import AuthenticationFailed
from reitunnel.wire.frames import Frame, FrameKind
from reitunnel.wire.messages import Challenge, Response, decode_message
from tests.auth.support import PLAIN, store_with
from tests.client.rogue import RogueServer, welcome
from tests.fuzz.network import directory, faults_raised
from tests.fuzz.script import edited, steps
from tests.memory import MemoryReactor
from tests.pair import client_config, server_config
from tests.server.raw import raw_client

HELLO: Final = 0xE0
"""The honest peer begins: a client with C{HELLO}, a server with its offer."""
ANSWER: Final = 0xE1
"""It answers what it heard last; the payload edits its words."""
WAIT: Final = 0xE2
"""Some seconds go by."""


@cache
def _settings() -> tuple[str, TokenStore, ServerConfig, ClientConfig]:
    """
    Make a token once, and those who know it.
    """
    file = directory() / "handshake.toml"
    token, store = store_with(file, name="fuzz")
    auth = AuthSettings(tokens=file)
    server = server_config(auth=auth, insecure_no_auth=False)
    return token, store, server, client_config(token=Secret(token))


def fuzz_handshake(data: bytes) -> None:
    """
    The first byte says which side is fuzzed.
    """
    with faults_raised():
        if data[:1] >= b"\x80":
            _HonestClient().run(data[1:])
        else:
            _HonestServer().run(data[1:])


class _HonestClient:
    """
    Speaks to a server.
    """

    def __init__(self) -> None:
        token, _, config, _ = _settings()
        self._reactor = MemoryReactor()
        self._server = Server(self._reactor, config)
        self._server.privilegedStartService()
        self._server.startService()
        self._reactor.settle()
        self._link = raw_client(self._reactor)
        credentials = ClientCredentials(token)
        offer = ("SCRAM-SHA-256",)
        self._exchange = ClientAuthenticator(credentials).choose(offer, PLAIN)
        self._answered = 0
        self._proved = False

    def run(self, script: bytes) -> None:
        for command, number, data in steps(script):
            if self._link.lost is not None:
                break
            if command == HELLO:
                self._link.hello()
            elif command == ANSWER:
                self._answer(data)
            elif command == WAIT:
                self._reactor.advance(number % 20)
            elif not command:
                self._link.write(data)
        kinds = {frame.kind for frame in self._link.frames}
        assert self._proved or FrameKind.WELCOME not in kinds, "let in without a proof"
        assert self._proved or not self._server.sessions, "a session without a proof"
        self._server.stopService()
        self._reactor.advance(60)
        assert not self._reactor.getDelayedCalls()

    def _answer(self, edit: bytes) -> None:
        if not self._answered:
            words = self._exchange.first()
        else:
            challenge = _newest(self._link.frames, FrameKind.CHALLENGE)
            try:
                message = decode_message(Challenge, challenge)
                words = self._exchange.respond(message.data)
            except AuthenticationFailed:
                return
        self._answered += 1
        changed = edited(words, edit)
        self._proved |= self._answered == 2 and _same_proof(words, changed)
        mechanism = self._exchange.mechanism if self._answered == 1 else ""
        self._link.respond(mechanism, changed)


class _HonestServer:
    """
    Speaks to a client.
    """

    def __init__(self) -> None:
        _, store, _, config = _settings()
        self._reactor = MemoryReactor()
        self._rogue = RogueServer(self._reactor)
        self._client = Client(self._reactor, config)
        self._client.startService()
        self._reactor.settle()
        self._link = self._rogue.link
        authenticator = ServerAuthenticator(tokens=store)
        self._exchange = authenticator.begin("SCRAM-SHA-256", PLAIN)
        self._proved = False

    def run(self, script: bytes) -> None:
        for command, number, data in steps(script):
            if self._link.lost is not None:
                break
            if command == HELLO:
                self._link.send(FrameKind.CHALLENGE, Challenge(["SCRAM-SHA-256"]))
            elif command == ANSWER:
                self._answer(data)
            elif command == WAIT:
                self._reactor.advance(number % 20)
            elif not command:
                self._link.transport.write(data)
            self._reactor.settle()
        said = {frame.kind for frame in self._link.frames}
        words = {FrameKind.HELLO, FrameKind.RESPONSE}
        assert self._proved or said <= words, "a server was believed without a proof"
        self._client.stopService()
        self._reactor.advance(60)
        assert not self._reactor.getDelayedCalls()

    def _answer(self, edit: bytes) -> None:
        response = _newest(self._link.frames, FrameKind.RESPONSE)
        try:
            message = decode_message(Response, response)
            outcome = self._exchange.respond(message.data)
        except AuthenticationFailed:
            return
        words = edited(outcome.data, edit)
        if isinstance(outcome, Accepted):
            self._proved = _same_proof(outcome.data, words)
            self._link.send(FrameKind.WELCOME, welcome(auth=words))
        else:
            self._link.send(FrameKind.CHALLENGE, Challenge(data=words))


def _newest(frames: list[Frame], kind: FrameKind) -> bytes:
    """
    Give the payload of the newest frame of a kind, or a message that means nothing.
    """
    payloads = [frame.payload for frame in frames if frame.kind is kind]
    return payloads[-1] if payloads else b"\x80"


def _same_proof(words: bytes, changed: bytes) -> bool:
    """
    Whether a changed message still proves the same: base64 has several forms for one
    value.
    """
    return _proof(words) == _proof(changed)


def _proof(words: bytes) -> tuple[bytes, bytes]:
    before, mark, proof = words.rpartition(b",p=")
    if words.startswith(b"v="):
        # Extensions after the server's proof mean nothing.
        before, mark, proof = b"", b"v=", words[2:].partition(b",")[0]
    try:
        return before + mark, b64decode(proof)
    except ValueError:
        return words, b""
