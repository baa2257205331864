"""
The base of these tests: a server, a client and programs around them, each test
over each transport.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from signal import Signals
from tempfile import mkdtemp
from types import MappingProxyType
from typing import Any, TypeVar

from twisted.trial.unittest import TestCase

from tests.integration.processes import PATIENCE, Finished, Running
from tests.integration.programs.deployment import (
    CLIENT,
    SERVER,
    TCP,
    WAYS,
    Deployment,
    Remote,
    Way,
)
from tests.integration.programs.running import User, end, start
from tests.programs import require_program


class ProgramTestCase(TestCase):
    """
    Runs programs; each has ended when the test is over.

    @ivar directory: the test's own. Other users can read it, and its path is short
        enough for the addresses of Unix sockets.
    """

    timeout = 120.0

    def setUp(self) -> None:
        self.directory = Path(mkdtemp(prefix="reitunnel-"))
        self.directory.chmod(0o755)
        self.addCleanup(rmtree, self.directory)

    def start(
        self,
        program: str,
        *arguments: str | os.PathLike[str],
        name: str | None = None,
        environ: Mapping[str, str] | None = None,
        user: User | None = None,
        terminal: bool = False,
        last_signal: Signals = Signals.SIGTERM,
    ) -> Running:
        """
        Start a program.

        @param program: as for L{require_program}, or a path.
        @param name: of the directory that it starts in; the program's if left out.
        @param environ: what its environment has besides the usual.
        @param user: whom it runs as; as this process if left out.
        @param terminal: whether it has a terminal of its own in place of pipes.
        @param last_signal: what ends it after the test, if it still runs.
        """
        home = self.directory / "homes" / (name or os.path.basename(program))
        home.mkdir(parents=True, exist_ok=True)
        running = start(
            require_program(program),
            *arguments,
            directory=home,
            environ=environ or {},
            user=user,
            terminal=terminal,
        )
        self.addCleanup(end, running, last_signal)
        return running

    async def run_program(
        self,
        program: str,
        *arguments: str | os.PathLike[str],
        stdin: str = "",
        code: int = 0,
        patience: float = PATIENCE,
        environ: Mapping[str, str] | None = None,
        user: User | None = None,
    ) -> Finished:
        """
        Run a program to its end.

        @param stdin: what it reads.
        @param code: the exit code that it must have.
        @param patience: how long it may take, in seconds.
        """
        running = self.start(program, *arguments, environ=environ, user=user)
        running.write(stdin)
        running.transport.closeStdin()
        finished = await running.finished(patience)
        self.assertEqual(finished.code, code, running.output)
        return finished

    async def run_shell(
        self,
        script: str,
        *arguments: str | os.PathLike[str],
        patience: float = PATIENCE,
    ) -> str:
        """
        Run a shell script that must succeed.

        @param arguments: its C{$1} and so on.
        @return: what it printed.
        """
        finished = await self.run_program(
            "sh", "-euc", script, "sh", *arguments, patience=patience
        )
        return finished.out


class TunnelTestCase(ProgramTestCase):
    """
    Runs a Reitunnel server and its clients too.

    @ivar way: the transport between them.
    @ivar environ: what their environment has besides the usual.
    """

    way: Way = TCP
    environ: Mapping[str, str] = MappingProxyType({})

    @cached_property
    def deployment(self) -> Deployment:
        """
        The files of the server and its clients.
        """
        return Deployment(self.directory, self.way)

    async def start_server(self, keys: Mapping[str, Any] | None = None) -> Running:
        """
        Start a server, and wait until it listens; another one listens there too.

        @param keys: as for L{Deployment.server_config}.
        """
        config = self.deployment.server_config(keys)
        server = self.start(
            *SERVER, "--config", config, name="server", environ=self.environ
        )
        await server.wait_for(f"listening on .*127.0.0.1:{self.deployment.port}")
        return server

    def launch_client(
        self,
        remotes: Sequence[Remote],
        client_id: str = "client",
        keys: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Running:
        """
        Start a client, and do not wait.

        @param keys: as for L{Deployment.client_config}.
        @param name: as for L{start}; the client id if left out.
        """
        config = self.deployment.client_config(remotes, client_id, keys)
        return self.start(
            *CLIENT,
            *("--config", config),
            name=name or client_id,
            environ=self.environ,
        )

    async def start_client(
        self,
        *targets: str | Remote,
        client_id: str = "client",
        keys: Mapping[str, Any] | None = None,
    ) -> tuple[Running, list[int]]:
        """
        Start a client, and wait until its tunnels are open.

        @return: the client, and the public ports in the order of the targets.
        """
        remotes = [
            each if isinstance(each, Remote) else Remote(each) for each in targets
        ]
        client = self.launch_client(remotes, client_id, keys)
        return client, [await public_port(client, each.target) for each in remotes]

    async def open_tunnels(self, *targets: str) -> list[int]:
        """
        Start a server, and a client with a tunnel to each target.

        @return: the public ports, in the order of the targets.
        """
        await self.start_server()
        _, ports = await self.start_client(*targets)
        return ports


async def public_port(client: Running, target: str, count: int = 1) -> int:
    """
    Wait until a client says that a tunnel is open.

    @param count: how many times it must have said so.
    @return: the public port.
    """
    line = rf"is open: 127\.0\.0\.1:(\d+) -> {re.escape(target)}$"
    return int((await client.wait_for(line, count))[1])


_Case = TypeVar("_Case", bound=TunnelTestCase)
_Test = Callable[[Any], Awaitable[None]]


def over_transports(*ways: Way) -> Callable[[type[_Case]], type[_Case]]:
    """
    Decorate a case: each of its tests becomes one for each of these transports.
    """

    def decorate(case: type[_Case]) -> type[_Case]:
        for name, test in tuple(vars(case).items()):
            if name.startswith("test_"):
                delattr(case, name)
                for way in ways:
                    setattr(case, f"{name}_over_{way.scheme}", _over(way, test))
        return case

    return decorate


def over_each_transport(case: type[_Case]) -> type[_Case]:
    """
    Decorate a case: each of its tests becomes one for each transport that
    Reitunnel has.
    """
    return over_transports(*WAYS)(case)


def _over(way: Way, test: _Test) -> _Test:
    async def over(self: TunnelTestCase) -> None:
        self.way = way
        await test(self)

    over.__doc__ = test.__doc__
    return over
