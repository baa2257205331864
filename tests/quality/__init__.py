"""
Tests of the project itself: its layers, its documents and its packaging.
"""

from __future__ import annotations
