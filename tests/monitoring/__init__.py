"""
Tests of L{reitunnel.monitoring}.
"""

from __future__ import annotations
