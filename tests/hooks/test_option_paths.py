"""
Tests for paths in the options of hooks: they follow the rule of the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.config import load_server_config
from reitunnel.errors import ConfigError
from reitunnel.hooks import BaseHook, build_hooks, load_hook_factories
from reitunnel.hooks.configured import ConfiguredHooks
from reitunnel.interfaces import IHookFactory


class PathOptions(Struct, frozen=True, kw_only=True):
    place: Path
    places: tuple[Path, ...] = ()


class PathHook(BaseHook):
    def __init__(self, options: PathOptions) -> None:
        self.options = options


@implementer(IPlugin, IHookFactory)
class PathHookFactory:
    name = "paths"
    description = "Has paths."
    options = PathOptions

    def build(self, options: PathOptions, reactor: Any) -> PathHook:
        return PathHook(options)


class OwnHookTests(SynchronousTestCase):
    """
    The paths of somebody's own hook.
    """

    def options(self, table: dict[str, Any], directory: Path | None) -> PathOptions:
        [hook] = build_hooks(
            [{"name": "paths", **table}],
            MemoryReactorClock(),
            factories={"paths": PathHookFactory()},
            directory=directory,
        )
        assert isinstance(hook, PathHook)
        return hook.options

    def test_relative_to_the_directory(self) -> None:
        table = {"place": "a/b", "places": ["c", "/d", Path("e")]}
        self.assertEqual(
            PathOptions(
                place=Path("/etc/x/a/b"),
                places=(Path("/etc/x/c"), Path("/d"), Path("/etc/x/e")),
            ),
            self.options(table, Path("/etc/x")),
        )

    def test_without_a_directory(self) -> None:
        self.assertEqual(
            Path.cwd() / "a", self.options({"place": "a"}, directory=None).place
        )

    def test_home(self) -> None:
        self.patch(os, "environ", {**os.environ, "HOME": "/home/somebody"})
        self.assertEqual(
            Path("/home/somebody/a"), self.options({"place": "~/a"}, Path("/x")).place
        )

    def test_mistakes(self) -> None:
        for value, words in (
            (3, "hooks[0].place: expected a path, got 3"),
            ("", 'hooks[0].place: expected a path, got ""'),
            ("a\0b", "hooks[0].place: expected a path, got "),
            ("~nobody-has-this-name/a", "hooks[0].place: "),
        ):
            error = self.assertRaises(
                ConfigError, self.options, {"place": value}, Path("/x")
            )
            [mistake] = error.mistakes
            self.assertTrue(str(mistake).startswith(words), str(mistake))

    def test_inside_of_combined(self) -> None:
        [hook] = build_hooks(
            [{"name": "combined", "hooks": [{"name": "paths", "place": "a"}]}],
            MemoryReactorClock(),
            factories={"paths": PathHookFactory()},
            directory=Path("/x"),
        )
        [part] = hook.parts  # type: ignore[attr-defined]  # build_hooks gives objects
        self.assertEqual(Path("/x/a"), part.options.place)


class BuiltInHookTests(SynchronousTestCase):
    """
    The paths of the hooks that are here, with the file elsewhere than the working
    directory.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def config(self, text: str) -> Any:
        file = self.directory / "server.toml"
        file.write_text(f"insecure_no_auth = true\nlisten = ['unix:link']\n{text}")
        return load_server_config(file)

    def build(self, text: str) -> ConfiguredHooks:
        return ConfiguredHooks(MemoryReactorClock(), self.config(text))

    def test_settings_know_the_directory(self) -> None:
        [settings] = self.config("[[hooks]]\nname = 'audit'").hooks
        self.assertEqual(self.directory.absolute(), settings.directory)

    def test_audit(self) -> None:
        (self.directory / "a.jsonl").write_text("no record\n")
        error = self.assertRaises(
            ConfigError, self.build, "[[hooks]]\nname = 'audit'\nfile = 'a.jsonl'"
        )
        self.assertIn(f"{self.directory.absolute()}/a.jsonl cannot", str(error))

    def test_quota(self) -> None:
        (self.directory / "q.json").write_text("no counts")
        error = self.assertRaises(
            ConfigError,
            self.build,
            "[[hooks]]\nname = 'quota'\nfile = 'q.json'\nrules = [{max_tunnels = 1}]",
        )
        self.assertIn(f"{self.directory.absolute()}/q.json", str(error))

    def test_addresses(self) -> None:
        (self.directory / "deny").write_text("no network\n")
        error = self.assertRaises(
            ConfigError,
            self.build,
            "[[hooks]]\nname = 'addresses'\nclients = {deny_file = 'deny'}",
        )
        self.assertIn(f"{self.directory.absolute()}/deny, line 1", str(error))

    def test_posting(self) -> None:
        for name in ("alerts", "remote-policy"):
            for key in ("token_file", "ca"):
                (self.directory / "file").write_text("")
                (self.directory / "file").chmod(0o600)
                error = self.assertRaises(
                    ConfigError,
                    self.build,
                    f"[[hooks]]\nname = '{name}'\nurl = 'https://h/'\n{key} = 'file'",
                )
                self.assertIn(f"{key}: {self.directory.absolute()}/file", str(error))

    def test_mistake_of_the_same_kind_everywhere(self) -> None:
        tables: tuple[tuple[str, Callable[[str], str]], ...] = (
            ("file", lambda path: f"name = 'audit'\nfile = {path}"),
            ("file", lambda path: f"name = 'metrics'\nfile = {path}"),
            ("file", lambda path: f"name = 'quota'\nrules = [{{}}]\nfile = {path}"),
            (
                "clients.deny_file",
                lambda path: f"name = 'addresses'\nclients = {{deny_file = {path}}}",
            ),
            ("ca", lambda path: f"name = 'alerts'\nurl = 'https://h/'\nca = {path}"),
        )
        for key, table in tables:
            error = self.assertRaises(
                ConfigError, self.build, "[[hooks]]\n" + table("''")
            )
            self.assertIn(f'hooks[0].{key}: expected a path, got ""', str(error))

    def test_all_are_paths(self) -> None:
        """
        No option that is called a file is any text.
        """
        for factory in load_hook_factories().values():
            for name, kind in factory.options.__annotations__.items():
                if name == "ca" or name.endswith("file"):
                    self.assertIn("Path", str(kind), f"{factory.name}.{name}")
