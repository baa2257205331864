"""
What hooks cannot be switched on: those that are for the other side, and those that
would write a file that another one writes.
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct
from msgspec.structs import fields

from reitunnel.config.wording import join
from reitunnel.errors import ConfigMistake
from reitunnel.interfaces import IHookFactory, IRestrictedHookFactory


class Restrictions:
    """
    Sees whether the hooks of one configuration go with it and with each other.
    """

    def __init__(self, side: str | None) -> None:
        """
        @param side: whose configuration it is, C{"server"} or C{"client"}; L{None} if
            that is not known.
        """
        self._side = side
        self._writers: dict[str, str] = {}

    def judge_side(self, factory: IHookFactory, path: str) -> ConfigMistake | None:
        """
        See whether a hook is for this side.

        @param path: the path of the hook's name.
        @return: what is wrong.
        """
        if not IRestrictedHookFactory.providedBy(factory):
            return None
        side = factory.side
        if side is None or self._side is None or side == self._side:
            return None
        return ConfigMistake(
            path, f'"{factory.name}" is for {side}s, and this is a {self._side}'
        )

    def judge_files(
        self, factory: IHookFactory, options: Struct, path: str
    ) -> list[ConfigMistake]:
        """
        See whether a hook would write a file that another one writes.

        @param path: the path of the hook's table.
        @return: what is wrong.
        """
        if not IRestrictedHookFactory.providedBy(factory):
            return []
        mistakes = []
        for field in fields(options):
            file = getattr(options, field.name)
            if field.encode_name not in factory.written or not isinstance(file, Path):
                continue
            place = join(path, field.encode_name)
            other = self._writers.setdefault(os.path.realpath(file), place)
            if other != place:
                message = f"{other} is the same file, and only one hook can write it"
                mistakes.append(ConfigMistake(place, message))
        return mistakes
