"""
Remembers where each value of a configuration comes from: the file or a flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reitunnel.errors import ConfigMistake

_FLAGS: Mapping[str, str] = {
    "server": "the server's address",
    "tunnels": "-R",
    "monitoring.listen": "--monitor",
    "timeouts.base": "--timeout",
    "timeouts.preset": "--timeout-preset",
    "timeouts.drain": "--drain-timeout",
}
"""The keys whose flags have other names than theirs."""


@dataclass(frozen=True)
class Origin:
    """
    Where the values of one configuration come from.

    @ivar directory: the directory of the file; the same as C{flag_directory} without
        one.
    @ivar flag_directory: what paths in flags are relative to.
    @ivar flags: the paths of the keys that flags have set.
    """

    directory: Path
    flag_directory: Path
    flags: frozenset[str]

    def is_flag(self, path: str) -> bool:
        """
        Whether a flag has set a key, or the key that it stands inside.
        """
        return self._flag(path) is not None

    def directory_of(self, path: str) -> Path:
        """
        What a relative path at this key is relative to.
        """
        return self.flag_directory if self.is_flag(path) else self.directory

    def name(self, mistake: ConfigMistake) -> ConfigMistake:
        """
        The mistake with the flag's name in place of the key's path, if a flag
        made it.
        """
        flag = self._flag(mistake.path)
        if flag is None:
            return mistake
        return ConfigMistake(flag_name(flag), mistake.message)

    def _flag(self, path: str) -> str | None:
        return next((flag for flag in self.flags if is_within(path, flag)), None)


def flag_name(path: str) -> str:
    """
    How a user gives a key on the command line, as messages say it.

    @param path: the key's path: C{"limits.max_conns"} is C{--max-conns}.
    """
    return _FLAGS.get(path) or "--" + path.rpartition(".")[2].replace("_", "-")


def is_within(path: str, ancestor: str) -> bool:
    """
    Whether a key is C{ancestor} or stands inside it.
    """
    rest = path.removeprefix(ancestor)
    return path.startswith(ancestor) and (not rest or rest[0] in ".[")
