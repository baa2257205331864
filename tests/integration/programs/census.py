"""
A hook that says, whenever the program gets a signal, what the program has: for tests
that nothing is left over.
"""

from __future__ import annotations

import gc
import os
import signal
from collections import Counter
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

from reitunnel.interfaces import IErrorHook, IHookFactory
from tests.integration.processes import Running

SIGNAL: Final = "USR2"
NAME: Final = "census"
"""What switches the hook on, in a configuration file."""
_PACKAGES: Final = frozenset({"reitunnel", "twisted", "autobahn", "OpenSSL"})
"""Whose objects are counted."""
_VAGUE: Final = (
    "twisted.internet.base.DelayedCall",
    "OpenSSL.SSL.Session",
    "twisted._threads.",
    "twisted.python.context.",
)
"""
What is not counted, names or how they begin. The reactor keeps calls that were
cancelled, without what they call, for a while; those that it is to make are counted
otherwise. TLS connections keep the session that they have resumed, and which of them
have the same is chance. Addresses are looked up in threads, of which there are the more
the more were needed at a time, ten at most.
"""
_PLUGIN: Final = """
from tests.integration.programs.census import CensusFactory

census = CensusFactory()
"""


class Census(msgspec.Struct, frozen=True):
    """
    What a program has.

    @ivar descriptors: how many.
    @ivar delayed_calls: how many calls the reactor is to make later.
    @ivar readers: how many descriptors the reactor reads from.
    @ivar writers: how many it waits to write to.
    @ivar objects: how many there are of each class of the project and of what it is
        made of.
    @ivar memory: the resident memory in KiB, which is no exact matter.
    """

    descriptors: int
    delayed_calls: int
    readers: int
    writers: int
    objects: dict[str, int]
    memory: int

    def count(self, name: str) -> int:
        """
        How many objects there are of a class.

        @param name: its name, with its module's.
        """
        return self.objects.get(name, 0)

    def differences(self, other: Census) -> list[str]:
        """
        What the two differ in, memory aside.
        """
        mine, theirs = self._numbers(), other._numbers()
        return [
            f"{name}: {mine.get(name, 0)}, then {theirs.get(name, 0)}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name, 0) != theirs.get(name, 0)
        ]

    def _numbers(self) -> dict[str, int]:
        return {
            **self.objects,
            "descriptors": self.descriptors,
            "delayed calls": self.delayed_calls,
            "readers": self.readers,
            "writers": self.writers,
        }


def take(reactor: Any) -> Census:
    """
    Count what this process has.
    """
    gc.collect()
    objects = Counter(
        f"{kind.__module__}.{kind.__qualname__}" for kind in map(type, gc.get_objects())
    )
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Census(
        # Without that of the directory itself.
        descriptors=len(os.listdir("/proc/self/fd")) - 1,
        delayed_calls=len(reactor.getDelayedCalls()),
        readers=len(reactor.getReaders()),
        writers=len(reactor.getWriters()),
        objects={
            name: number
            for name, number in objects.items()
            if name.partition(".")[0] in _PACKAGES and not name.startswith(_VAGUE)
        },
        memory=pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    )


async def census_of(program: Running) -> Census:
    """
    Ask a program what it has.
    """
    before = program.output.count(" census ")
    said = program.wait_for(r" census \d+: (\{.*\})$", before + 1)
    program.signal(SIGNAL)
    return msgspec.json.decode((await said)[1], type=Census)


def environment(directory: Path) -> Mapping[str, str]:
    """
    Make the plugin.

    @param directory: where.
    @return: what the environment of a program needs to find it.
    """
    plugins = directory / "twisted" / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    (plugins / "reitunnel_census.py").write_text(_PLUGIN)
    root = Path(__file__).parents[3]
    return {"PYTHONPATH": f"{directory}{os.pathsep}{root}"}


class CensusOptions(msgspec.Struct):
    """
    There are none.
    """


@implementer(IErrorHook)
class CensusHook:
    """
    The hook. The signal is all that it waits for; but a hook has to have an event.
    """

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """


@implementer(IPlugin, IHookFactory)
class CensusFactory:
    """
    Builds the hook.
    """

    name = NAME
    description = "Says what the program has, on a signal."
    options: type = CensusOptions

    _log = Logger()

    def build(self, options: CensusOptions, reactor: Any) -> CensusHook:
        """
        Wait for the signal.
        """
        numbers = count(1)

        def say() -> None:
            self._log.info(
                "census {number}: {census}",
                number=next(numbers),
                census=msgspec.json.encode(take(reactor)).decode(),
            )

        signal.signal(
            signal.Signals[f"SIG{SIGNAL}"],
            lambda number, frame: reactor.callFromThread(say),
        )
        return CensusHook()
