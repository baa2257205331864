"""
Tests of the keys that stand for others: C{tuning.preset} and C{timeouts.base}.
"""

from __future__ import annotations

from typing import Any

import msgspec

from reitunnel.config import (
    TUNING_PRESETS,
    ClientConfig,
    ServerConfig,
    Tuning,
    load_server_config,
)
from tests.config.test_loading import OPEN, TO, LoadingTestCase


class TuningPresetTests(LoadingTestCase):
    def test_balanced_is_the_default(self) -> None:
        for name, value in TUNING_PRESETS["balanced"].items():
            self.assertEqual(value, getattr(Tuning(), name))

    def test_presets_set_the_same_keys(self) -> None:
        for preset in TUNING_PRESETS.values():
            self.assertEqual(set(TUNING_PRESETS["balanced"]), set(preset))

    def test_presets_are_allowed(self) -> None:
        """
        What a preset sets could have been said key by key.
        """
        for preset, values in TUNING_PRESETS.items():
            tuning = load_server_config(
                None,
                {
                    "listen": ["tcp://127.0.0.1:1"],
                    "insecure_no_auth": True,
                    **{f"tuning.{name}": value for name, value in values.items()},
                },
            ).tuning
            by_name = self.server(OPEN + f'tuning.preset = "{preset}"').tuning
            self.assertEqual(msgspec.structs.replace(tuning, preset=preset), by_name)

    def test_key_in_the_file_wins(self) -> None:
        tuning = self.server(
            OPEN + 'tuning = { preset = "latency", buffer_size = 65536 }'
        ).tuning
        self.assertEqual(65536, tuning.buffer_size)
        self.assertEqual(
            TUNING_PRESETS["latency"]["stream_window"], tuning.stream_window
        )

    def test_flag_wins_over_keys_in_the_file(self) -> None:
        tuning = self.server(
            OPEN + "tuning = { buffer_size = 65536, nodelay = false }",
            tuning__preset="latency",
        ).tuning
        self.assertEqual(TUNING_PRESETS["latency"]["buffer_size"], tuning.buffer_size)
        self.assertFalse(tuning.nodelay)

    def test_flag_for_the_key_wins_over_all(self) -> None:
        tuning = self.server(
            OPEN + "tuning.buffer_size = 65536",
            tuning__preset="latency",
            tuning__buffer_size="8192",
        ).tuning
        self.assertEqual(8192, tuning.buffer_size)


class BaseTimeoutTests(LoadingTestCase):
    def timeouts(self, config: ServerConfig | ClientConfig) -> dict[str, Any]:
        """
        The time-outs that differ from the defaults.
        """
        default = type(config.timeouts)()
        return {
            name: value
            for name, value in msgspec.structs.asdict(config.timeouts).items()
            if value != getattr(default, name)
        }

    def test_server(self) -> None:
        config = self.server(OPEN + "timeouts.base = 60")
        self.assertEqual(
            {
                "base": 60.0,
                "handshake": 60.0,
                "heartbeat_interval": 20.0,
                "heartbeat_timeout": 60.0,
            },
            self.timeouts(config),
        )

    def test_client(self) -> None:
        config = self.client("timeouts.base = 3\n" + TO)
        self.assertEqual(
            {
                "base": 3.0,
                "connect": 3.0,
                "handshake": 3.0,
                "heartbeat_interval": 1.0,
                "heartbeat_timeout": 3.0,
            },
            self.timeouts(config),
        )

    def test_key_in_the_file_wins(self) -> None:
        config = self.client("timeouts = { base = 3, connect = 7 }\n" + TO)
        self.assertEqual(
            (7.0, 3.0), (config.timeouts.connect, config.timeouts.handshake)
        )

    def test_flag_wins_over_keys_in_the_file(self) -> None:
        config = self.client(
            "timeouts = { connect = 7, hook = 9 }\n" + TO, timeouts__base="3"
        )
        self.assertEqual((3.0, 9.0), (config.timeouts.connect, config.timeouts.hook))

    def test_wrong_base_leaves_the_defaults(self) -> None:
        """
        Only the base is blamed.
        """
        self.assertEqual(
            ["timeouts.base: expected a number above 0 and at most 86400, got 0"],
            self.mistakes(self.server, OPEN + "timeouts.base = 0"),
        )
        self.assertEqual(
            ["timeouts.base: expected a number above 0 and at most 86400, got 0"],
            self.mistakes(
                self.server,
                OPEN + "timeouts = { base = 0, heartbeat_timeout = 1 }",
            ),
        )
