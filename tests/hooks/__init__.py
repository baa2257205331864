"""
Tests for L{reitunnel.hooks}.
"""

from __future__ import annotations
