"""
Runs the examples as programs, and is the web server and the visitor that they need.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from time import monotonic
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import new_token
from tests.certificates import write_private

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SECONDS = 30
"""What a program may take for each thing that is waited for."""


class Running:
    """
    A program that runs, and the lines that it has printed.
    """

    def __init__(
        self, command: list[str], directory: Path, environment: dict[str, str]
    ) -> None:
        self.output: list[str] = []
        self._new: Queue[str | None] = Queue()
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """
        Wait for the program to print something.

        @param pattern: is searched for in each line that was not looked at yet.
        @raise AssertionError: if it does not come in time, or the program ends.
        """
        deadline = monotonic() + SECONDS
        while True:
            try:
                line = self._new.get(timeout=max(0.0, deadline - monotonic()))
            except Empty:
                line = None
            if line is None:
                self._new.put(None)  # what wait() looks for
                raise AssertionError(f"no {pattern!r} in:\n{''.join(self.output)}")
            self.output.append(line)
            if match := re.search(pattern, line):
                return match

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """
        Tell the program to stop, and wait until it has.

        @return: its exit code.
        """
        self._process.send_signal(signal_number)
        return self.wait()

    def wait(self) -> int:
        """
        Wait for the program to end.

        @return: its exit code.
        """
        code = self._process.wait(SECONDS)
        self._reader.join()
        while (line := self._new.get_nowait()) is not None:
            self.output.append(line)
        return code

    def kill(self) -> None:
        """
        End it, if it is still running.
        """
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._new.put(line)
        self._new.put(None)


class ExampleTestCase(SynchronousTestCase):
    """
    A directory with a token, and programs that are gone when the test is over.

    @ivar directory: where the programs run.
    @ivar environment: what the programs see of the environment.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def make_token(self, name: str = "office") -> None:
        """
        Make a token, in the files C{token} and C{tokens.toml}.
        """
        token, lines = new_token(name)
        write_private(self.directory / "token", token.encode())
        write_private(self.directory / "tokens.toml", lines.encode())

    def start(self, *command: str | Path) -> Running:
        """
        Start a program.
        """
        running = Running([*map(str, command)], self.directory, self.environment)
        self.addCleanup(running.kill)
        return running

    def start_example(self, name: str, *arguments: str | Path) -> Running:
        """
        Start an example.
        """
        return self.start(sys.executable, "-u", EXAMPLES / name, *arguments)

    def stop(self, *programs: Running) -> None:
        """
        Tell programs to stop, one after the other: they do so in order.
        """
        for running in programs:
            self.assertEqual(0, running.stop(), "".join(running.output))
            self.assertNotIn("Traceback", "".join(running.output))

    def serve(self, page: str = "carried\n") -> str:
        """
        Serve a page, C{index.txt}.

        @return: the address of the web server.
        """
        root = Path(self.mktemp()).absolute()
        root.mkdir()
        (root / "index.txt").write_text(page)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=root))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"127.0.0.1:{server.server_port}"


def fetch(address: str, path: str = "/index.txt") -> str:
    """
    Visit an address.

    @return: the page.
    @raise ConnectionError: whether the connection is lost before the request was sent,
        for which urllib has an error of its own, or after.
    """
    try:
        with urlopen(f"http://{address}{path}", timeout=SECONDS) as response:
            text: bytes = response.read()
    except URLError as error:
        if isinstance(error.reason, ConnectionError):
            raise error.reason from None
        raise
    return text.decode()


def eventually(check: Callable[[], Any]) -> Any:
    """
    Call a function until it returns something that is true.
    """
    deadline = monotonic() + SECONDS
    while not (result := check()):
        if monotonic() > deadline:
            raise AssertionError("it does not come true")
    return result


class _Quiet(SimpleHTTPRequestHandler):
    """
    Does not log to stderr.
    """

    def log_message(self, format: str, *args: object) -> None:
        """
        Log nothing.
        """
