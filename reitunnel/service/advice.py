"""
What C{reitunnel check} has to say, and how bad it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """
    How bad something is. The value stands before the line.
    """

    WRONG = "wrong"
    """Nothing is started with it."""
    RISK = "risk"
    """It works until something happens, or somebody does something."""
    HINT = "hint"
    """It could be faster, or cost less."""


@dataclass(frozen=True, slots=True)
class Advice:
    """
    One thing to say.

    @ivar key: the path of the key to change; empty if there is none.
    @ivar message: what is the matter with it, for people.
    """

    severity: Severity
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.key}: " if self.key else ""
        return f"{self.severity.value}: {place}{self.message}"


def risk(key: str, message: str) -> Advice:
    """
    Say what is a risk.
    """
    return Advice(Severity.RISK, key, message)


def hint(key: str, message: str) -> Advice:
    """
    Say what could be faster.
    """
    return Advice(Severity.HINT, key, message)
