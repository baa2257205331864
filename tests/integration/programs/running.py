"""
Starts and ends the real programs that are no part of Reitunnel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from signal import Signals

from tests.integration.processes import Running, reactor

User = tuple[int, int]
"""A user and a group, by number."""


def start(
    *command: str | os.PathLike[str],
    directory: Path,
    environ: Mapping[str, str],
    user: User | None = None,
    terminal: bool = False,
) -> Running:
    """
    Start a program.

    @param command: its path, then its arguments.
    @param directory: where it starts; its home too.
    @param environ: what its environment has besides the usual.
    @param user: whom it runs as; as this process if left out.
    @param terminal: whether it has a terminal of its own in place of pipes.
    """
    arguments = [os.fspath(each) for each in command]
    running = Running(arguments)
    uid, gid = user or (None, None)
    reactor.spawnProcess(
        running,
        arguments[0],
        arguments,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),
            "LC_ALL": "C",
            "TERM": "dumb",
            **environ,
        },
        path=str(directory),
        uid=uid,
        gid=gid,
        usePTY=terminal,
    )
    return running


async def end(running: Running, number: Signals = Signals.SIGTERM) -> None:
    """
    End a program in order, as the daemons that it may have started need it. What
    does not end in time is killed.

    @raise ProcessFailed: if it had to be killed.
    """
    running.signal(number.name.removeprefix("SIG"))
    # One that was stopped takes no other signal until then.
    running.signal("CONT")
    try:
        await running.finished()
    finally:
        running.signal("KILL")
        # A child of it may still have the pipes.
        running.transport.loseConnection()
        await running.gone()
