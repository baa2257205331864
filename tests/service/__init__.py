"""
Tests of L{reitunnel.service}.
"""

from __future__ import annotations
