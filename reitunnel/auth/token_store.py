"""
The tokens that a running server knows: its token file, kept up to date.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from hashlib import sha256
from hmac import digest
from pathlib import Path
from secrets import token_bytes
from typing import Final, TypeAlias

from twisted.logger import Logger

from reitunnel.auth.scram import Verifier
from reitunnel.auth.token_file import (
    SALT_SIZE,
    TokenFile,
    read_token_file,
)
from reitunnel.auth.tokens import check_name
from reitunnel.errors import ConfigError

_log: Final = Logger()

_Stamp: TypeAlias = tuple[int, int, int, int, int]
"""What changes when a file does: device, inode, size, and the times."""


class TokenStore:
    """
    The tokens of a token file.

    The file is read again when it has changed, which every L{verifier} looks for
    (one C{stat}). A file that has become unusable is logged, and the tokens of
    the last good one stay in force.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        seconds: Callable[[], float] = time.time,
    ) -> None:
        """
        @param path: the token file.
        @param seconds: the time since the epoch, for C{expires}.
        @raise ConfigError: if the file cannot be used.
        """
        self._path = Path(path)
        self._seconds = seconds
        self._stamp = _stamp(self._path)
        self._file = read_token_file(self._path)
        self._fallback_secret = _fallback_secret(self._file)

    @property
    def names(self) -> tuple[str, ...]:
        """
        The names of all tokens, usable or not, in the order of the file.
        """
        return tuple(self._file.tokens)

    def reload(self) -> None:
        """
        Read the file now. All of it is taken over, or nothing.

        @raise ConfigError: if the file cannot be used; the old tokens stay.
        """
        self._stamp = _stamp(self._path)
        self._file = read_token_file(self._path)

    def pass_over(self, path: str | os.PathLike[str]) -> None:
        """
        Do not read the file as it is now: whoever has changed it has been told what is
        wrong with it.

        @param path: the file. If it is not the one of this store, nothing happens.
        """
        if Path(path) == self._path:
            self._stamp = _stamp(self._path)

    def verifier(self, name: str) -> Verifier:
        """
        Give the verifier of a name.

        A name that is not known gets an invented one, always the same, so that
        the exchange shows nothing and fails at its end.
        """
        self._reload_if_changed()
        # Invented in any case, so that a known name does not take less time.
        invented = self._invent(name)
        token = self._file.tokens.get(name)
        return invented if token is None else token.verifier

    def objection(
        self, name: str, verifier: Verifier, certificate: frozenset[str]
    ) -> str:
        """
        Say why a client is not accepted, even with the right proof.

        @param verifier: what L{verifier} gave for the name. The file may have
            changed since: what it says now counts.
        @param certificate: the names of the certificate on the link, if any.
        @return: one line for the log; empty if nothing is wrong.
        """
        token = self._file.tokens.get(name)
        if token is None:
            try:
                check_name(name)
            except ValueError:
                # It may be anything, such as a whole token: it is not shown.
                return "there is no token of that name"
            return f"there is no token {name!r}"
        if token.verifier != verifier:
            return f"the token {name!r} was replaced meanwhile"
        if token.disabled:
            return f"the token {name!r} is disabled"
        if token.expires is not None and token.expires <= self._seconds():
            return f"the token {name!r} has expired"
        if token.certificate is not None and token.certificate not in certificate:
            return (
                f"the token {name!r} goes with the certificate "
                f"{token.certificate!r}, which the link does not have"
            )
        return ""

    def _reload_if_changed(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        try:
            self.reload()
        except ConfigError as error:
            # Once for each change, because reload() keeps the stamp.
            for mistake in error.mistakes:
                _log.error(
                    "token file not loaded, the old tokens stay in force: {mistake}",
                    mistake=mistake,
                    path=self._path,
                )
        else:
            _log.info(
                "token file loaded again: {path}, {count} tokens",
                path=self._path,
                count=len(self._file.tokens),
            )

    def _invent(self, name: str) -> Verifier:
        secret = self._file.secret or self._fallback_secret

        def derive(purpose: str) -> bytes:
            return digest(secret, f"{purpose}:{name}".encode(), "sha256")

        return Verifier(
            derive("salt")[:SALT_SIZE],
            derive("stored key"),
            derive("server key"),
            self._file.usual_iterations,
        )


def _fallback_secret(file: TokenFile) -> bytes:
    """
    What invented salts are derived from when the file sets no C{secret}. It
    follows from all the verifiers, so it is the same after a restart with the
    same file, and whoever has one token cannot compute it.
    """
    if not file.tokens:
        return token_bytes(32)
    whole = sha256()
    for token in file.tokens.values():
        whole.update(token.verifier.salt)
        whole.update(token.verifier.stored_key)
        whole.update(token.verifier.server_key)
    return whole.digest()


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
