"""
Tests of the programs in C{examples/}.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.examples.running import (
    EXAMPLES,
    ROOT,
    SECONDS,
    ExampleTestCase,
    Running,
    fetch,
)
from tests.programs import require_program


def commands_of(name: str) -> list[list[str]]:
    """
    The commands that an example's docstring shows, taken apart as by a shell.
    """
    docstring = (EXAMPLES / name).read_text().split('"""')[1].replace("\\\\\n", "")
    return [
        shlex.split(line)
        for line in re.findall(r"^ +\$ (.*)$", docstring, re.MULTILINE)
    ]


class BasicTests(ExampleTestCase):
    def start_server(self, name: str = "basic_server.py") -> tuple[Running, str]:
        """
        Start the server.

        @return: it, and the URL that clients dial.
        """
        self.make_token()
        server = self.start_example(name, "tcp://127.0.0.1:0", "tokens.toml")
        return server, server.wait_for(r"listening on (tcp://\S+)")[1]

    def start_client(self, url: str, target: str) -> tuple[Running, str]:
        """
        Start the client.

        @return: it, and the public address.
        """
        client = self.start_example("basic_client.py", url, "token", target)
        return client, client.wait_for(r"is public on (\S+)")[1]

    def test_together_they_carry_a_page(self) -> None:
        server, url = self.start_server()
        client, public = self.start_client(url, self.serve())
        self.assertEqual("carried\n", fetch(public))
        self.stop(client, server)
        self.assertIn(
            "client token:office/basic-client connected", "".join(server.output)
        )

    def test_another_client_with_the_same_id(self) -> None:
        """
        The first one ends with the reason.
        """
        server, url = self.start_server()
        target = self.serve()
        first, _ = self.start_client(url, target)
        second, public = self.start_client(url, target)
        self.assertEqual(1, first.wait())
        self.assertIn(
            "another client with the same id took over", "".join(first.output)
        )
        self.assertEqual("carried\n", fetch(public))
        self.stop(second, server)

    def test_wrong_token(self) -> None:
        server, url = self.start_server()
        tokens = (self.directory / "tokens.toml").read_text()
        self.make_token()
        (self.directory / "tokens.toml").write_text(tokens)
        client = self.start_example("basic_client.py", url, "token", "127.0.0.1:1")
        self.assertEqual(1, client.wait())
        self.assertIn("authentication failed", "".join(client.output))
        self.stop(server)


class MutualTLSTests(ExampleTestCase):
    def test_it_carries_a_page(self) -> None:
        """
        With the certificates that the commands in its docstring make.
        """
        require_program("openssl")
        *preparations, (python, name, *arguments) = commands_of("mutual_tls.py")
        for command in preparations:
            subprocess.run(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                check=True,
            )
        self.assertEqual(("python", "mutual_tls.py", 2), (python, name, len(arguments)))
        program = self.start_example(name, "127.0.0.1:0", self.serve())
        program.wait_for("^certificate:laptop came with CN=laptop$")
        public = program.wait_for(r"is public on (\S+)")[1]
        self.assertEqual("carried\n", fetch(public))
        self.stop(program)


class WebEmbeddingTests(ExampleTestCase):
    def test_it_carries_a_page(self) -> None:
        self.make_token()
        program = self.start_example("web_embedding.py", "0", "tokens.toml", "token")
        site = program.wait_for("the overview is http://(.*)/$")[1]
        public = program.wait_for("the page behind the NAT is http://(.*)/$")[1]
        with socket.create_connection(tuple_of(public), SECONDS) as visitor:
            visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with visitor.makefile("rb") as response:
                page = response.read().decode()
            mine = "{}:{}".format(*visitor.getsockname())
        self.assertTrue(page.endswith(f"hello, {mine}\n"), page)
        self.assertEqual(
            f"token:office: {public} -> in process: Site\n", fetch(site, "/")
        )
        self.stop(program)


class ServerEndpointTests(ExampleTestCase):
    def test_it_serves_visitors(self) -> None:
        self.make_token()
        server = self.start_example(
            "basic_server.py", "tcp://127.0.0.1:0", "tokens.toml"
        )
        url = server.wait_for(r"listening on (tcp://\S+)")[1]
        program = self.start_example("server_endpoint.py", url, "token", "0")
        public = program.wait_for(r"listening on (\S+)")[1]
        with socket.create_connection(tuple_of(public), SECONDS) as visitor:
            mine = "{}:{}".format(*visitor.getsockname())
            with visitor.makefile("rb") as said:
                greeting = said.readline().decode()
        self.assertEqual(f"hello, {mine}, this is {public}\r\n", greeting)
        self.stop(program, server)


class ListSessionsTests(ExampleTestCase):
    def test_console(self) -> None:
        self.make_token()
        server = self.start_example(
            "list_sessions.py", "tcp://127.0.0.1:0", "tokens.toml", "0"
        )
        url = "tcp://" + server.wait_for(r"clients dial (\S+)")[1]
        console = server.wait_for(r"operators ask (\S+)")[1]
        target = self.serve()
        client = self.start_example("basic_client.py", url, "token", target)
        public = client.wait_for(r"is public on (\S+)")[1]
        fetch(public)
        with (
            socket.create_connection(tuple_of(console), SECONDS) as operator,
            operator.makefile("rw") as lines,
        ):

            def ask(text: str) -> str:
                lines.write(text + "\n")
                lines.flush()
                return lines.readline()

            self.assertRegex(
                ask("list"),
                r"^token:office/basic-client from 127\.0\.0\.1:\d+, for \d+ s$",
            )
            self.assertEqual(f"  tunnel 1: {public} -> {target}\n", lines.readline())
            self.assertRegex(
                lines.readline(),
                r"^  [01] visitors, [1-9]\d+ bytes from visitors, [1-9]\d+ bytes to",
            )
            self.assertEqual("there is no such\n", ask("close such"))
            self.assertEqual("say: list, or: close NAME\n", ask("what"))
            self.assertEqual("closed\n", ask("close token:office/basic-client"))
        self.stop(client, server)


def tuple_of(address: str) -> tuple[str, int]:
    """
    An address for a socket.
    """
    host, port = address.split(":")
    return host, int(port)


class DocumentedTests(SynchronousTestCase):
    def test_every_example_is_listed(self) -> None:
        """
        docs/embedding.md names each, and this file runs each that is a program.
        """
        listed = (ROOT / "docs" / "embedding.md").read_text()
        names = {path.name for path in EXAMPLES.iterdir() if path.suffix != ".pyc"}
        names.discard("__pycache__")
        self.assertEqual([], [each for each in names if f"[{each}]" not in listed])
        tested = Path(__file__).read_text()
        programs = [each for each in names if each.endswith(".py")]
        self.assertEqual([], [each for each in programs if f'"{each}"' not in tested])
