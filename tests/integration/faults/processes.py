"""
Real servers and clients as processes that are killed, stopped for a while, and
started again.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.integration.faults.ledger import STATE_SIGNAL, Book, read_book
from tests.integration.processes import PATIENCE, Running, reactor
from tests.integration.programs.running import end, start

_Result = TypeVar("_Result")

_LOOK_AGAIN = 0.05
_ROOT = Path(__file__).parents[3]


class Peer:
    """
    A server or a client, over all of its lives.

    @ivar name: what it is called.
    @ivar running: the process of now.
    @ivar killed: the process ids that it had before, which were killed.
    """

    running: Running

    def __init__(
        self,
        name: str,
        command: tuple[str | os.PathLike[str], ...],
        directory: Path,
        plugins: Path,
    ) -> None:
        """
        @param command: its program and arguments.
        @param directory: where its files are.
        @param plugins: the directory that ships the ledger.
        """
        self.name = name
        self.killed: list[int] = []
        self._command = command
        self._directory = directory
        self._environ = {"PYTHONPATH": f"{plugins}:{_ROOT}"}
        self._stopped = False

    @property
    def ledger_option(self) -> str:
        """
        The option of its ledger.
        """
        return str(self._directory / f"{self.name}.ledger")

    def start(self) -> Running:
        """
        Start it, and do not wait.
        """
        # twistd leaves its files where it runs.
        home = self._directory / f"{self.name}.home"
        home.mkdir(exist_ok=True)
        self.running = start(*self._command, directory=home, environ=self._environ)
        return self.running

    async def kill(self) -> None:
        """
        Kill it as a crash does: nothing is said to anybody.
        """
        self.killed.append(self.running.pid)
        self.running.signal("KILL")
        self._stopped = False
        await self.running.gone()

    def freeze(self) -> None:
        """
        Stop it where it stands.
        """
        self._stopped = True
        self.running.signal("STOP")

    def thaw(self) -> None:
        """
        Let it go on.
        """
        if self._stopped:
            self._stopped = False
            self.running.signal("CONT")

    async def finish(self) -> int:
        """
        Ask it to stop.

        @return: its exit code.
        """
        self.thaw()
        finished = await self.running.stop()
        return finished.code

    async def end(self) -> None:
        """
        End it, whatever state it is in.
        """
        if hasattr(self, "running"):
            await end(self.running)

    # What it holds.

    def memory(self) -> int:
        """
        How many bytes of memory it has resident.
        """
        text = Path(f"/proc/{self.running.pid}/status").read_text()
        line = next(each for each in text.splitlines() if each.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    async def state(self) -> dict[str, int]:
        """
        Ask it what it holds, see L{LedgerHook}.
        """
        before = len(self.book().states)
        os.kill(self.running.pid, STATE_SIGNAL)
        deadline = reactor.seconds() + PATIENCE
        while len(states := self.book().states) == before:
            if reactor.seconds() > deadline:
                raise AssertionError(f"{self.name} does not tell its state")
            await pause(_LOOK_AGAIN)
        return states[-1]

    # What it wrote down.

    def book(self) -> Book:
        """
        Read the ledger of its life of now.
        """
        return read_book(Path(f"{self.ledger_option}.{self.running.pid}"))

    def books(self) -> dict[int, Book]:
        """
        Read the ledgers of all its lives, by process id.
        """
        return {
            int(path.suffix[1:]): read_book(path)
            for path in sorted(self._directory.glob(f"{self.name}.ledger.*"))
        }


async def together(
    doing: Iterable[Coroutine[Deferred[Any], Any, _Result]],
) -> list[_Result]:
    """
    Do several things at the same time, and wait for all.

    @return: what comes of each, in order.
    """
    return await gatherResults(
        [Deferred.fromCoroutine(each) for each in doing], consumeErrors=True
    )


def pause(seconds: float) -> Deferred[None]:
    """
    Wait.
    """
    return deferLater(reactor, seconds)
