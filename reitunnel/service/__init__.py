"""
The finished service: the C{twistd} plugin and the C{reitunnel} command.
"""

from __future__ import annotations
