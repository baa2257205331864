"""
Two socat processes, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders.base import Opened, Site, Via, straight
from benchmarks.running.ports import LOOPBACK, free_port, wait_until_open
from benchmarks.running.programs import Program, find_program

BUFFER = 131072


@dataclass(frozen=True)
class Socat:
    """
    C{socat -b 131072}, twice. It forks for each visitor.
    """

    name: str = "socat"
    encrypted: bool = False

    def check(self) -> None:
        """
        @raise Unavailable: if it is not installed.
        """
        find_program("socat")

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start two for each target.
        """
        ports: list[int] = []
        relays: list[Program] = []
        for target in targets:
            near, far = free_port(), free_port()
            for port, to in ((far, target), (near, via(far))):
                relays.append(_relay(site, port, to))
                wait_until_open(port, relays[-1].check)
            ports.append(near)
        return Opened(ports, relays)


def _relay(site: Site, port: int, to: int) -> Program:
    """
    Start one.
    """
    return site.programs.start(
        "socat",
        find_program("socat"),
        "-b",
        str(BUFFER),
        f"TCP-LISTEN:{port},bind={LOOPBACK},fork,reuseaddr,nodelay,backlog=1024",
        f"TCP:{LOOPBACK}:{to},nodelay",
    )
