"""
Two hosts, each in a network namespace of its own: the client's address goes away and
another one comes, or packets are lost, while somebody works at a shell on the other end
of the tunnel.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any
from unittest import SkipTest

from tests.integration.processes import Running
from tests.integration.programs.cases import ProgramTestCase
from tests.integration.programs.deployment import (
    CLIENT,
    SERVER,
    TLS,
    Deployment,
    Remote,
)
from tests.integration.programs.ports import free_port
from tests.integration.programs.targets import start_sshd
from tests.programs import require_program

_SERVER = "10.203.0.1"
_BEFORE = "10.203.0.2"
_AFTER = "10.203.0.3"
_QUICK = {
    "timeouts.heartbeat_interval": 0.5,
    "timeouts.heartbeat_timeout": 3.0,
    "timeouts.drain": 0,
}


class AddressTests(ProgramTestCase):
    """
    Only root may make namespaces, and not everywhere.
    """

    def setUp(self) -> None:
        super().setUp()
        self._program = require_program("ip")
        self.near = f"reitunnel-near-{os.getpid()}"
        self.far = f"reitunnel-far-{os.getpid()}"
        for name in (self.near, self.far):
            if (reason := self.ip("netns", "add", name)) is not None:
                raise SkipTest(f"no network namespaces here: {reason}")
            self.addCleanup(self.ip, "netns", "delete", name)
            self.must("-n", name, "link", "set", "lo", "up")
        ends = ("link", "add", "wire", "netns", self.near, "type", "veth", "peer")
        if (reason := self.ip(*ends, "name", "wire", "netns", self.far)) is not None:
            raise SkipTest(f"no link between namespaces here: {reason}")
        for name, address in ((self.near, _BEFORE), (self.far, _SERVER)):
            self.must("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            self.must("-n", name, "link", "set", "wire", "up")

    def ip(self, *arguments: str) -> str | None:
        """
        Run C{ip}.

        @return: why it failed, if it did.
        """
        command = (self._program, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stderr.strip() if done.returncode else None

    def must(self, *arguments: str) -> None:
        """
        Run C{ip}, which must not fail.
        """
        self.assertIsNone(self.ip(*arguments))

    def inside(self, name: str) -> tuple[str, ...]:
        """
        The command that runs another one in a namespace.
        """
        return (self._program, "netns", "exec", name)

    async def begin(
        self, server: Mapping[str, Any], client: Mapping[str, Any]
    ) -> tuple[Running, Running]:
        """
        Start an sshd and a client at the near host, a server and a shell at the far
        one.

        @param server: more keys of the server.
        @param client: more keys of the client.
        @return: the server and the shell.
        """
        sshd = await start_sshd(self, self.inside(self.near))
        deployment = Deployment(self.directory, TLS)
        deployment.authority.issue("server", _SERVER).write(deployment.pem)
        url = TLS.url(_SERVER, deployment.port)
        serving = self.start(
            *(*self.inside(self.far), *SERVER, "--config"),
            deployment.server_config({"listen": [url], **_QUICK, **server}),
            name="server",
        )
        await serving.wait_for("listening on ")
        port = free_port()
        connecting = self.start(
            *(*self.inside(self.near), *CLIENT, "--config"),
            deployment.client_config(
                [Remote(f"127.0.0.1:{sshd.port}", port)],
                keys={"server": url, "retry.max_delay": 0.5, **_QUICK, **client},
            ),
            name="client",
        )
        await connecting.wait_for("is open: ")
        shell = self.start(
            *(*self.inside(self.far), "ssh", *sshd.options, "-o", f"Port={port}"),
            *(f"{sshd.login}@{_SERVER}", "exec sh"),
            name="shell",
        )
        shell.write("echo $((6 * 7)) && echo $$\n")
        await shell.wait_for(r"^42\n(\d+)$")
        return serving, shell

    async def test_shell(self) -> None:
        """
        The shell does not notice: what is typed while there is no address is done
        when there is one again.
        """
        server, shell = await self.begin({}, {})
        began = await shell.wait_for(r"^42\n(\d+)$")
        self.must("-n", self.near, "address", "delete", f"{_BEFORE}/24", "dev", "wire")
        shell.write("echo $((6 * 8)) && echo $$\n")
        await server.wait_for("its streams wait")
        self.assertNotIn("48", shell.output)
        self.must("-n", self.near, "address", "add", f"{_AFTER}/24", "dev", "wire")
        await server.wait_for(f"is back from {_AFTER}")
        went_on = await shell.wait_for(r"^48\n(\d+)$")
        self.assertEqual(began[1], went_on[1])
        shell.write("exit 7\n")
        self.assertEqual((await shell.finished()).code, 7)

    async def test_silent_data_link(self) -> None:
        """
        A data link that a stream uses has no pings: when it is silent and nothing is
        on its way, TCP keep-alive finds it, and the stream is reset.
        """
        soon = {"tuning.keepalive": 1}
        server, shell = await self.begin(
            {**soon, "log_level": "debug"}, {**soon, "carrier": "direct"}
        )
        await server.wait_for("goes on on data link")
        shell.write("echo $((6 * 8))\n")
        await shell.wait_for("^48$")
        self.must("-n", self.near, "link", "set", "wire", "down")
        finished = await shell.finished()
        self.assertEqual(finished.code, 255, finished.err)
        # The session itself still waits for its client.
        self.assertIn("its streams wait", server.output)
        self.assertNotIn("disconnected", server.output)
