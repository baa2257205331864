"""
Tests of L{reitunnel.config.Gathering}.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import Gathering
from reitunnel.errors import CertificateError, ConfigError, ConfigMistake


class GatheringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gathering = Gathering({"pem": Path("/a/pem"), "ca": Path("/a/ca")})

    def break_off(self, error: Exception, key: str = "") -> None:
        def make() -> object:
            raise error

        self.gathering.make(make, key)

    def mistake(self, *paths: str) -> None:
        """
        Make something that has mistakes.
        """
        self.break_off(ConfigError([ConfigMistake(path, "wrong") for path in paths]))

    def found(self) -> list[str]:
        error = self.assertRaises(ConfigError, self.gathering.finish)
        return [str(mistake) for mistake in error.mistakes]

    def test_none(self) -> None:
        self.assertEqual(5, self.gathering.make(lambda: 5))
        self.gathering.finish()

    def test_all(self) -> None:
        self.mistake("listen[1]")
        self.gathering.make(lambda: 5)
        self.mistake("hooks[0].name", "hooks[1].name")
        self.break_off(ValueError("no token"), "token")
        self.assertEqual(
            [
                "listen[1]: wrong",
                "hooks[0].name: wrong",
                "hooks[1].name: wrong",
                "token: no token",
            ],
            self.found(),
        )

    def test_once(self) -> None:
        """
        Of one key, what was found first is said; one may find several things.
        """
        self.mistake("listen", "listen")
        self.mistake("listen", "pem")
        self.assertEqual(["listen: wrong", "listen: wrong", "pem: wrong"], self.found())

    def test_certificate(self) -> None:
        """
        Alone it is what it was.
        """
        errors = [CertificateError("/a/ca: junk"), CertificateError("/a/pem: junk")]
        for error in errors:
            self.break_off(error)
        self.assertIs(
            errors[0], self.assertRaises(CertificateError, self.gathering.finish)
        )

    def test_certificate_among_others(self) -> None:
        """
        Its key is named; not again, if that is wrong by itself.
        """
        self.break_off(CertificateError("/a/ca: junk"))
        self.mistake("listen")
        self.assertEqual(["listen: wrong", "ca: /a/ca: junk"], self.found())
        self.setUp()
        self.mistake("pem")
        self.break_off(CertificateError("/a/pem: junk"))
        self.assertEqual(["pem: wrong"], self.found())

    def test_defect(self) -> None:
        self.assertRaises(ValueError, self.break_off, ValueError("a defect"))
        self.assertRaises(TypeError, self.break_off, TypeError("a defect"), "key")
