"""
Tests of L{reitunnel.config}.
"""

from __future__ import annotations
