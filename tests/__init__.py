"""
The tests of Reitunnel, run by trial.
"""

from __future__ import annotations
