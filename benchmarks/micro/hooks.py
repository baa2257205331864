"""
Hooks: what a data event costs with none, and with some that count its bytes.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from benchmarks.micro.cases import Case, Cases
from reitunnel.hooks import BaseHook, HookManager
from reitunnel.interfaces import ITunnel
from tests.hooks.fakes import FakeTunnel

COUNTS = (0, 1, 5, 20)
"""How many hooks there are."""

_SIZE = 64 << 10


class Counter(BaseHook):
    """
    Counts bytes.
    """

    def __init__(self) -> None:
        self.sent = 0

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        Count.
        """
        self.sent += count


def _events(hooks: int) -> Case:
    """
    Tell so many hooks of bytes, as the pumps do.
    """
    manager = HookManager(Clock())
    for _ in range(hooks):
        manager.register(Counter())
    tunnel = FakeTunnel()

    def run(times: int) -> None:
        for _ in range(times):
            sink = manager.data_sent
            if sink is not None:
                sink(tunnel, _SIZE)

    return Case(run)


def name_of(hooks: int) -> str:
    """
    Name the case with so many hooks.
    """
    return f"a data event, {hooks} hook{'' if hooks == 1 else 's'}"


def cases() -> Cases:
    """
    Give the cases.
    """
    return {name_of(hooks): _events(hooks) for hooks in COUNTS}
