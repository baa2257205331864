"""
Every contender there is, in the order of the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.contenders.base import Contender, Direct
from benchmarks.contenders.forwarders import Forwarders
from benchmarks.contenders.haproxy import HAProxy
from benchmarks.contenders.openssh import OpenSSH
from benchmarks.contenders.reitunnel import CARRIERS, TRANSPORTS, Reitunnel
from benchmarks.contenders.socat import Socat
from benchmarks.contenders.stunnel import Stunnel

TWISTED_RECORDS = "Twisted's TLS"
"""What Reitunnel is called with Twisted's C{TLSMemoryBIOProtocol} below its links."""

FAST_CIPHER = "aes128-gcm@openssh.com"
"""The fastest of ssh's ciphers on processors that have instructions for AES."""


def every_contender(
    server_keys: Mapping[str, Any],
    client_keys: Mapping[str, Any],
    others: Mapping[str, Path],
) -> list[Contender]:
    """
    Give all of them, those that cannot be had here too.

    @param server_keys: what each Reitunnel server's configuration has besides.
    @param client_keys: the same for each client.
    @param others: other checkouts of Reitunnel, by what they are called.
    """
    ours = [
        Reitunnel(transport, carrier, server_keys, client_keys, other, variant)
        for transport in TRANSPORTS
        for carrier in CARRIERS
        for variant, other in (("", None), *others.items())
    ]
    twisted = [
        Reitunnel(
            "tls",
            carrier,
            server_keys,
            client_keys,
            variant=TWISTED_RECORDS,
            module="benchmarks.load.twisted_records",
        )
        for carrier in ("mux", "direct")
    ]
    return [
        Direct(),
        Socat(),
        HAProxy(),
        Forwarders(),
        *(each for each in ours if not each.encrypted),
        Stunnel(),
        HAProxy(encrypted=True),
        OpenSSH(),
        OpenSSH(FAST_CIPHER),
        Forwarders(encrypted=True),
        *twisted,
        *(each for each in ours if each.encrypted),
    ]
