"""
Reitunnel next to itself with other keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.bench import Bench
from benchmarks.contenders.reitunnel import Reitunnel

_NONE: Mapping[str, Any] = {}


class Keys(NamedTuple):
    """
    What a variant has besides the usual.

    @ivar server: in the server's configuration, by the key's path.
    @ivar client: in the client's.
    """

    server: Mapping[str, Any] = _NONE
    client: Mapping[str, Any] = _NONE


def on_both(keys: Mapping[str, Any]) -> Keys:
    """
    Give both sides the same keys.
    """
    return Keys(keys, keys)


def chosen(bench: Bench, *kinds: str) -> Sequence[Reitunnel]:
    """
    Find whose variants are measured.

    @param kinds: the usual ones. Of these, those that were chosen and, if there are
        fewer in the plan, are among these; if none was chosen, all of ours that were.
    """
    few = bench.plan.few
    found = [
        each
        for each in bench.contenders
        if isinstance(each, Reitunnel)
        and not each.variant
        and (not few or each.kind in few)
    ]
    return [each for each in found if each.kind in kinds] or found


def variants(
    contenders: Sequence[Reitunnel], choices: Mapping[str, Keys]
) -> list[Reitunnel]:
    """
    Give each contender in each variant.

    @param choices: the keys of each, by what it is called.
    """
    return [
        contender.varied(name, keys.server, keys.client)
        for contender in contenders
        for name, keys in choices.items()
    ]
