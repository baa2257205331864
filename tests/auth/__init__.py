"""
Tests of L{reitunnel.auth}.
"""

from __future__ import annotations
