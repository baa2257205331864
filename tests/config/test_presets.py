"""
Tests of the keys that stand for others: C{tuning.preset}, C{timeouts.preset} and
C{timeouts.base}.
"""

from __future__ import annotations

from typing import Any

import msgspec

from reitunnel.config import (
    TIMEOUT_PRESETS,
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


class TimeoutTestCase(LoadingTestCase):
    """
    A test of what time-outs a key leads to.
    """

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


class BaseTimeoutTests(TimeoutTestCase):
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


class TimeoutPresetTests(TimeoutTestCase):
    def test_each(self) -> None:
        """
        Each sets every key that the side has, to what could have been said by itself.
        """
        for preset, values in TIMEOUT_PRESETS.items():
            line = f'timeouts.preset = "{preset}"\n'
            for config, others in (
                (self.server(line + OPEN), {"connect", "target"}),
                (self.client(line + TO), {"stream_open"}),
            ):
                found = msgspec.structs.asdict(config.timeouts)
                self.assertEqual(preset, found["preset"])
                for name, value in values.items():
                    if name in others:
                        self.assertNotIn(name, found)
                    else:
                        self.assertEqual(value, found[name], name)

    def test_what_they_have_in_common(self) -> None:
        for seconds, preset in zip(
            (10, 30, 120), ("lan", "wan", "unreliable"), strict=True
        ):
            values = TIMEOUT_PRESETS[preset]  # type: ignore[index]  # one of its names
            for name in ("connect", "handshake", "heartbeat_timeout", "stream_open"):
                self.assertEqual(seconds, values[name], (preset, name))
            self.assertLess(values["target"], values["stream_open"])
            # Two pings may be lost.
            most = values["heartbeat_timeout"] / 3
            self.assertLessEqual(values["heartbeat_interval"], most)

    def test_none_leaves_the_defaults(self) -> None:
        self.assertEqual({}, self.timeouts(self.server(OPEN)))

    def test_other_keys_stay(self) -> None:
        config = self.client('timeouts = { preset = "lan", hook = 9 }\n' + TO)
        self.assertEqual((9.0, 10.0), (config.timeouts.hook, config.timeouts.drain))

    def test_key_in_the_file_wins(self) -> None:
        config = self.client('timeouts = { preset = "lan", connect = 7 }\n' + TO)
        self.assertEqual(
            (7.0, 10.0), (config.timeouts.connect, config.timeouts.heartbeat_timeout)
        )

    def test_base_in_the_file_wins(self) -> None:
        config = self.client('timeouts = { preset = "lan", base = 60 }\n' + TO)
        self.assertEqual(
            (60.0, 20.0, 3.0),
            (
                config.timeouts.connect,
                config.timeouts.heartbeat_interval,
                config.timeouts.target,
            ),
        )

    def test_flag_wins_over_keys_and_base_in_the_file(self) -> None:
        config = self.client(
            "timeouts = { base = 60, target = 7 }\n" + TO, timeouts__preset="lan"
        )
        self.assertEqual((10.0, 3.0), (config.timeouts.connect, config.timeouts.target))

    def test_base_as_a_flag_wins_over_all(self) -> None:
        for text, flags in (
            ('timeouts.preset = "lan"\n', {}),
            ("", {"timeouts__preset": "lan"}),
        ):
            config = self.client(text + TO, timeouts__base="60", **flags)
            self.assertEqual(
                (60.0, 3.0), (config.timeouts.connect, config.timeouts.target)
            )

    def test_no_such_preset(self) -> None:
        """
        Only the preset is blamed, by the name of the flag if it is one.
        """
        wrong = 'expected one of "lan", "unreliable", "wan", got "moon"'
        self.assertEqual(
            [f"timeouts.preset: {wrong}"],
            self.mistakes(self.server, OPEN + 'timeouts.preset = "moon"'),
        )
        self.assertEqual(
            [f"--timeout-preset: {wrong}"],
            self.mistakes(self.server, OPEN, timeouts__preset="moon"),
        )

    def test_combination_that_cannot_be(self) -> None:
        """
        What is filled in is looked at as if it had been written.
        """
        [mistake] = self.mistakes(
            self.server,
            OPEN + 'timeouts = { preset = "lan", heartbeat_interval = 20 }',
        )
        self.assertIn("20 s is not less than heartbeat_timeout, 10 s", mistake)
