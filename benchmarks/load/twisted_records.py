"""
Reitunnel with Twisted's own C{TLSMemoryBIOProtocol} below its links, in place of its
own pump of records. All else is the same, so this is what the pump makes of it.

It is run as C{reitunnel} is, with the same arguments.
"""

from __future__ import annotations

import sys

from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.tls import TLSMemoryBIOFactory

from reitunnel.service.command import main as reitunnel
from reitunnel.transports import endpoints


def twisted_layer(
    connections: IOpenSSLClientConnectionCreator | IOpenSSLServerConnectionCreator,
    factory: IProtocolFactory,
    clock: IReactorTime,
    closing_timeout: float,
) -> TLSMemoryBIOFactory:
    """
    Make what L{reitunnel.transports.tls.TLSLayer} is made for.

    @param closing_timeout: of no use to Twisted, which waits as long as the peer does.
    """
    client = IOpenSSLClientConnectionCreator.providedBy(connections)
    return TLSMemoryBIOFactory(connections, client, factory, clock)


def main() -> int:
    """
    Run.
    """
    endpoints.TLSLayer = twisted_layer  # type: ignore[assignment,attr-defined]  # where it is looked up
    return reitunnel()


if __name__ == "__main__":
    sys.exit(main())
