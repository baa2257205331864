"""
Two stunnel processes, with TLS 1.3 between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders.base import Opened, Site, Via, straight
from benchmarks.running.ports import LOOPBACK, free_port, wait_until_open
from benchmarks.running.programs import Program, find_program

_CONFIG = """\
foreground = yes
pid =
syslog = no
debug = err
socket = a:SO_REUSEADDR=1
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
"""
_SERVICE = """\
[to-{to}]
client = {client}
accept = {address}:{port}
connect = {address}:{to}
"""
_NEWEST = "sslVersionMin = TLSv1.3\n"


@dataclass(frozen=True)
class Stunnel:
    """
    stunnel as a client, then stunnel as a server. It has a thread for each visitor.
    """

    name: str = "stunnel"
    encrypted: bool = True

    def check(self) -> None:
        """
        @raise Unavailable: if it is not installed.
        """
        find_program("stunnel4")

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start two, each with a service for every target.
        """
        near = [free_port() for _ in targets]
        far = [free_port() for _ in targets]
        server = f"cert = {site.pem}\n{_NEWEST}"
        client = f"CAfile = {site.ca}\nverifyChain = yes\n{_NEWEST}"
        relays = [
            start_stunnel(site, "no", far, targets, server),
            start_stunnel(site, "yes", near, [via(port) for port in far], client),
        ]
        for ports, relay in zip((far, near), relays, strict=True):
            for port in ports:
                wait_until_open(port, relay.check)
        return Opened(near, relays)


def start_stunnel(
    site: Site, client: str, ports: Sequence[int], to: Sequence[int], keys: str
) -> Program:
    """
    Start one.

    @param client: whether it is the client, C{yes} or C{no}.
    @param keys: what each service has besides.
    """
    text = _CONFIG + "".join(
        _SERVICE.format(client=client, address=LOOPBACK, port=port, to=other) + keys
        for port, other in zip(ports, to, strict=True)
    )
    config = site.write(site.new_directory(), "stunnel.conf", text)
    return site.programs.start("stunnel", find_program("stunnel4"), str(config))
