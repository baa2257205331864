"""
Two haproxy processes, one after the other, that look into no byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders.base import Opened, Site, Via, straight
from benchmarks.running.ports import LOOPBACK, free_port, wait_until_open
from benchmarks.running.programs import Program, find_program

_CONFIG = """\
defaults
    mode tcp
    option splice-auto
    option tcp-smart-connect
    backlog 1024
    timeout connect 10s
    timeout client 1h
    timeout server 1h
"""
_LISTEN = """\
listen port-{port}
    bind {address}:{port}{bind}
    server next {address}:{to}{server}
"""


@dataclass(frozen=True)
class HAProxy:
    """
    haproxy in its tcp mode, which splices where it can; or with TLS between both.
    """

    encrypted: bool = False

    @property
    def name(self) -> str:
        """
        With or without TLS.
        """
        return "haproxy TLS" if self.encrypted else "haproxy"

    def check(self) -> None:
        """
        @raise Unavailable: if it is not installed.
        """
        find_program("haproxy")

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start two, each with a port for every target.
        """
        near = [free_port() for _ in targets]
        far = [free_port() for _ in targets]
        accept = connect = ""
        if self.encrypted:
            accept = f" ssl crt {site.pem} ssl-min-ver TLSv1.3"
            connect = f" ssl verify required ca-file {site.ca} ssl-min-ver TLSv1.3"
        relays = [
            _start(site, far, targets, accept, ""),
            _start(site, near, [via(port) for port in far], "", connect),
        ]
        for ports, relay in zip((far, near), relays, strict=True):
            for port in ports:
                wait_until_open(port, relay.check)
        return Opened(near, relays)


def _start(
    site: Site, ports: Sequence[int], to: Sequence[int], bind: str, server: str
) -> Program:
    """
    Start one.

    @param bind: how it listens.
    @param server: how it dials.
    """
    text = _CONFIG + "".join(
        _LISTEN.format(address=LOOPBACK, port=port, to=other, bind=bind, server=server)
        for port, other in zip(ports, to, strict=True)
    )
    config = site.write(site.new_directory(), "haproxy.cfg", text)
    return site.programs.start(
        "haproxy", find_program("haproxy"), "-db", "-f", str(config)
    )
