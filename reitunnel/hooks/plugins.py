"""
Hooks from a configuration file: the factories that are installed as Twisted
plugins, and the hooks that they build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger, LogLevel
from twisted.plugin import getPlugins
from zope.interface.verify import verifyObject

from reitunnel.config import HookSettings
from reitunnel.config.wording import shown
from reitunnel.errors import ConfigError, ConfigMistake, InvalidHook
from reitunnel.hooks.calls import verify_hook
from reitunnel.hooks.options import read_options
from reitunnel.interfaces import IHookFactory

_log = Logger()

_NAME_KEY = "name"
_NOTHING_KEPT: Mapping[int, object] = MappingProxyType({})


def load_hook_factories(package: ModuleType | None = None) -> dict[str, IHookFactory]:
    """
    Find the hook factories that are installed as Twisted plugins.

    A plugin that is broken is logged and left out.

    @param package: the package to search; L{twisted.plugins} if L{None}.
    @return: the factories by their names, in the order of the names.
    @raise ConfigError: if two have the same name.
    """
    found: dict[str, IHookFactory] = {}
    mistakes = []
    for factory in getPlugins(IHookFactory, package):
        reason = _what_is_wrong(factory)
        if reason:
            _log.error(
                "hook plugin {plugin} is left out: {reason}",
                plugin=_origin(factory),
                reason=reason,
            )
        elif found.setdefault(factory.name, factory) is not factory:
            mistakes.append(
                ConfigMistake(
                    "hooks",
                    f'two plugins have the name "{factory.name}": '
                    f"{_origin(found[factory.name])} and {_origin(factory)}",
                )
            )
    if mistakes:
        raise ConfigError(mistakes)
    return dict(sorted(found.items()))


def build_hooks(
    tables: Sequence[Mapping[str, Any]],
    reactor: IReactorCore,
    *,
    factories: Mapping[str, IHookFactory] | None = None,
    kept: Mapping[int, object] = _NOTHING_KEPT,
) -> list[object]:
    """
    Make the hooks of a configuration. None is made unless all their options are
    good.

    @param tables: the C{[[hooks]]} tables, in order. The key C{name} is the
        factory's; the others are its options.
    @param factories: the factories by name; those that are installed as plugins
        if L{None}.
    @param kept: by the number of a table, hooks that are there already.
    @return: the hooks, in the order of the tables.
    @raise ConfigError: with every mistake in them.
    """
    if factories is None:
        factories = load_hook_factories() if len(kept) < len(tables) else {}
    mistakes: list[ConfigMistake] = []
    planned = []
    for index, table in enumerate(tables):
        if index in kept:
            continue
        path = f"hooks[{index}]"
        factory = _choose(table, path, factories, mistakes)
        if factory is not None:
            given = {key: value for key, value in table.items() if key != _NAME_KEY}
            options = read_options(factory.options, given, path, mistakes)
            planned.append((index, path, factory, options))
    if mistakes:
        raise ConfigError(mistakes)
    hooks = dict(kept)
    for index, path, factory, options in planned:
        try:
            hooks[index] = _build(factory, options, reactor)
        except ValueError as error:
            mistakes.append(ConfigMistake(path, _one_line(error)))
    if mistakes:
        raise ConfigError(mistakes)
    return [hooks[index] for index in range(len(tables))]


def rebuild_hooks(
    former: Sequence[HookSettings],
    hooks: Sequence[object],
    settings: Sequence[HookSettings],
    reactor: IReactorCore,
) -> list[object]:
    """
    Make the hooks of another configuration. A table that has not changed keeps its
    hook.

    @param former: the tables so far.
    @param hooks: their hooks.
    @param settings: the tables from now on.
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
    return build_hooks([each.table() for each in settings], reactor, kept=kept)


def _choose(
    table: Mapping[str, Any],
    path: str,
    factories: Mapping[str, IHookFactory],
    mistakes: list[ConfigMistake],
) -> IHookFactory | None:
    name = table.get(_NAME_KEY)
    known = ", ".join(factories) or "none"
    if name is None:
        message = f"missing; the known hooks are {known}"
    elif isinstance(name, str) and name in factories:
        return factories[name]
    else:
        message = f"no hook has the name {shown(name)}; the known hooks are {known}"
    mistakes.append(ConfigMistake(f"{path}.{_NAME_KEY}", message))
    return None


def _build(factory: IHookFactory, options: object, reactor: IReactorCore) -> object:
    try:
        hook = factory.build(options, reactor)
        verify_hook(hook)
    except ValueError:
        raise
    except InvalidHook as error:
        raise ValueError(f"{_origin(factory)} built no hook: {error}") from error
    except Exception as error:
        # The user gets one line. Where a plugin fell over is for its author.
        _log.failure(
            "hook plugin {plugin} failed",
            plugin=_origin(factory),
            level=LogLevel.debug,
        )
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return hook


def _what_is_wrong(factory: IHookFactory) -> str | None:
    # This is other people's code: any attribute may be anything, or raise.
    try:
        verifyObject(IHookFactory, factory)
        name: object = factory.name
        options: object = factory.options
        if not isinstance(name, str) or not name:
            return "its name is not a string, or is empty"
        if not isinstance(options, type) or not issubclass(options, msgspec.Struct):
            return "its options are not a msgspec.Struct class"
        # Raises TypeError for types that msgspec does not know.
        msgspec.inspect.type_info(options)
        fields = msgspec.structs.fields(options)
        if any(field.encode_name == _NAME_KEY for field in fields):
            return f'an option cannot have the name "{_NAME_KEY}"'
    except Exception as error:
        return _one_line(error)
    return None


def _origin(factory: object) -> str:
    kind = type(factory)
    return f"{kind.__module__}.{kind.__qualname__}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
