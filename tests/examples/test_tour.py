"""
Tests of the README's tour: its commands work, and print what it shows.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.examples.running import ROOT, SECONDS, ExampleTestCase, Running
from tests.programs import require_program, run_program
from tests.quality.fences import fenced_blocks

HEADING = "## A tour of five minutes\n"
PORTS = ("7000", "8080", "6000")
"""What the tour shows, and the test puts others for."""
KEEPS_RUNNING = ("reitunnel server", "python3 -m http.server", "reitunnel client")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"


@dataclass(frozen=True)
class Step:
    """
    A command, and the lines that it prints.
    """

    command: str
    output: tuple[str, ...]

    @property
    def keeps_running(self) -> bool:
        """
        Whether the tour goes on, in another terminal, while it runs.
        """
        return self.command.startswith(KEEPS_RUNNING)


def steps(text: str) -> list[Step]:
    """
    The steps of the tour in the README's text.
    """
    tour = text.partition(HEADING)[2].partition("\n## ")[0]
    found = []
    for block in fenced_blocks(tour):
        if block.language == "console":
            for part in re.split(r"^\$ ", block.source, flags=re.MULTILINE)[1:]:
                command, *output = part.replace("\\\n", "").splitlines()
                found.append(Step(" ".join(command.split()), tuple(output)))
    return found


def free_ports(count: int) -> list[str]:
    """
    Ports that nobody listens on.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in sockets]


def timeless(line: str) -> str:
    """
    A line of a log without its time.
    """
    return re.sub(f"^{TIME} ", "TIME ", line)


def wordy(lines: Iterable[str]) -> list[str]:
    """
    Lines without those that are a drawing: how openssl shows that it is at work
    differs between its versions.
    """
    return [line for line in lines if re.search(r"[^-.+* ]", line)]


class TourTests(ExampleTestCase):
    def test_it_is_as_shown(self) -> None:
        require_program("openssl")
        require_program("curl")
        bin_directory = str(Path(sys.executable).parent)
        self.environment["PATH"] = bin_directory + os.pathsep + os.environ["PATH"]
        self.environment["PYTHONUNBUFFERED"] = "1"
        text = (ROOT / "README.md").read_text()
        for shown, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
            text = re.sub(rf"\b{shown}\b", free, text)
        running = [program for step in steps(text) if (program := self.follow(step))]
        server, _, client = running
        for program in (client, server):
            self.assertEqual(0, program.stop(signal.SIGINT), "".join(program.output))

    def follow(self, step: Step) -> Running | None:
        """
        Do what a step says, and compare what it prints.

        @return: the program, if it keeps running.
        """
        if step.keeps_running:
            program, *arguments = shlex.split(step.command)
            running = self.start(program, *arguments)
            for line in step.output:
                said = running.wait_for("").string.rstrip("\n")
                self.assertEqual(timeless(line), timeless(said))
            return running
        done = run_program(
            ["sh", "-c", step.command],
            timeout=SECONDS,
            directory=self.directory,
            environment=self.environment,
        )
        self.assertEqual(0, done.returncode, f"{step.command}\n{done.stdout}")
        printed = done.stdout.splitlines()
        self.assertEqual(wordy(step.output), wordy(printed), step.command)
        return None


class StepTests(SynchronousTestCase):
    def test_steps(self) -> None:
        text = (
            "```console\n$ no\n```\n"
            f"{HEADING}"
            "```console\n$ one \\\n    two\n$ three\na\n\nb\n```\n"
            "```toml\n$ no\n```\n"
            "```console\n$ reitunnel server --x\n```\n"
            "## Next\n```console\n$ no\n```\n"
        )
        found = steps(text)
        self.assertEqual(
            [
                Step("one two", ()),
                Step("three", ("a", "", "b")),
                Step("reitunnel server --x", ()),
            ],
            found,
        )
        self.assertEqual([False, False, True], [step.keeps_running for step in found])

    def test_wordy(self) -> None:
        self.assertEqual(["a-b", "x"], wordy(["a-b", "-----", "..+++", "", "x"]))

    def test_timeless(self) -> None:
        self.assertEqual("TIME x", timeless("2026-11-24T09:30:00+0000 x"))
        self.assertEqual("x 2026", timeless("x 2026"))
