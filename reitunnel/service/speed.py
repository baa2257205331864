"""
What a configuration gives away: keys whose other values are faster or cost less.
docs/performance.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reitunnel.config import ClientConfig, ServerConfig, parse_link_address
from reitunnel.config.settings import HookSettings, Tuning
from reitunnel.hooks import HookManager
from reitunnel.hooks.calls import wants
from reitunnel.hooks.wraps import WRAP_KEY
from reitunnel.service.advice import Advice, hint
from reitunnel.service.hook_tables import hook_tables
from reitunnel.service.machine import Machine

_BEST_READ: Final = 65536
_LEAST_READ: Final = 32768
_LEAST_WINDOW: Final = 131072
_LEAST_BUFFER: Final = 131072
_LEAST_BACKLOG: Final = 128
_MOST_SWITCH: Final = 64 << 20
_LEAST_SAMPLE: Final = 100
_WEB_SOCKETS: Final = frozenset({"ws", "wss"})
_DATA: Final = ("on_data_received", "on_data_sent")
_OURS: Final = "reitunnel."


def server_hints(
    config: ServerConfig, hooks: HookManager, machine: Machine
) -> Iterator[Advice]:
    """
    What a server could do faster.

    @param hooks: those that the configuration makes.
    """
    yield from _tuning(config.tuning)
    if config.tuning.backlog < _LEAST_BACKLOG:
        yield hint(
            "tuning.backlog",
            f"when more than {config.tuning.backlog} visitors come at once, some wait "
            f"a second or longer: {_LEAST_BACKLOG} or more",
        )
    if config.limits.max_links_per_client == 0:
        yield hint(
            "limits.max_links_per_client",
            "with 0 every stream stays on the control link, which is slower in bulk",
        )
    elif config.tuning.switch_after > _MOST_SWITCH:
        yield hint(
            "tuning.switch_after",
            "streams stay long on the control link, which is slower in bulk",
        )
    yield from _hooks(config.hooks, hooks, machine)
    yield from _log_level(config.log_level)


def client_hints(
    config: ClientConfig, hooks: HookManager, machine: Machine
) -> Iterator[Advice]:
    """
    What a client could do faster.

    @param hooks: those that the configuration makes.
    """
    yield from _tuning(config.tuning)
    if parse_link_address(config.server, listening=False).scheme in _WEB_SOCKETS:
        yield hint(
            "server",
            "tls:// is faster in bulk than a WebSocket, where no proxy stands between",
        )
    if config.carrier == "mux":
        yield hint("carrier", '"mux" is slower in bulk than "auto"')
    elif config.pool_size == 0:
        yield hint("pool_size", "with 0 every stream stays on the control link")
    yield from _hooks(config.hooks, hooks, machine)
    yield from _log_level(config.log_level)


def _tuning(tuning: Tuning) -> Iterator[Advice]:
    small_on_purpose = tuning.preset == "latency"
    if not tuning.nodelay:
        yield hint("tuning.nodelay", "small writes wait for 40 ms and longer: true")
    if tuning.buffer_size > _BEST_READ:
        yield hint(
            "tuning.buffer_size",
            f"reads above {_BEST_READ} bytes are slower: each maps and unmaps memory",
        )
    elif tuning.buffer_size < _LEAST_READ and not small_on_purpose:
        yield hint(
            "tuning.buffer_size",
            f"reads of {tuning.buffer_size} bytes cost more calls: {_BEST_READ} is "
            "faster in bulk",
        )
    if tuning.stream_window < _LEAST_WINDOW and not small_on_purpose:
        yield hint(
            "tuning.stream_window",
            f"over a long path a stream begins with {tuning.stream_window} bytes in "
            "each round trip: 262144 is the default",
        )
    for name in ("send_buffer", "receive_buffer"):
        size = getattr(tuning, name)
        if 0 < size < _LEAST_BUFFER:
            yield hint(
                f"tuning.{name}",
                f"with {size} bytes the system does not enlarge it for long paths: 0 "
                "leaves it to the system",
            )


def _hooks(
    tables: tuple[HookSettings, ...], hooks: HookManager, machine: Machine
) -> Iterator[Advice]:
    for table in hook_tables(tables, hooks.hooks):
        told = any(wants(table.hook, event) for event in _DATA) and not table.wrapped
        if told and not type(table.hook).__module__.startswith(_OURS):
            yield hint(
                f"{table.path}.{WRAP_KEY}",
                f'"{table.name}" is called for each piece of data: sample or aggregate '
                "calls it less often, queue calls it in threads if it blocks",
            )
        sample = table.options.get("sample")
        if told and isinstance(sample, int) and sample < _LEAST_SAMPLE:
            yield hint(
                f"{table.path}.sample",
                f"{sample} is much work for each piece of data: {_LEAST_SAMPLE} or "
                "more costs less, and no byte is left out of the sums",
            )
        for path, wrap in table.wraps.items():
            if wrap.get("workers", 0) > 4 * machine.processors:
                yield hint(
                    f"{path}.workers",
                    f"{wrap['workers']} threads share {machine.processors} processors: "
                    f"{2 * machine.processors} to {4 * machine.processors} are enough",
                )


def _log_level(level: str) -> Iterator[Advice]:
    if level == "debug":
        yield hint("log_level", '"debug" writes a line and more for each stream')
