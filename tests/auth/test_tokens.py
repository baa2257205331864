"""
Tests of L{reitunnel.auth.Token} and L{reitunnel.auth.new_token}.
"""

from __future__ import annotations

import re
from base64 import b32decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import Token, new_token

NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z").filter(
    lambda name: not name.startswith("rt1_")
)


class TokenTests(SynchronousTestCase):
    @given(NAMES)
    def test_round_trip(self, name: str) -> None:
        token = Token.generate(name)
        self.assertEqual(name, token.name)
        self.assertEqual(token, Token.parse(token.reveal()))

    def test_form(self) -> None:
        """
        A secret scanner can rely on this.
        """
        text = Token.generate("office_2.a-b").reveal()
        self.assertTrue(re.fullmatch(r"rt1_[A-Za-z0-9_.-]{1,64}_[a-z2-7]{56}", text))

    def test_secret_has_256_bits(self) -> None:
        octets = [
            b32decode(Token.generate("x").secret, casefold=True)[:32] for _ in range(64)
        ]
        self.assertEqual(64, len(set(octets)))
        # Every bit is set in some and clear in others (all but 2**-54 sure).
        for bit in range(256):
            values = {int.from_bytes(each) >> bit & 1 for each in octets}
            self.assertEqual({0, 1}, values)

    def test_name_with_separators(self) -> None:
        text = Token.generate("a_b_c").reveal()
        self.assertEqual("a_b_c", Token.parse(text).name)

    def test_pasted(self) -> None:
        token = Token.generate("Office")
        text = token.reveal()
        for pasted in (
            f"  {text}\r\n",
            f"{text[:30]}\n{text[30:60]}\n  {text[60:]}",
            f"\N{NO-BREAK SPACE}{text}",
            text.replace(token.secret, token.secret.upper()),
        ):
            self.assertEqual(token, Token.parse(pasted))

    def test_damaged(self) -> None:
        text = Token.generate("office").reveal()
        middle = len(text) - 20
        other = "a" if text[middle] != "a" else "b"
        swapped = text[:middle] + text[middle + 1] + text[middle] + text[middle + 2 :]
        for damaged in (
            text[:-1],
            text + "a",
            text[:middle] + other + text[middle + 1 :],
            text.replace("office", "offic"),
            text.replace("office", "OFFICE"),
            text.replace("office", ""),
            text.replace("office", "of,ice"),
            text.replace("office", "ofﬁce"),
            text.replace("_", "-").replace("rt1-", "rt1_"),
            "rt1_",
            "rt1__",
            "rt1_office",
            *([swapped] if swapped != text else []),
        ):
            error = self.assertRaises(ValueError, Token.parse, damaged)
            self.assertEqual(
                "the token is damaged: copy it again, whole",
                str(error),
                damaged.encode("unicode_escape"),
            )

    def test_something_else(self) -> None:
        for text in (
            "",
            "hunter2",
            "RT1_office_x",
            f'"{Token.generate("x").reveal()}"',
        ):
            error = self.assertRaises(ValueError, Token.parse, text)
            self.assertEqual(
                "this is not a token: a token begins with rt1_", str(error)
            )

    @given(st.text() | st.text(alphabet="abz27_AZ").map("rt1_".__add__))
    def test_anything(self, text: str) -> None:
        self.assertRaises(ValueError, Token.parse, text)

    def test_names_refused(self) -> None:
        for name in (
            "",
            "a b",
            "a,b",
            "a=b",
            "ä",
            "٣",
            "a\n",
            "-a",
            ".",
            "_a",
            "a" * 65,
            "rt1_a",
        ):
            self.assertRaises(ValueError, Token.generate, name)
            self.assertRaises(ValueError, new_token, name)
        self.assertEqual("a" * 64, Token.generate("a" * 64).name)

    def test_secrecy(self) -> None:
        token = Token.generate("office")
        self.assertNotIn(token.secret, repr(token))
        self.assertNotIn(token.secret, str(token))

    def test_new_tokens_differ(self) -> None:
        first, second = new_token("office"), new_token("office")
        self.assertNotEqual(first[0], second[0])
        first_lines, second_lines = first[1].split("\n"), second[1].split("\n")
        self.assertEqual("[tokens.office]", first_lines[0])
        for ours, theirs in zip(first_lines[1:4], second_lines[1:4], strict=True):
            self.assertNotEqual(ours, theirs)

    def test_lines_do_not_tell(self) -> None:
        token, lines = new_token("office")
        self.assertNotIn(Token.parse(token).secret, lines)
