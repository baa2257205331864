"""
Tests of L{reitunnel.service.hook_list}.
"""

from __future__ import annotations

import importlib
import json
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.service.command import main
from reitunnel.service.hook_list import HooksOptions, list_hooks
from tests.hooks.test_plugins import BROKEN, GOOD


class HookListTests(SynchronousTestCase):
    def package(self, **modules: str) -> ModuleType:
        """
        A package of plugins.
        """
        root = Path(self.mktemp())
        name = f"plugins_{abs(hash(root))}"
        directory = root / name
        directory.mkdir(parents=True)
        (directory / "__init__.py").touch()
        for module, source in modules.items():
            (directory / f"{module}.py").write_text(source, encoding="utf-8")
        self.patch(sys, "path", [str(root.resolve()), *sys.path])
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def run_command(self, *arguments: str, package: ModuleType | None = None) -> str:
        options = HooksOptions()
        options.parseOptions(arguments)
        out = StringIO()
        self.assertEqual(0, list_hooks(options, out, package))
        return out.getvalue()

    def test_ours(self) -> None:
        text = self.run_command()
        self.assertIn(
            "logging: One line in the log for each event. [reitunnel.hooks.logging]\n",
            text,
        )
        self.assertIn(
            "  sample: an integer from 1 to 1000000000; default 1000\n"
            "      how many data events of a tunnel",
            text,
        )
        self.assertIn("Every hook can have wrappers, in a table wrap:\n", text)
        self.assertNotIn("cannot be used", text)

    def test_third_party(self) -> None:
        package = self.package(here=GOOD.format("it", "example"))
        text = self.run_command(package=package)
        first, options, *_ = text.splitlines()
        self.assertEqual("example: For tests. [tests.hooks.test_plugins]", first)
        self.assertEqual("  size: an integer of at least 1; required", options)

    def test_broken(self) -> None:
        """
        They are named, with the reason, and no traceback; the others are listed.
        """
        package = self.package(
            **BROKEN,
            sound=GOOD.format("it", "sound"),
            syntax="def",
            twin=GOOD.format("it", "sound"),
            leaves="raise SystemExit('bye')",
        )
        _, _, text = self.run_command(package=package).partition(
            "These plugins cannot be used:\n"
        )
        name = package.__name__
        lines = text.splitlines()
        self.assertEqual(len(BROKEN) + 3, len(lines), text)
        for start in (
            f"  {name}.raises: it cannot be loaded: RuntimeError: it does not",
            f"  {name}.syntax: it cannot be loaded: SyntaxError: ",
            f"  {name}.leaves: it cannot be loaded: SystemExit: bye",
            "  tests.hooks.test_plugins.Factory: its name is not a string, or is empty",
            '  tests.hooks.test_plugins.Factory: its name "sound" is that of ',
        ):
            self.assertTrue(any(line.startswith(start) for line in lines), start)
        self.assertNotIn("Traceback", text)
        self.assertEqual([], self.flushLoggedErrors())

    def test_json(self) -> None:
        package = self.package(
            here=GOOD.format("it", "example"), broken=BROKEN["raises"]
        )
        found = json.loads(self.run_command("--format", "json", package=package))
        [hook] = found["hooks"]
        self.assertEqual(
            ("example", "For tests.", "tests.hooks.test_plugins"),
            (hook["name"], hook["description"], hook["module"]),
        )
        self.assertEqual(
            {
                "name": "size",
                "type": "an integer of at least 1",
                "default": "required",
                "meaning": "",
            },
            hook["options"][0],
        )
        self.assertEqual(
            ["sample", "aggregate", "queue", "workers"],
            [option["name"] for option in found["wrap"]],
        )
        [broken] = found["broken"]
        self.assertEqual(f"{package.__name__}.broken", broken["plugin"])

    def test_one_under_two_names(self) -> None:
        package = self.package(here=GOOD.format("it", "same") + "again = it\n")
        self.assertNotIn("cannot be used", self.run_command(package=package))

    def test_wrong_arguments(self) -> None:
        for arguments in (["--format", "xml"], ["logging"]):
            self.assertRaises(UsageError, HooksOptions().parseOptions, arguments)

    def test_command(self) -> None:
        out, err = StringIO(), StringIO()
        self.assertEqual(0, main(["hooks", "--format=json"], out, err))
        names = [hook["name"] for hook in json.loads(out.getvalue())["hooks"]]
        self.assertIn("logging", names)
        self.assertEqual("", err.getvalue())
