"""
Tests for hooks from a configuration file.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.plugin import IPlugin, getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.errors import ConfigError
from reitunnel.hooks import BaseHook, build_hooks, load_hook_factories
from reitunnel.hooks.auth import AuthHook
from reitunnel.hooks.logging import LoggingHook
from reitunnel.interfaces import IHookFactory


class InstalledTests(SynchronousTestCase):
    """
    What the project itself ships.
    """

    def test_factories(self) -> None:
        factories = load_hook_factories()
        self.assertEqual(
            [
                "addresses",
                "alerts",
                "audit",
                "auth",
                "bandwidth",
                "block",
                "logging",
                "metrics",
                "policy",
                "quota",
                "rate",
                "remote-policy",
            ],
            [*factories],
        )
        for name, factory in factories.items():
            verifyObject(IHookFactory, factory)
            verifyObject(IPlugin, factory)
            self.assertEqual(name, factory.name)
            self.assertRegex(factory.description, r"^[A-Z].*\.$")

    def test_build(self) -> None:
        reactor = MemoryReactorClock()
        first, second = build_hooks(
            [
                {"name": "logging", "level": "debug", "sample": 5},
                {"name": "auth", "allow": [{"tokens": ["ci-*"]}]},
            ],
            reactor,
        )
        self.assertIsInstance(first, LoggingHook)
        self.assertIsInstance(second, AuthHook)

    def test_mistakes_inside(self) -> None:
        tables = [
            {"name": "logging", "sample": 0, "levle": "info", "level": "loud"},
            {"name": "auth", "allow": [{"tokens": ["a", 3]}]},
            {"name": "auth", "allow": [{"tokens": ["a"]}, {"tokens": []}]},
            {"name": "auth", "allow": [{"tokens": ["a"]}, {}]},
            {"name": "auth", "deny": [{"fingerprints": ["abc"]}]},
            {"name": "auth"},
        ]
        error = self.assertRaises(
            ConfigError, build_hooks, tables, MemoryReactorClock()
        )
        self.assertEqual(
            [
                "hooks[0].sample: expected an integer from 1 to 1000000000, got 0",
                "hooks[0].levle: unknown key; the known keys are level, events, sample",
                (
                    'hooks[0].level: expected one of "critical", "debug", "error", '
                    '"info", "warn", got "loud"'
                ),
                "hooks[1].allow[0].tokens[1]: expected text that is not empty, got 3",
                "hooks[2].allow[1].tokens: expected at least one",
                (
                    "hooks[3].allow[1]: a rule needs one or more of identities, "
                    "tokens, instances, subjects, common_names, organizations, "
                    "names, fingerprints"
                ),
                (
                    'hooks[4].deny[0]: "abc" is not a SHA-256 fingerprint: expected 64 '
                    "hexadecimal digits"
                ),
                "hooks[5]: needs one or more of allow, deny, validator",
            ],
            str(error).splitlines(),
        )


class Options(Struct, kw_only=True):
    """
    Does not forbid unknown fields by itself.
    """

    size: Annotated[int, Meta(ge=1)]
    colour: Literal["red", "green"] | None = None
    words: list[str] = []


@implementer(IPlugin, IHookFactory)
class Factory:
    """
    Builds a hook, or fails to.
    """

    description = "For tests."

    def __init__(
        self, name: str = "example", result: Any = None, options: type = Options
    ) -> None:
        self.name = name
        self.options = options
        self.built: list[tuple[Any, IReactorCore]] = []
        self._result = BaseHook() if result is None else result

    def build(self, options: Any, reactor: IReactorCore) -> object:
        self.built.append((options, reactor))
        if isinstance(self._result, Exception):
            raise self._result
        result: object = self._result
        return result


class BuildTests(SynchronousTestCase):
    def mistakes(
        self, *tables: Mapping[str, Any], factory: Factory | None = None
    ) -> list[str]:
        factory = factory or Factory()
        error = self.assertRaises(
            ConfigError,
            build_hooks,
            tables,
            MemoryReactorClock(),
            factories={factory.name: factory, "other": Factory("other")},
        )
        return [str(mistake) for mistake in error.mistakes]

    def test_none(self) -> None:
        self.assertEqual([], build_hooks([], MemoryReactorClock()))

    def test_built(self) -> None:
        reactor = MemoryReactorClock()
        factory = Factory()
        tables = [
            {"name": "example", "size": 3},
            {"name": "example", "size": 4, "colour": "red"},
        ]
        hooks = build_hooks(tables, reactor, factories={"example": factory})
        self.assertEqual(2, len(hooks))
        self.assertEqual(
            [
                (Options(size=3), reactor),
                (Options(size=4, colour="red"), reactor),
            ],
            factory.built,
        )

    def test_missing_name(self) -> None:
        self.assertEqual(
            ["hooks[0].name: missing; the known hooks are example, other"],
            self.mistakes({"size": 3}),
        )

    def test_unknown_name(self) -> None:
        self.assertEqual(
            [
                (
                    'hooks[1].name: no hook has the name "exmaple"; '
                    "the known hooks are example, other"
                )
            ],
            self.mistakes({"name": "example", "size": 1}, {"name": "exmaple"}),
        )

    def test_name_that_is_no_string(self) -> None:
        names: list[object] = [3, ["example"], {}]
        for name in names:
            [line] = self.mistakes({"name": name})
            self.assertTrue(line.startswith("hooks[0].name: no hook has the name"))

    def test_no_factories(self) -> None:
        error = self.assertRaises(
            ConfigError,
            build_hooks,
            [{"name": "example"}],
            MemoryReactorClock(),
            factories={},
        )
        self.assertIn("the known hooks are none", str(error))

    def test_missing_option(self) -> None:
        self.assertEqual(["hooks[0].size: missing"], self.mistakes({"name": "example"}))

    def test_every_mistake_of_every_table(self) -> None:
        self.assertEqual(
            [
                "hooks[0].words[1]: expected text, got 1",
                'hooks[0].colour: expected one of "green", "red", got "blue"',
                "hooks[0].size: missing",
                'hooks[2].size: expected an integer of at least 1, got "1"',
                "hooks[2].sise: unknown key; the known keys are size, colour, words",
            ],
            self.mistakes(
                {"name": "example", "words": ["a", 1], "colour": "blue"},
                {"name": "other", "size": 1},
                {"name": "example", "size": "1", "sise": 1},
            ),
        )

    def test_nothing_is_built_with_a_mistake(self) -> None:
        factory = Factory()
        self.mistakes(
            {"name": "example", "size": 1}, {"name": "example"}, factory=factory
        )
        self.assertEqual([], factory.built)

    def test_refused_by_factory(self) -> None:
        factory = Factory(result=ValueError("the file\nis empty"))
        self.assertEqual(
            ["hooks[0]: the file is empty", "hooks[1]: the file is empty"],
            self.mistakes(*[{"name": "example", "size": 1}] * 2, factory=factory),
        )

    def test_factory_fails(self) -> None:
        factory = Factory(result=KeyError("what"))
        self.assertEqual(
            ["hooks[0]: KeyError: 'what'"],
            self.mistakes({"name": "example", "size": 1}, factory=factory),
        )
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_factory_builds_no_hook(self) -> None:
        [line] = self.mistakes(
            {"name": "example", "size": 1}, factory=Factory(result=object())
        )
        self.assertTrue(
            line.startswith(
                "hooks[0]: tests.hooks.test_plugins.Factory built no hook: "
                "object provides no hook interface"
            ),
            line,
        )


GOOD = """
from tests.hooks.test_plugins import Factory
{} = Factory({!r})
"""

BROKEN = {
    "raises": "raise RuntimeError('it does not even load')",
    "no_name": """
from tests.hooks.test_plugins import Factory
it = Factory("")
""",
    "no_struct": """
from tests.hooks.test_plugins import Factory
it = Factory("no struct", options=dict)
""",
    "reserved": """
from msgspec import Struct
from tests.hooks.test_plugins import Factory
class Options(Struct):
    name: str
it = Factory("reserved", options=Options)
""",
    "attribute": """
from tests.hooks.test_plugins import Factory
class Raising(Factory):
    @property
    def name(self):
        raise KeyError("name")
    @name.setter
    def name(self, value):
        pass
it = Raising()
""",
    "signature": """
from tests.hooks.test_plugins import Factory
class Short(Factory):
    def build(self):
        pass
it = Short("short")
""",
}


class LoadTests(SynchronousTestCase):
    """
    Plugins in a package of the test's own.
    """

    def package(self, modules: Mapping[str, str]) -> ModuleType:
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

    def test_found(self) -> None:
        package = self.package({"b": GOOD.format("x", "beta") + GOOD.format("y", "z")})
        self.assertEqual(["beta", "z"], [*load_hook_factories(package)])

    def test_sorted(self) -> None:
        package = self.package(
            {"a": GOOD.format("x", "zulu"), "b": GOOD.format("x", "alpha")}
        )
        self.assertEqual(["alpha", "zulu"], [*load_hook_factories(package)])

    def test_duplicate(self) -> None:
        package = self.package(
            {"a": GOOD.format("x", "same"), "b": GOOD.format("x", "same")}
        )
        error = self.assertRaises(ConfigError, load_hook_factories, package)
        self.assertEqual(
            'hooks: two plugins have the name "same": '
            "tests.hooks.test_plugins.Factory and tests.hooks.test_plugins.Factory",
            str(error),
        )

    def test_one_under_two_names(self) -> None:
        package = self.package({"a": GOOD.format("x", "same") + "y = x"})
        self.assertEqual(["same"], [*load_hook_factories(package)])

    def test_broken_ones_are_left_out(self) -> None:
        package = self.package({**BROKEN, "sound": GOOD.format("x", "sound")})
        with capturedLogs() as events:
            factories = load_hook_factories(package)
        self.assertEqual(["sound"], [*factories])
        lines = [str(formatEvent(event)) for event in events]
        self.assertEqual(6, len(lines), lines)
        self.assertEqual([], self.flushLoggedErrors())
        text = "\n".join(lines)
        for expected in (
            "its name is not a string, or is empty",
            "its options are not a msgspec.Struct class",
            'an option cannot have the name "name"',
            "build",
            ".raises is left out: it cannot be loaded: RuntimeError: it does not",
        ):
            self.assertIn(expected, text)

    def test_broken_ones_are_plugins(self) -> None:
        # Or the test above would prove nothing.
        package = self.package(BROKEN)
        self.assertEqual(5, len([*getPlugins(IHookFactory, package)]))
        self.flushLoggedErrors(RuntimeError)
