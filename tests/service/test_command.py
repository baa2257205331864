"""
Tests of L{reitunnel.service.command}.

What runs in a process of its own is tested in C{tests/integration/test_command.py}.
"""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import Token
from reitunnel.service.command import main


class MainTests(SynchronousTestCase):
    def run_main(self, *arguments: str) -> tuple[int, str, str]:
        """
        Run the command.

        @return: the exit code, and what it said where.
        """
        out, err = StringIO(), StringIO()
        code = main(arguments, out, err)
        return code, out.getvalue(), err.getvalue()

    def mistake(self, *arguments: str) -> str:
        """
        The one line of a mistake in the command line.
        """
        code, out, err = self.run_main(*arguments)
        self.assertEqual((2, "", 1), (code, out, err.count("\n")), err)
        return err.rstrip("\n")

    def test_help(self) -> None:
        code, out, err = self.run_main("--help")
        self.assertEqual((0, ""), (code, err))
        for command in ("server", "client", "demo", "token", "check", "hooks"):
            self.assertRegex(out, rf"\n    {command} +[A-Z]")

    def test_help_of_each(self) -> None:
        for command in ("server", "client", "demo", "token", "check", "hooks"):
            code, out, err = self.run_main(command, "--help")
            self.assertEqual((0, ""), (code, err))
            self.assertRegex(out, rf"\AUsage: (\[twistd -n\] )?reitunnel {command} ")

    def test_version(self) -> None:
        for arguments in (("--version",), ("token", "--version")):
            code, out, err = self.run_main(*arguments)
            self.assertEqual((0, ""), (code, err))
            self.assertRegex(out, r"\Areitunnel \d")

    def test_nobody_reads(self) -> None:
        """
        C{reitunnel hooks | head -1} is no failure to speak of.
        """
        for arguments in (("hooks",), ("--help",), ("token", "--help")):
            reader, writer = os.pipe()
            os.close(reader)
            err = StringIO()
            # When it is closed, what is left in it is written.
            with open(writer, "w", encoding="utf-8") as out:
                code = main(arguments, out, err)
            self.assertEqual((141, ""), (code, err.getvalue()))

    def test_mistakes(self) -> None:
        see = "(see reitunnel --help)"
        for arguments, expected in (
            ((), f"reitunnel: a command is missing {see}"),
            (("serve",), f"reitunnel: unknown command: serve {see}"),
            (("--nope",), f"reitunnel: option --nope not recognized {see}"),
            (
                ("--logfile=x", "token", "a"),
                f"reitunnel: --logfile=x is for server and client {see}",
            ),
        ):
            self.assertEqual(expected, self.mistake(*arguments))

    def test_mistakes_of_commands(self) -> None:
        for arguments, expected in (
            (("token",), "give the token one name"),
            (("token", "a", "b"), "give the token one name"),
            (("token", "a", "--nope"), "option --nope not recognized"),
            (("check",), "give one file"),
            (("check", "a", "b"), "give one file"),
            (
                ("check", "a", "--server", "--client"),
                "--server and --client contradict each other",
            ),
            (("demo", "--port", "x"), "--port: expected a port from 0 to 65535, got x"),
            (
                ("demo", "--port", "65536"),
                "--port: expected a port from 0 to 65535, got 65536",
            ),
            (("demo", "x"), "Wrong number of arguments."),
            (("server", "--nope"), "option --nope not recognized"),
            (("client", "a", "b"), "more than one server: a b"),
        ):
            command = f"reitunnel {arguments[0]}"
            self.assertEqual(
                f"{command}: {expected} (see {command} --help)",
                self.mistake(*arguments),
            )

    def test_config(self) -> None:
        """
        Mistakes in a configuration, a line each, and exit code 2.
        """
        code, out, err = self.run_main("server")
        self.assertEqual((2, ""), (code, out))
        paths = [line.partition(":")[0] for line in err.splitlines()]
        self.assertEqual(["listen", "auth"], paths)

    def test_token(self) -> None:
        """
        The token on the first line, then the lines for the server's file.
        """
        code, out, err = self.run_main("token", "laptop")
        self.assertEqual((0, ""), (code, err))
        token, empty, *lines = out.splitlines()
        self.assertEqual("laptop", Token.parse(token).name)
        self.assertEqual(("", "[tokens.laptop]"), (empty, lines[0]))

    def test_bad_name(self) -> None:
        code, out, err = self.run_main("token", "a b")
        self.assertEqual((1, ""), (code, out))
        self.assertRegex(err, r"\Aa token's name has .*\n\Z")

    def test_status(self) -> None:
        path = Path(self.mktemp()).absolute()
        code, out, err = self.run_main("status", "--once", "--socket", str(path))
        self.assertEqual((1, ""), (code, out))
        self.assertRegex(err, r"\Aunix:.*: nobody answers: .*\n\Z")

    def test_check(self) -> None:
        path = Path(self.mktemp())
        path.write_text('listen = ["tcp://127.0.0.1:0"]\ninsecure_no_auth = true\n')
        code, out, err = self.run_main("check", str(path))
        self.assertEqual((1, ""), (code, err))
        self.assertRegex(
            out,
            r"\Arisk: insecure_no_auth: .*\n(?:.*\n)*.*: a server's configuration "
            r"without mistakes\n\Z",
        )
