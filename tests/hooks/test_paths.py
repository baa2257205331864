"""
Paths in the tables of hooks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec import Struct
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel import ConfigError, load_client_config, load_server_config
from reitunnel.config import HookSettings
from reitunnel.hooks import (
    BaseHook,
    ConfiguredHooks,
    FilePath,
    OwnFilePath,
    build_hooks,
    load_hook_factories,
)
from reitunnel.interfaces import IHookFactory
from tests.pair import server_config


class Inner(Struct):
    files: list[FilePath] = []
    name: str = ""


class Options(Struct, kw_only=True):
    file: FilePath
    other: FilePath | None = None
    log: OwnFilePath | None = None
    name_of: str = "name"
    inner: Inner | None = None


class PathHook(BaseHook):
    def __init__(self, options: Options) -> None:
        self.options = options


@implementer(IHookFactory)
class PathFactory:
    name = "paths"
    description = "Keeps its options."
    options = Options

    def build(self, options: Options, reactor: object) -> PathHook:
        return PathHook(options)


class PathTests(SynchronousTestCase):
    def read(self, **table: Any) -> Options:
        [hook] = build_hooks(
            [{"name": "paths", **table}],
            MemoryReactorClock(),
            factories={"paths": PathFactory()},
            directory=Path("/etc/reitunnel"),
        )
        assert isinstance(hook, PathHook)
        return hook.options

    def test_relative(self) -> None:
        """
        They are relative to the configuration's directory, wherever they stand.
        """
        options = self.read(
            file="a",
            other="../b",
            name_of="c",
            inner={"files": ["d", "/e"], "name": "f"},
        )
        self.assertEqual(
            ("/etc/reitunnel/a", "/etc/reitunnel/../b", "c"),
            (options.file, options.other, options.name_of),
        )
        assert options.inner is not None
        self.assertEqual(
            (["/etc/reitunnel/d", "/e"], "f"), (options.inner.files, options.inner.name)
        )

    def test_home(self) -> None:
        self.patch(os, "environ", {**os.environ, "HOME": "/home/x"})
        self.assertEqual("/home/x/a", self.read(file="~/a").file)

    def test_none(self) -> None:
        self.assertIsNone(self.read(file="/a").other)

    def test_without_a_file(self) -> None:
        """
        In code they are relative to the working directory of that moment.
        """
        table = HookSettings(name="metrics", options={"file": "metrics.jsonl"})
        hooks = ConfiguredHooks(MemoryReactorClock(), server_config(hooks=(table,)))
        [hook] = hooks.built
        path = str(Path.cwd() / "metrics.jsonl")
        self.assertEqual(path, hook._options.file)  # type: ignore[attr-defined]


class SameFileTests(SynchronousTestCase):
    """
    A file that a hook writes is its own: two would write over each other.
    """

    def mistake(self, *tables: dict[str, Any], kept: dict[int, object]) -> str:
        error = self.assertRaises(
            ConfigError,
            build_hooks,
            tables,
            MemoryReactorClock(),
            factories={"paths": PathFactory()},
            directory=Path("/etc/reitunnel"),
            kept=kept,
        )
        return str(error)

    def test_same(self) -> None:
        first = {"name": "paths", "file": "a", "log": "/etc/reitunnel/a"}
        other = {"name": "paths", "file": "a", "log": "b"}
        second = {"name": "paths", "file": "b", "log": "./a"}
        states: list[dict[int, object]] = [{}, {0: BaseHook()}]
        for kept in states:
            self.assertEqual(
                "hooks[2].log: hooks[0].log is the same file",
                self.mistake(first, other, second, kept=kept),
            )
        combined = {"name": "combined", "hooks": [second]}
        self.assertEqual(
            "hooks[1].hooks[0].log: hooks[0].log is the same file",
            self.mistake(first, combined, kept={}),
        )


class FileTests(SynchronousTestCase):
    def test_built_in(self) -> None:
        """
        Each path of the hooks that are here, in files beside the configuration.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        token = directory / "token"
        token.write_text("s3cret")
        token.chmod(0o600)
        (directory / "denied").write_text("192.0.2.1\n")
        config = directory / "config.toml"
        tables = """
            [[hooks]]
            name = "addresses"
            clients = { deny_file = "denied" }
            visitors = { allow_file = "denied" }
            [[hooks]]
            name = "remote-policy"
            url = "https://localhost/"
            token_file = "token"
            [[hooks]]
            name = "alerts"
            url = "https://localhost/"
            token_file = "token"
            [[hooks]]
            name = "audit"
            file = "audit.jsonl"
            [[hooks]]
            name = "quota"
            file = "quota.json"
            rules = [{ max_streams = 3 }]
        """
        config.write_text(
            f'listen = ["tcp://127.0.0.1:0"]\ninsecure_no_auth = true{tables}'
        )
        # Twisted's reactor in memory has no threads, and these hooks need none yet.
        hooks = ConfiguredHooks(MemoryReactorClock(), load_server_config(config))
        self.assertEqual(5, len(hooks.built))
        tunnel = """
            [[tunnels]]
            port = 6000
            target = "127.0.0.1:1"
        """
        config.write_text(f'server = "tcp://127.0.0.1:7000"{tunnel}{tables}')
        own = ConfiguredHooks(MemoryReactorClock(), load_client_config(config))
        self.assertEqual(5, len(own.built))

    def test_all_are_marked(self) -> None:
        """
        No option that is called a file is any text.
        """
        for factory in load_hook_factories().values():
            for name, kind in factory.options.__annotations__.items():
                if name == "ca" or name.endswith("file"):
                    self.assertIn("FilePath", str(kind), f"{factory.name}.{name}")
