"""
C{reitunnel token}: makes a token for a client, and its entry for the server.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TextIO

from twisted.python.usage import CompleteFiles, Completions, UsageError

from reitunnel.auth import new_token
from reitunnel.auth.token_file import read_token_file
from reitunnel.errors import ReitunnelError
from reitunnel.service.exits import STOPPED
from reitunnel.service.options import CommandOptions
from reitunnel.service.private_files import replace, write_new


class TokenOptions(CommandOptions):
    """
    C{reitunnel token}.
    """

    synopsis = "reitunnel token [options] NAME"
    longdesc = (
        "Makes a token for the client NAME. Prints the token, for the client, and the "
        "lines for the server's token file (--tokens), from which nobody can compute "
        "the token. It is stored nowhere else."
    )
    optParameters: ClassVar = [
        ["add", "a", None, "Add the lines to this token file, and do not print them"],
        ["out", "o", None, "Write the token to this new file, and do not print it"],
    ]
    compData = Completions(optActions={"add": CompleteFiles(), "out": CompleteFiles()})

    def parseArgs(self, *names: str) -> None:
        """
        Take the name.
        """
        if len(names) != 1:
            raise UsageError("give the token one name")
        self["name"] = names[0]


def make_token(options: TokenOptions, out: TextIO) -> int:
    """
    Make a token.

    @raise ReitunnelError: if that cannot be; nothing has changed then.
    """
    name, add, target = options["name"], options["add"], options["out"]
    try:
        token, lines = new_token(name)
    except ValueError as error:
        raise ReitunnelError(str(error)) from None
    if target is not None:
        _write_token(Path(target), token)
    try:
        if add is not None:
            add_token(Path(add), name, lines)
    except BaseException:
        if target is not None:
            Path(target).unlink()
        raise
    shown = [f"{token}\n"] if target is None else []
    if add is None:
        shown.append(lines)
    out.write("\n".join(shown))
    return STOPPED


def add_token(path: Path, name: str, lines: str) -> None:
    """
    Add an entry to a token file, or begin one. A server that runs notices.

    @param lines: the entry, of L{new_token}.
    @raise ReitunnelError: if it cannot be added; the file is as it was then.
    """
    # A link stays a link.
    path = path.resolve()
    try:
        with _alone_in(path.parent):
            before = ""
            if path.exists():
                if name in read_token_file(path).tokens:
                    raise ReitunnelError(f'{path}: there is a token "{name}" already')
                before = path.read_text(encoding="utf-8").rstrip("\n") + "\n\n"
                before = before.lstrip("\n")
            replace(path, before + lines, read_token_file)
    except OSError as error:
        raise ReitunnelError(f"{path}: cannot be written: {error.strerror}") from None


def _write_token(path: Path, token: str) -> None:
    try:
        write_new(path, f"{token}\n")
    except FileExistsError:
        raise ReitunnelError(f"{path}: is there already") from None
    except OSError as error:
        raise ReitunnelError(f"{path}: cannot be written: {error.strerror}") from None


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """
    Keep others who do the same out of a directory, so that no entry is lost.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
