"""
Tests of L{reitunnel.errors}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code
from reitunnel.errors import CodedError


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
