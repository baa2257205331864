"""
The targets hold for every input of the corpus, and for random changes of it. This needs
no atheris.
"""

from __future__ import annotations

import gc
import tracemalloc
from random import Random
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.script import edited
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import CORPUS, TARGETS, corpus

MOST_BYTES: Final = 500_000
"""The size of the corpus."""
MOST_MEMORY: Final = 4 << 20
"""
What one input, of some KiB, may make this process hold, in bytes: the largest thing
that a peer may announce is a frame of 1 MiB.
"""
FILES: Final = {"handshake": 16 << 20, "tokens": 16 << 20, "config": 4 << 20}
"""What reading a file takes besides: room for the largest that is read."""
CHANGES: Final = 3
"""How often each input is changed."""


class CorpusTests(SynchronousTestCase):
    def check(self, target: str) -> None:
        run = TARGETS[target]
        chance = Random(target)
        inputs = corpus(target)
        self.assertTrue(inputs)
        for file in inputs:
            data = file.read_bytes()
            for _ in range(CHANGES + 1):
                with self.subTest(input=file.name, data=data):
                    run(data)
                data = edited(data, chance.randbytes(chance.randint(3, 12)))

    def test_frames(self) -> None:
        self.check("frames")

    def test_handshake(self) -> None:
        self.check("handshake")

    def test_session(self) -> None:
        self.check("session")

    def test_data_links(self) -> None:
        self.check("datalinks")

    def test_websocket(self) -> None:
        self.check("websocket")

    def test_addresses(self) -> None:
        self.check("addresses")

    def test_remote(self) -> None:
        self.check("remote")

    def test_config(self) -> None:
        self.check("config")

    def test_tokens(self) -> None:
        self.check("tokens")

    def test_every_target(self) -> None:
        """
        Each target has a corpus, and a test here.
        """
        names = {name.removeprefix("test_").replace("_", "") for name in dir(self)}
        for target in TARGETS:
            self.assertIn(target, names)
            self.assertTrue((CORPUS / target).is_dir())

    def test_memory(self) -> None:
        """
        No input makes this process hold much more than itself.
        """
        for target, run in TARGETS.items():
            for file in corpus(target)[:40]:
                data = file.read_bytes()
                # What is made once, on first use, is not the input's.
                run(data)
                gc.collect()
                tracemalloc.start()
                try:
                    run(data)
                    _, most = tracemalloc.get_traced_memory()
                finally:
                    tracemalloc.stop()
                self.assertLess(most, MOST_MEMORY + FILES.get(target, 0), file)

    def test_size(self) -> None:
        files = [file for target in TARGETS for file in corpus(target)]
        self.assertLess(sum(file.stat().st_size for file in files), MOST_BYTES)

    def test_seeds(self) -> None:
        """
        The seeds in the tree are those that C{python -m tests.fuzz --seeds} writes.
        """
        for target, inputs in seeds().items():
            found = {
                file.name.removeprefix("seed-"): file.read_bytes()
                for file in corpus(target)
                if file.name.startswith("seed-")
            }
            self.assertEqual(dict(inputs), found)
