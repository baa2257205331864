"""
Tokens as their users see them: one line of text with a name and a secret.

A token is C{rt1_NAME_SECRET}. SECRET is the last 56 characters, base32 in lower
case: 32 random bytes and three of a checksum over all of the token, so that a
token that was copied in part is noticed before anything is sent. It has no
C{"_"}, so the last one in a token ends the name.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes
from typing import Final

PREFIX: Final = "rt1_"
"""How every token begins, so that scanners find one that leaked."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SECRET: Final = re.compile(r"[a-z2-7]{56}")
_SECRET_SIZE: Final = 32
_CHECKSUM_SIZE: Final = 3


def check_name(name: str) -> None:
    """
    See that a token may have this name.

    @raise ValueError: if not; the message is for people.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            "a token's name has 1 to 64 of the characters A-Z a-z 0-9 _ . - "
            "and begins with a letter or digit"
        )
    if name.startswith(PREFIX):
        raise ValueError(f"a token's name does not begin with {PREFIX}")


@dataclass(frozen=True, slots=True)
class Token:
    """
    A token.

    @ivar name: who it is for.
    @ivar secret: the password of the exchange: the text of SECRET.
    """

    name: str
    secret: str = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> Token:
        """
        Make a new token.

        @raise ValueError: if no token may have this name.
        """
        check_name(name)
        octets = token_bytes(_SECRET_SIZE)
        return cls(name, b32encode(octets + _checksum(name, octets)).decode().lower())

    @classmethod
    def parse(cls, text: str) -> Token:
        """
        Read a token. White space is left out wherever it stands, and the secret
        may be in upper case.

        @raise ValueError: if it is none; the message is for people and shows
            nothing of it.
        """
        text = "".join(text.split())
        if not text.startswith(PREFIX):
            raise ValueError(f"this is not a token: a token begins with {PREFIX}")
        name, _, secret = text.removeprefix(PREFIX).rpartition("_")
        secret = secret.lower()
        if _NAME.fullmatch(name) and _SECRET.fullmatch(secret):
            octets = b32decode(secret, casefold=True)
            random, checksum = octets[:_SECRET_SIZE], octets[_SECRET_SIZE:]
            if checksum == _checksum(name, random):
                return cls(name, secret)
        raise ValueError("the token is damaged: copy it again, whole")

    def reveal(self) -> str:
        """
        The token's text.
        """
        return f"{PREFIX}{self.name}_{self.secret}"


def _checksum(name: str, secret: bytes) -> bytes:
    whole = f"{PREFIX}{name}_".encode() + secret
    return sha256(whole).digest()[:_CHECKSUM_SIZE]
