"""
Does what docs/tutorial-hook.md says, in a directory and a virtual environment of its
own: the files are its blocks, the commands are its commands, and what they print is
compared.

A block of a file says C{file=NAME} after its language. Commands are in C{console}
blocks: of C{run} each must print what is shown; C{start} is a program that runs on, and
is waited for until it has printed that; C{visit} is tried until it prints that. C{...}
stands for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.examples.running import (
    ROOT,
    SECONDS,
    ExampleTestCase,
    Running,
    eventually,
)
from tests.integration.programs.ports import free_port
from tests.programs import require_program, run_program
from tests.quality.fences import Block, fenced_blocks

TUTORIAL = ROOT / "docs" / "tutorial-hook.md"
PORTS = ("7000", "6000", "8080")
"""Those of the document. Free ones stand in for them."""

_COMMAND = """#!{python}
import sys
from reitunnel.service.command import main
sys.exit(main())
"""
_TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")
_KINDS = ("run", "start", "visit")

OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    # As with every option that begins with no, this means what it does not say.
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
"""How pip is told what C{--no-index --no-deps --no-build-isolation} say."""


def commands_of(block: Block) -> list[tuple[str, list[str]]]:
    """
    The commands of a block, each with the lines that it prints.
    """
    commands: list[tuple[str, list[str]]] = []
    for line in block.source.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        else:
            commands[-1][1].append(line)
    return commands


def pattern_of(line: str) -> str:
    """
    A pattern for a line that is shown, wherever it has C{...}, and whatever the time.
    """
    pieces = _TIMESTAMP.sub("", line).split("...")
    return ".*".join(map(re.escape, pieces))


def missing(shown: Iterable[str], printed: str) -> list[str]:
    """
    Which of the lines that are shown were not printed, or not in this order.
    """
    found = []
    lines = iter(printed.splitlines())
    for line in shown:
        pattern = pattern_of(line)
        if not any(re.search(pattern, each) for each in lines):
            found.append(line)
    return found


class TutorialTests(ExampleTestCase):
    def setUp(self) -> None:
        super().setUp()
        for program in ("curl", "nc"):
            require_program(program)
        self.ports: Mapping[str, str] = {port: str(free_port()) for port in PORTS}
        self.started: list[Running] = []
        bin_directory = self.make_environment()
        self.environment = {
            **{key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ},
            **OFFLINE,
            "PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }
        self.directory /= "reitunnel-crowd"
        self.directory.mkdir()

    def make_environment(self) -> Path:
        """
        Make a virtual environment with what this one has, Reitunnel included, and
        its command.

        @return: the directory of its programs.
        """
        environment = self.directory / "environment"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", environment],
            stdin=subprocess.DEVNULL,
            timeout=4 * SECONDS,
            check=True,
        )
        (site,) = (environment / "lib").glob("python*/site-packages")
        (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
        programs = environment / "bin"
        command = programs / "reitunnel"
        command.write_text(_COMMAND.format(python=programs / "python"))
        command.chmod(0o755)
        return programs

    def with_ports(self, text: str) -> str:
        """
        Put the ports of this test in place of those of the document.
        """
        for port, other in self.ports.items():
            text = re.sub(rf"\b{port}\b", other, text)
        return text

    def test_it_works(self) -> None:
        """
        From the first file to the visitor that is refused, and the next that is not.
        """
        visits = []
        for block in fenced_blocks(self.with_ports(TUTORIAL.read_text())):
            if block.file:
                file = self.directory / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.source)
                continue
            self.assertEqual("console", block.language, block)
            (kind,) = block.words[1:]
            for command, shown in commands_of(block):
                getattr(self, f"do_{kind}")(command, shown)
                if kind == "visit":
                    visits.append((command, shown))
        self.assertEqual(2, len(visits))
        # "When nc is stopped there is a place again."
        self.started[-1].kill()
        self.do_visit(*visits[0])

    def do_run(self, command: str, shown: list[str]) -> None:
        """
        Run a command to its end.
        """
        printed = self.printed_by(command)
        self.assertEqual([], missing(shown, printed), f"{command}\n{printed}")

    def do_visit(self, command: str, shown: list[str]) -> None:
        """
        Run a command until it has printed what is shown.
        """
        eventually(lambda: not missing(shown, self.printed_by(command)))

    def do_start(self, command: str, shown: list[str]) -> None:
        """
        Start a program that runs on.
        """
        running = self.start(*shlex.split(f"env {command}"))
        self.started.append(running)
        for line in shown:
            running.wait_for(pattern_of(line))

    def printed_by(self, command: str) -> str:
        """
        Run a command with a shell.

        @return: what it has printed.
        """
        return run_program(
            ["sh", "-c", command],
            timeout=4 * SECONDS,
            directory=self.directory,
            environment=self.environment,
        ).stdout


class DocumentTests(SynchronousTestCase):
    def test_files(self) -> None:
        """
        Only the tutorial has blocks that are files: nothing else looks at them.
        """
        for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
            if document != TUTORIAL:
                files = [each.file for each in fenced_blocks(document.read_text())]
                self.assertEqual([], [file for file in files if file], document.name)

    def test_kinds(self) -> None:
        """
        Each block is a file, or commands of a kind that is known, all of which occur.
        """
        kinds = [
            block.words[1:]
            for block in fenced_blocks(TUTORIAL.read_text())
            if not block.file
        ]
        self.assertEqual({(kind,) for kind in _KINDS}, set(kinds))

    def test_what_is_missing_is_found(self) -> None:
        shown = ["...", "2026-11-24T09:30:00+0000 a ... c", "d"]
        self.assertEqual([], missing(shown, "x\n2027-01-01T00:00:00+0000 a b c\nd\n"))
        self.assertEqual(["d"], missing(shown, "x\na b c\n"))
        self.assertEqual([shown[1], "d"], missing(shown, "x\nd\na c\n"))
