"""
Keys that stand for several others: C{tuning.preset}, C{timeouts.preset} and
C{timeouts.base}.

A key that is given itself wins over the one that stands for it, and C{timeouts.base}
over C{timeouts.preset}. A flag wins over the whole file: C{--preset} over each key of
the preset, C{--timeout} and C{--timeout-preset} over each time-out that they set.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from reitunnel.config.origin import Origin
from reitunnel.config.settings import (
    ClientConfig,
    ClientTimeouts,
    ServerConfig,
    ServerTimeouts,
    ServerTuning,
    Tuning,
)
from reitunnel.config.values import PresetName, TimeoutPresetName

Config = TypeVar("Config", ServerConfig, ClientConfig)
Table = TypeVar("Table", Tuning, ServerTuning, ServerTimeouts, ClientTimeouts)

TUNING_PRESETS: Mapping[PresetName, Mapping[str, int]] = {
    "balanced": {"buffer_size": 65536, "stream_window": 262144, "send_buffer": 0},
    "throughput": {"buffer_size": 65536, "stream_window": 4194304, "send_buffer": 0},
    "latency": {"buffer_size": 16384, "stream_window": 131072, "send_buffer": 131072},
}
"""What each preset sets."""

TIMEOUT_PRESETS: Mapping[TimeoutPresetName, Mapping[str, float]] = {
    "lan": {
        "connect": 10.0,
        "handshake": 10.0,
        "heartbeat_timeout": 10.0,
        "heartbeat_interval": 3.0,
        "stream_open": 10.0,
        "target": 3.0,
    },
    "wan": {
        "connect": 30.0,
        "handshake": 30.0,
        "heartbeat_timeout": 30.0,
        "heartbeat_interval": 10.0,
        "stream_open": 30.0,
        "target": 10.0,
    },
    "unreliable": {
        "connect": 120.0,
        "handshake": 120.0,
        "heartbeat_timeout": 120.0,
        "heartbeat_interval": 40.0,
        "stream_open": 120.0,
        "target": 40.0,
    },
}
"""
What each preset sets, in seconds; C{connect} and C{target} are the client's alone,
C{stream_open} the server's. A client gives a target up before the server gives the
client up, so that the visitor's end has the right reason.
"""


def timeouts_from(base: float) -> dict[str, float]:
    """
    What C{timeouts.base} sets, for both sides; C{connect} is the client's alone.
    """
    return {
        "connect": base,
        "handshake": base,
        "heartbeat_timeout": base,
        "heartbeat_interval": base / 3,
    }


def resolve(config: Config, given: Collection[str], origin: Origin) -> Config:
    """
    Fill in the keys that others stand for.

    @param given: the paths of the keys that the file and the flags give.
    """
    tuning = _filled(
        config.tuning,
        TUNING_PRESETS[config.tuning.preset],
        "tuning.preset",
        given,
        origin,
    )
    timeouts = config.timeouts
    if timeouts.preset is not None:
        presets = TIMEOUT_PRESETS[timeouts.preset]
        timeouts = _filled(timeouts, presets, "timeouts.preset", given, origin)
    # A flag that names a preset wins over a base in the file, too.
    flags = [origin.is_flag(f"timeouts.{name}") for name in ("preset", "base")]
    if timeouts.base is not None and flags != [True, False]:
        values = timeouts_from(timeouts.base)
        timeouts = _filled(timeouts, values, "timeouts.base", given, origin)
    return msgspec.structs.replace(config, tuning=tuning, timeouts=timeouts)


def _filled(
    table: Table,
    values: Mapping[str, float],
    source: str,
    given: Collection[str],
    origin: Origin,
) -> Table:
    """
    A table with the values that one of its keys stands for.

    @param source: the path of that key.
    """
    path = source.rpartition(".")[0]

    def wins(name: str) -> bool:
        place = f"{path}.{name}"
        return origin.is_flag(place) or (place in given and not origin.is_flag(source))

    changes = {
        name: value
        for name, value in values.items()
        if name in table.__struct_fields__ and not wins(name)
    }
    return msgspec.structs.replace(table, **changes)
