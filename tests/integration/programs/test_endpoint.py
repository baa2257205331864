"""
Tests of C{twist web}, published by a C{reitunnel:} endpoint string with no port of its
own, and visited by curl.
"""

from __future__ import annotations

import os
from pathlib import Path

from reitunnel.auth import new_token
from tests.certificates import write_private
from tests.integration.processes import Running, installed
from tests.integration.programs.cases import TunnelTestCase, over_transports
from tests.integration.programs.deployment import TCP, TLS, WSS
from tests.integration.programs.ports import free_port

_MIB = 1 << 20


def quoted(text: str | os.PathLike[str]) -> str:
    """
    Write a value as endpoint strings have it.
    """
    return os.fspath(text).replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")


@over_transports(TLS, TCP, WSS)
class TwistWebTests(TunnelTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.site = self.directory / "site"
        self.site.mkdir()
        (self.site / "page.txt").write_text("hello from twist web\n")
        self.public = free_port()

    def start_web(self, token: Path | None = None) -> Running:
        """
        Start C{twist web} with nothing but a string to publish it.
        """
        deployment = self.deployment
        words = [
            "reitunnel",
            quoted(self.way.url("localhost", deployment.port)),
            f"port={self.public}",
            f"tokenFile={quoted(token or self.directory / 'token')}",
        ]
        if self.way.secure:
            words += [f"ca={quoted(deployment.ca)}", "channelBinding=require"]
        return self.start(
            *(installed("twist"), "--log-format", "text", "web"),
            *("--port", ":".join(words), "--path", self.site),
        )

    async def page(self) -> str:
        """
        Visit the page.
        """
        url = f"http://127.0.0.1:{self.public}/page.txt"
        finished = await self.run_program("curl", "--silent", "--fail", url)
        return finished.out

    async def assert_closed(self) -> None:
        """
        Nobody listens at the public port.
        """
        url = f"http://127.0.0.1:{self.public}/page.txt"
        await self.run_program("curl", "--silent", url, code=7)

    def is_open(self) -> str:
        """
        What the log says when the tunnel is open.
        """
        return rf"is open: 127\.0\.0\.1:{self.public} -> in process: Site"

    async def test_page(self) -> None:
        """
        It is served until the program stops. The program listens nowhere.
        """
        server = await self.start_server()
        web = self.start_web()
        await web.wait_for(self.is_open())
        self.assertEqual("hello from twist web\n", await self.page())
        await web.wait_for(r'"127\.0\.0\.1" - - .*"GET /page\.txt HTTP/1\.1" 200')
        self.assertEqual(2, len(listeners(server.pid)))
        self.assertEqual([], listeners(web.pid))
        await web.stop()
        self.assertNotIn("Traceback", web.output)
        await self.assert_closed()

    async def test_stop_during_a_download(self) -> None:
        """
        What visitors are getting they get.
        """
        await self.start_server()
        (self.site / "large").write_bytes(b"x" * 4 * _MIB)
        web = self.start_web()
        await web.wait_for(self.is_open())
        url = f"http://127.0.0.1:{self.public}/large"
        target = self.directory / "download"
        curl = self.start(
            *("curl", "--silent", "--verbose", "--limit-rate", "3M"),
            *("--output", target, url),
        )
        await curl.wait_for("HTTP/1.1 200 OK")
        web.signal("TERM")
        finished = await curl.finished()
        self.assertEqual(0, finished.code, curl.output)
        self.assertEqual(4 * _MIB, target.stat().st_size)
        await web.finished()
        await self.assert_closed()

    async def test_restarts(self) -> None:
        """
        The page is back after a restart of the server, and after the program was
        killed.
        """
        server = await self.start_server()
        web = self.start_web()
        await web.wait_for(self.is_open())
        await server.stop()
        await self.assert_closed()
        await self.start_server()
        await web.wait_for(self.is_open(), count=2)
        self.assertEqual("hello from twist web\n", await self.page())
        await web.stop("KILL")
        web = self.start_web()
        await web.wait_for(self.is_open())
        self.assertEqual("hello from twist web\n", await self.page())

    async def test_wrong_token(self) -> None:
        """
        The program says why it does not listen.
        """
        await self.start_server()
        token, _ = new_token("laptop")
        other = write_private(self.directory / "other", token.encode())
        web = self.start_web(other)
        await web.wait_for("SessionRefused.*authentication failed|AuthenticationFailed")
        await self.assert_closed()


def listeners(pid: int) -> list[str]:
    """
    The TCP ports that a process listens on, as Linux lists them.
    """
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if link.is_symlink():
            sockets.add(os.readlink(link))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in sockets:
                found.append(local)
    return found
