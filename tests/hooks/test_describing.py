"""
Tests for what is said of a hook's options.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.hooks import load_hook_factories
from reitunnel.hooks.describing import OptionDescription, describe_options
from reitunnel.hooks.wraps import WrapOptions


class Rule(Struct):
    """
    A part.

    @ivar names: who.
    """

    names: list[str]


class Base(Struct, kw_only=True):
    """
    Options.

    @ivar size: how large C{it} is,
        in L{all}.
    @return: nothing of this.
    """

    size: Annotated[int, Meta(ge=1, le=9)]


class Options(Base, kw_only=True):
    """
    More of them.

    @ivar rules: what may be.

    This is about nothing in particular.
    """

    rules: tuple[Rule, ...] = ()
    mode: Literal["a", "b"] = "a"
    rule: Rule | None = None
    words: list[str] = field(default_factory=lambda: ["x", "y"])
    free: Any = None
    either: int | str = 3
    told: Annotated[bool, Meta(description="Said by Meta.")] = True
    renamed: float = field(default=1.5, name="re-named")


class DescriptionTests(SynchronousTestCase):
    def test_all(self) -> None:
        expected = [
            (
                "size",
                "an integer from 1 to 9",
                "required",
                "how large it is, in all.",
            ),
            ("rules", "a list of tables", "[]", "what may be."),
            ("rules[].names", "a list of text", "required", "who."),
            ("mode", 'one of "a", "b"', '"a"', ""),
            ("rule", "a table", "none", ""),
            ("rule.names", "a list of text", "required", "who."),
            ("words", "a list of text", '["x", "y"]', ""),
            ("free", "anything", "none", ""),
            ("either", "an integer or text", "3", ""),
            ("told", "true or false", "true", "Said by Meta."),
            ("re-named", "a number", "1.5", ""),
        ]
        self.assertEqual(
            [OptionDescription(*row) for row in expected],
            list(describe_options(Options)),
        )

    def test_every_option_of_ours(self) -> None:
        """
        Each says what it means, in plain words.
        """
        kinds = [factory.options for factory in load_hook_factories().values()]
        for kind in (*kinds, WrapOptions):
            for option in describe_options(kind):
                self.assertTrue(option.meaning, f"{kind.__name__}.{option.name}")
                self.assertNotRegex(option.meaning, r"[A-Z]\{|@")
