"""
Tests with real sockets and real programs.
"""

from __future__ import annotations
