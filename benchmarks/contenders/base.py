"""
What a tunnel is to a benchmark: ports on this side that lead to targets on the far one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Protocol

from benchmarks.running.ports import LOOPBACK
from benchmarks.running.procfs import cpu_seconds
from benchmarks.running.programs import Program, Programs
from tests.certificates import CertificateAuthority, write_private

Via = Callable[[int], int]
"""Puts something on the path to a port, and gives the port to dial in its place."""


def straight(port: int) -> int:
    """
    Put nothing on the path.
    """
    return port


class Site:
    """
    Where tunnels are opened: their programs and files.

    @ivar programs: theirs.
    """

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self._numbers = count()

    def new_directory(self) -> Path:
        """
        Make a directory for the files of one tunnel.
        """
        path = self.programs.directory / f"tunnel-{next(self._numbers)}"
        path.mkdir(mode=0o700)
        return path

    @cached_property
    def ca(self) -> Path:
        """
        The authority that every tunnel with TLS trusts.
        """
        return self._authority.write(self.programs.directory / "ca.pem")

    @cached_property
    def pem(self) -> Path:
        """
        A key and a certificate for servers on loopback, in one file.
        """
        issued = self._authority.issue("server", "localhost", LOOPBACK)
        return issued.write(self.programs.directory / "server.pem")

    def write(self, directory: Path, name: str, text: str) -> Path:
        """
        Write a file that only its owner can read.
        """
        return write_private(directory / name, text.encode())

    @cached_property
    def _authority(self) -> CertificateAuthority:
        return CertificateAuthority("Reitunnel benchmark authority")


@dataclass(frozen=True)
class Opened:
    """
    A tunnel that is open.

    @ivar ports: the public ports, one a target, in the same order.
    @ivar relays: the programs that carry the bytes, the public side first.
    """

    ports: Sequence[int]
    relays: Sequence[Program] = field(default=())

    def cpu_seconds(self) -> float:
        """
        How much processor time the relays have used so far.
        """
        return cpu_seconds(relay.pid for relay in self.relays)

    def check(self) -> None:
        """
        @raise ProgramFailed: if a relay has ended.
        """
        for relay in self.relays:
            relay.check()


class Contender(Protocol):
    """
    A kind of tunnel.
    """

    @property
    def name(self) -> str:
        """
        What it is called in results.
        """

    @property
    def encrypted(self) -> bool:
        """
        Whether it uses TLS or SSH between its sides.
        """

    def check(self) -> None:
        """
        @raise Unavailable: if it cannot be had here.
        """

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Open a tunnel to ports on loopback.

        @param via: puts something on the path between both sides.
        @raise BenchmarkError: if it does not open.
        """


@dataclass(frozen=True)
class Direct:
    """
    No tunnel: visitors connect to the target.
    """

    name: str = "none"
    encrypted: bool = False

    def check(self) -> None:
        """
        There is nothing to miss.
        """

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Give the targets' own ports.
        """
        return Opened([via(target) for target in targets])
