"""
What is measured: Reitunnel in each of its ways, other tunnels, and no tunnel at all.
"""

from __future__ import annotations

from benchmarks.contenders.base import Contender, Direct, Opened, Site, Via, straight
from benchmarks.contenders.choice import every_contender

__all__ = [
    "Contender",
    "Direct",
    "Opened",
    "Site",
    "Via",
    "every_contender",
    "straight",
]
