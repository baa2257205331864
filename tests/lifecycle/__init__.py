"""
The table of hook events: for every way in which a stream, a tunnel, a session or a
server can end, what the hooks of both sides are told, in order.
"""

from __future__ import annotations
