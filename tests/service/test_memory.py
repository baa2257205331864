"""
Tests of what becomes of freed memory.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

WHERE = """
from pathlib import Path
from reitunnel.service.memory import keep_freed_memory
{call}
block = bytes(4 << 20)
for line in Path("/proc/self/maps").read_text().splitlines():
    first, last = (int(each, 16) for each in line.split()[0].split("-"))
    if first <= id(block) < last:
        print("heap" if line.endswith("[heap]") else "map")
"""


@skipUnless(platform.libc_ver()[0] == "glibc", "it is about glibc")
class MemoryTests(SynchronousTestCase):
    def where(self, call: str) -> str:
        """
        Say where a process finds a place for a block of 4 MiB.
        """
        command = [sys.executable, "-c", WHERE.format(call=call)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()

    def test_blocks_are_not_mapped(self) -> None:
        self.assertEqual("map", self.where(""))
        self.assertEqual("heap", self.where("keep_freed_memory()"))
