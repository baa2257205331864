"""
Tests of L{reitunnel.transports}.
"""

from __future__ import annotations
