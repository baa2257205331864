"""
Hooks from a configuration file: what its C{[[hooks]]} tables say is checked first, all
of it, and then built.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger, LogLevel

from reitunnel.config import HookSettings
from reitunnel.config.wording import join, shown
from reitunnel.errors import ConfigError, ConfigMistake, InvalidHook
from reitunnel.hooks.calls import fault, verify_hook
from reitunnel.hooks.combining import CombinedHook
from reitunnel.hooks.options import mistake_in, read_options
from reitunnel.hooks.plugins import (
    COMBINED,
    NAME_KEY,
    load_hook_factories,
    one_line,
    origin,
)
from reitunnel.hooks.restrictions import Restrictions
from reitunnel.hooks.wraps import WRAP_KEY, read_wrap
from reitunnel.interfaces import IHookFactory

_HOOKS_KEY: Final = "hooks"
_NOTHING_KEPT: Final[Mapping[int, object]] = MappingProxyType({})

_log = Logger()

_Plan = Callable[[IReactorCore], object]
"""Builds a hook. Raises L{_CannotBuild}."""


class _CannotBuild(Exception):
    """
    A hook that its factory, or a wrapper, does not make.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.mistake = ConfigMistake(path, message)


def build_hooks(
    tables: Sequence[Mapping[str, Any]],
    reactor: IReactorCore,
    *,
    factories: Mapping[str, IHookFactory] | None = None,
    kept: Mapping[int, object] = _NOTHING_KEPT,
    directory: Path | None = None,
    side: str | None = None,
) -> list[object]:
    """
    Make the hooks of a configuration. None is made unless all their options are
    good.

    @param tables: the C{[[hooks]]} tables, in order. The key C{name} is the
        factory's, C{wrap} the wrappers; the others are its options. With the name
        C{combined} there are tables in C{hooks} instead.
    @param factories: the factories by name; those that are installed as plugins
        if L{None}.
    @param kept: by the number of a table, hooks that are there already.
    @param directory: what paths in the tables are relative to; the working directory
        if L{None}.
    @param side: whose hooks they are, C{"server"} or C{"client"}; L{None} if that is of
        no matter.
    @return: the hooks, in the order of the tables.
    @raise ConfigError: with every mistake in them.
    """
    if factories is None:
        factories = load_hook_factories() if len(kept) < len(tables) else {}
    reader = _TableReader(factories, directory, side)
    plans = reader.plans(tables, _HOOKS_KEY, kept)
    if reader.mistakes:
        raise ConfigError(reader.mistakes)
    hooks = dict(kept)
    mistakes = []
    for index, plan in plans.items():
        try:
            hooks[index] = plan(reactor)
        except _CannotBuild as error:
            mistakes.append(error.mistake)
    if mistakes:
        raise ConfigError(mistakes)
    return [hooks[index] for index in range(len(tables))]


def hook_mistakes(
    settings: Sequence[HookSettings], side: str
) -> Sequence[ConfigMistake]:
    """
    Find the mistakes in tables that can be found without building hooks of them.

    @param side: whose hooks they are, C{"server"} or C{"client"}.
    """
    try:
        factories = load_hook_factories() if settings else {}
        reader = _TableReader(factories, _directory(settings), side)
    except ConfigError as error:
        return error.mistakes
    reader.plans([each.table() for each in settings], _HOOKS_KEY)
    return reader.mistakes


def rebuild_hooks(
    former: Sequence[HookSettings],
    hooks: Sequence[object],
    settings: Sequence[HookSettings],
    reactor: IReactorCore,
    side: str | None = None,
) -> list[object]:
    """
    Make the hooks of another configuration. A table that has not changed keeps its
    hook.

    @param former: the tables so far.
    @param hooks: their hooks.
    @param settings: the tables from now on.
    @param side: whose hooks they are, C{"server"} or C{"client"}.
    @return: the hooks, in the order of the tables.
    @raise ConfigError: with every mistake in them.
    """
    left = list(zip(former, hooks, strict=True))
    kept: dict[int, object] = {}
    for index, each in enumerate(settings):
        found = next((pair for pair in left if pair[0] == each), None)
        if found is not None:
            left.remove(found)
            kept[index] = found[1]
    return build_hooks(
        [each.table() for each in settings],
        reactor,
        kept=kept,
        directory=_directory(settings),
        side=side,
    )


def _directory(settings: Sequence[HookSettings]) -> Path | None:
    # They are of one file.
    return settings[0].directory if settings else None


class _TableReader:
    """
    Reads tables, and notes what is wrong with them.

    @ivar mistakes: all that was wrong.
    """

    def __init__(
        self,
        factories: Mapping[str, IHookFactory],
        directory: Path | None = None,
        side: str | None = None,
    ) -> None:
        """
        @param directory: what paths are relative to.
        @param side: whose configuration it is.
        """
        self.mistakes: list[ConfigMistake] = []
        self._factories = factories
        self._directory = directory
        self._restrictions = Restrictions(side)

    def plans(
        self,
        tables: Sequence[Mapping[str, Any]],
        path: str,
        kept: Container[int] = (),
    ) -> dict[int, _Plan]:
        """
        Read the tables of a list.

        @param kept: the numbers of those to leave out.
        @return: by the numbers of the tables, those that can be read.
        """
        known = len(self.mistakes)
        for index, table in enumerate(tables):
            if index in kept:
                # It has been read before, and restricts the others.
                self._plan(table, f"{path}[{index}]")
        del self.mistakes[known:]
        found = {
            index: self._plan(table, f"{path}[{index}]")
            for index, table in enumerate(tables)
            if index not in kept
        }
        return {index: plan for index, plan in found.items() if plan is not None}

    def _plan(self, table: Mapping[str, Any], path: str) -> _Plan | None:
        given = dict(table)
        name = given.pop(NAME_KEY, None)
        if name == COMBINED:
            plan = self._combined(given, path)
        else:
            plan = self._single(name, given, path)
        if WRAP_KEY not in table or plan is None:
            return plan
        return self._wrapped(plan, table[WRAP_KEY], join(path, WRAP_KEY))

    def _single(self, name: object, given: dict[str, Any], path: str) -> _Plan | None:
        factory = self._choose(name, path)
        if factory is None:
            return None
        mistake = self._restrictions.judge_side(factory, join(path, NAME_KEY))
        if mistake is not None:
            self.mistakes.append(mistake)
        given.pop(WRAP_KEY, None)
        options = read_options(
            factory.options, given, path, self.mistakes, self._directory
        )
        if options is not None:
            self.mistakes += self._restrictions.judge_files(factory, options, path)
        return lambda reactor: _build(factory, options, reactor, path)

    def _choose(self, name: object, path: str) -> IHookFactory | None:
        known = ", ".join(self._factories) or "none"
        if isinstance(name, str) and name in self._factories:
            return self._factories[name]
        if name is None:
            message = f"missing; the known hooks are {known}"
        else:
            message = f"no hook has the name {shown(name)}; the known hooks are {known}"
        self._note(join(path, NAME_KEY), message)
        return None

    def _combined(self, given: dict[str, Any], path: str) -> _Plan | None:
        for key in given:
            if key not in (WRAP_KEY, _HOOKS_KEY):
                self._note(join(path, key), "unknown key; the known keys are hooks")
        place = join(path, _HOOKS_KEY)
        tables = given.get(_HOOKS_KEY)
        if tables is None:
            self._note(place, "missing")
        elif not isinstance(tables, list):
            self._note(place, f"expected a list of tables, got {shown(tables)}")
        elif not tables:
            self._note(place, "expected at least one")
        elif wrong := [each for each in tables if not isinstance(each, Mapping)]:
            self._note(place, f"expected a list of tables, got {shown(wrong[0])} in it")
        else:
            plans = self.plans(tables, place)
            return lambda reactor: CombinedHook(
                *(plan(reactor) for plan in plans.values())
            )
        return None

    def _wrapped(self, plan: _Plan, value: Any, path: str) -> _Plan:
        wrap = read_wrap(value, path, self.mistakes)

        def wrapped(reactor: IReactorCore) -> object:
            hook = plan(reactor)
            try:
                return wrap(hook)
            except InvalidHook as error:
                raise _CannotBuild(path, str(error)) from error

        return wrapped

    def _note(self, path: str, message: str) -> None:
        self.mistakes.append(ConfigMistake(path, message))


def _build(
    factory: IHookFactory, options: object, reactor: IReactorCore, path: str
) -> object:
    try:
        hook = factory.build(options, reactor)
        verify_hook(hook)
    except InvalidHook as error:
        message = f"{origin(factory)} built no hook: {error}"
        raise _CannotBuild(path, message) from error
    except ValueError as error:
        mistake = mistake_in(factory.options, path, one_line(error))
        raise _CannotBuild(mistake.path, mistake.message) from error
    except BaseException as error:
        fault(error)
        # The user gets one line. Where a plugin fell over is for its author.
        _log.failure(
            "hook plugin {plugin} failed",
            plugin=origin(factory),
            level=LogLevel.debug,
        )
        said = f": {error}" if str(error) else ""
        message = one_line(ValueError(f"{type(error).__name__}{said}"))
        raise _CannotBuild(path, message) from error
    return hook
