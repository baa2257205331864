"""
Tests of what a program says of monitoring that a reload was to change.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.service.exits import ExitCode
from reitunnel.service.maker import Options, make_program
from reitunnel.service.program import Program

SERVER = 'listen = ["tcp://127.0.0.1:1"]\ninsecure_no_auth = true\n'
CLIENT = 'server = "tcp://127.0.0.1:1"\n[[tunnels]]\nport = 0\ntarget = "h:1"\n'
RELOADED = "the configuration is reloaded"
UNTIL_RESTART = "these keys have changed and stay as they were until a restart: "


class MonitoringReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.patch(sys, "excepthook", sys.excepthook)

    def make(self, command: str, text: str, *flags: str) -> Program:
        self.file.write_text(text)
        options = Options()
        options.parseOptions([command, "--config", str(self.file), *flags])
        exit_code = ExitCode(lambda handler: None, lambda code: None)
        return make_program(MemoryReactorClock(), options, exit_code)

    def said(self, program: Program, text: str) -> list[str]:
        """
        What is said of a reload of this text.
        """
        self.file.write_text(text)
        with capturedLogs() as events:
            program.asked_to_reload()
        return [formatEvent(event) for event in events]

    def check(self, command: str, config: str) -> None:
        """
        Each key is named as long as it differs from what the monitor was told at the
        start.
        """
        table = '[monitoring]\nlisten = "127.0.0.1:9100"\n'
        program = self.make(command, config + table)
        for changed, keys in (
            (table, ""),
            ('[monitoring]\nlisten = "127.0.0.1:9101"\n', "monitoring.listen"),
            (f"{table}debug = false\n", "monitoring.debug"),
            ("", "monitoring.listen"),
            (
                '[monitoring]\nlisten = "0.0.0.0:9100"\ninsecure_expose = true\n',
                "monitoring.listen, monitoring.insecure_expose",
            ),
            (table, ""),
        ):
            lines = [RELOADED, UNTIL_RESTART + keys] if keys else [RELOADED]
            self.assertEqual(lines, self.said(program, config + changed), changed)

    def test_server(self) -> None:
        self.check("server", SERVER)

    def test_client(self) -> None:
        self.check("client", CLIENT)

    def test_switched_on(self) -> None:
        program = self.make("server", SERVER)
        self.assertEqual(
            [RELOADED, f"{UNTIL_RESTART}monitoring.listen"],
            self.said(program, f'{SERVER}monitoring.listen = "127.0.0.1:9100"\n'),
        )

    def test_flag(self) -> None:
        """
        What the file says against a flag changes nothing.
        """
        program = self.make("server", SERVER, "--monitor", "127.0.0.1:9100")
        text = f'{SERVER}monitoring.listen = "127.0.0.1:9101"\n'
        self.assertEqual([RELOADED], self.said(program, text))

    def test_with_what_a_server_keeps(self) -> None:
        """
        All that needs a restart is in one line.
        """
        program = self.make("server", SERVER)
        program.startService()
        self.addCleanup(program.stopService)
        text = f"{SERVER}tuning.backlog = 7\nmonitoring.debug = false\n"
        self.assertIn(
            f"{UNTIL_RESTART}tuning.backlog, monitoring.debug",
            self.said(program, text),
        )

    def test_mistake(self) -> None:
        """
        It is one of the mistakes, and nothing is reloaded.
        """
        program = self.make("server", SERVER)
        text = f'{SERVER}monitoring.listen = "0.0.0.0:9100"\n'
        [line] = self.said(program, text)
        self.assertTrue(line.startswith("not reloaded: monitoring.listen: "), line)
