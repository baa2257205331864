"""
Imports point one way: docs/architecture.md, "Layers".
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.quality.layers import ALLOWED, part_of, violations

ROOT = Path(__file__).resolve().parents[2]


class LayerTests(SynchronousTestCase):
    def test_the_package(self) -> None:
        self.assertEqual([], [str(violation) for violation in violations(ROOT)])

    def test_every_part_exists(self) -> None:
        """
        The table names no part that has gone, so that a part that was renamed
        is not left without a rule.
        """
        files = (ROOT / "reitunnel").rglob("*.py")
        parts = {
            part_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
            for file in files
        }
        self.assertEqual(set(ALLOWED) - {"__main__"}, parts - {"__main__"})


class PlantedViolationTests(SynchronousTestCase):
    """
    The finder finds what it is for.
    """

    def planted(self, path: str, source: str) -> list[str]:
        """
        What is found in a package with one offending module.
        """
        root = Path(self.mktemp())
        for part in ("wire", "server", "client", "auth", "hooks", "transports"):
            (root / "reitunnel" / part).mkdir(parents=True)
            (root / "reitunnel" / part / "__init__.py").write_text("")
        (root / "reitunnel" / "__init__.py").write_text("")
        (root / "reitunnel" / path).write_text(source)
        return [str(violation) for violation in violations(root)]

    def test_nothing_planted(self) -> None:
        self.assertEqual([], self.planted("wire/x.py", "import reitunnel.errors\n"))

    def test_import(self) -> None:
        self.assertEqual(
            ["reitunnel/server/x.py:2: server imports client"],
            self.planted("server/x.py", "\nimport reitunnel.client.y as y\n"),
        )

    def test_import_from(self) -> None:
        self.assertEqual(
            ["reitunnel/client/x.py:1: client imports server"],
            self.planted("client/x.py", "from reitunnel.server.y import Z\n"),
        )

    def test_import_of_a_part_from_the_package(self) -> None:
        self.assertEqual(
            ["reitunnel/auth/x.py:1: auth imports hooks"],
            self.planted("auth/x.py", "from reitunnel import hooks\n"),
        )

    def test_import_of_the_package(self) -> None:
        self.assertEqual(
            ["reitunnel/auth/x.py:1: auth imports the package itself, not a part"],
            self.planted("auth/x.py", "from reitunnel import Server\n"),
        )

    def test_relative_imports(self) -> None:
        for path, source in {
            "transports/x.py": "from ..auth import Y\n",
            "transports/__init__.py": "from ..auth.z import Y\n",
        }.items():
            self.assertEqual(
                [f"reitunnel/{path}:1: transports imports auth"],
                self.planted(path, source),
            )

    def test_relative_imports_within_a_part(self) -> None:
        for path, source in {
            "wire/x.py": "from .y import Z\nfrom . import y\n",
            "wire/__init__.py": "from .x import Y\n",
        }.items():
            self.assertEqual([], self.planted(path, source))

    def test_in_a_function(self) -> None:
        self.assertEqual(
            ["reitunnel/hooks/x.py:2: hooks imports transports"],
            self.planted(
                "hooks/x.py", "def f():\n    from reitunnel.transports import urls\n"
            ),
        )

    def test_for_type_checkers_only(self) -> None:
        self.assertEqual(
            ["reitunnel/hooks/x.py:3: hooks imports server"],
            self.planted(
                "hooks/x.py",
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
                "    from reitunnel.server import sessions\n",
            ),
        )

    def test_by_name(self) -> None:
        self.assertEqual(
            ["reitunnel/hooks/x.py:2: hooks imports server"],
            self.planted(
                "hooks/x.py",
                "import importlib\nimportlib.import_module('reitunnel.server')\n",
            ),
        )

    def test_twisted_in_the_wire(self) -> None:
        self.assertEqual(
            ["reitunnel/wire/x.py:1: wire imports twisted"],
            self.planted("wire/x.py", "from twisted.internet.defer import Deferred\n"),
        )

    def test_interfaces_in_the_wire(self) -> None:
        self.assertEqual(
            ["reitunnel/wire/x.py:1: wire imports interfaces"],
            self.planted("wire/x.py", "from reitunnel.interfaces import IStream\n"),
        )

    def test_clock_in_the_wire(self) -> None:
        self.assertEqual(
            ["reitunnel/wire/x.py:1: wire imports time"],
            self.planted("wire/x.py", "import time\n"),
        )

    def test_global_reactor(self) -> None:
        for source in (
            "from twisted.internet import reactor\n",
            "import twisted.internet.reactor\n",
        ):
            self.assertEqual(
                ["reitunnel/server/x.py:1: server imports the global reactor"],
                self.planted("server/x.py", source),
            )

    def test_unknown_part(self) -> None:
        self.assertEqual(
            ["reitunnel/misc.py:1: reitunnel.misc belongs to no known part"],
            self.planted("misc.py", "import os\n"),
        )
