"""
Attacks, by whoever may make them: each test is one, and what stops it.
"""

from __future__ import annotations
