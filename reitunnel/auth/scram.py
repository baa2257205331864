"""
The SCRAM-SHA-256 exchange of both sides, without I/O (RFC 5802, RFC 7677).

It knows messages and proofs, and nothing of tokens or links. Names are ASCII
without C{","} and C{"="}, so that no escapes are needed; passwords are ASCII, so
that SASLprep changes nothing. (The scramp library refuses C{tls-exporter}, the
only channel binding that TLS 1.3 has; the tests check this module against it.)
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac, sha256
from hmac import compare_digest, digest
from secrets import token_urlsafe
from typing import Final

MIN_ITERATIONS: Final = 4096
"""RFC 7677 asks for as many at least."""

MAX_ITERATIONS: Final = 100_000
"""What a server may make a client compute: some 20 ms, in the reactor's thread."""

KEY_SIZE: Final = 32
"""The size of every key and proof, in bytes: that of SHA-256."""

_ATTRIBUTE: Final = re.compile(r"[A-Za-z]=[^,\0]+")
_NONCE: Final = re.compile(r"[!-+\--~]+")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,8}")


class ScramError(Exception):
    """
    The peer's message is malformed, or does not prove what it should. The
    message is for the log, not for the peer.
    """


@dataclass(frozen=True, slots=True)
class Header:
    """
    The GS2 header: what the client says of channel binding (RFC 5802, section
    6), and the data that it binds to.

    @ivar text: as it stands before the client's first message.
    @ivar data: the channel binding data, if any.
    """

    text: str
    data: bytes = field(default=b"", repr=False)

    @classmethod
    def bound(cls, data: bytes) -> Header:
        """
        Bind to the TLS channel, by C{tls-exporter} (RFC 9266).
        """
        return cls("p=tls-exporter,,", data)

    @property
    def encoded(self) -> str:
        """
        The value of the C{c} attribute.
        """
        return _base64(self.input)

    @property
    def input(self) -> bytes:
        """
        The C{cbind-input} of RFC 5802, section 7.
        """
        return self.text.encode() + self.data


NO_BINDING: Final = Header("n,,")
"""The client does no channel binding."""

BINDING_NOT_OFFERED: Final = Header("y,,")
"""The client could bind the channel, and believes that the server cannot."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """
    What a server keeps instead of a password.
    """

    salt: bytes
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)
    iterations: int = MIN_ITERATIONS

    @classmethod
    def derive(cls, password: str, salt: bytes, iterations: int) -> Verifier:
        """
        Compute the verifier of a password.
        """
        client_key, server_key = _keys(password, salt, iterations)
        return cls(salt, sha256(client_key).digest(), server_key, iterations)


class ClientFirst:
    """
    The client's side of one exchange, at its beginning.

    @ivar message: what to send first.
    """

    def __init__(
        self, name: str, password: str, header: Header, nonce: str | None = None
    ) -> None:
        """
        @param nonce: for tests; fresh and random when left out.
        """
        self._password = password
        self._header = header
        self._nonce = nonce or token_urlsafe(24)
        self._bare = f"n={name},r={self._nonce}"
        self.message: bytes = f"{header.text}{self._bare}".encode()

    def answer(self, server_first: bytes) -> ClientFinal:
        """
        Read the server's first message.

        @raise ScramError: if it is malformed, belongs to another exchange, or
            asks for too few or too many iterations.
        """
        text = _text(server_first)
        nonce, salt, count = _attributes(text, "r", "s", "i")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise ScramError("the nonce is not an answer to this side's")
        if not _NONCE.fullmatch(nonce):
            raise ScramError("the nonce has characters that it may not have")
        if not _COUNT.fullmatch(count):
            raise ScramError("the iteration count is not a number")
        iterations = int(count)
        if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise ScramError(
                f"{iterations} iterations are asked for; from {MIN_ITERATIONS} to "
                f"{MAX_ITERATIONS} are allowed"
            )
        client_key, server_key = _keys(self._password, _octets(salt), iterations)
        without_proof = f"c={self._header.encoded},r={nonce}"
        transcript = f"{self._bare},{text},{without_proof}".encode()
        signature = digest(sha256(client_key).digest(), transcript, "sha256")
        proof = _base64(_xor(client_key, signature))
        return ClientFinal(
            f"{without_proof},p={proof}".encode(),
            digest(server_key, transcript, "sha256"),
        )


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """
    The client's side of one exchange, at its end.

    @ivar message: what to send.
    @ivar server_signature: what the server has to answer.
    """

    message: bytes = field(repr=False)
    server_signature: bytes = field(repr=False)

    def verify(self, server_final: bytes) -> None:
        """
        Check that the server knows the verifier.

        @raise ScramError: if it does not.
        """
        (signature,) = _attributes(_text(server_final), "v")
        if not compare_digest(_octets(signature), self.server_signature):
            raise ScramError("the server's signature is wrong")


@dataclass(frozen=True, slots=True)
class ServerFirst:
    """
    The server's side of one exchange, after the client's first message.

    @ivar name: who the client says it is.
    @ivar verifier: what C{lookup} gave for the name.
    @ivar header: what the client says of channel binding.
    @ivar client_bare: the client's first message, without the header.
    @ivar nonce: the client's nonce with the server's.
    """

    name: str
    verifier: Verifier
    header: Header
    client_bare: str
    nonce: str

    @classmethod
    def read(
        cls,
        client_first: bytes,
        accepted: Sequence[Header],
        lookup: Callable[[str], Verifier],
        nonce: str | None = None,
    ) -> ServerFirst:
        """
        Read the client's first message.

        @param accepted: what the client may say of channel binding.
        @param lookup: gives a verifier for any name. It invents a lasting one
            for a name that is not known, and its caller refuses at the end.
        @param nonce: for tests; fresh and random when left out.
        @raise ScramError: if the message is malformed, or says of channel
            binding what is not accepted.
        """
        # gs2-cbind-flag "," [ authzid ] "," client-first-message-bare
        flag, _, rest = _text(client_first).partition(",")
        authzid, _, bare = rest.partition(",")
        if authzid:
            raise ScramError("the client asks to act as another, which is not allowed")
        for header in accepted:
            if header.text == f"{flag},,":
                break
        else:
            if flag == "y":
                raise ScramError(
                    "the client believes that this server does no channel binding: "
                    "someone between them may have taken it out of the offer"
                )
            raise ScramError("the channel binding flag does not fit the mechanism")
        name, client_nonce = _attributes(bare, "n", "r")
        if not _NONCE.fullmatch(client_nonce):
            raise ScramError("the nonce has characters that it may not have")
        nonce = client_nonce + (nonce or token_urlsafe(24))
        return cls(name, lookup(name), header, bare, nonce)

    @property
    def message(self) -> bytes:
        """
        What to send.
        """
        salt = _base64(self.verifier.salt)
        return f"r={self.nonce},s={salt},i={self.verifier.iterations}".encode()

    def answer(self, client_final: bytes) -> bytes:
        """
        Check the client's proof.

        @return: the server's final message, which proves that the server knows
            the verifier.
        @raise ScramError: if the message is malformed or does not prove anything.
        """
        without_proof, _, proof = _text(client_final).rpartition(",p=")
        binding, nonce = _attributes(without_proof, "c", "r")
        if not compare_digest(binding.encode(), self.header.encoded.encode()):
            raise ScramError(
                "the channel binding differs: someone may stand between the client "
                "and this server"
            )
        if not compare_digest(nonce.encode(), self.nonce.encode()):
            raise ScramError("the nonce is another exchange's")
        transcript = (
            f"{self.client_bare},{self.message.decode()},{without_proof}".encode()
        )
        stored_key = self.verifier.stored_key
        signature = digest(stored_key, transcript, "sha256")
        client_key = _xor(_octets(proof, KEY_SIZE), signature)
        if not compare_digest(sha256(client_key).digest(), stored_key):
            raise ScramError("the secret is wrong")
        server_signature = digest(self.verifier.server_key, transcript, "sha256")
        return f"v={_base64(server_signature)}".encode()


def _keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """
    Compute ClientKey and ServerKey.
    """
    salted = pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    return (
        digest(salted, b"Client Key", "sha256"),
        digest(salted, b"Server Key", "sha256"),
    )


def _text(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise ScramError("the message is not UTF-8") from None


def _attributes(text: str, *expected: str) -> list[str]:
    """
    Give the values of the expected attributes, which stand first and in order.
    Extensions may follow, and mean nothing here; those that must be understood
    (C{m}) are refused.
    """
    attributes = text.split(",")
    letters = [attribute[:1] for attribute in attributes]
    if (
        letters[: len(expected)] != list(expected)
        or len(set(letters)) != len(letters)
        or not all(map(_ATTRIBUTE.fullmatch, attributes))
    ):
        raise ScramError(f"the message is not {'=,'.join(expected)}=")
    if "m" in letters:
        raise ScramError("the message has an extension that is not known here")
    return [attribute[2:] for attribute in attributes[: len(expected)]]


def _octets(text: str, size: int | None = None) -> bytes:
    try:
        octets = b64decode(text, validate=True)
    except ValueError:
        raise ScramError("the message has a value that is not base64") from None
    if size is not None and len(octets) != size:
        raise ScramError(f"the message has a value that is not {size} bytes long")
    return octets


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
