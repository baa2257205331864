"""
How much the longer tests do. The defaults are for every run; environment variables
ask for more.
"""

from __future__ import annotations

import os
from typing import Final


def _amount(name: str, default: int, least: int = 1) -> int:
    amount = int(os.environ.get(name, default))
    if amount < least:
        raise ValueError(f"{name} is {amount}; the least that tests anything: {least}")
    return amount


TRANSFER_ONE: Final = _amount("REITUNNEL_TEST_TRANSFER_ONE", 1 << 30)
"""The bytes of a large transfer over one of the transports."""

TRANSFER: Final = _amount("REITUNNEL_TEST_TRANSFER", 128 << 20)
"""The bytes of a large transfer over the other transports."""

WRK_SECONDS: Final = _amount("REITUNNEL_TEST_WRK_SECONDS", 3, least=3)
"""How long C{wrk} runs."""

IPERF_SECONDS: Final = _amount("REITUNNEL_TEST_IPERF_SECONDS", 1)
"""How long each C{iperf3} runs."""

CONNECTIONS: Final = _amount("REITUNNEL_TEST_CONNECTIONS", 2000, least=100)
"""The short connections after which nothing may be left over."""

DIRECT_CONNECTIONS: Final = _amount("REITUNNEL_TEST_DIRECT_CONNECTIONS", 200, least=20)
"""The same, each on a data link of its own."""

RECONNECTS: Final = _amount("REITUNNEL_TEST_RECONNECTS", 20, least=4)
"""The links that are cut off, after which nothing may be left over."""

RESTARTS_ONE: Final = _amount("REITUNNEL_TEST_RESTARTS_ONE", 20, least=4)
"""The killed clients after which nothing may be left over, on one transport."""

RESTARTS: Final = _amount("REITUNNEL_TEST_RESTARTS", 8, least=4)
"""The same on the other transports."""
