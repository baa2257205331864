"""
The wire, version 1, without I/O: bytes in, events out.

L{reitunnel.wire.handshake} begins a link, L{reitunnel.wire.session} carries on.
docs/protocol.md is the specification.
"""

from __future__ import annotations
