"""
What C{make bench} runs: Reitunnel next to other tunnels, and next to none.
"""

from __future__ import annotations
