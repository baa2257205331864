"""
C{reitunnel hooks}: the hooks that are installed, and their options.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from types import ModuleType
from typing import ClassVar, Final, TextIO

from twisted.python.usage import CompleteList, Completions, UsageError

from reitunnel.hooks import HookPlugins, find_hook_plugins
from reitunnel.hooks.describing import OptionDescription, describe_options
from reitunnel.hooks.wraps import WRAP_KEY, WrapOptions
from reitunnel.service.exits import STOPPED
from reitunnel.service.options import CommandOptions

_FORMATS: Final = ("text", "json")


class HooksOptions(CommandOptions):
    """
    C{reitunnel hooks}.
    """

    synopsis = "reitunnel hooks [options]"
    longdesc = (
        "Lists the hooks that a configuration can switch on by name, with their "
        "options, and says what is wrong with plugins that cannot be used."
    )
    optParameters: ClassVar = [
        ["format", None, "text", "text or json"],
    ]
    compData = Completions(optActions={"format": CompleteList(_FORMATS)})

    def parseArgs(self, *arguments: str) -> None:
        """
        Take nothing.
        """
        if arguments:
            raise UsageError("takes no arguments")

    def postOptions(self) -> None:
        """
        See that the format is known.
        """
        if self["format"] not in _FORMATS:
            raise UsageError("--format is text or json")


def list_hooks(
    options: HooksOptions, out: TextIO, package: ModuleType | None = None
) -> int:
    """
    List the hooks.

    @param package: where to look for plugins; L{twisted.plugins} if L{None}.
    """
    found = find_hook_plugins(package)
    if options["format"] == "json":
        out.write(json.dumps(_as_json(found), indent=2, ensure_ascii=False) + "\n")
    else:
        out.writelines(f"{line}\n" for line in _as_text(found))
    return STOPPED


def _as_json(found: HookPlugins) -> dict[str, object]:
    return {
        "hooks": [
            {
                "name": name,
                "description": factory.description,
                "module": type(factory).__module__,
                "options": _plain(describe_options(factory.options)),
            }
            for name, factory in found.factories.items()
        ],
        WRAP_KEY: _plain(describe_options(WrapOptions)),
        "broken": [asdict(plugin) for plugin in found.useless],
    }


def _plain(options: Iterable[OptionDescription]) -> list[dict[str, str]]:
    return [asdict(option) for option in options]


def _as_text(found: HookPlugins) -> Iterator[str]:
    for name, factory in found.factories.items():
        yield f"{name}: {factory.description} [{type(factory).__module__}]"
        yield from _table(describe_options(factory.options))
        yield ""
    yield f"Every hook can have wrappers, in a table {WRAP_KEY}:"
    yield from _table(describe_options(WrapOptions))
    if found.useless:
        yield ""
        yield "These plugins cannot be used:"
        for plugin in found.useless:
            yield f"  {plugin.plugin}: {plugin.reason}"


def _table(options: tuple[OptionDescription, ...]) -> Iterator[str]:
    for option in options:
        default = option.default
        if default != "required":
            default = f"default {default}"
        yield f"  {option.name}: {option.type}; {default}"
        if option.meaning:
            yield f"      {option.meaning}"
