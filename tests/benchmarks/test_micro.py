"""
Tests of L{benchmarks.micro}: each case runs, again and again.
"""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase

import reitunnel.hooks
from benchmarks.micro import codec, hooks, metrics_memory, scheduler, session
from benchmarks.micro.cases import repeat
from reitunnel.hooks import BaseHook, HookWrapper


def classes_of_hooks() -> set[type]:
    """
    Every class that the hooks' package defines.
    """
    package = reitunnel.hooks
    return {
        each
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        for _, each in inspect.getmembers(import_module(module.name), inspect.isclass)
        if each.__module__ == module.name
    }


class CaseTests(SynchronousTestCase):
    def test_every_case_runs(self) -> None:
        for part in (codec, hooks, scheduler, session):
            cases = part.cases()
            self.assertNotEqual({}, cases)
            for case in cases.values():
                # More than a window's worth, where there is one.
                case.run(20)

    def test_repeat(self) -> None:
        done: list[None] = []
        repeat(lambda: done.append(None)).run(3)
        self.assertEqual(3, len(done))

    def test_hooks_are_told(self) -> None:
        names = [hooks.name_of(number) for number in hooks.COUNTS]
        self.assertEqual(
            [*names, *hooks.wrapped(), *hooks.shipped()], list(hooks.cases())
        )

    def test_every_hook_that_wants_data_is_here(self) -> None:
        wanting = {
            each
            for each in classes_of_hooks()
            if {"on_data_sent", "on_data_received"} & set(vars(each))
            and not issubclass(each, HookWrapper)
        }
        measured = {type(each) for each in hooks.shipped().values()}
        self.assertNotEqual(set(), wanting)
        self.assertEqual({BaseHook}, wanting - measured)

    def test_every_wrapper_is_here(self) -> None:
        public = {getattr(reitunnel.hooks, name) for name in reitunnel.hooks.__all__}
        wrappers = public & {
            each
            for each in classes_of_hooks()
            if issubclass(each, HookWrapper) and each is not HookWrapper
        }
        measured = {type(each) for each in hooks.wrapped().values()}
        self.assertEqual(4, len(wrappers))
        self.assertEqual(set(), wrappers - measured)


class MetricsMemoryTests(SynchronousTestCase):
    def test_those_told_apart_are_held(self) -> None:
        """
        More tunnels take more memory, unless they are summed; the answer takes more.
        """
        few = metrics_memory.measure(100, 100)
        many = metrics_memory.measure(1000, 1000)
        summed = metrics_memory.measure(1000, 100)
        self.assertGreater(many["kept"], 2 * few["kept"])
        self.assertLess(summed["kept"], many["kept"])
        for each in (few, many, summed):
            self.assertGreater(each["most"], each["kept"])

    def test_tunnels_differ(self) -> None:
        tunnels = metrics_memory.many_tunnels(10)
        self.assertEqual(10, len({str(each.address) for each in tunnels}))
