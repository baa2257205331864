"""
A page with what it shows, as browsers load it.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.integration.programs.cases import ProgramTestCase

ASSETS = 40
_SIZES = (0, 1, 700, 4_000, 16_384, 65_536, 65_537, 300_000)


class PageSet:
    """
    The files of a page.

    @ivar root: where they are.
    @ivar names: what they are called.
    """

    def __init__(self, case: ProgramTestCase) -> None:
        self.root = case.directory / "site"
        self.root.mkdir()
        self._case = case
        random = Random(41)
        assets = [
            f"asset-{number}.{('css', 'js', 'png')[number % 3]}"
            for number in range(ASSETS)
        ]
        for number, name in enumerate(assets):
            size = _SIZES[number % len(_SIZES)]
            (self.root / name).write_bytes(random.randbytes(size))
        links = "".join(f'<link href="{name}">\n' for name in assets)
        (self.root / "index.html").write_text(f"<!doctype html>\n{links}")
        self.names = ["index.html", *assets]
        # Where they are fetched to.
        self._one = case.directory / "one"
        self._six = case.directory / "six"
        self._one.mkdir()
        self._six.mkdir()

    async def fetch(self, port: int) -> None:
        """
        Fetch it twice, and see that every file is whole: one file after the other
        on one connection that is kept alive; then on as many connections as a
        browser makes.

        @param port: on loopback.
        """
        connections = await self._fetch(port, self._one)
        self._case.assertEqual(sum(connections), 1)
        await self._fetch(port, self._six, "--parallel", "--parallel-max", "6")

    async def _fetch(self, port: int, to: Path, *flags: str) -> list[int]:
        """
        @return: how many connections were made for each file.
        """
        finished = await self._case.run_program(
            "curl",
            *("--silent", "--show-error", "--fail", "--max-time", "30", *flags),
            *("--write-out", "%{num_connects}\\n", "--output-dir", to),
            "--remote-name-all",
            *(f"http://127.0.0.1:{port}/{name}" for name in self.names),
        )
        for name in self.names:
            expected = (self.root / name).read_bytes()
            self._case.assertEqual((to / name).read_bytes(), expected, name)
        return [int(line) for line in finished.out.split()]
