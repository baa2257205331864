"""
The file that holds the verifiers of a server's tokens: reading, and new entries.

docs/authentication.md, "The token file", is the specification.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from secrets import token_bytes
from typing import Any, Final

from reitunnel.auth.scram import (
    KEY_SIZE,
    MAX_ITERATIONS,
    MIN_ITERATIONS,
    Verifier,
)
from reitunnel.auth.tokens import Token, check_name
from reitunnel.errors import ConfigError, ConfigMistake

MAX_FILE_SIZE: Final = 16 * 1024 * 1024
"""The largest token file that is read, in bytes."""

SALT_SIZE: Final = 16
"""
The size of every salt, in bytes. One size for all, so that the salt of a name
that is not known looks like any other.
"""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class StoredToken:
    """
    What the file says of one token.

    @ivar expires: when it ceases to be valid, in seconds since the epoch.
    @ivar certificate: a name that the certificate on the link must have.
    """

    name: str
    verifier: Verifier
    expires: float | None = None
    disabled: bool = False
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class TokenFile:
    """
    All that a token file says.

    @ivar tokens: by name.
    @ivar secret: what invented salts are derived from, if it is set.
    @ivar usual_iterations: the count that most tokens have.
    """

    tokens: Mapping[str, StoredToken]
    secret: bytes | None = field(repr=False)
    usual_iterations: int


def new_token(name: str) -> tuple[str, str]:
    """
    Make a token.

    @return: the token, and the lines to add to the server's token file, from
        which nobody can compute the token.
    @raise ValueError: if no token may have this name; the message is for people.
    """
    token = Token.generate(name)
    verifier = Verifier.derive(token.secret, token_bytes(SALT_SIZE), MIN_ITERATIONS)
    lines = (
        f"[tokens.{_key(name)}]\n"
        f'salt = "{_base64(verifier.salt)}"\n'
        f'stored_key = "{_base64(verifier.stored_key)}"\n'
        f'server_key = "{_base64(verifier.server_key)}"\n'
        f"iterations = {verifier.iterations}\n"
    )
    return token.reveal(), lines


def read_token_file(path: Path) -> TokenFile:
    """
    Read a token file.

    @raise ConfigError: if it cannot be read, if others can read it, or for
        every mistake in it.
    """
    content = _content(path)
    try:
        # TOML is UTF-8; tomllib is recursive and has no bound of its own.
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"is not TOML: {error}") from None
    mistakes: list[ConfigMistake] = []

    def note(key: str, message: str) -> None:
        mistakes.append(ConfigMistake(key, f"{message} (in {path})"))

    tokens: dict[str, StoredToken] = {}
    secret: bytes | None = None
    for key, value in document.items():
        if key == "tokens":
            tokens = _tokens(value, note)
        elif key == "secret":
            try:
                secret = _octets(KEY_SIZE)(value)
            except ValueError as error:
                note(key, str(error))
        else:
            note(_key(key), "unknown key")
    if mistakes:
        raise ConfigError(mistakes)
    counts = Counter(token.verifier.iterations for token in tokens.values())
    usual = counts.most_common(1)[0][0] if counts else MIN_ITERATIONS
    return TokenFile(tokens, secret, usual)


def _content(path: Path) -> bytes:
    """
    Read the file whole, if it is one and nobody else can.
    """
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _unusable(path, "is not a file")
            mode = stat.S_IMODE(status.st_mode)
            if os.name == "posix" and mode & stat.S_IRWXO:
                raise _unusable(
                    path,
                    f"is open to others (mode {mode:04o}) and holds secrets: "
                    f"chmod 600 {path}",
                )
            content = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise _unusable(path, f"cannot be read: {why}") from None
    if len(content) > MAX_FILE_SIZE:
        raise _unusable(path, f"is larger than {MAX_FILE_SIZE} bytes")
    return content


def _open(path: str, flags: int) -> int:
    # Without O_NONBLOCK a FIFO that nobody writes to would block for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _tokens(value: object, note: Callable[[str, str], None]) -> dict[str, StoredToken]:
    if not isinstance(value, dict):
        note("tokens", "expected a table")
        return {}
    tokens: dict[str, StoredToken] = {}
    for name, table in value.items():
        path = f"tokens.{_key(name)}"
        try:
            check_name(name)
        except ValueError as error:
            note(path, str(error))
        if not isinstance(table, dict):
            note(path, "expected a table")
            continue
        values: dict[str, Any] = {}
        for key, entry in table.items():
            check = _CHECKS.get(key)
            if check is None:
                note(f"{path}.{_key(key)}", "unknown key")
                continue
            try:
                values[key] = check(entry)
            except ValueError as error:
                note(f"{path}.{key}", str(error))
        for key in _REQUIRED:
            if key not in table:
                note(f"{path}.{key}", "missing")
        if all(key in values for key in _REQUIRED):
            tokens[name] = StoredToken(
                name,
                Verifier(**{key: values.pop(key) for key in _REQUIRED}),
                **values,
            )
    return tokens


def _octets(size: int) -> Callable[[object], bytes]:
    def check(value: object) -> bytes:
        if isinstance(value, str):
            try:
                octets = b64decode(value, validate=True)
            except ValueError:
                octets = b""
            if len(octets) == size:
                return octets
        raise ValueError(f"expected {size} bytes in base64")

    return check


def _iterations(value: object) -> int:
    if isinstance(value, int) and MIN_ITERATIONS <= value <= MAX_ITERATIONS:
        return value
    raise ValueError(f"expected a number from {MIN_ITERATIONS} to {MAX_ITERATIONS}")


def _expires(value: object) -> float:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime.combine(value, time())
    else:
        raise ValueError("expected a date, or a date and time")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def _disabled(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false")


def _certificate(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise ValueError("expected a name")


_CHECKS: Final[Mapping[str, Callable[[object], Any]]] = {
    "salt": _octets(SALT_SIZE),
    "stored_key": _octets(KEY_SIZE),
    "server_key": _octets(KEY_SIZE),
    "iterations": _iterations,
    "expires": _expires,
    "disabled": _disabled,
    "certificate": _certificate,
}
_REQUIRED: Final = ("salt", "stored_key", "server_key", "iterations")


def _unusable(path: Path, message: str) -> ConfigError:
    return ConfigError([ConfigMistake(str(path), message)])


def _key(key: str) -> str:
    """
    Write a key as TOML does.
    """
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key)


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode()
