"""
Finds every mistake of a configuration that is made use of in several places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast

from reitunnel.errors import CertificateError, ConfigError, ConfigMistake

_T = TypeVar("_T")


class Gathering:
    """
    Has several things made of a configuration, and says what is wrong with all of
    them at once.
    """

    def __init__(self, files: Mapping[str, Path | None]) -> None:
        """
        @param files: those of certificates, by the key's path.
        """
        self._files = files
        self._mistakes: list[ConfigMistake] = []
        self._certificate: CertificateError | None = None

    def make(self, make: Callable[[], _T], key: str = "") -> _T:
        """
        Make one thing.

        @param make: raises L{ConfigError} or L{CertificateError} if it cannot be made.
        @param key: the path of the key that a C{ValueError} is about.
        @return: it; of no use if it could not be made, which L{finish} says then.
        """
        try:
            return make()
        except ConfigError as error:
            self._note(*error.mistakes)
        except CertificateError as error:
            self._certificate = self._certificate or error
        except ValueError as error:
            if not key:
                raise
            self._note(ConfigMistake(key, str(error)))
        return cast(_T, None)

    def finish(self) -> None:
        """
        Say what was wrong.

        @raise ConfigError: with every mistake.
        @raise CertificateError: if all that is wrong is the file of a certificate.
        """
        error = self._certificate
        if error is not None and not self._mistakes:
            raise error
        if error is not None:
            keys = [
                key
                for key, file in self._files.items()
                if file is not None and str(file) in str(error)
            ]
            self._note(ConfigMistake(keys[0] if keys else "", str(error)))
        if self._mistakes:
            raise ConfigError(self._mistakes)

    def _note(self, *mistakes: ConfigMistake) -> None:
        # What was found before is what others stumble over too.
        known = {mistake.path for mistake in self._mistakes}
        self._mistakes += [each for each in mistakes if each.path not in known]
