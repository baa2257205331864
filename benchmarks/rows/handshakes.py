"""
TLS handshakes with the server, full and resumed, near and far, next to stunnel's and
Twisted's own.

The client is Python's own, the same for both, so that it is the servers that differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench, Measured
from benchmarks.contenders import Contender, Opened, Site, Via, straight
from benchmarks.contenders.reitunnel import Reitunnel
from benchmarks.contenders.stunnel import Stunnel, start_stunnel
from benchmarks.figures import TIMES
from benchmarks.load.starting import start_module
from benchmarks.rows.long_path import CASE as FAR
from benchmarks.rows.long_path import LongPath
from benchmarks.running.ports import free_port, wait_until_open

ROW = "handshakes"
NEAR = "loopback"

_MILLI = 1e3
_KINDS = tuple(
    (version, resume) for version in ("1.3", "1.2") for resume in (False, True)
)


@dataclass(frozen=True)
class ReitunnelServer:
    """
    A server that speaks TLS 1.2 too.
    """

    name: str = "reitunnel server"
    encrypted: bool = True
    alpn: str | None = "reitunnel/1"

    def check(self) -> None:
        """
        There is nothing to miss.
        """

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start it. No client comes.
        """
        keys = {"tls.minimum_version": "1.2"}
        reitunnel = Reitunnel("tls", "mux", server_keys=keys)
        server, port = reitunnel.start_server(site, site.new_directory())
        return Opened([via(port)], [server])


@dataclass(frozen=True)
class StunnelServer(Stunnel):
    """
    One stunnel, which speaks TLS 1.2 too.
    """

    name: str = "stunnel server"
    alpn: str | None = None

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start it.
        """
        port = free_port()
        keys = f"cert = {site.pem}\nsslVersionMin = TLSv1.2\n"
        server = start_stunnel(site, "no", [port], targets[-1:], keys)
        wait_until_open(port, server.check)
        return Opened([via(port)], [server])


@dataclass(frozen=True)
class TwistedServer:
    """
    A server of Twisted's own means, C{CertificateOptions} and C{TLSMemoryBIOProtocol},
    which speaks TLS 1.2 too.
    """

    name: str = "Twisted server"
    encrypted: bool = True
    alpn: str | None = None

    def check(self) -> None:
        """
        There is nothing to miss.
        """

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start it.
        """
        port = free_port()
        module = "benchmarks.load.handshake_server"
        server = start_module(
            site.programs, self.name, module, f"--port={port}", f"--pem={site.pem}"
        )
        wait_until_open(port, server.check)
        return Opened([via(port)], [server])


def measure_handshakes(bench: Bench) -> None:
    """
    Measure each server, near and far.
    """
    near = Kinds(bench, bench.plan.handshakes)
    far = Kinds(bench, bench.plan.far_handshakes)
    servers: list[Contender] = [ReitunnelServer(), TwistedServer()]
    if any(isinstance(each, Stunnel) for each in bench.contenders):
        servers.append(StunnelServer())
    bench.rounds(ROW, NEAR, near.measure, contenders=servers)
    bench.rounds(
        ROW, FAR, far.measure, contenders=servers, count=1, via=LongPath(bench).put
    )


class Kinds:
    """
    Every kind of handshake, one after the other in each round.
    """

    def __init__(self, bench: Bench, count: int) -> None:
        self._bench = bench
        self._count = count

    def measure(self, contender: Contender, opened: Opened) -> Mapping[str, Measured]:
        """
        Measure one server.
        """
        assert isinstance(contender, ReitunnelServer | TwistedServer | StunnelServer)
        found = {}
        for version, resume in _KINDS:
            answer = self._bench.worker().do(
                "handshakes",
                port=opened.ports[0],
                ca=str(self._bench.site.ca),
                version=version,
                resume=resume,
                count=self._count,
                alpn=contender.alpn,
            )
            name = f"TLS {version} {'resumed' if resume else 'full'}"
            found[name] = Measured("ms", answer["p50"] * _MILLI)
        for kind in ("full", "resumed"):
            newer, older = found[f"TLS 1.3 {kind}"], found[f"TLS 1.2 {kind}"]
            found[f"{kind}, 1.3 to 1.2"] = Measured(TIMES, newer.value / older.value)
        return found
