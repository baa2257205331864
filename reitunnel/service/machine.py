"""
The machine's memory and descriptors, and whether the limits of a configuration fit it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reitunnel.config import ClientConfig, ServerConfig
from reitunnel.service.advice import Advice, hint, risk

_STREAM: Final = 40 * 1024
"""What an open stream costs at most while nothing waits in it, in bytes: the budget of
docs/architecture.md."""
_OTHERS: Final = 64
"""Descriptors for what is not counted: files, the reactor, logs."""
_SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")


@dataclass(frozen=True, slots=True)
class Machine:
    """
    What there is.

    @ivar descriptors: how many a process may have; 0 if there is no limit.
    @ivar memory: in bytes; 0 if it is not known.
    @ivar backlog: the longest queue of connections for one listener; 0 if it is not
        known.
    @ivar processors: how many.
    """

    descriptors: int
    memory: int
    backlog: int
    processors: int


def this_machine() -> Machine:
    """
    Look at the machine that this runs on, and the limits of this process.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        memory = 0
    try:
        backlog = int(_SOMAXCONN.read_text())
    except (ValueError, OSError):
        backlog = 0
    return Machine(
        descriptors=0 if soft == resource.RLIM_INFINITY else soft,
        memory=max(memory, 0),
        backlog=backlog,
        processors=os.cpu_count() or 1,
    )


def server_fits(config: ServerConfig, machine: Machine) -> Iterator[Advice]:
    """
    What a server's limits allow that the machine has not got.
    """
    limits = config.limits
    wanted = limits.max_conns + limits.max_clients + limits.max_handshakes + _OTHERS
    yield from _descriptors(
        "limits.max_conns",
        f"{limits.max_conns} visitors, {limits.max_clients} clients and "
        f"{limits.max_handshakes} handshakes",
        wanted,
        machine,
    )
    yield from _memory("limits.max_conns", limits.max_conns, machine)
    yield from _session_bytes(limits.max_session_bytes, machine)
    if machine.backlog and config.tuning.backlog > machine.backlog:
        yield hint(
            "tuning.backlog",
            f"the kernel keeps {machine.backlog} connections waiting, not "
            f"{config.tuning.backlog}: raise net.core.somaxconn",
        )


def client_fits(config: ClientConfig, machine: Machine) -> Iterator[Advice]:
    """
    What a client's limits allow that the machine has not got.
    """
    limits = config.limits
    wanted = limits.max_streams + config.pool_size + _OTHERS
    yield from _descriptors(
        "limits.max_streams", f"{limits.max_streams} streams", wanted, machine
    )
    yield from _memory("limits.max_streams", limits.max_streams, machine)
    yield from _session_bytes(limits.max_session_bytes, machine)


def _descriptors(
    key: str, what: str, wanted: int, machine: Machine
) -> Iterator[Advice]:
    if machine.descriptors and wanted > machine.descriptors:
        yield risk(
            key,
            f"{what} need {wanted} descriptors, and a process may have "
            f"{machine.descriptors} here: raise ulimit -n (LimitNOFILE), or lower the "
            "limit",
        )


def _memory(key: str, streams: int, machine: Machine) -> Iterator[Advice]:
    if machine.memory and streams * _STREAM > machine.memory:
        yield risk(
            key,
            f"{streams} streams may take {_gigabytes(streams * _STREAM)} of memory, "
            f"and this machine has {_gigabytes(machine.memory)}",
        )


def _session_bytes(size: int, machine: Machine) -> Iterator[Advice]:
    if machine.memory and 2 * size > machine.memory:
        yield risk(
            "limits.max_session_bytes",
            f"one session may buffer {_gigabytes(size)}, and this machine has "
            f"{_gigabytes(machine.memory)}",
        )


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
