"""
Tests of L{reitunnel.auth.token_file}.
"""

from __future__ import annotations

import os
import time
import tomllib
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import Token, new_token
from reitunnel.auth.scram import Verifier
from reitunnel.auth.token_file import MAX_FILE_SIZE, TokenFile, read_token_file
from reitunnel.errors import ConfigError
from tests.auth.support import write_token_file
from tests.quality.fences import fenced_blocks

DOCUMENT = Path(__file__).parents[2] / "docs" / "authentication.md"
ENTRY = new_token("office")[1]


class TokenFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def read(self, text: str) -> TokenFile:
        return read_token_file(write_token_file(self.path, text))

    def mistakes(self, text: str) -> list[tuple[str, str]]:
        """
        Give path and message of every mistake, without the file's name, which
        each message ends with.
        """
        error = self.assertRaises(ConfigError, self.read, text)
        found = []
        for mistake in error.mistakes:
            ending = f" (in {self.path})"
            self.assertTrue(mistake.message.endswith(ending), mistake.message)
            found.append((mistake.path, mistake.message.removesuffix(ending)))
        return found

    def unusable(self) -> str:
        error = self.assertRaises(ConfigError, read_token_file, self.path)
        (mistake,) = error.mistakes
        self.assertEqual(str(self.path), mistake.path)
        return str(mistake.message)

    def test_empty(self) -> None:
        self.assertEqual({}, self.read("").tokens)
        self.assertEqual({}, self.read("[tokens]").tokens)

    def test_new_tokens(self) -> None:
        made = {name: new_token(name) for name in ("office", "a.b", "x_-1")}
        file = self.read("".join(lines for _, lines in made.values()))
        self.assertEqual(list(made), list(file.tokens))
        for name, (text, _) in made.items():
            token = file.tokens[name]
            salt, iterations = token.verifier.salt, token.verifier.iterations
            secret = Token.parse(text).secret
            self.assertEqual(Verifier.derive(secret, salt, iterations), token.verifier)
            self.assertEqual(name, token.name)
            self.assertIsNone(token.expires)
            self.assertFalse(token.disabled)
            self.assertIsNone(token.certificate)

    def test_one_line_form(self) -> None:
        fields = ", ".join(ENTRY.strip().split("\n")[1:])
        file = self.read(f"[tokens]\noffice = {{ {fields} }}\n")
        self.assertEqual(self.read(ENTRY), file)

    def test_options(self) -> None:
        file = self.read(ENTRY + 'disabled = true\ncertificate = "router-7"\n')
        self.assertTrue(file.tokens["office"].disabled)
        self.assertEqual("router-7", file.tokens["office"].certificate)

    def test_expires(self) -> None:
        midnight = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
        for value, expected in (
            ("2027-01-01", midnight),
            ("2027-01-01T00:00:00", midnight),
            ("2027-01-01T00:00:00Z", midnight),
            ("2027-01-01T02:30:00+02:00", midnight + 1800),
        ):
            file = self.read(f"{ENTRY}expires = {value}\n")
            self.assertEqual(expected, file.tokens["office"].expires)

    def test_expires_elsewhere(self) -> None:
        """
        What is local time here does not matter.
        """
        before = os.environ.get("TZ")

        def restore() -> None:
            if before is None:
                del os.environ["TZ"]
            else:
                os.environ["TZ"] = before
            time.tzset()

        self.addCleanup(restore)
        os.environ["TZ"] = "XYZ-5"
        time.tzset()
        self.test_expires()

    def test_secret(self) -> None:
        self.assertIsNone(self.read("").secret)
        secret = bytes(range(32))
        file = self.read(f'secret = "{b64encode(secret).decode()}"\n')
        self.assertEqual(secret, file.secret)

    def test_usual_iterations(self) -> None:
        self.assertEqual(4096, self.read("").usual_iterations)
        other = ENTRY.replace("4096", "8192")
        text = other.replace("office", "a") + other.replace("office", "b") + ENTRY
        self.assertEqual(8192, self.read(text).usual_iterations)

    def test_unknown_keys(self) -> None:
        self.assertEqual(
            [
                ("secrets", "unknown key"),
                ('"a b"', "unknown key"),
                ("tokens.office.expire", "unknown key"),
                ('tokens.office."x\\n"', "unknown key"),
            ],
            self.mistakes(f'secrets = 1\n"a b" = 2\n{ENTRY}expire = 1\n"x\\n" = 2\n'),
        )

    def test_wrong_values(self) -> None:
        key = "expected 32 bytes in base64"
        count = "expected a number from 4096 to 100000"
        text = b64encode(bytes(31)).decode()
        for line, message in (
            ("salt = 1", "expected 16 bytes in base64"),
            (f'salt = "{text}"', "expected 16 bytes in base64"),
            ('stored_key = "?"', key),
            (f'stored_key = "{text}"', key),
            ('server_key = "é"', key),
            ("server_key = [1]", key),
            ("iterations = 4095", count),
            ("iterations = 100001", count),
            ("iterations = true", count),
            ('iterations = "4096"', count),
            ("iterations = 4096.0", count),
        ):
            name = line.split()[0]
            lines = [each for each in ENTRY.split("\n") if not each.startswith(name)]
            self.assertEqual(
                [(f"tokens.office.{name}", message)],
                self.mistakes("\n".join([*lines, line])),
            )
        for line, message in (
            ("expires = 1893456000", "expected a date, or a date and time"),
            ('expires = "2030-01-01"', "expected a date, or a date and time"),
            ("expires = 12:00:00", "expected a date, or a date and time"),
            ("disabled = 1", "expected true or false"),
            ('disabled = "yes"', "expected true or false"),
            ('certificate = ""', "expected a name"),
            ("certificate = true", "expected a name"),
        ):
            name = line.split()[0]
            self.assertEqual(
                [(f"tokens.office.{name}", message)], self.mistakes(ENTRY + line)
            )
        self.assertEqual([("secret", key)], self.mistakes('secret = "c2hvcnQ="'))

    def test_every_mistake(self) -> None:
        self.assertEqual(
            [
                ("tokens.office.color", "unknown key"),
                ("tokens.office.salt", "expected 16 bytes in base64"),
                ("tokens.office.stored_key", "missing"),
                ("tokens.office.server_key", "missing"),
                ("tokens.office.iterations", "missing"),
                ('tokens."a.b"', "expected a table"),
                ("other", "unknown key"),
            ],
            self.mistakes(
                "[tokens]\n"
                'office = { color = "red", salt = "" }\n'
                '"a.b" = "rt1_a"\n'
                "[other]\n"
            ),
        )

    def test_no_tables(self) -> None:
        self.assertEqual([("tokens", "expected a table")], self.mistakes("tokens = 1"))
        self.assertEqual(
            [("tokens", "expected a table")], self.mistakes("[[tokens]]\n")
        )

    def test_names(self) -> None:
        for name, path in (('"a b"', 'tokens."a b"'), ("rt1_x", "tokens.rt1_x")):
            ((found, message),) = self.mistakes(ENTRY.replace("office", name))
            self.assertEqual(path, found)
            self.assertIn("name", message)

    def test_not_toml(self) -> None:
        for content in (
            b"rt1_office",
            b"\xff",
            b"a = " + b"[" * 20000,
            b"a = " + b"9" * 5000,
            ENTRY.encode() * 2,
        ):
            self.path.write_bytes(content)
            self.path.chmod(0o600)
            self.assertTrue(self.unusable().startswith("is not TOML: "))

    def test_open_to_others(self) -> None:
        for mode in (0o604, 0o644, 0o666, 0o602, 0o601):
            write_token_file(self.path, ENTRY, mode)
            self.assertEqual(
                f"is open to others (mode {mode:04o}) and holds secrets: "
                f"chmod 600 {self.path}",
                self.unusable(),
            )

    def test_closed_to_others(self) -> None:
        for mode in (0o400, 0o600, 0o440, 0o640, 0o660):
            write_token_file(self.path, ENTRY, mode)
            self.assertIn("office", read_token_file(self.path).tokens)

    def test_missing(self) -> None:
        self.assertEqual("cannot be read: No such file or directory", self.unusable())

    def test_bad_path(self) -> None:
        self.path = Path("a\0b")
        self.assertEqual("cannot be read: embedded null byte", self.unusable())

    def test_directory(self) -> None:
        self.path.mkdir()
        self.assertEqual("cannot be read: Is a directory", self.unusable())

    def test_fifo(self) -> None:
        os.mkfifo(self.path, 0o600)
        self.assertEqual("is not a file", self.unusable())

    def test_too_large(self) -> None:
        with self.path.open("wb") as file:
            file.truncate(MAX_FILE_SIZE + 1)
        self.path.chmod(0o600)
        self.assertEqual("is larger than 16777216 bytes", self.unusable())

    @given(st.binary(max_size=200))
    def test_anything(self, content: bytes) -> None:
        self.path.write_bytes(content)
        self.path.chmod(0o600)
        try:
            read_token_file(self.path)
        except ConfigError as error:
            self.assertTrue(error.mistakes)

    @given(
        st.dictionaries(
            st.sampled_from(["salt", "stored_key", "server_key", "iterations", "x"]),
            st.sampled_from(
                ["1", "-1", '"x"', "true", "1.5", "nan", "[]", "{}", "2027-01-01"]
            ),
        )
    )
    def test_any_fields(self, fields: dict[str, str]) -> None:
        lines = "".join(f"{key} = {value}\n" for key, value in fields.items())
        found = self.mistakes(f"[tokens.office]\n{lines}")
        self.assertEqual(
            {f"tokens.office.{key}" for key in fields}
            | {
                f"tokens.office.{key}"
                for key in ("salt", "stored_key", "server_key", "iterations")
            },
            {path for path, _ in found},
        )

    def test_secrecy(self) -> None:
        shown = repr(self.read(ENTRY))
        for key in ("stored_key", "server_key"):
            value = tomllib.loads(ENTRY)["tokens"]["office"][key]
            self.assertNotIn(value, shown)
            self.assertNotIn(key, shown)

    def test_documented_files(self) -> None:
        blocks = [
            block
            for block in fenced_blocks(DOCUMENT.read_text())
            if block.language == "toml"
        ]
        self.assertTrue(blocks)
        for block in blocks:
            self.assertTrue(self.read(block.source).tokens)
