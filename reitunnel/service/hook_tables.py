"""
The tables of hooks in a configuration without mistakes, those inside of others too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reitunnel.config import HookSettings
from reitunnel.hooks import CombinedHook
from reitunnel.hooks.plugins import COMBINED, NAME_KEY
from reitunnel.hooks.wrapping import HookWrapper
from reitunnel.hooks.wraps import WRAP_KEY


@dataclass(frozen=True, slots=True)
class HookTable:
    """
    One table.

    @ivar path: where it stands.
    @ivar name: whose hook it switches on.
    @ivar options: its other keys.
    @ivar wraps: the tables of its own wrappers, by their paths.
    @ivar wrapped: whether there are wrappers, of its own or around what it is in.
    @ivar hook: what was made of it; L{None} if that is not known.
    """

    path: str
    name: str
    options: Mapping[str, Any]
    wraps: Mapping[str, Mapping[str, Any]]
    wrapped: bool
    hook: object


def hook_tables(
    settings: Sequence[HookSettings], hooks: Sequence[object] = ()
) -> Iterator[HookTable]:
    """
    Give each table that switches on a hook; C{combined} is none, what it combines is.

    @param hooks: what was made of the tables, if that is known.
    """
    tables = [each.table() for each in settings]
    yield from _inside("hooks", tables, hooks, wrapped=False)


def _inside(
    path: str,
    tables: Sequence[Mapping[str, Any]],
    hooks: Sequence[object],
    *,
    wrapped: bool,
) -> Iterator[HookTable]:
    for index, table in enumerate(tables):
        here = f"{path}[{index}]"
        hook = hooks[index] if index < len(hooks) else None
        wraps = dict(_wraps(f"{here}.{WRAP_KEY}", table.get(WRAP_KEY)))
        covered = wrapped or bool(wraps)
        if table[NAME_KEY] == COMBINED:
            inner = f"{here}.hooks"
            yield from _inside(inner, table["hooks"], _parts(hook), wrapped=covered)
        else:
            yield HookTable(here, table[NAME_KEY], table, wraps, covered, hook)


def _wraps(path: str, wrap: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(wrap, list):
        for index, each in enumerate(wrap):
            yield f"{path}[{index}]", each
    elif wrap is not None:
        yield path, wrap


def _parts(hook: object) -> Sequence[object]:
    """
    The hooks that a combined one, inside of wrappers, is made of.
    """
    while isinstance(hook, HookWrapper) and not isinstance(hook, CombinedHook):
        [hook] = hook.parts
    return hook.parts if isinstance(hook, CombinedHook) else ()
