"""
Twisted looks here for plugins. All it needs is an instance.
"""

from __future__ import annotations

from visitor_networks import VisitorNetworksFactory

visitor_networks = VisitorNetworksFactory()
