"""
Fuzzing: what arbitrary bytes do to whatever reads bytes of strangers.

C{python -m tests.fuzz TARGET --seconds N} looks for new paths with atheris. The
corpus in the tree is run by trial too, where atheris is not needed.
"""

from __future__ import annotations
