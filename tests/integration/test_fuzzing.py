"""
Each fuzz target, searched for a few seconds. Where atheris cannot be had, the corpus
alone is run (L{tests.fuzz.test_corpus}).
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.integration.processes import ProcessTestCase

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 2
PATIENCE: Final = 100.0
"""How long a search may take in all, in seconds, on a machine that is busy."""


class FuzzingTests(ProcessTestCase):
    if find_spec("atheris") is None:
        skip = "atheris is not installed"

    async def search(self, target: str) -> None:
        """
        Search, and see that nothing was found.
        """
        running = self.start(
            sys.executable,
            *("-m", "tests.fuzz", target),
            *("--seconds", str(SECONDS), "--seed", "1"),
            *("--keep", str(self.directory / "found")),
            environ={"PYTHONPATH": os.fspath(ROOT)},
        )
        finished = await running.finished(PATIENCE)
        self.assertEqual(0, finished.code, finished.err)
        self.assertRegex(finished.err, r"number_of_executed_units: [1-9]")

    async def test_frames(self) -> None:
        await self.search("frames")

    async def test_handshake(self) -> None:
        await self.search("handshake")

    async def test_session(self) -> None:
        await self.search("session")

    async def test_data_links(self) -> None:
        await self.search("datalinks")

    async def test_websocket(self) -> None:
        await self.search("websocket")

    async def test_addresses(self) -> None:
        await self.search("addresses")

    async def test_remote(self) -> None:
        await self.search("remote")

    async def test_config(self) -> None:
        await self.search("config")

    async def test_tokens(self) -> None:
        await self.search("tokens")
