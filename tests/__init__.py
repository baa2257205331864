"""
The tests of Reitunnel, run by trial.
"""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no defect of the code: no test fails for being slow once.
settings.register_profile("reitunnel", parent=settings(), deadline=None)
settings.load_profile("reitunnel")
