"""
Writes files that nobody but their owner may read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp

PRIVATE = 0o600
"""Readable and writable by the owner alone."""


def write_new(path: Path, content: str) -> None:
    """
    Write a file that is not there yet.

    @raise FileExistsError: if it is.
    @raise OSError: if it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)


def replace(path: Path, content: str, check: Callable[[Path], object]) -> None:
    """
    Write a file, in place of one that may be there, all at once: whoever reads it
    meanwhile finds the old one or the new one. Its owner and mode are those of the
    old one.

    @param check: is told of the new file before it takes its place; if it raises,
        the old one stays.
    @raise OSError: if it cannot be written; the old one stays.
    """
    descriptor, name = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            old, new = path.stat(), temporary.stat()
            if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
                os.chown(temporary, old.st_uid, old.st_gid)
            temporary.chmod(stat.S_IMODE(old.st_mode))
        check(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
