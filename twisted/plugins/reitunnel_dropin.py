"""
What Reitunnel gives to C{twistd} and to its own plugin points.
"""

from __future__ import annotations

from reitunnel.hooks.auth import AuthHookFactory
from reitunnel.hooks.logging import LoggingHookFactory

auth_hook = AuthHookFactory()
logging_hook = LoggingHookFactory()
