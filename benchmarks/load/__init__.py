"""
Visitors, targets, and what stands on the path between: programs of their own, so
that they share no interpreter with what is measured or with each other.
"""

from __future__ import annotations
