"""
Tests for the words in which mistakes in the options of a hook are told.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import ConfigMistake
from reitunnel.hooks.options import read_options


class Inner(Struct, forbid_unknown_fields=True):
    host: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 80


class Options(Struct, kw_only=True):
    """
    One option of each sort.
    """

    count: Annotated[int, Meta(ge=1)] = 1
    noted: Annotated[int, Meta(ge=1, extra={"unit": "s"})] = 1
    even: Annotated[int, Meta(multiple_of=2)] = 2
    below: Annotated[float, Meta(lt=5)] = 1.0
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    on: bool = True
    word: Annotated[str, Meta(min_length=1)] | None = None
    shape: Annotated[str, Meta(pattern="^[a-z]+$")] = "a"
    colour: Literal["red", "green"] = "red"
    words: list[str] = []
    some: Annotated[tuple[str, ...], Meta(min_length=1)] = ("a",)
    few: Annotated[list[int], Meta(max_length=2)] = []
    inner: Inner | None = None
    inners: list[Inner] = []
    table: dict[str, int] = {}
    tables: dict[str, Inner] = {}
    day: date | None = None
    either: int | str | None = None
    pair: tuple[int, str] = (1, "a")

    def __post_init__(self) -> None:
        if self.count == 99:
            raise ValueError("99 is\ntoo good to be true")


def mistakes(**table: Any) -> list[str]:
    """
    What is said of a table.
    """
    found: list[ConfigMistake] = []
    options = read_options(Options, table, "hooks[0]", found)
    if (options is None) != bool(found):
        raise AssertionError("neither options nor a mistake, or both")
    return [str(mistake).removeprefix("hooks[0]") for mistake in found]


class OptionTests(SynchronousTestCase):
    def check_mistake(self, expected: str, **table: Any) -> None:
        self.assertEqual([expected], mistakes(**table))

    def test_good(self) -> None:
        found: list[ConfigMistake] = []
        options = read_options(
            Options,
            {
                "share": 1,
                "inner": {"host": "a"},
                "day": date(2026, 1, 2),
                "some": ["b"],
            },
            "hooks[0]",
            found,
        )
        self.assertEqual([], found)
        self.assertEqual(
            Options(share=1.0, inner=Inner("a"), day=date(2026, 1, 2), some=("b",)),
            options,
        )

    def test_numbers(self) -> None:
        self.check_mistake(".count: expected an integer of at least 1, got 0", count=0)
        self.check_mistake(
            '.count: expected an integer of at least 1, got "1"', count="1"
        )
        self.check_mistake(
            ".count: expected an integer of at least 1, got 1.5", count=1.5
        )
        self.check_mistake(
            ".count: expected an integer of at least 1, got true", count=True
        )
        self.check_mistake(".noted: expected an integer of at least 1, got 0", noted=0)
        self.check_mistake(".share: expected a number from 0 to 1, got 1.5", share=1.5)

    def test_bounds_that_only_msgspec_names(self) -> None:
        self.check_mistake(".even: Expected `int` that's a multiple of 2", even=3)
        self.check_mistake(".below: Expected `float` < 5.0", below=5)
        self.check_mistake(
            ".shape: Expected `str` matching regex '^[a-z]+$'", shape="A"
        )
        self.check_mistake(".few: Expected `array` of length <= 2", few=[1, 2, 3])

    def test_text_and_words(self) -> None:
        self.check_mistake(".on: expected true or false, got 1", on=1)
        self.check_mistake('.word: expected text that is not empty, got ""', word="")
        self.check_mistake(
            ".word: expected text that is not empty, got a list", word=["a"]
        )
        self.check_mistake(
            '.colour: expected one of "green", "red", got "blue"', colour="blue"
        )
        self.check_mistake('.colour: expected one of "green", "red", got 3', colour=3)

    def test_lists(self) -> None:
        self.check_mistake('.words: expected a list, got "a"', words="a")
        self.check_mistake(".words[1]: expected text, got 3", words=["a", 3])
        self.check_mistake(".some: expected at least one", some=[])

    def test_tables(self) -> None:
        self.check_mistake(".inner: expected a table, got 3", inner=3)
        self.check_mistake(".inner.host: missing", inner={})
        self.check_mistake(
            ".inner.prot: unknown key; the known keys are host, port",
            inner={"host": "a", "prot": 1},
        )
        self.check_mistake(
            ".inner.port: expected an integer from 1 to 65535, got 0",
            inner={"host": "a", "port": 0},
        )
        self.check_mistake(
            ".inners[1].port: expected an integer from 1 to 65535, got 0",
            inners=[{"host": "a"}, {"host": "a", "port": 0}],
        )

    def test_tables_with_free_keys(self) -> None:
        self.check_mistake(".table: expected a table, got a list", table=[])
        self.check_mistake(".table[...]: Expected `int`, got `str`", table={"a": "b"})
        self.check_mistake(
            ".tables[...].port: Expected `int`, got `str`",
            tables={"a": {"host": "a", "port": "b"}},
        )

    def test_other_types(self) -> None:
        self.check_mistake(".day: Expected `date | null`, got `int`", day=3)
        self.check_mistake(
            ".either: Expected `int | str | null`, got `array`", either=[]
        )
        self.check_mistake(".pair[1]: Expected `str`, got `int`", pair=[1, 2])

    def test_unknown_key(self) -> None:
        [line] = mistakes(**{"a key": 1})
        self.assertTrue(line.startswith('."a key": unknown key; the known keys are'))

    def test_check_of_the_whole(self) -> None:
        self.check_mistake(": 99 is too good to be true", count=99)

    def test_all_at_once(self) -> None:
        self.assertEqual(3, len(mistakes(count=0, on=3, wrong=1)))
