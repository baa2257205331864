"""
The hook factories that are installed as Twisted plugins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import msgspec
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.python.modules import getModule
from zope.interface.verify import verifyObject

import twisted.plugins
from reitunnel.errors import ConfigError, ConfigMistake
from reitunnel.hooks.wraps import WRAP_KEY
from reitunnel.interfaces import IHookFactory, IRestrictedHookFactory

_log = Logger()

NAME_KEY: Final = "name"
COMBINED: Final = "combined"
"""The name of the one hook that has no factory: it is made of others."""

_RESERVED_KEYS: Final = (NAME_KEY, WRAP_KEY)


def load_hook_factories(package: ModuleType | None = None) -> dict[str, IHookFactory]:
    """
    Find the hook factories that are installed as Twisted plugins.

    A plugin that is broken is logged and left out.

    @param package: the package to search; L{twisted.plugins} if L{None}.
    @return: the factories by their names, in the order of the names.
    @raise ConfigError: if two have the same name.
    """
    plugins = find_hook_plugins(package)
    for broken in plugins.broken:
        _log.error(
            "hook plugin {plugin} is left out: {reason}",
            plugin=broken.plugin,
            reason=broken.reason,
        )
    if plugins.twins:
        raise ConfigError(
            [
                ConfigMistake(
                    "hooks",
                    f'two plugins have the name "{twin.name}": '
                    f"{origin(plugins.factories[twin.name])} and {origin(twin)}",
                )
                for twin in plugins.twins
            ]
        )
    return plugins.factories


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """
    A plugin that cannot be used.

    @ivar plugin: the module, or the class of the factory.
    @ivar reason: what is wrong with it, in one line.
    """

    plugin: str
    reason: str


@dataclass(frozen=True, slots=True)
class HookPlugins:
    """
    What is installed.

    @ivar factories: by their names, in the order of the names.
    @ivar broken: what cannot be used.
    @ivar twins: those whose name is that of one of C{factories} too.
    """

    factories: dict[str, IHookFactory]
    broken: tuple[BrokenPlugin, ...]
    twins: tuple[IHookFactory, ...]

    @property
    def useless(self) -> tuple[BrokenPlugin, ...]:
        """
        All that cannot be used, and why.
        """
        twins = [
            BrokenPlugin(
                origin(twin),
                f'its name "{twin.name}" is that of '
                f"{origin(self.factories[twin.name])} too",
            )
            for twin in self.twins
        ]
        return (*self.broken, *twins)


def find_hook_plugins(package: ModuleType | None = None) -> HookPlugins:
    """
    Find the hook factories that are installed as Twisted plugins, and say what is
    wrong with those that cannot be used. Each plugin module is loaded, those too that
    have no hooks.

    @param package: the package to search; L{twisted.plugins} if L{None}.
    """
    found: dict[str, IHookFactory] = {}
    broken = []
    twins = []
    # Not by getPlugins: at each look it logs a traceback of each that cannot be loaded.
    package = twisted.plugins if package is None else package
    for module in getModule(package.__name__).iterModules():
        try:
            factories = list(_factories_in(module.load()))
        except (Exception, SystemExit) as error:
            broken.append(
                BrokenPlugin(module.name, f"it cannot be loaded: {_what(error)}")
            )
            continue
        for factory in factories:
            reason = _what_is_wrong(factory)
            if reason:
                broken.append(BrokenPlugin(origin(factory), reason))
            elif found.setdefault(factory.name, factory) is not factory:
                twins.append(factory)
    return HookPlugins(dict(sorted(found.items())), tuple(broken), tuple(twins))


def _factories_in(module: Any) -> Iterator[IHookFactory]:
    for value in vars(module).values():
        if IPlugin.providedBy(value) and IHookFactory.providedBy(value):
            yield value


def _what(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _what_is_wrong(factory: IHookFactory) -> str | None:
    # This is other people's code: any attribute may be anything, or raise.
    try:
        verifyObject(IHookFactory, factory)
        name: object = factory.name
        options: object = factory.options
        if not isinstance(name, str) or not name:
            return "its name is not a string, or is empty"
        if name == COMBINED:
            return f'the name "{COMBINED}" is taken'
        if not isinstance(options, type) or not issubclass(options, msgspec.Struct):
            return "its options are not a msgspec.Struct class"
        if IRestrictedHookFactory.providedBy(factory):
            verifyObject(IRestrictedHookFactory, factory)
            if factory.side not in (None, "server", "client"):
                return 'its side is neither "server" nor "client", nor None'
        # Raises TypeError for types that msgspec does not know.
        msgspec.inspect.type_info(options)
        fields = msgspec.structs.fields(options)
        for field in fields:
            if field.encode_name in _RESERVED_KEYS:
                return f'an option cannot have the name "{field.encode_name}"'
    except Exception as error:
        return one_line(error)
    return None


def origin(factory: object) -> str:
    """
    Say where a factory comes from.
    """
    kind = type(factory)
    return f"{kind.__module__}.{kind.__qualname__}"


def one_line(error: BaseException) -> str:
    """
    Say what an error says, in one line.
    """
    return " ".join(str(error).split()) or type(error).__name__
