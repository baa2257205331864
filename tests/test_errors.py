"""
Tests of L{reitunnel.errors}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.errors import CodedError, ConfigMistake


class CodeTests(SynchronousTestCase):
    def test_words(self) -> None:
        self.assertEqual("link lost", Code.LINK_LOST.words)
        self.assertEqual("policy", Code.POLICY.words)

    def test_shown(self) -> None:
        """
        An error is shown by its reason, or else by its code.
        """
        self.assertEqual("no", str(CodedError(Code.LINK_LOST, "no")))
        self.assertEqual("link lost", str(CodedError(Code.LINK_LOST, "")))


class ConfigMistakeTests(SynchronousTestCase):
    def test_control_characters(self) -> None:
        """
        What a file has put into a value or a key is shown in one line, and does nothing
        to a terminal.
        """
        mistake = ConfigMistake("a\nkey", 'got "two\nlines, \x1b[31mred"')
        self.assertEqual(r'a\nkey: got "two\nlines, \x1b[31mred"', str(mistake))
