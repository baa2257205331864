"""
The same table for streams on data links: hooks are told nothing else.
"""

from __future__ import annotations

from reitunnel.config.values import Carrier
from tests.lifecycle import test_closing_hooks, test_sessions, test_streams
from tests.lifecycle.table import Row, TableCase
from tests.pair import Pair


class StreamTests(test_streams.EndedTests):
    carrier: Carrier = "direct"


class TargetTests(test_streams.TargetTests):
    carrier: Carrier = "direct"


class RefusedTests(test_streams.RefusedTests):
    carrier: Carrier = "direct"


class LimitTests(test_streams.LimitTests):
    carrier: Carrier = "direct"


class SessionTests(test_sessions.EndedTests):
    carrier: Carrier = "direct"


class ClosingHookTests(test_closing_hooks.StreamTests):
    carrier: Carrier = "direct"


def _say(pair: Pair) -> None:
    visitor, target = pair.open_stream()
    visitor.say(b"ping")
    target.say(b"pong!")


def _cut(pair: Pair) -> None:
    [used] = pair.used_data_links
    used.cut()


def _silence(pair: Pair) -> None:
    [used] = pair.used_data_links
    used.silence()
    pair.reactor.advance(100)


def _cut_idle(pair: Pair) -> None:
    idle = set(pair.data_links) - set(pair.used_data_links)
    for connection in idle:
        connection.cut()


class DataLinkTests(TableCase):
    """
    What befalls data links.
    """

    carrier: Carrier = "direct"
    rows = (
        Row(
            "the data link is lost",
            _cut,
            before=_say,
            server=["stream- 2 LINK_LOST: the data link was lost (4/5)"],
            client=["stream- 2 LINK_LOST: the data link was lost (4/5)"],
        ),
        Row(
            "the data link is silent, and nobody says a word",
            _silence,
            before=_say,
        ),
        Row(
            "idle data links are lost",
            _cut_idle,
            before=_say,
        ),
    )
