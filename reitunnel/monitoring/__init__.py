"""
Shows what a running server or client does: metrics, its state, profiles and traces.

docs/monitoring.md says what each page gives.
"""

from __future__ import annotations

from reitunnel.monitoring.monitor import Monitor, MonitoredService
from reitunnel.monitoring.watched import Watched

__all__ = ["Monitor", "MonitoredService", "Watched"]
