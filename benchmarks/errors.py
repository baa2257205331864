"""
What goes wrong in a benchmark.
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """
    Something could not be measured. The message is one line for people.
    """


class ProgramFailed(BenchmarkError):
    """
    A program ended, or did not do in time what was expected of it.
    """


class Unavailable(BenchmarkError):
    """
    Something cannot be measured on this machine, or not with this version.
    """
