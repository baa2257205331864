"""
Tests for hooks that cannot be switched on everywhere, or not together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.config import HookSettings
from reitunnel.errors import ConfigError
from reitunnel.hooks import BaseHook, build_hooks, load_hook_factories
from reitunnel.hooks.building import rebuild_hooks
from reitunnel.interfaces import IRestrictedHookFactory


class WriterOptions(Struct, frozen=True, kw_only=True):
    file: Path | None = None
    other: Path | None = None


@implementer(IPlugin, IRestrictedHookFactory)
class WriterFactory:
    description = "Writes a file."
    options = WriterOptions
    written = ("file",)

    def __init__(self, name: str, side: str | None = None) -> None:
        self.name = name
        self.side = side

    def build(self, options: WriterOptions, reactor: Any) -> BaseHook:
        return BaseHook()


FACTORIES = {
    each.name: each
    for each in (
        WriterFactory("writer"),
        WriterFactory("diary"),
        WriterFactory("servers", side="server"),
        WriterFactory("clients", side="client"),
    )
}


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def mistakes(self, *tables: dict[str, Any]) -> list[str]:
        try:
            build_hooks(
                tables,
                MemoryReactorClock(),
                factories=FACTORIES,
                directory=self.directory,
            )
        except ConfigError as error:
            return [str(mistake) for mistake in error.mistakes]
        return []

    def test_factories(self) -> None:
        for factory in FACTORIES.values():
            verifyObject(IRestrictedHookFactory, factory)

    def test_same_file(self) -> None:
        """
        Under whichever name, and whichever hook.
        """
        (self.directory / "link").symlink_to(self.directory / "a")
        message = "hooks[0].file is the same file, and only one hook can write it"
        for other in ("a", "./a", f"{self.directory}/a", "link"):
            for name in ("writer", "diary"):
                self.assertEqual(
                    [f"hooks[1].file: {message}"],
                    self.mistakes(
                        {"name": "writer", "file": "a"}, {"name": name, "file": other}
                    ),
                )

    def test_three(self) -> None:
        found = self.mistakes(*[{"name": "writer", "file": "a"}] * 3)
        self.assertEqual(
            ["hooks[1].file", "hooks[2].file"],
            [each.partition(":")[0] for each in found],
        )

    def test_inside_of_combined(self) -> None:
        table = {"name": "writer", "file": "a"}
        self.assertEqual(
            [
                (
                    "hooks[1].hooks[0].file: hooks[0].file is the same file, and only "
                    "one hook can write it"
                )
            ],
            self.mistakes(table, {"name": "combined", "hooks": [table]}),
        )

    def test_other_files(self) -> None:
        """
        Nor is there anything to say of files that are only read.
        """
        self.assertEqual(
            [],
            self.mistakes(
                {"name": "writer", "file": "a", "other": "c"},
                {"name": "writer", "file": "b", "other": "c"},
                {"name": "writer"},
                {"name": "writer"},
            ),
        )

    def test_hooks_that_are_here(self) -> None:
        rules = {"rules": [{"max_tunnels": 1}]}
        for options in ({"name": "audit"}, {"name": "quota", **rules}):
            table = {**options, "file": f"{self.directory}/a"}
            error = self.assertRaises(
                ConfigError, build_hooks, [table, table], MemoryReactorClock()
            )
            self.assertIn("hooks[1].file: hooks[0].file is the same", str(error))

    def test_reload(self) -> None:
        """
        A hook that stays is heeded too, and one that goes is not.
        """
        options = {"file": f"{self.directory}/a"}
        kept = HookSettings(name="audit", options=options)
        hooks = rebuild_hooks((), (), (kept,), MemoryReactorClock())
        metrics = HookSettings(name="metrics", options=options)
        error = self.assertRaises(
            ConfigError,
            rebuild_hooks,
            (kept,),
            hooks,
            (metrics, kept),
            MemoryReactorClock(),
        )
        self.assertIn("hooks[0].file: hooks[1].file is the same file", str(error))
        changed = HookSettings(name="audit", options={**options, "keep": 3})
        [hook] = rebuild_hooks((kept,), hooks, (changed,), MemoryReactorClock())
        self.assertNotIn(hook, hooks)


class SideTests(SynchronousTestCase):
    def mistakes(self, side: str | None, *names: str) -> list[str]:
        try:
            build_hooks(
                [{"name": name} for name in names],
                MemoryReactorClock(),
                factories=FACTORIES,
                side=side,
            )
        except ConfigError as error:
            return [str(mistake) for mistake in error.mistakes]
        return []

    def test_other_side(self) -> None:
        names = ("servers", "writer", "clients")
        self.assertEqual(
            ['hooks[0].name: "servers" is for servers, and this is a client'],
            self.mistakes("client", *names),
        )
        self.assertEqual(
            ['hooks[2].name: "clients" is for clients, and this is a server'],
            self.mistakes("server", *names),
        )

    def test_no_side(self) -> None:
        self.assertEqual([], self.mistakes(None, "servers", "clients"))

    def test_hooks_that_are_here(self) -> None:
        factories = load_hook_factories()
        sides: dict[str, list[str]] = {}
        for name, factory in factories.items():
            if IRestrictedHookFactory.providedBy(factory):
                verifyObject(IRestrictedHookFactory, factory)
                if factory.side is not None:
                    sides.setdefault(factory.side, []).append(name)
        self.assertEqual(
            {"server": ["addresses", "auth", "block", "quota", "rate"]}, sides
        )
