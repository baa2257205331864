"""
A TLS server of Twisted's own means, whose sessions can be resumed. It says nothing and
drops what it hears.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate, TLSVersion

from benchmarks.running.ports import LOOPBACK

# The module is typed without the methods of a reactor that runs.
reactor: Any = _reactor


class Silent(Protocol):
    """
    Sends at once what TLS has to say.
    """

    transport: Any

    def connectionMade(self) -> None:
        """
        Do so.
        """
        self.transport.setTcpNoDelay(True)


class SilentFactory(Factory):
    """
    Builds them.
    """

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Silent:
        """
        Build one.
        """
        return Silent()


def main() -> None:
    """
    Run.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pem", type=Path, required=True)
    arguments = parser.parse_args()
    pair = PrivateCertificate.loadPEM(arguments.pem.read_bytes())
    options = CertificateOptions(
        privateKey=pair.privateKey.original,
        certificate=pair.original,
        raiseMinimumTo=TLSVersion.TLSv1_2,
        enableSessions=True,
        enableSessionTickets=True,
    )
    SSL4ServerEndpoint(
        reactor, arguments.port, options, backlog=1024, interface=LOOPBACK
    ).listen(SilentFactory())
    reactor.run()


if __name__ == "__main__":
    main()
