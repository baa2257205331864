"""
Finds the transports that other packages ship as Twisted plugins.
"""

from __future__ import annotations

from twisted.logger import Logger
from twisted.plugin import getPlugins

from reitunnel.interfaces import ITunnelTransport

_log = Logger()


def plugin_transports() -> dict[str, ITunnelTransport]:
    """
    Every transport found, by its scheme. If two have the same one, the first
    found is used.
    """
    found: dict[str, ITunnelTransport] = {}
    for transport in getPlugins(ITunnelTransport):
        first = found.setdefault(transport.scheme, transport)
        if first is not transport:
            _log.warn(
                "two plugins provide {scheme}:// links; {used} is used, not {ignored}",
                scheme=transport.scheme,
                used=first,
                ignored=transport,
            )
    return found
