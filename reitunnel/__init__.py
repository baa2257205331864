"""
Reitunnel: a tunnel framework on Twisted.
"""

from __future__ import annotations
