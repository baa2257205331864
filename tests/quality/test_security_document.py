"""
Every test that docs/security.md names is there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "security.md"
_NAMED: Final = re.compile(r"`(tests\.[A-Za-z0-9_.]+)`")


class SecurityDocumentTests(SynchronousTestCase):
    def test_named_tests(self) -> None:
        names = _NAMED.findall(DOCUMENT.read_text())
        self.assertGreater(len(names), 40)
        for name in names:
            with self.subTest(name=name):
                found = namedAny(name)
                if name.rpartition(".")[2].startswith("test_"):
                    self.assertTrue(callable(found) or hasattr(found, "__file__"))
