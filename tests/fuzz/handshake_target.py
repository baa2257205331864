"""
The target that shakes hands: with a server, and with a client, whole and in memory.

Commands let an honest peer speak, which knows the token; its words may be changed.
Nobody may get in without its proof, and no server be believed without its own. The same
holds for links on which a session goes on.
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
from reitunnel.auth.exchange import ServerExchange
from reitunnel.config.settings import (
    AuthSettings,
    ClientConfig,
    ClientTimeouts,
    ServerConfig,
)
from reitunnel.config.values import Secret
from reitunnel.errors import AuthenticationFailed, RemoteProtocolError
from reitunnel.wire.frames import HEADER_SIZE, Frame, FrameKind
from reitunnel.wire.messages import (
    NONCE_SIZE,
    RESUME,
    Challenge,
    Response,
    Resume,
    Resumed,
    Welcome,
    decode_message,
)
from reitunnel.wire.proofs import client_resumes, server_resumes
from tests.auth.support import PLAIN, store_with
from tests.client.rogue import NONCE, WELCOME, RogueLink, RogueServer, welcome
from tests.fuzz.network import directory, faults_raised
from tests.fuzz.script import edited, steps
from tests.memory import MemoryReactor
from tests.pair import client_config, server_config
from tests.server.raw import RawClient, raw_client

HELLO: Final = 0xE0
"""The honest peer begins: a client with C{HELLO}, a server with its offer."""
ANSWER: Final = 0xE1
"""It answers what it heard last; the payload edits its words."""
WAIT: Final = 0xE2
"""Some seconds go by."""
CUT: Final = 0xE3
"""
The link is lost. A client that was let in dials again, and says C{RESUME} as one that
has received so many frames as the number says; a server will answer as such a one.
"""

_MOST_LINKS: Final = 5
_NOT_SENT: Final = 1 << 20
"""More than what is ever sent, in bytes."""
_HMAC: Final = "HMAC-SHA-256"


@cache
def _settings() -> tuple[str, TokenStore, ServerConfig, ClientConfig]:
    """
    Make a token once, and those who know it.
    """
    file = directory() / "handshake.toml"
    token, store = store_with(file, name="fuzz")
    auth = AuthSettings(tokens=file)
    server = server_config(auth=auth, insecure_no_auth=False)
    client = client_config(token=Secret(token), timeouts=ClientTimeouts())
    return token, store, server, client


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
        self._links = [self._link]
        self._resume: Resume | None = None
        self._resumed: set[RawClient] = set()
        credentials = ClientCredentials(token)
        offer = ("SCRAM-SHA-256",)
        self._exchange = ClientAuthenticator(credentials).choose(offer, PLAIN)
        self._answered = 0
        self._proved = False

    def run(self, script: bytes) -> None:
        for command, number, data in steps(script):
            if command == CUT:
                self._cut(number)
            elif self._link.lost is not None:
                break
            elif command == HELLO:
                self._link.hello(capabilities=(RESUME,))
            elif command == ANSWER and self._resume is not None:
                self._prove(self._resume, data)
            elif command == ANSWER:
                self._answer(data)
            elif command == WAIT:
                self._reactor.advance(number % 20)
            elif not command:
                self._link.write(data)
        for link in self._links:
            kinds = {frame.kind for frame in link.frames}
            welcomed = FrameKind.WELCOME in kinds
            assert self._proved or not welcomed, "let in without a proof"
            resumed = FrameKind.RESUMED in kinds
            assert link in self._resumed or not resumed, "resumed without a proof"
        assert self._proved or not self._server.sessions, "a session without a proof"
        self._server.stopService()
        self._reactor.advance(60)
        assert not self._reactor.getDelayedCalls()

    def _cut(self, received: int) -> None:
        welcome = self._welcome()
        self._link.transport.abortConnection()
        self._reactor.settle()
        if welcome is None or len(self._links) > _MOST_LINKS:
            return
        self._link = raw_client(self._reactor)
        self._links.append(self._link)
        had = _had(self._links[0].frames, received)
        self._resume = Resume([1], welcome.session, had, bytes(NONCE_SIZE))
        if self._link.lost is None:
            self._link.send(FrameKind.RESUME, self._resume)

    def _welcome(self) -> Welcome | None:
        try:
            payload = _newest(self._links[0].frames, FrameKind.WELCOME)
            return decode_message(Welcome, payload)
        except RemoteProtocolError:
            return None

    def _prove(self, resume: Resume, edit: bytes) -> None:
        welcome = self._welcome()
        challenge = _newest(self._link.frames, FrameKind.CHALLENGE)
        try:
            nonce = decode_message(Challenge, challenge).data
        except RemoteProtocolError:
            return
        if welcome is None:
            return
        words = client_resumes(welcome.secret, resume, nonce, b"n,,")
        changed = edited(words, edit)
        if words == changed:
            self._resumed.add(self._link)
        self._link.respond(_HMAC, changed)

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
        self._authenticator = ServerAuthenticator(tokens=store)
        self._exchanges: dict[RogueLink, ServerExchange] = {}
        self._proved: set[RogueLink] = set()
        self._received = 0

    def run(self, script: bytes) -> None:
        for command, number, data in steps(script):
            link = self._rogue.link
            if command == CUT and len(self._rogue.links) <= _MOST_LINKS:
                self._received = _had(self._rogue.links[0].frames, number)
                link.transport.abortConnection()
            elif link.lost is not None:
                break
            elif command == HELLO and self._resumes(link):
                link.send(FrameKind.CHALLENGE, Challenge([_HMAC], NONCE))
            elif command == HELLO:
                link.send(FrameKind.CHALLENGE, Challenge(["SCRAM-SHA-256"]))
            elif command == ANSWER and self._resumes(link):
                self._go_on(link, data)
            elif command == ANSWER:
                self._answer(link, data)
            elif command == WAIT:
                self._reactor.advance(number % 20)
            elif not command:
                link.transport.write(data)
            self._reactor.settle()
        words = {FrameKind.HELLO, FrameKind.RESUME, FrameKind.RESPONSE}
        for link in self._rogue.links:
            said = {frame.kind for frame in link.frames}
            believed = link in self._proved or said <= words
            assert believed, "a server was believed without a proof"
        self._client.stopService()
        self._reactor.advance(60)
        assert not self._reactor.getDelayedCalls()

    def _resumes(self, link: RogueLink) -> bool:
        return bool(link.frames) and link.frames[0].kind is FrameKind.RESUME

    def _go_on(self, link: RogueLink, edit: bytes) -> None:
        resume = decode_message(Resume, link.frames[0].payload)
        received = self._received
        words = server_resumes(WELCOME.secret, resume, received, NONCE, b"n,,")
        changed = edited(words, edit)
        if len(changed) != len(words):
            # It cannot be said.
            return
        if words == changed:
            self._proved.add(link)
        link.send(FrameKind.RESUMED, Resumed(received, changed))

    def _answer(self, link: RogueLink, edit: bytes) -> None:
        response = _newest(link.frames, FrameKind.RESPONSE)
        begun = self._exchanges.get(link)
        exchange = begun or self._authenticator.begin("SCRAM-SHA-256", PLAIN)
        self._exchanges[link] = exchange
        try:
            message = decode_message(Response, response)
            outcome = exchange.respond(message.data)
        except AuthenticationFailed:
            return
        words = edited(outcome.data, edit)
        if isinstance(outcome, Accepted):
            if _same_proof(outcome.data, words):
                self._proved.add(link)
            link.send(
                FrameKind.WELCOME,
                welcome(auth=words, capabilities=[RESUME], resume=60.0),
            )
        else:
            link.send(FrameKind.CHALLENGE, Challenge(data=words))


def _had(frames: list[Frame], count: int) -> int:
    """
    @param frames: what came on the first link.
    @return: how many bytes so many frames of the session have, or all of them: honest
        peers of these tests read no rests of frames. A number that is too large stays.
    """
    if count >= _NOT_SENT:
        return count
    session = [frame for frame in frames if frame.kind >= FrameKind.TUNNEL_OPEN]
    return sum(HEADER_SIZE + len(frame.payload) for frame in session[:count])


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
