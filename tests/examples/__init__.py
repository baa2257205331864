"""
Tests of C{examples/} and of the README's tour: each is run as a user runs it.
"""

from __future__ import annotations
