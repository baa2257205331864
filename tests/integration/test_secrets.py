"""
Real programs, all of whose words are read: no token, and no secret of a session.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.utils import getProcessOutput

from reitunnel.auth import new_token
from tests.integration.processes import Running, installed
from tests.integration.test_command import REITUNNEL, CommandTestCase
from tests.programs import require_program

DEBUG = ("--log-level", "debug")


def command_line(pid: int) -> str:
    """
    The arguments of a process, where the kernel tells.
    """
    file = Path(f"/proc/{pid}/cmdline")
    return file.read_text() if file.exists() else ""


class SecretTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.token, entry = new_token("laptop")
        self.wrong, _ = new_token("laptop")
        self.tokens = self.put("tokens.toml", entry)
        self.verifier = entry.split('stored_key = "')[1].partition('"')[0]

    def assert_secret(self, *texts: str) -> None:
        """
        None of the secrets is in any of the texts.
        """
        whole = "\n".join(texts)
        for token in (self.token, self.wrong):
            secret = token.rpartition("_")[2]
            for part in (secret, secret[:28], secret[28:], secret.upper()):
                self.assertNotIn(part, whole)
        self.assertNotIn(self.verifier, whole)

    async def serve(self) -> tuple[Running, str]:
        """
        Start a server that knows the token, at the level that says most.
        """
        return await self.start_server(
            *REITUNNEL, "server", "--listen", "tcp://127.0.0.1:0",
            "--tokens", "tokens.toml", *DEBUG,
        )  # fmt: skip

    async def seen(self, running: Running) -> str:
        """
        What other users of the machine can see of a program.
        """
        listing: bytes = await getProcessOutput(
            require_program("ps"), ["-ww", "-p", str(running.pid), "-o", "args="]
        )
        return listing.decode() + command_line(running.pid)

    async def test_right_token(self) -> None:
        """
        From a file, from the environment, and from a configuration.
        """
        server, url = await self.serve()
        self.put("token", self.token)
        config = self.put(
            "client.toml",
            f'server = "{url}"\ntoken = "{self.token}"\nclient_id = "three"\n'
            'log_level = "debug"\n[[tunnels]]\nport = 0\ntarget = "127.0.0.1:1"\n'
            # What any machine has descriptors for.
            "[limits]\nmax_streams = 100\n",
        )
        base = (*REITUNNEL, "client")
        remote = ("-R", "0:127.0.0.1:1", *DEBUG)
        clients = [
            self.start(
                *base, url, "--token-file", "token", "--client-id", "one", *remote
            ),
            self.start(
                *base, url, "--client-id", "two", *remote,
                environ={"REITUNNEL_TOKEN": self.token},
            ),
            self.start(*base, "--config", str(config)),
        ]  # fmt: skip
        seen = []
        for client in clients:
            await client.wait_for("is open: ")
            seen.append(await self.seen(client))
        seen.append(await self.seen(server))
        checked = await self.run_to_end(*REITUNNEL, "check", str(config))
        self.assertEqual(0, checked.code, checked.err)
        seen += checked.lines
        ended = [await each.stop() for each in (*clients, server)]
        self.assert_secret(*seen, *(text for each in ended for text in each.lines))
        self.assertIn("token:laptop", server.output)

    async def test_wrong_token(self) -> None:
        server, url = await self.serve()
        self.put("token", self.wrong)
        client = await self.run_to_end(
            *REITUNNEL, "client", url, "--token-file", "token", "-R", "0:h:1", *DEBUG
        )
        await server.wait_for("the secret is wrong")
        await server.stop()
        self.assertEqual(1, client.code)
        self.assert_secret(client.out, client.err, server.output)

    async def test_token_on_the_command_line(self) -> None:
        """
        There is no flag for it, and whoever tries is not told his token again.
        """
        for given in (
            ("--token", self.token),
            (f"--token={self.token}",),
            ("--token-file", self.token),
            (self.token,),
            ("-R", self.token),
            ("--ca", self.token),
        ):
            client = await self.run_to_end(
                *REITUNNEL, "client", "tcp://127.0.0.1:1", "-R", "0:h:1", *given
            )
            self.assertEqual(2, client.code, client.err)
            self.assert_secret(client.out, client.err)
        help_text = await self.run_to_end(installed("reitunnel"), "client", "--help")
        self.assertNotRegex(help_text.out, r"--token\b(?!-file)")

    async def test_new_token(self) -> None:
        """
        A token that goes to a file is not shown.
        """
        done = await self.run_to_end(
            *REITUNNEL, "token", "new", "--add", "tokens.toml", "--out", "new-token"
        )
        token = (self.directory / "new-token").read_text().strip()
        self.assertEqual(0, done.code, done.err)
        self.assertNotIn(token.rpartition("_")[2], done.out + done.err)
        self.assertEqual(0o600, (self.directory / "new-token").stat().st_mode & 0o777)
