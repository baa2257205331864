"""
Tests of L{reitunnel.wire}.
"""

from __future__ import annotations
