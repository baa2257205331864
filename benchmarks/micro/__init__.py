"""
Micro-benchmarks of Reitunnel's parts, by pyperf: C{python -m benchmarks.micro}.
"""

from __future__ import annotations
