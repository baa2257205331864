"""
What the README and docs/ show works: code runs, configurations load, links lead
somewhere.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import TokenStore
from reitunnel.config import load_client_config, load_server_config
from reitunnel.errors import ConfigError
from reitunnel.service.command import ReitunnelOptions
from tests.programs import run_program
from tests.quality.fences import Block, fenced_blocks

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
"""What a block of Python may take."""

PATH_KEYS = ("pem", "ca", "token_file")
AUTH_PATH_KEYS = ("tokens", "client_ca")


def documents() -> list[Path]:
    """
    The documents that are for users.
    """
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> Iterator[tuple[str, Block]]:
    """
    Every block in a language, with its place. Those that are files of a tutorial are
    left out: tests/examples/test_tutorial.py makes them and runs them together.
    """
    for document in documents():
        for block in fenced_blocks(document.read_text()):
            if block.language == language and not block.file:
                yield f"{document.relative_to(ROOT)}:{block.line}", block


def run_python(source: str, directory: Path) -> str | None:
    """
    Run a script in a process of its own.

    @return: what went wrong, or L{None}.
    """
    directory.mkdir()
    script = directory / "block.py"
    script.write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(directory)}
    try:
        done = run_program(
            [sys.executable, "-W", "error::SyntaxWarning", script.name],
            timeout=SECONDS,
            directory=directory,
            environment=environment,
        )
    except subprocess.TimeoutExpired:
        return f"still running after {SECONDS} s"
    return f"exit code {done.returncode}\n{done.stdout}" if done.returncode else None


def check_toml(block: Block, directory: Path) -> str | None:
    """
    Load a block of TOML as what its second word says: C{server}, C{client} or
    C{tokens}.

    @return: what is wrong with it, or L{None}.
    """
    try:
        table = tomllib.loads(block.source)
    except tomllib.TOMLDecodeError as error:
        return str(error)
    purpose = block.words[1] if len(block.words) > 1 else ""
    directory.mkdir()
    file = directory / "block.toml"
    file.write_text(block.source)
    file.chmod(0o600)
    auth = table.get("auth", {})
    for name in [
        *(table[key] for key in PATH_KEYS if key in table),
        *(auth[key] for key in AUTH_PATH_KEYS if key in auth),
    ]:
        # The files that it names: only that they are there is looked at.
        (directory / name).write_text("x")
        (directory / name).chmod(0o600)
    try:
        match purpose:
            case "":
                pass
            case "server":
                load_server_config(file)
            case "client":
                load_client_config(file, environ={})
            case "tokens":
                TokenStore(file)
            case _:
                return f'"{purpose}" is no kind of configuration'
    except ConfigError as error:
        return str(error)
    return None


class DocumentTests(SynchronousTestCase):
    def temporary(self) -> Path:
        """
        A new directory.
        """
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        return directory

    def test_python(self) -> None:
        """
        Each block is a script that runs by itself and ends by itself.
        """
        found = list(blocks("python"))
        self.assertNotEqual([], found)
        directory = self.temporary()
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                (place, pool.submit(run_python, block.source, directory / str(number)))
                for number, (place, block) in enumerate(found)
            ]
            failures = [
                f"{place}: {job.result()}" for place, job in jobs if job.result()
            ]
        self.assertEqual("", "\n".join(failures))

    def test_toml(self) -> None:
        """
        Each block is TOML. One whose fence says C{toml server}, C{toml client} or
        C{toml tokens} is a whole file and loads.
        """
        found = list(blocks("toml"))
        self.assertNotEqual([], found)
        directory = self.temporary()
        failures = [
            f"{place}: {wrong}"
            for number, (place, block) in enumerate(found)
            if (wrong := check_toml(block, directory / str(number)))
        ]
        self.assertEqual("", "\n".join(failures))

    def test_links(self) -> None:
        """
        Links to files lead to files, and those to headings to headings.
        """
        broken = []
        for document in documents():
            text = document.read_text()
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                name, _, anchor = target.partition("#")
                if re.match(r"[a-z]+:", name):
                    continue
                file = (document.parent / name) if name else document
                known = anchors(file.read_text()) if file.is_file() else set()
                if not file.exists() or (anchor and anchor not in known):
                    broken.append(f"{document.name}: {target}")
        self.assertEqual([], broken)

    def test_the_two_commands(self) -> None:
        """
        The README names the two commands that .ci/run runs.
        """
        shown = [
            line for _, block in blocks("console") for line in block.source.splitlines()
        ]
        script = (ROOT / ".ci" / "run").read_text()
        for command in ("make demo", "make test"):
            self.assertIn(f"$ {command}", shown)
            self.assertIn(f" {command} </dev/null", script)

    def test_make_targets(self) -> None:
        """
        What is said to be made can be.
        """
        makefile = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
        named = set()
        for _, block in blocks("console"):
            named |= set(re.findall(r"^\$ make ([a-z-]+)", block.source, re.MULTILINE))
        self.assertNotEqual(set(), named)
        self.assertEqual(set(), named - targets)

    def test_flags(self) -> None:
        """
        The C{reitunnel} and C{twistd} commands that are shown have subcommands and
        flags that exist.
        """
        known = known_flags()
        shown = list(shown_commands())
        self.assertNotEqual([], shown)
        self.assertEqual(
            [], [wrong for each in shown for wrong in unknown_words(each, known)]
        )


COMMAND = re.compile(
    r"^\$ (?:reitunnel|twistd (?:-\S+ )*reitunnel) (.*)$", re.MULTILINE
)
DEMO_AND_OTHERS = {"audit", "demo", "token", "check", "hooks"}
"""Subcommands of the C{reitunnel} command that twistd need not know."""


OWN = {"status"}
"""Those whose flags are looked at all the same."""


def shown_commands() -> Iterator[list[str]]:
    """
    The words of each C{reitunnel} command that is shown, after its name.
    """
    for _, block in blocks("console"):
        # A backslash at the end of a line joins it to the next.
        for match in COMMAND.finditer(block.source.replace("\\\n", " ")):
            yield shlex.split(match[1], comments=True)


def known_flags() -> dict[str, set[str]]:
    """
    The flags of each subcommand of the twistd plugin, and of L{OWN}.
    """
    makers = {each.tapname: each for each in getPlugins(IServiceMaker)}
    commands = {}
    subcommands = makers["reitunnel"].options().subCommands
    listed: Any = ReitunnelOptions.subCommands
    own = [each for each in listed if each[0] in OWN]
    for name, _, options, _ in (*subcommands, *own):
        parser = options()
        short = {f"-{letter}" for letter in parser.shortOpt.replace(":", "")}
        commands[name] = short | {f"--{word.rstrip('=')}" for word in parser.longOpt}
    return commands


def unknown_words(words: list[str], known: dict[str, set[str]]) -> list[str]:
    """
    What in a command is no subcommand and no flag.
    """
    command, *rest = words
    if command not in known:
        return [] if command in DEMO_AND_OTHERS else [command]
    flags = [word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)]
    return [f"{command} {flag}" for flag in flags if flag not in known[command]]


def anchors(text: str) -> set[str]:
    """
    The anchors of a document's headings, as GitHub makes them.
    """
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in headings
    }


class PlantedDefectTests(SynchronousTestCase):
    """
    The checks find what they are for.
    """

    def directory(self) -> Path:
        return Path(self.mktemp()).absolute()

    def setUp(self) -> None:
        Path(self.mktemp()).parent.mkdir(parents=True, exist_ok=True)

    def test_python(self) -> None:
        self.assertIsNone(run_python("import reitunnel\n", self.directory()))
        wrong = run_python("import reitunnel.no_such_module\n", self.directory())
        self.assertIn("ModuleNotFoundError", wrong or "")
        self.assertIn("exit code 3", run_python("exit(3)", self.directory()) or "")

    def test_python_that_does_not_end(self) -> None:
        self.patch(sys.modules[__name__], "SECONDS", 0.5)
        wrong = run_python("import time\ntime.sleep(30)\n", self.directory())
        self.assertEqual("still running after 0.5 s", wrong)

    def test_toml(self) -> None:
        for words, source, wrong in (
            (("toml",), "a = 1\n", None),
            (("toml",), "a = \n", "Invalid value (at line 1, column 5)"),
            (("toml", "server"), "listen = []\n", "listen: expected at least one"),
            (("toml", "client"), "tunnels = 1\n", "tunnels: expected a list, got 1"),
            (("toml", "tokens"), "x = 1\n", "x: unknown key"),
            (("toml", "sever"), "", '"sever" is no kind of configuration'),
        ):
            found = check_toml(Block(1, words, source), self.directory())
            if wrong is None:
                self.assertIsNone(found)
            else:
                self.assertIn(wrong, found or "")

    def test_flags(self) -> None:
        known = {"server": {"--listen", "-R"}}
        for words, wrong in (
            (["server", "--listen", "tls://h:1", "-R", "1:a:2"], []),
            (["server", "--listen=x"], []),
            (["server", "--lisen", "x"], ["server --lisen"]),
            (["sever", "--listen", "x"], ["sever"]),
            (["token", "NAME"], []),
        ):
            self.assertEqual(wrong, unknown_words(words, known))

    def test_anchors(self) -> None:
        text = "# The `[auth]` table\n\n## What is shown, and why\n"
        self.assertEqual({"the-auth-table", "what-is-shown-and-why"}, anchors(text))
