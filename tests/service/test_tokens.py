"""
Tests of L{reitunnel.service.tokens} and L{reitunnel.service.private_files}.
"""

from __future__ import annotations

import os
import tomllib
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import Token, new_token
from reitunnel.auth.token_file import read_token_file
from reitunnel.errors import ConfigError, ReitunnelError
from reitunnel.service.private_files import replace
from reitunnel.service.tokens import TokenOptions, add_token, make_token


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


class TokenTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.file = self.directory / "tokens.toml"

    def names(self) -> list[str]:
        """
        The tokens in the file, and that nothing else is in the directory.
        """
        self.assertEqual([self.file], list(self.directory.iterdir()))
        return list(read_token_file(self.file).tokens)


class MakeTokenTests(TokenTestCase):
    def run_command(self, *arguments: str) -> str:
        options = TokenOptions()
        options.parseOptions(arguments)
        out = StringIO()
        self.assertEqual(0, make_token(options, out))
        return out.getvalue()

    def test_printed(self) -> None:
        """
        The token and the lines belong together.
        """
        token, _, lines = self.run_command("laptop").partition("\n\n")
        self.assertEqual(["laptop"], list(tomllib.loads(lines)["tokens"]))
        self.assertEqual("laptop", Token.parse(token).name)
        again = self.run_command("laptop")
        self.assertNotIn(token, again)

    def test_added(self) -> None:
        """
        With a file for the lines, the token alone is printed.
        """
        printed = self.run_command("laptop", "--add", str(self.file))
        self.assertEqual("laptop", Token.parse(printed).name)
        self.assertEqual(1, printed.count("\n"))
        self.assertEqual(["laptop"], self.names())

    def test_written(self) -> None:
        """
        With a file for the token, the lines alone are printed.
        """
        path = self.directory / "token"
        printed = self.run_command("--out", str(path), "laptop")
        self.assertTrue(printed.startswith("[tokens.laptop]\n"))
        self.assertEqual("laptop", Token.parse(path.read_text()).name)
        self.assertEqual(0o600, mode(path))

    def test_both(self) -> None:
        path = self.directory / "token"
        self.assertEqual(
            "", self.run_command("laptop", "-a", str(self.file), "-o", str(path))
        )
        self.assertEqual(0o600, mode(path))

    def test_token_file_is_there(self) -> None:
        """
        A token that somebody may use is not overwritten, and nothing is added.
        """
        path = self.directory / "token"
        path.write_text("precious")
        error = self.assertRaises(
            ReitunnelError, self.run_command, "a", "-o", str(path), "-a", str(self.file)
        )
        self.assertEqual(f"{path}: is there already", str(error))
        self.assertEqual("precious", path.read_text())
        self.assertFalse(self.file.exists())

    def test_token_file_that_cannot_be_written(self) -> None:
        path = self.directory / "none" / "token"
        error = self.assertRaises(
            ReitunnelError, self.run_command, "a", "-o", str(path)
        )
        self.assertEqual(
            f"{path}: cannot be written: No such file or directory", str(error)
        )

    def test_not_added(self) -> None:
        """
        A token that the server does not get is not left behind.
        """
        path = self.directory / "token"
        self.run_command("laptop", "-a", str(self.file))
        error = self.assertRaises(
            ReitunnelError,
            self.run_command, "laptop", "-a", str(self.file), "-o", str(path),
        )  # fmt: skip
        self.assertEqual(
            f'{self.file.resolve()}: there is a token "laptop" already', str(error)
        )
        self.assertEqual(["laptop"], self.names())


class AddTokenTests(TokenTestCase):
    def add(self, name: str) -> None:
        add_token(self.file, name, new_token(name)[1])

    def test_new_file(self) -> None:
        self.add("a")
        self.assertEqual(["a"], self.names())
        self.assertEqual(0o600, mode(self.file))
        self.assertTrue(self.file.read_text().startswith("[tokens.a]\n"))

    def test_more(self) -> None:
        """
        What is in the file stays as it is, comments included.
        """
        self.add("a")
        before = "# ours\n" + self.file.read_text()
        self.file.write_text(before)
        self.add("b.c")
        self.assertEqual(["a", "b.c"], self.names())
        self.assertTrue(self.file.read_text().startswith(before + "\n"))

    def test_empty_file(self) -> None:
        self.file.touch(0o600)
        self.add("a")
        self.assertEqual(["a"], self.names())

    def test_mode_stays(self) -> None:
        """
        The group may read the file; then it still may.
        """
        self.add("a")
        self.file.chmod(0o640)
        self.add("b")
        self.assertEqual(0o640, mode(self.file))

    def test_owner_stays(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can give files away")
        self.add("a")
        os.chown(self.file, 12345, 23456)
        self.add("b")
        status = self.file.stat()
        self.assertEqual((12345, 23456), (status.st_uid, status.st_gid))

    def test_link_stays(self) -> None:
        self.add("a")
        link = Path(self.mktemp())
        link.symlink_to(self.file.resolve())
        add_token(link, "b", new_token("b")[1])
        self.assertTrue(link.is_symlink())
        self.assertEqual(["a", "b"], self.names())

    def test_damaged_file(self) -> None:
        """
        A file with mistakes is not touched.
        """
        self.file.write_text("[tokens.a]\nsalt = 1\n")
        self.file.chmod(0o600)
        self.assertRaises(ConfigError, self.add, "b")
        self.assertEqual("[tokens.a]\nsalt = 1\n", self.file.read_text())

    def test_file_that_cannot_take_more(self) -> None:
        """
        If the whole would not be right, the file stays as it was.
        """
        self.file.write_text("tokens = {}\n")
        self.file.chmod(0o600)
        self.assertRaises(ConfigError, self.add, "b")
        self.assertEqual("tokens = {}\n", self.file.read_text())
        self.assertEqual([], self.names())

    def test_no_directory(self) -> None:
        path = self.directory / "none" / "tokens.toml"
        error = self.assertRaises(ReitunnelError, add_token, path, "a", "")
        self.assertRegex(str(error), ": cannot be written: No such file or directory$")


class ReplaceTests(TokenTestCase):
    def test_refused(self) -> None:
        """
        If the new file is refused, the old one stays and nothing else is there.
        """
        self.file.write_text("old")
        seen = []

        def refuse(path: Path) -> None:
            seen.append(path.read_text())
            raise ValueError("no")

        self.assertRaises(ValueError, replace, self.file, "new", refuse)
        self.assertEqual(["new"], seen)
        self.assertEqual("old", self.file.read_text())
        self.assertEqual([self.file], list(self.directory.iterdir()))
