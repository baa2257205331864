"""
Tests of what C{make bench} runs.
"""

from __future__ import annotations
