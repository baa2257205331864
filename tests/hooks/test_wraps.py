"""
Tests for wrappers and combined hooks in a configuration file.
"""

from __future__ import annotations

import tomllib
from typing import Any

from msgspec import Struct
from twisted.internet.interfaces import IReactorCore
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.errors import ConfigError
from reitunnel.hooks import (
    AggregatingHook,
    AsyncHook,
    BaseHook,
    CombinedHook,
    HookWrapper,
    SampledHook,
    build_hooks,
)
from reitunnel.hooks.logging import LoggingHook, LoggingHookFactory
from reitunnel.interfaces import IHookFactory, ITunnel
from tests.hooks.support import ReactorHook


class NoOptions(Struct):
    pass


@implementer(IPlugin, IHookFactory)
class ReactorHookFactory:
    """
    Builds a hook that cannot be called in threads.
    """

    name = "reactor"
    description = "For tests."
    options = NoOptions

    def build(self, options: NoOptions, reactor: IReactorCore) -> Any:
        return ReactorHook()


def build(text: str) -> list[Any]:
    """
    Build the hooks of a configuration.
    """
    return build_hooks(tomllib.loads(text)["hooks"], MemoryReactorClock())


def layers(hook: Any) -> list[object]:
    """
    A hook and what it wraps, as far as it is of interest here.
    """
    found: list[object] = []
    while isinstance(hook, HookWrapper):
        match hook:
            case SampledHook():
                found.append(("sample", hook.rate))
            case AggregatingHook():
                found.append(("aggregate", hook.interval))
            case AsyncHook():
                found.append(("queue", hook.capacity, hook.workers))
        hook = hook.wrapped_hook
    return [*found, type(hook)]


class WrapTests(SynchronousTestCase):
    def test_none(self) -> None:
        [hook] = build('[[hooks]]\nname = "logging"\n')
        self.assertIsInstance(hook, LoggingHook)

    def test_one_table(self) -> None:
        [hook] = build(
            """
            [[hooks]]
            name = "logging"
            [hooks.wrap]
            queue = 2000
            workers = 3
            sample = 100
            aggregate = 5
            """
        )
        self.assertEqual(
            [("sample", 100), ("aggregate", 5.0), ("queue", 2000, 3), LoggingHook],
            layers(hook),
        )

    def test_list(self) -> None:
        """
        The first is outermost.
        """
        [hook] = build(
            """
            [[hooks]]
            name = "logging"
            level = "warn"
            wrap = [{ aggregate = 2.5 }, { sample = 10 }]
            """
        )
        self.assertEqual(
            [("aggregate", 2.5), ("sample", 10), LoggingHook], layers(hook)
        )

    def test_default_workers(self) -> None:
        [hook] = build('[[hooks]]\nname = "logging"\nwrap.queue = 1000\n')
        self.assertGreaterEqual(hook.workers, 2)

    def mistakes(self, text: str) -> list[str]:
        error = self.assertRaises(ConfigError, build, text)
        return [str(mistake) for mistake in error.mistakes]

    def test_mistakes(self) -> None:
        wraps = [
            "{ sample = 0 }",
            "{ aggregate = 61 }",
            "{ queue = 10 }",
            "{ workers = 4 }",
            "{}",
            "{ sampel = 3 }",
            "[]",
            "100",
            "[{ sample = 2 }, 7, { queue = true }]",
        ]
        self.assertEqual(
            [
                "hooks[0].wrap.sample: expected an integer from 1 to 1000000000, got 0",
                "hooks[1].wrap.aggregate: expected a number from 1 to 60, got 61",
                "hooks[2].wrap.queue: expected an integer from 1000 to 10000, got 10",
                "hooks[3].wrap: workers needs queue",
                "hooks[4].wrap: needs one or more of sample, aggregate, queue",
                (
                    "hooks[5].wrap.sampel: unknown key; the known keys are sample, "
                    "aggregate, queue, workers"
                ),
                (
                    "hooks[6].wrap: expected a table or a list of tables, got an empty "
                    "list"
                ),
                "hooks[7].wrap: expected a table or a list of tables, got 100",
                "hooks[8].wrap[1]: expected a table, got 7",
                (
                    "hooks[8].wrap[2].queue: expected an integer from 1000 to 10000, "
                    "got true"
                ),
            ],
            self.mistakes(
                "".join(
                    f'[[hooks]]\nname = "logging"\nwrap = {wrap}\n' for wrap in wraps
                )
            ),
        )

    def test_hook_that_cannot_be_queued(self) -> None:
        error = self.assertRaises(
            ConfigError,
            build_hooks,
            [{"name": "reactor", "wrap": {"sample": 2, "queue": 1000}}],
            MemoryReactorClock(),
            factories={"reactor": ReactorHookFactory()},
        )
        self.assertEqual(
            "hooks[0].wrap: ReactorHook uses the reactor: it cannot be called in "
            "another thread",
            str(error),
        )


class Deciding(BaseHook):
    """
    Takes its time without blocking.
    """

    async def on_tunnel_open(self, tunnel: ITunnel) -> None:
        pass


class DecidingFactory(ReactorHookFactory):
    name = "deciding"

    def build(self, options: NoOptions, reactor: IReactorCore) -> Any:
        return Deciding()


class NothingToDoTests(SynchronousTestCase):
    """
    Wrappers that would do nothing.
    """

    def mistake(self, *tables: dict[str, Any]) -> str:
        factories: dict[str, IHookFactory] = {
            "deciding": DecidingFactory(),
            "logging": LoggingHookFactory(),
        }
        error = self.assertRaises(
            ConfigError, build_hooks, tables, MemoryReactorClock(), factories=factories
        )
        return str(error)

    def test_sums(self) -> None:
        """
        There are no data events to sum up.
        """
        quiet = {"name": "logging", "events": ["tunnel_open"]}
        for wrap, keys in (
            ({"sample": 5}, "sample"),
            ({"aggregate": 5, "queue": 1000}, "aggregate"),
            ({"sample": 5, "aggregate": 5}, "sample and aggregate"),
            ([{"aggregate": 5}, {"queue": 1000}], "aggregate"),
        ):
            self.assertEqual(
                f"hooks[0].wrap: {keys} would do nothing: LoggingHook is told of no "
                "data events as it is configured",
                self.mistake({**quiet, "wrap": wrap}),
            )
        combined = {"name": "combined", "hooks": [quiet, {"name": "deciding"}]}
        self.assertIn(
            "sample would do nothing: LoggingHook+Deciding is told of no data events",
            self.mistake({**combined, "wrap": {"sample": 5}}),
        )

    def test_queue(self) -> None:
        """
        There is nothing that could block.
        """
        self.assertEqual(
            "hooks[0].wrap: queue would do nothing: all calls of Deciding are "
            "coroutines, which stay in the reactor's thread",
            self.mistake({"name": "deciding", "wrap": {"queue": 1000}}),
        )

    def test_some(self) -> None:
        """
        One hook of several is enough.
        """
        hooks = [{"name": "deciding"}, {"name": "logging"}]
        wrap = {"sample": 5, "aggregate": 5, "queue": 1000}
        [hook] = build_hooks(
            [{"name": "combined", "hooks": hooks, "wrap": wrap}],
            MemoryReactorClock(),
            factories={"deciding": DecidingFactory(), "logging": LoggingHookFactory()},
        )
        self.assertIsInstance(hook, SampledHook)


class CombinedTests(SynchronousTestCase):
    def test_built(self) -> None:
        [hook] = build(
            """
            [[hooks]]
            name = "combined"
            wrap = { sample = 10 }
            [[hooks.hooks]]
            name = "logging"
            [[hooks.hooks]]
            name = "logging"
            level = "warn"
            wrap = { aggregate = 1 }
            """
        )
        self.assertIsInstance(hook, SampledHook)
        self.assertIsInstance(hook.wrapped_hook, CombinedHook)
        first, second = hook.wrapped_hook.hooks
        self.assertIsInstance(first, LoggingHook)
        self.assertIsInstance(second, AggregatingHook)

    def test_mistakes(self) -> None:
        tables: list[dict[str, Any]] = [
            {"name": "combined"},
            {"name": "combined", "hooks": []},
            {"name": "combined", "hooks": 3, "colour": 1},
            {"name": "combined", "hooks": [{"name": "logging"}, 4]},
            {"name": "combined", "hooks": [{"name": "logging", "sample": 0}, {}]},
        ]
        error = self.assertRaises(
            ConfigError, build_hooks, tables, MemoryReactorClock()
        )
        self.assertEqual(
            [
                "hooks[0].hooks: missing",
                "hooks[1].hooks: expected at least one",
                "hooks[2].colour: unknown key; the known keys are hooks",
                "hooks[2].hooks: expected a list of tables, got 3",
                "hooks[3].hooks: expected a list of tables, got 4 in it",
                (
                    "hooks[4].hooks[0].sample: expected an integer from 1 to "
                    "1000000000, got 0"
                ),
            ],
            str(error).splitlines()[:6],
        )
        self.assertIn("hooks[4].hooks[1].name: missing", str(error))
