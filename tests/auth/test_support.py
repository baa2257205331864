"""
The tests' own facts and certificates are what the interfaces say.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.interfaces import ICertificate, ILinkFacts
from tests.auth.support import MUTUAL, PLAIN, TLS, Certificate


class SupportTests(SynchronousTestCase):
    def test_facts(self) -> None:
        for facts in (TLS, PLAIN, MUTUAL):
            self.assertTrue(verifyObject(ILinkFacts, facts))

    def test_certificate(self) -> None:
        self.assertTrue(verifyObject(ICertificate, Certificate()))
