"""
The machine's memory and descriptors, and whether the limits of a configuration fit it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reitunnel.config import ClientConfig, Limits, ServerConfig, parse_link_address
from reitunnel.service.advice import Advice, hint, risk

_STREAM: Final = 40 * 1024
"""What an open stream costs at most while nothing waits in it, in bytes: the budget of
docs/architecture.md."""
_OTHERS: Final = 64
"""Descriptors for what is not counted: files, the reactor, logs."""
_IN_THE_KERNEL: Final = 4
"""Descriptors of a stream that is moved in the kernel, at most: a pipe for each
direction, or one and a copy of each socket."""
_POOL: Final[int] = ClientConfig(server="").pool_size
_LINKS: Final[int] = Limits().max_links_per_client
"""What the other side has unless it is configured: a server does not know how many data
links its clients keep, nor a client how many the server gives it."""
_WEB_SOCKETS: Final = frozenset({"ws", "wss"})
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
    used = min(limits.max_conns, limits.max_clients * limits.max_links_per_client)
    idle = limits.max_clients * min(_POOL, limits.max_links_per_client)
    plain = any(_may_be_plain(text, listening=True) for text in config.listen)
    yield from _descriptors(
        "limits.max_conns",
        {
            "visitors": limits.max_conns,
            "clients": limits.max_clients,
            "handshakes": limits.max_handshakes,
            "data links": used + idle,
        },
        used if plain else 0,
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
    links = config.pool_size if config.carrier != "mux" else 0
    used = min(limits.max_streams, _LINKS) if links else 0
    plain = _may_be_plain(config.server, listening=False)
    yield from _descriptors(
        "limits.max_streams",
        {"streams": limits.max_streams, "data links": used + links},
        used if plain else 0,
        machine,
    )
    yield from _memory("limits.max_streams", limits.max_streams, machine)
    yield from _session_bytes(limits.max_session_bytes, machine)


def _may_be_plain(text: str, *, listening: bool) -> bool:
    """
    Whether links may be such that the kernel can move what is on them.
    """
    address = parse_link_address(text, listening=listening)
    return not address.tls and address.scheme not in _WEB_SOCKETS


def _descriptors(
    key: str, connections: Mapping[str, int], in_kernel: int, machine: Machine
) -> Iterator[Advice]:
    """
    @param connections: how many there may be of which kind.
    @param in_kernel: how many streams the kernel may move at a time.
    """
    wanted = sum(connections.values()) + _IN_THE_KERNEL * in_kernel + _OTHERS
    if not machine.descriptors or wanted <= machine.descriptors:
        return
    parts = [f"{count} {what}" for what, count in connections.items() if count]
    if in_kernel:
        parts.append(f"{in_kernel} streams in the kernel")
    *most, last = parts
    what = f"{', '.join(most)} and {last}" if most else last
    yield risk(
        key,
        f"{what} need {wanted} descriptors, and a process may have "
        f"{machine.descriptors} here: raise ulimit -n (LimitNOFILE), or lower the "
        "limits",
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
