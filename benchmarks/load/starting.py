"""
Starts the programs of this package, and talks to them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError, ProgramFailed
from benchmarks.load.delay import DEFAULT_WINDOW
from benchmarks.running.programs import PATIENCE, Program, Programs

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""


def start_module(
    programs: Programs, name: str, module: str, *arguments: str
) -> Program:
    """
    Start a module of this checkout as a program.
    """
    return programs.start(
        name,
        sys.executable,
        "-m",
        module,
        *arguments,
        environ={"PYTHONPATH": str(ROOT)},
    )


class Speaker:
    """
    A program that prints lines of JSON.

    @ivar program: the program.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._seen = 0

    def hear(self, timeout: float = PATIENCE) -> Mapping[str, Any]:
        """
        Wait for what it says next.

        @raise BenchmarkError: if that is an error, or comes too late.
        """
        said = self._next(timeout)
        if "error" in said:
            raise BenchmarkError(said["error"])
        return said

    def _next(self, timeout: float) -> Mapping[str, Any]:
        try:
            line, self._seen = self.program.next_line(self._seen, timeout)
        except ProgramFailed:
            self.program.check()
            # What it printed before says nothing of what it waits for.
            raise BenchmarkError(
                f"{self.program.name} did not answer within {timeout:.0f} s"
            ) from None
        try:
            said: Mapping[str, Any] = json.loads(line.text)
        except ValueError:
            output = self.program.output()
            raise ProgramFailed(f"{self.program.name} failed: {output}") from None
        return said


class Worker(Speaker):
    """
    A visitor's side, which does one thing at a time.
    """

    def begin(self, do: str, **arguments: object) -> None:
        """
        Tell it to do something; L{hear} gives the answer.
        """
        self.program.say(json.dumps({"do": do, **arguments}))

    def do(
        self, command: str, *, timeout: float = PATIENCE, **arguments: object
    ) -> Mapping[str, Any]:
        """
        Have it do something, and wait for the answer.

        @raise BenchmarkError: if that fails, or takes too long.
        """
        self.begin(command, **arguments)
        return self.hear(timeout)


class Target(Speaker):
    """
    A target.

    @ivar port: where it listens.
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.port: int = self.hear()["port"]


class BulkTarget(Target):
    """
    A target for bulk.
    """

    def report(self, number: int, timeout: float = PATIENCE) -> Mapping[str, Any]:
        """
        Wait for the report of a connection; those of others are of no use any more.

        @param number: what the visitor called it.
        @raise BenchmarkError: if it failed, or comes too late.
        """
        deadline = time.monotonic() + timeout
        while True:
            said = self._next(max(0.0, deadline - time.monotonic()))
            if said["number"] == number:
                if "error" in said:
                    raise BenchmarkError(said["error"])
                return said


def start_worker(programs: Programs) -> Worker:
    """
    Start a visitor's side.
    """
    return Worker(start_module(programs, "the visitor", "benchmarks.load.worker"))


def start_bulk_target(programs: Programs) -> BulkTarget:
    """
    Start a target for bulk.
    """
    module = "benchmarks.load.bulk_target"
    return BulkTarget(start_module(programs, "the target", module))


def start_echo_target(programs: Programs) -> Target:
    """
    Start a target that gives every byte back.
    """
    return Target(start_module(programs, "the echo", "benchmarks.load.echo_target"))


def start_source_target(programs: Programs) -> Target:
    """
    Start a target that sends without end.
    """
    module = "benchmarks.load.source_target"
    return Target(start_module(programs, "the source", module))


def start_delay(
    programs: Programs, port: int, delay: float, window: int = DEFAULT_WINDOW
) -> Target:
    """
    Start a long path to a port.

    @param delay: of one way, in seconds.
    @param window: how many bytes may be on their way.
    """
    arguments = (f"--port={port}", f"--delay={delay}", f"--window={window}")
    return Target(
        start_module(programs, "the path", "benchmarks.load.delay", *arguments)
    )
