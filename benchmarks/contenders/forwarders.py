"""
Two Twisted processes that forward by Twisted's own means, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders.base import Opened, Site, Via, straight
from benchmarks.load.starting import start_module
from benchmarks.running.ports import LOOPBACK, free_port, wait_until_open
from benchmarks.running.programs import Program


@dataclass(frozen=True)
class Forwarders:
    """
    Twisted's own TCP, or Twisted's own TLS between both.
    """

    encrypted: bool = False

    @property
    def name(self) -> str:
        """
        With or without TLS.
        """
        return "Twisted TLS" if self.encrypted else "Twisted"

    def check(self) -> None:
        """
        There is nothing to miss.
        """

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start two for each target.
        """
        ports: list[int] = []
        relays: list[Program] = []
        for target in targets:
            near, far = free_port(), free_port()
            relays.append(self._far(site, far, target))
            wait_until_open(far, relays[-1].check)
            relays.append(self._near(site, near, via(far)))
            wait_until_open(near, relays[-1].check)
            ports.append(near)
        return Opened(ports, relays)

    def _near(self, site: Site, port: int, to: int) -> Program:
        dial = f"tcp:{LOOPBACK}:{to}"
        if self.encrypted:
            # Whom it trusts must be in a directory of its own.
            trusted = site.new_directory()
            (trusted / "ca.pem").write_bytes(site.ca.read_bytes())
            dial = f"tls:localhost:{to}:trustRoots={trusted}"
        return _start(site, f"tcp:{port}:interface={LOOPBACK}:backlog=1024", dial)

    def _far(self, site: Site, port: int, to: int) -> Program:
        kind = f"ssl:{port}:privateKey={site.pem}" if self.encrypted else f"tcp:{port}"
        listen = f"{kind}:interface={LOOPBACK}:backlog=1024"
        return _start(site, listen, f"tcp:{LOOPBACK}:{to}")


def _start(site: Site, listen: str, dial: str) -> Program:
    """
    Start one.
    """
    module = "benchmarks.load.forward"
    return start_module(
        site.programs, "Twisted", module, f"--listen={listen}", f"--dial={dial}"
    )
