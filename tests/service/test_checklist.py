"""
Tests of what C{reitunnel check} looks for besides mistakes and certificates: time-outs,
files, L{reitunnel.service.machine}, L{reitunnel.service.speed}.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from reitunnel.auth import new_token
from reitunnel.config import HookSettings, ServerConfig
from reitunnel.hooks import BaseHook, HookManager
from reitunnel.interfaces import ITunnel
from reitunnel.service.advice import Advice, Severity
from reitunnel.service.machine import Machine, this_machine
from reitunnel.service.speed import server_hints
from tests.service.test_check import LARGE, CheckTestCase


class ChecklistTestCase(CheckTestCase):
    """
    A server without anything to say of it.
    """

    TEXT = 'listen = ["tcp://127.0.0.1:0"]\nauth.tokens = "tokens.toml"\n'
    TUNNEL = '[[tunnels]]\nport = 0\ntarget = "h:1"\n'

    def setUp(self) -> None:
        super().setUp()
        token, entry = new_token("a")
        self.put("tokens.toml", entry)
        self.put("token", token)


class RiskTests(ChecklistTestCase):
    def test_timeouts(self) -> None:
        risks = self.risks(
            f"{self.TEXT}[timeouts]\nhandshake = 61\nheartbeat_timeout = 121\n"
            "stream_open = 121\nhook = 61\n"
        )
        self.assertEqual(
            [
                "timeouts.handshake",
                "timeouts.heartbeat_timeout",
                "timeouts.stream_open",
                "timeouts.hook",
            ],
            [risk.partition(":")[0] for risk in risks],
        )
        self.assertIn("61 s: a stranger may hold a connection", risks[0])
        within = "[timeouts]\nhandshake = 60\nheartbeat_timeout = 120\nhook = 60\n"
        self.assertEqual([], self.risks(self.TEXT + within))

    def test_files_that_others_can_change(self) -> None:
        (self.directory / "tokens.toml").chmod(0o620)
        [risk] = self.risks(self.TEXT)
        self.assertEqual(
            f"auth.tokens: others can change {self.directory}/tokens.toml (mode 0620): "
            "chmod go-w",
            risk,
        )

    def test_directories_that_others_can_write(self) -> None:
        self.directory.chmod(0o777)
        self.addCleanup(self.directory.chmod, 0o755)
        [risk] = self.risks(self.TEXT)
        self.assertRegex(risk, "^auth.tokens: others can replace .*tokens.toml: every")
        # As in /tmp, where everybody has to leave the files of others alone.
        self.directory.chmod(0o1777)
        self.assertEqual([], self.risks(self.TEXT))

    def test_monitoring(self) -> None:
        exposed = '[monitoring]\nlisten = "0.0.0.0:9100"\ninsecure_expose = true\n'
        [risk] = self.risks(self.TEXT + exposed)
        self.assertTrue(risk.startswith("monitoring.listen: whoever reaches"), risk)
        for address in ("127.0.0.1:9100", "unix:/run/x.sock"):
            text = f'{self.TEXT}[monitoring]\nlisten = "{address}"\n'
            self.assertEqual([], self.risks(text))


class MachineTests(ChecklistTestCase):
    """
    Limits against what there is.
    """

    def keys(self, **machine: int) -> list[str]:
        given = {"descriptors": 0, "memory": 0, "backlog": 0, "processors": 2}
        self.machine = Machine(**{**given, **machine})
        return [":".join(line.split(":")[:2]) for line in self.advice(self.TEXT)]

    def test_descriptors(self) -> None:
        """
        Visitors, clients, handshakes, data links and pipes, and some more.
        """
        # Each visitor may have a data link, and each client keeps ten.
        needed = 20000 + 1000 + 1024 + 30000 + 4 * 20000 + 64
        self.assertEqual([], self.keys(descriptors=needed))
        self.assertEqual(["risk: limits.max_conns"], self.keys(descriptors=needed - 1))
        [risk] = self.risks(self.TEXT)
        self.assertEqual(
            "limits.max_conns: 20000 visitors, 1000 clients, 1024 handshakes, 30000 "
            f"data links and 20000 streams in the kernel need {needed} descriptors, "
            f"and a process may have {needed - 1} here: raise ulimit -n (LimitNOFILE), "
            "or lower the limits",
            risk,
        )

    def needs(self, needed: int, text: str) -> None:
        """
        See that a configuration needs so many descriptors.
        """
        for descriptors, found in ((needed, 0), (needed - 1, 1)):
            self.machine = Machine(descriptors, 0, 0, 2)
            risks = [line for line in self.advice(text) if "descriptors" in line]
            self.assertEqual(found, len(risks), risks)

    def test_links_of_a_server(self) -> None:
        """
        No more are in use than there are visitors, and no more than clients may have;
        what is encrypted or masked is not moved in the kernel.
        """
        limits = "[limits]\nmax_conns = 100\nmax_clients = 2\nmax_handshakes = 1\n"
        self.needs(103 + 100 + 20 + 400 + 64, self.TEXT + limits)
        few = f"{limits}max_links_per_client = 3\n"
        self.needs(103 + 6 + 6 + 24 + 64, self.TEXT + few)
        none = f"{limits}max_links_per_client = 0\n"
        self.needs(103 + 64, self.TEXT + none)
        masked = self.TEXT.replace("tcp://127.0.0.1:0", "ws://127.0.0.1:0/x")
        self.needs(103 + 100 + 20 + 64, masked + limits)
        unix = self.TEXT.replace("tcp://127.0.0.1:0", "unix:/run/x")
        self.needs(103 + 100 + 20 + 400 + 64, unix + limits)

    def test_links_of_a_client(self) -> None:
        """
        As many as a server gives unless it is told otherwise.
        """

        def text(keys: str, url: str = "tls://h:1") -> str:
            return f'server = "{url}"\ntoken_file = "token"\n{keys}\n{self.TUNNEL}'

        many = "limits.max_streams = 5000"
        self.needs(5000 + 1024 + 10 + 64, text(many))
        self.needs(100 + 100 + 10 + 64, text("limits.max_streams = 100"))
        plain = text(many, "tcp://127.0.0.1:1")
        self.needs(5000 + 1024 + 10 + 4 * 1024 + 64, plain)
        for keys in ('carrier = "mux"', "pool_size = 0"):
            self.needs(5000 + 64, text(f"{keys}\n{many}"))

    def test_as_deployed(self) -> None:
        """
        The units allow as many as the defaults need over TLS.
        """
        units = Path(__file__).parents[2] / "docs" / "deploy"
        for side, needed in (
            ("server", 20000 + 1000 + 1024 + 30000 + 64),
            ("client", 16384 + 1024 + 10 + 64),
        ):
            unit = (units / f"reitunnel-{side}.service").read_text()
            [limit] = re.findall("^LimitNOFILE=([0-9]+)$", unit, re.MULTILINE)
            self.assertGreaterEqual(int(limit), needed)

    def test_memory(self) -> None:
        streams = 20000 * 40960
        self.assertEqual([], self.keys(memory=streams))
        self.assertEqual(["risk: limits.max_conns"], self.keys(memory=streams - 1))
        self.assertEqual(
            ["risk: limits.max_conns", "risk: limits.max_session_bytes"],
            self.keys(memory=2 * 67108864 - 1),
        )

    def test_backlog(self) -> None:
        self.assertEqual([], self.keys(backlog=1024))
        self.assertEqual(["hint: tuning.backlog"], self.keys(backlog=1023))

    def test_client(self) -> None:
        self.machine = Machine(
            descriptors=1024, memory=1 << 20, backlog=1, processors=1
        )
        risks = self.risks(f'server = "tls://h:1"\ntoken_file = "token"\n{self.TUNNEL}')
        self.assertEqual(
            [
                "limits.max_streams",
                "limits.max_streams",
                "limits.max_session_bytes",
            ],
            [risk.partition(":")[0] for risk in risks],
        )

    def test_this_machine(self) -> None:
        """
        What a machine says of itself makes sense.
        """
        machine = this_machine()
        self.assertGreater(machine.processors, 0)
        self.assertGreaterEqual(machine.descriptors, 0)
        self.assertGreater(machine.memory, 1 << 20)


class HintTests(ChecklistTestCase):
    """
    What could be faster.
    """

    def server(self, text: str) -> list[str]:
        """
        The keys in the hints for a server, with text before its tables.
        """
        return [line.partition(":")[0] for line in self.hints(self.TEXT + text)]

    def client(self, text: str, url: str = "tls://h:1") -> list[str]:
        """
        The same for a client.
        """
        whole = f'server = "{url}"\ntoken_file = "token"\n{text}\n{self.TUNNEL}'
        return [line.partition(":")[0] for line in self.hints(whole)]

    def test_tuning(self) -> None:
        for key, value in {
            "nodelay": "false",
            "buffer_size": "131072",
            "stream_window": "65536",
            "send_buffer": "65536",
            "receive_buffer": "65536",
        }.items():
            text = f"tuning.{key} = {value}\n"
            self.assertEqual([f"tuning.{key}"], self.server(text))
            self.assertEqual([f"tuning.{key}"], self.client(text))
        small = self.server("tuning.buffer_size = 8192")
        self.assertEqual(["tuning.buffer_size"], small)

    def test_presets(self) -> None:
        """
        What a preset does on purpose is not found fault with.
        """
        for preset in ("balanced", "throughput", "latency"):
            self.assertEqual([], self.server(f'tuning.preset = "{preset}"\n'))

    def test_server(self) -> None:
        for text, key in (
            ("tuning.backlog = 16", "tuning.backlog"),
            ("limits.max_links_per_client = 0", "limits.max_links_per_client"),
            ("tuning.switch_after = 134217728", "tuning.switch_after"),
            ('log_level = "debug"', "log_level"),
        ):
            self.assertEqual([key], self.server(text))

    def test_client(self) -> None:
        self.assertEqual([], self.client(""))
        self.assertEqual(["carrier"], self.client('carrier = "mux"'))
        self.assertEqual(["pool_size"], self.client("pool_size = 0"))
        self.assertEqual(["server"], self.client("", "wss://h/x"))
        self.assertEqual(["log_level"], self.client('log_level = "debug"'))

    def test_hooks(self) -> None:
        """
        Hooks that do much for each piece of data.
        """
        logging = '[[hooks]]\nname = "logging"\n'
        self.assertEqual([], self.server(logging))
        self.assertEqual(["hooks[0].sample"], self.server(f"{logging}sample = 2\n"))
        self.assertEqual(
            [], self.server(f"{logging}sample = 2\nwrap.aggregate = 2.0\n")
        )
        quiet = f'{logging}sample = 2\nevents = ["client_connect"]\n'
        self.assertEqual([], self.server(quiet))

    def test_hook_of_others(self) -> None:
        """
        A hook of another package that is told of data should be wrapped.
        """

        [advice] = self.hook_hints({})
        self.assertEqual(
            (Severity.HINT, "hooks[0].wrap"), (advice.severity, advice.key)
        )
        self.assertEqual([], self.hook_hints({"wrap": {"aggregate": 2.0}}))

    def test_threads(self) -> None:
        """
        More threads than are of use.
        """
        self.assertEqual([], self.hook_hints({"wrap": {"queue": 1, "workers": 8}}))
        for wrap, key in (
            ({"workers": 9}, "hooks[0].wrap.workers"),
            ([{"sample": 2}, {"workers": 9}], "hooks[0].wrap[1].workers"),
        ):
            [advice] = self.hook_hints({"wrap": wrap})
            self.assertEqual(key, advice.key)

    def hook_hints(self, options: dict[str, Any]) -> list[Advice]:
        """
        The hints for a server with a hook of another package.
        """

        class Slow(BaseHook):
            def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
                """
                Take time.
                """

        manager = HookManager(MemoryReactorClock())
        manager.register(Slow())
        table = HookSettings(name="slow", options=options)
        config = ServerConfig(listen=(), insecure_no_auth=True, hooks=(table,))
        return list(server_hints(config, manager, LARGE))
