"""
Tests of what C{reitunnel check} says of hooks, and which key it names.
"""

from __future__ import annotations

import os
import tomllib
from io import StringIO

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.auth import new_token
from reitunnel.config import HookSettings
from reitunnel.hooks import (
    AggregatingHook,
    BaseHook,
    CombinedHook,
    SampledHook,
    innermost,
)
from reitunnel.service.check import CheckOptions, check_file
from reitunnel.service.hook_tables import hook_tables
from tests.service.test_check import LARGE, OPEN, CheckTestCase
from twisted import plugins


class KeyTests(CheckTestCase):
    """
    The key that is named is the one to change.
    """

    def wrong(self, text: str) -> list[str]:
        code, lines = self.check(text)
        self.assertEqual(2, code, lines)
        return [line.removeprefix("wrong: ") for line in lines]

    def hooks(self, *tables: str) -> list[str]:
        return self.wrong(OPEN + "".join(f"[[hooks]]\n{table}\n" for table in tables))

    def test_token_file(self) -> None:
        self.put("tokens.toml", new_token("a")[1]).chmod(0o644)
        text = 'listen = ["tcp://127.0.0.1:0"]\nauth.tokens = "tokens.toml"\n'
        [line] = self.wrong(text)
        file = f"{self.directory}/tokens.toml"
        self.assertTrue(
            line.startswith(f"auth.tokens: {file} is open to others (mode 0644)"), line
        )
        self.put("tokens.toml", "secret = 3\n").chmod(0o600)
        [line] = self.wrong(text)
        self.assertTrue(line.startswith("auth.tokens: secret: "), line)

    def test_url(self) -> None:
        lines = self.hooks(
            'name = "alerts"\nurl = "https://h:99999/"',
            'name = "remote-policy"\nurl = "https://[::1/"',
        )
        self.assertEqual(
            [
                "hooks[0].url: Port out of range 0-65535",
                "hooks[1].url: Invalid IPv6 URL",
            ],
            lines,
        )

    def test_inside_of_a_table(self) -> None:
        [line] = self.hooks('name = "addresses"\nclients = {allow = ["x"]}')
        self.assertTrue(line.startswith("hooks[0].clients.allow[0]: expected a"), line)

    def test_file_of_a_hook(self) -> None:
        lines = self.hooks(
            'name = "addresses"\nclients = {deny_file = "none"}',
            'name = "quota"\nrules = [{}]\nfile = "none/quota"',
            'name = "alerts"\nurl = "https://h/"\nca = "none"',
            'name = "metrics"\nfile = "none/metrics"',
        )
        none = f"{self.directory}/none"
        self.assertEqual(
            [
                f"hooks[0].clients.deny_file: {none}: No such file or directory",
                f"hooks[1].file: {none} is not a directory",
                f"hooks[2].ca: {none}: No such file or directory",
                f"hooks[3].file: {none} is not a directory",
            ],
            lines,
        )

    def test_combined(self) -> None:
        [line] = self.hooks(
            'name = "combined"\nhooks = [{name = "metrics", file = "none/m"}]'
        )
        self.assertTrue(line.startswith("hooks[0].hooks[0].file: "), line)

    def test_fifo(self) -> None:
        """
        It does not wait for somebody to write.
        """
        os.mkfifo(self.file)
        options = CheckOptions()
        options.parseOptions([str(self.file)])
        out = StringIO()
        self.assertEqual(2, check_file(options, out, MemoryReactorClock(), LARGE))
        self.assertEqual(f"wrong: {self.file}: not a file\n", out.getvalue())


class AdviceTests(CheckTestCase):
    TEXT = 'listen = ["tcp://127.0.0.1:0"]\nauth.tokens = "tokens.toml"\n'

    def setUp(self) -> None:
        super().setUp()
        self.put("tokens.toml", new_token("a")[1])

    def test_time_for_a_policy(self) -> None:
        """
        A policy service that has longer than a hook may take.
        """
        table = 'name = "remote-policy"\nurl = "https://h/"\ntimeout = '
        text = f"{self.TEXT}[timeouts]\nhook = 6.0\n"
        self.assertEqual([], self.risks(f"{text}[[hooks]]\n{table}6.0\n"))
        [risk] = self.risks(f"{text}[[hooks]]\n{table}7.0\n")
        self.assertEqual(
            "hooks[0].timeout: 7 s, of which timeouts.hook leaves 6 s: who is asked "
            "about is refused then",
            risk,
        )
        [risk] = self.risks(
            f'{text}[[hooks]]\nname = "combined"\n[[hooks.hooks]]\n{table}7.0\n'
        )
        self.assertTrue(risk.startswith("hooks[0].hooks[0].timeout: "), risk)
        text = f"{self.TEXT}[timeouts]\nhook = 2.0\n"
        [risk] = self.risks(f"{text}[[hooks]]\n{table.partition('timeout')[0]}")
        self.assertTrue(risk.startswith("hooks[0].timeout: 3 s"), risk)

    def test_combined(self) -> None:
        text = f'{self.TEXT}[[hooks]]\nname = "combined"\n'
        inner = '[[hooks.hooks]]\nname = "logging"\n'
        [hint] = self.hints(f"{text}{inner}{inner}sample = 1\n")
        self.assertTrue(hint.startswith("hooks[0].hooks[1].sample: "), hint)
        self.assertEqual(
            [], self.hints(f"{text}wrap.aggregate = 2.0\n{inner}sample = 1\n")
        )


class BrokenPluginTests(CheckTestCase):
    """
    A plugin that cannot be loaded is named where there are hooks.
    """

    def setUp(self) -> None:
        super().setUp()
        directory = self.directory / "twisted" / "plugins"
        directory.mkdir(parents=True)
        (directory / "broken_for_test.py").write_text("import nothing_of_the_kind\n")
        self.patch(plugins, "__path__", [*plugins.__path__, str(directory)])
        self.line = (
            "risk: hooks: plugin twisted.plugins.broken_for_test is left out: it "
            "cannot be loaded: ModuleNotFoundError: No module named "
            "'nothing_of_the_kind'"
        )

    def test_without_mistakes(self) -> None:
        code, lines = self.check(f'{OPEN}[[hooks]]\nname = "logging"\n')
        self.assertEqual((1, True), (code, self.line in lines), lines)
        _, lines = self.check(OPEN)
        self.assertNotIn(self.line, lines)

    def test_with_a_mistake(self) -> None:
        code, lines = self.check(f'{OPEN}[[hooks]]\nname = "missing"\n')
        self.assertEqual((2, 2), (code, len(lines)))
        self.assertEqual(self.line, lines[1])


class TableTests(SynchronousTestCase):
    def test_paths(self) -> None:
        """
        Tables inside of others are found, and each of several wrappers.
        """
        text = """
            [[hooks]]
            name = "a"
            wrap = [{aggregate = 2.0}, {queue = 1000}]
            [[hooks]]
            name = "combined"
            wrap.sample = 10
            hooks = [{name = "b"}, {name = "combined", hooks = [{name = "c"}]}]
            [[hooks]]
            name = "combined"
            hooks = [{name = "d"}, {name = "e", wrap.queue = 1000}]
        """
        settings = [
            HookSettings(name=table.pop("name"), options=table)
            for table in tomllib.loads(text)["hooks"]
        ]
        self.assertEqual(
            [
                ("a", "hooks[0]", ["hooks[0].wrap[0]", "hooks[0].wrap[1]"], True),
                ("b", "hooks[1].hooks[0]", [], True),
                ("c", "hooks[1].hooks[1].hooks[0]", [], True),
                ("d", "hooks[2].hooks[0]", [], False),
                ("e", "hooks[2].hooks[1]", ["hooks[2].hooks[1].wrap"], True),
            ],
            [
                (each.name, each.path, list(each.wraps), each.wrapped)
                for each in hook_tables(settings)
            ],
        )

    def test_hooks(self) -> None:
        """
        Each table has its hook, in whichever wrappers.
        """
        one, two, three = BaseHook(), BaseHook(), BaseHook()
        inner = [{"name": "b"}, {"name": "c"}]
        settings = [
            HookSettings(name="a"),
            HookSettings(name="combined", options={"hooks": inner}),
        ]
        hooks = [one, SampledHook(AggregatingHook(CombinedHook(two, three), 1.0), 9)]
        self.assertEqual(
            [one, two, three],
            [next(innermost([each.hook])) for each in hook_tables(settings, hooks)],
        )
