"""
Tests of how L{reitunnel.config} speaks of keys and values to people.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta, inspect
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config.wording import expected, join, kind_of, number, shown
from tests.config.test_loading import OPEN, LoadingTestCase


class ExpectedTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        kinds: list[tuple[Any, str]] = [
            (int, "an integer"),
            (float, "a number"),
            (bool, "true or false"),
            (str, "text"),
            (Literal["b", "a"], 'one of "a", "b"'),
            (tuple[int, ...], "a list"),
            (dict[str, int], "a table"),
            (Annotated[int, Meta(ge=1, le=9)], "an integer from 1 to 9"),
            (Annotated[int, Meta(ge=1)], "an integer of at least 1"),
            (Annotated[int, Meta(le=9)], "an integer at most 9"),
            (Annotated[float, Meta(gt=0)], "a number above 0"),
            (Annotated[float, Meta(gt=0, le=0.5)], "a number above 0 and at most 0.5"),
            (Annotated[str, Meta(min_length=1)], "text that is not empty"),
            (Annotated[str, Meta(max_length=9)], "text of at most 9 characters"),
            (
                Annotated[str, Meta(min_length=2, max_length=9)],
                "text of 2 to 9 characters",
            ),
        ]
        for kind, words in kinds:
            self.assertEqual(words, expected(inspect.type_info(kind)))


class ShownTests(SynchronousTestCase):
    def test_values(self) -> None:
        for value, words in (
            ('a "b"\n', r'"a \"b\"\n"'),
            ("é" * 70, '"' + "é" * 60 + '..."'),
            (True, "true"),
            (1.5, "1.5"),
            ([1], "a list"),
            ({}, "a table"),
            (date(2000, 1, 1), "a date or time"),
            (b"x", "bytes"),
        ):
            self.assertEqual(words, shown(value))

    def test_kinds(self) -> None:
        """
        The kind alone, for what may be a secret.
        """
        for value, words in (
            ("hunter2", "text"),
            (False, "a boolean"),
            (1, "a number"),
            (None, "NoneType"),
        ):
            self.assertEqual(words, kind_of(value))

    def test_numbers(self) -> None:
        self.assertEqual(
            ["10", "0.5", "67108864"], [number(10.0), number(0.5), number(67108864)]
        )

    def test_paths(self) -> None:
        for (path, key), joined in {
            ("", "limits"): "limits",
            ("limits", "max_conns"): "limits.max_conns",
            ("policy.clients", "token:a"): 'policy.clients."token:a"',
            ("", ""): '""',
        }.items():
            self.assertEqual(joined, join(path, key))


class SuggestionTests(LoadingTestCase):
    """
    What an unknown key may have meant.
    """

    def test_suggestions(self) -> None:
        for key, words in {
            "insecure_noauth": '; did you mean "insecure_no_auth"?',
            "max_conns": '; did you mean "limits.max_conns"?',
            "max_connss": '; did you mean "limits.max_conns"?',
            "zebra": "",
        }.items():
            self.assertEqual(
                [f"{key}: unknown key{words}"],
                self.mistakes(self.server, f"{key} = 1\n{OPEN}"),
            )
