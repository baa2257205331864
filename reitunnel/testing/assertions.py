"""
What holds in every program, as assertions.
"""

from __future__ import annotations

from collections.abc import Sequence

from reitunnel.testing.pair import MemoryPair
from reitunnel.testing.recording import RecordingHook


def assert_in_order(hook: RecordingHook) -> None:
    """
    Assert that a hook was told of everything by the rules, and that all is over: each
    open has one close, in the right order, and the bytes of data events, streams and
    tunnels agree. What a wrapper tells the hook inside of it has to be so too.

    @raise AssertionError: with each rule that was broken.
    """
    _assert_none(hook.broken_rules())


def assert_stops(pair: MemoryPair) -> None:
    """
    Stop a pair, and assert that nothing is left of it: no port, no connection, no
    delayed call, and no open that L{MemoryPair.told_server} or
    L{MemoryPair.told_client} have not been told the close of.

    @raise AssertionError: with what was left.
    """
    _assert_none(pair.stop())


def _assert_none(mistakes: Sequence[str]) -> None:
    if mistakes:
        raise AssertionError("\n".join(mistakes))
