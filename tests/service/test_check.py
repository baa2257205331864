"""
Tests of L{reitunnel.service.check} and L{reitunnel.service.risks}.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import new_token
from reitunnel.service.check import CheckOptions, check_file
from reitunnel.service.machine import Machine
from tests.certificates import CertificateAuthority, write_private

OPEN = 'listen = ["tcp://127.0.0.1:0"]\ninsecure_no_auth = true\n'


LARGE = Machine(descriptors=0, memory=0, backlog=0, processors=2)
"""A machine on which everything fits."""


def in_days(days: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"


class CheckTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.file = self.directory / "config.toml"
        self.authority = CertificateAuthority()
        self.machine = LARGE

    def put(self, name: str, text: str) -> Path:
        """
        Write a file that nobody else can read.
        """
        return write_private(self.directory / name, text.encode())

    def check(self, text: str, *arguments: str) -> tuple[int, list[str]]:
        """
        Check a configuration.

        @return: the exit code and the lines.
        """
        write_private(self.file, text.encode())
        options = CheckOptions()
        options.parseOptions([str(self.file), *arguments])
        out = StringIO()
        code = check_file(options, out, MemoryReactorClock(), self.machine)
        return code, out.getvalue().splitlines()

    def advice(self, text: str) -> list[str]:
        """
        What there is to say of a configuration without mistakes.
        """
        code, [*lines, last] = self.check(text)
        self.assertRegex(last, "a (server|client)'s configuration without mistakes$")
        risky = any(line.startswith("risk: ") for line in lines)
        self.assertEqual(int(risky), code, lines)
        return lines

    def risks(self, text: str) -> list[str]:
        """
        The risks of a configuration that has no mistakes and could not be faster.
        """
        return self.only("risk: ", text)

    def hints(self, text: str) -> list[str]:
        """
        What could be faster in a configuration without mistakes and risks.
        """
        return self.only("hint: ", text)

    def only(self, severity: str, text: str) -> list[str]:
        lines = self.advice(text)
        for line in lines:
            self.assertTrue(line.startswith(severity), line)
        return [line.removeprefix(severity) for line in lines]

    def mistakes(self, text: str, *arguments: str) -> list[str]:
        code, lines = self.check(text, *arguments)
        self.assertEqual(2, code, lines)
        for line in lines:
            self.assertTrue(line.startswith("wrong: "), line)
        return [line.removeprefix("wrong: ") for line in lines]


class EveryMistakeTests(CheckTestCase):
    """
    What the loader finds wrong, and what it cannot see, are named at once.
    """

    def test_server(self) -> None:
        text = 'listen = ["nosuch://h:1", "tcp://127.0.0.1:0"]\ncolour = "red"\n'
        mistakes = self.mistakes(text + '[[hooks]]\nname = "nosuch"\n')
        self.assertEqual(
            ["auth", "colour", "hooks[0].name", "listen[0]"],
            sorted(mistake.partition(":")[0] for mistake in mistakes),
        )

    def test_lists(self) -> None:
        """
        Of a list with a mistake that the loader sees, no more is said: nothing has a
        wrong number.
        """
        text = f'{OPEN}[[hooks]]\n[[hooks]]\nname = "nosuch"\n'
        self.assertEqual(["hooks[0].name: missing"], self.mistakes(text))

    def test_client(self) -> None:
        text = 'server = "nosuch://h:1"\n[[hooks]]\nname = "logging"\nlevel = 5\n'
        mistakes = self.mistakes(text)
        self.assertEqual(
            ["hooks[0].level", "server", "tunnels"],
            sorted({mistake.partition(":")[0] for mistake in mistakes}),
        )


class SideTests(CheckTestCase):
    """
    Whose configuration a file is.
    """

    CLIENT = 'server = "tcp://127.0.0.1:1"\n'

    def test_by_keys(self) -> None:
        _, lines = self.check(OPEN)
        self.assertEqual(
            f"{self.file}: a server's configuration without mistakes", lines[-1]
        )
        tunnel = '[[tunnels]]\nport = 0\ntarget = "h:1"\n'
        _, lines = self.check(self.CLIENT + tunnel)
        self.assertEqual(
            f"{self.file}: a client's configuration without mistakes", lines[-1]
        )

    def test_most_keys(self) -> None:
        """
        One key of the other side is a mistake, not a sign.
        """
        mistakes = self.mistakes(OPEN + 'carrier = "mux"\n')
        self.assertEqual(["carrier: unknown key"], mistakes)

    def test_in_doubt(self) -> None:
        [mistake] = self.mistakes("[limits]\n")
        self.assertEqual(
            f"{self.file}: is it a server's or a client's? Say --server or --client",
            mistake,
        )

    def test_said(self) -> None:
        self.assertIn(
            "listen: missing (--listen)", self.mistakes("[limits]\n", "--server")
        )
        self.assertIn(
            "server: missing (the server's address)",
            self.mistakes("[limits]\n", "--client"),
        )

    def test_unreadable(self) -> None:
        """
        What cannot be read has one mistake.
        """
        self.assertEqual(1, len(self.mistakes("listen = [")))
        options = CheckOptions()
        options.parseOptions([str(self.directory / "none.toml")])
        out = StringIO()
        self.assertEqual(2, check_file(options, out, MemoryReactorClock()))
        self.assertRegex(
            out.getvalue(), r"\Awrong: .*none.toml: cannot be read: No such file.*\n\Z"
        )


class MistakeTests(CheckTestCase):
    def test_lines(self) -> None:
        mistakes = self.mistakes(OPEN + "[limits]\nmax_conns = 0\nmax_client = 1\n")
        self.assertEqual(
            ["limits.max_conns", "limits.max_client"],
            [line.partition(":")[0] for line in mistakes],
        )

    def test_open_key(self) -> None:
        self.authority.issue("server").write(self.directory / "s.pem").chmod(0o604)
        [mistake] = self.mistakes(
            'listen = ["tls://127.0.0.1:0"]\npem = "s.pem"\ninsecure_no_auth = true\n'
        )
        self.assertRegex(
            mistake, "^pem: .*s.pem: others can read the private key .mode 0604."
        )

    def test_token_file(self) -> None:
        self.put("tokens.toml", "[tokens.a]\nsalt = 1\n")
        mistakes = self.mistakes(
            'listen = ["tcp://127.0.0.1:0"]\nauth.tokens = "tokens.toml"\n'
        )
        self.assertIn("tokens.a.stored_key: missing", "\n".join(mistakes))

    def test_hooks(self) -> None:
        """
        The options of hooks are checked too.
        """
        [mistake] = self.mistakes(
            f'{OPEN}[[hooks]]\nname = "logging"\nevents = ["no_such"]\n'
        )
        self.assertTrue(mistake.startswith("hooks[0].events"), mistake)

    def test_damaged_token(self) -> None:
        mistakes = self.mistakes(
            'server = "tcp://127.0.0.1:1"\ntoken = "geheim"\n'
            '[[tunnels]]\nport = 0\ntarget = "h:1"\n'
        )
        self.assertEqual(
            ["token: this is not a token: a token begins with rt1_"], mistakes
        )


class ServerRiskTests(CheckTestCase):
    def secure(self, more: str = "") -> str:
        """
        A configuration without risks, but for those in C{more}.
        """
        self.put("tokens.toml", new_token("a")[1])
        if not (self.directory / "s.pem").exists():
            self.authority.issue("server").write(self.directory / "s.pem")
        return (
            'listen = ["tls://0.0.0.0:7000"]\npem = "s.pem"\n'
            f'auth.tokens = "tokens.toml"\n{more}'
        )

    def test_none(self) -> None:
        self.assertEqual([], self.risks(self.secure()))

    def test_no_auth(self) -> None:
        self.assertEqual(
            ["insecure_no_auth: whoever reaches the server can open tunnels"],
            self.risks(OPEN),
        )

    def test_plaintext(self) -> None:
        self.put("tokens.toml", new_token("a")[1])
        risks = self.risks(
            'listen = ["tcp://127.0.0.1:1", "ws://0.0.0.0:2"]\n'
            'insecure_plaintext = true\nauth.tokens = "tokens.toml"\n'
        )
        expected = (
            'listen[1]: "ws://0.0.0.0:2" is in plaintext: others on the way can read '
            "and change all of it"
        )
        self.assertEqual([expected], risks)

    def test_tls(self) -> None:
        self.assertEqual(
            [
                (
                    "tls.minimum_version: TLS 1.2 is allowed, which is weaker and "
                    "takes a round trip more"
                ),
                "auth.channel_binding: somebody between who ends TLS is not noticed",
            ],
            self.risks(
                self.secure(
                    'auth.channel_binding = "never"\ntls.minimum_version = "1.2"\n'
                )
            ),
        )

    def certificate_risks(self, valid_from: int, valid_to: int) -> list[str]:
        issued = self.authority.issue(
            "server", valid_from=valid_from, valid_to=valid_to
        )
        issued.write(self.directory / "s.pem")
        return self.risks(self.secure())

    def test_expired_certificate(self) -> None:
        expected = f"pem: the certificate in {self.directory}/s.pem expired on "
        self.assertEqual([expected + in_days(-1)], self.certificate_risks(-9, -1))

    def test_certificate_that_will_expire(self) -> None:
        expected = f"pem: the certificate in {self.directory}/s.pem expires on "
        self.assertEqual([expected + in_days(13)], self.certificate_risks(-9, 13))
        self.assertEqual([], self.certificate_risks(-9, 16))

    def test_certificate_of_the_future(self) -> None:
        expected = (
            f"pem: the certificate in {self.directory}/s.pem is not valid before "
        )
        self.assertEqual([expected + in_days(2)], self.certificate_risks(2, 30))

    def test_directory_of_certificates(self) -> None:
        """
        Each one in a directory is looked at, and the authorities of clients.
        """
        (self.directory / "pem").mkdir()
        for name, days in (("a", -1), ("b", 30)):
            issued = self.authority.issue(name, valid_from=-9, valid_to=days)
            issued.write(self.directory / "pem" / f"{name}.pem")
        old = self.authority.issue("old", valid_from=-9, valid_to=-2)
        (self.directory / "ca.pem").write_bytes(old.cert_pem)
        risks = self.risks(
            'listen = ["tls://0.0.0.0:7000"]\npem = "pem"\nauth.client_ca = "ca.pem"\n'
        )
        self.assertEqual(
            [
                f"pem: the certificate in {self.directory}/pem/a.pem expired on "
                + in_days(-1),
                f"auth.client_ca: the certificate in {self.directory}/ca.pem expired "
                "on " + in_days(-2),
            ],
            risks,
        )

    def test_tokens(self) -> None:
        lines = new_token("a")[1]
        self.put("old.toml", f"{lines}expires = 2020-01-01\n")
        self.put("empty.toml", "")
        text = 'listen = ["tcp://127.0.0.1:0"]\nauth.tokens = '
        self.assertEqual(
            ['auth.tokens: the token "a" has expired'],
            self.risks(f'{text}"old.toml"\n'),
        )
        self.assertEqual(
            [f"auth.tokens: there is no token in {self.directory}/empty.toml"],
            self.risks(f'{text}"empty.toml"\n'),
        )


class ClientRiskTests(CheckTestCase):
    TUNNEL = '[[tunnels]]\nport = 0\ntarget = "h:1"\n'

    def test_none(self) -> None:
        self.put("token", new_token("a")[0])
        text = f'server = "tls://h:1"\ntoken_file = "token"\n{self.TUNNEL}'
        self.assertEqual([], self.risks(text))

    def test_plaintext(self) -> None:
        self.put("token", new_token("a")[0])
        [risk] = self.risks(
            'server = "tcp://h:1"\ninsecure_plaintext = true\n'
            f'token_file = "token"\n{self.TUNNEL}'
        )
        self.assertTrue(risk.startswith('server: "tcp://h:1" is in plaintext'), risk)

    def test_no_credentials(self) -> None:
        [risk] = self.risks(f'server = "tls://h:1"\n{self.TUNNEL}')
        self.assertTrue(risk.startswith("token: without a token"), risk)

    def test_certificates(self) -> None:
        old = self.authority.issue("old", client=True, valid_from=-9, valid_to=-2)
        old.write(self.directory / "c.pem")
        (self.directory / "ca.pem").write_bytes(old.cert_pem)
        risks = self.risks(
            f'server = "tls://h:1"\npem = "c.pem"\nca = "ca.pem"\n{self.TUNNEL}'
        )
        self.assertEqual(["ca", "pem"], [risk.partition(":")[0] for risk in risks])

    def test_channel_binding(self) -> None:
        self.put("token", new_token("a")[0])
        [risk] = self.risks(
            'server = "tls://h:1"\nchannel_binding = "never"\n'
            f'token_file = "token"\n{self.TUNNEL}'
        )
        self.assertTrue(risk.startswith("channel_binding: "), risk)

    def test_retry(self) -> None:
        self.put("token", new_token("a")[0])
        [risk] = self.risks(
            'server = "tls://h:1"\nretry.max_delay = 3600\n'
            f'token_file = "token"\n{self.TUNNEL}'
        )
        self.assertEqual(
            "retry.max_delay: after a failure the client may stay away for 3600 s", risk
        )


class FormatTests(CheckTestCase):
    def test_json(self) -> None:
        code, lines = self.check(OPEN + "tuning.nodelay = false\n", "--format", "json")
        said = json.loads("\n".join(lines))
        self.assertEqual(1, code)
        self.assertEqual(
            {"file": str(self.file), "side": "server", "exit_code": 1},
            {key: said[key] for key in ("file", "side", "exit_code")},
        )
        self.assertEqual(
            [("risk", "insecure_no_auth"), ("hint", "tuning.nodelay")],
            [(each["severity"], each["key"]) for each in said["findings"]],
        )

    def test_json_of_mistakes(self) -> None:
        code, lines = self.check("listen = [", "--format", "json", "--server")
        said = json.loads("\n".join(lines))
        self.assertEqual((2, 2), (code, said["exit_code"]))
        [wrong] = said["findings"]
        self.assertEqual("wrong", wrong["severity"])

    def test_other_format(self) -> None:
        options = CheckOptions()
        error = self.assertRaises(
            UsageError, options.parseOptions, ["x", "--format", "xml"]
        )
        self.assertEqual("--format is text or json", str(error))
