"""
Runs the programs of a benchmark, and reads what they cost.
"""

from __future__ import annotations
