"""
Hooks of a configuration that cannot be attached.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from msgspec import Struct
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel import ConfigError
from reitunnel.config import ClientConfig, HookSettings, ServerConfig
from reitunnel.hooks import ConfiguredHooks, building
from reitunnel.interfaces import IHookFactory, IHookHost
from reitunnel.service.check import CheckOptions, check_file
from reitunnel.service.exits import MISTAKEN
from tests.hooks.support import BackgroundHook
from tests.pair import Pair, client_config, server_config

REASON = "hook Moody failed in attach: RuntimeError: no such table"


class Moody(BackgroundHook):
    def attach(self, host: IHookHost) -> None:
        raise RuntimeError("no such\ntable")


class NoOptions(Struct):
    pass


@implementer(IHookFactory)
class MoodyFactory:
    name = "moody"
    description = "Cannot be attached."
    options = NoOptions

    def build(self, options: NoOptions, reactor: object) -> object:
        return Moody()


@implementer(IHookFactory)
class CalmFactory:
    name = "calm"
    description = "Can be."
    options = NoOptions

    def build(self, options: NoOptions, reactor: object) -> object:
        return BackgroundHook()


def exit_quietly(self: object, options: NoOptions, reactor: object) -> object:
    raise SystemExit("bye")


TABLES = (HookSettings(name="calm"), HookSettings(name="moody"))


def attach(config: ServerConfig | ClientConfig) -> None:
    """
    Make the hooks of a configuration, and register them.
    """
    ConfiguredHooks(Clock(), config).register(())


class AttachingTests(SynchronousTestCase):
    """
    It is one line for people, with the key. Where it fell over is for its author.
    """

    def setUp(self) -> None:
        factories = {"moody": MoodyFactory(), "calm": CalmFactory()}
        self.patch(building, "load_hook_factories", lambda: factories)

    def check_error(self, error: BaseException | None, reason: str = REASON) -> None:
        assert isinstance(error, ConfigError)
        self.assertEqual(f"hooks[1]: {reason}", str(error))

    def test_start(self) -> None:
        for config in (server_config(hooks=TABLES), client_config(hooks=TABLES)):
            with capturedLogs() as events:
                error = self.assertRaises(ConfigError, attach, config)
            self.check_error(error)
            [said] = events
            self.assertIs(LogLevel.debug, said["log_level"])
            self.assertIn("test_attaching", said["log_failure"].getTraceback())
            self.flushLoggedErrors(RuntimeError)

    def test_exit(self) -> None:
        """
        A hook that exits instead does not end the program without a word.
        """
        self.patch(MoodyFactory, "build", exit_quietly)
        error = self.assertRaises(ConfigError, attach, server_config(hooks=TABLES))
        self.check_error(error, "SystemExit: bye")
        self.flushLoggedErrors(SystemExit)

    def test_needs_threads(self) -> None:
        """
        The same of what a wrapper refuses.
        """
        tables = (
            HookSettings(name="calm"),
            HookSettings(name="calm", options={"wrap": {"queue": 1000}}),
        )
        error = self.assertRaises(ConfigError, attach, server_config(hooks=tables))
        self.check_error(error, "BackgroundHook#2 needs a reactor that has threads")

    def test_reload(self) -> None:
        """
        It is refused, and nothing has changed.
        """
        pair = Pair().start()
        error: Any = self.failureResultOf(
            pair.server.reload(server_config(hooks=TABLES))
        ).value
        self.check_error(error)
        self.assertEqual((pair.told_server,), pair.server.hooks.hooks)
        own = self.assertRaises(
            ConfigError, pair.client.reload, client_config(hooks=TABLES)
        )
        self.check_error(own)
        self.flushLoggedErrors(RuntimeError)
        self.assertIsNone(pair.visit().lost)
        self.assertEqual([], pair.stop())

    def test_check(self) -> None:
        """
        C{reitunnel check} says that it is wrong.
        """
        path = Path(self.mktemp())
        path.write_text(
            'listen = ["tcp://127.0.0.1:7000"]\ninsecure_no_auth = true\n'
            '[[hooks]]\nname = "calm"\n[[hooks]]\nname = "moody"\n'
        )
        options = CheckOptions()
        options.parseOptions(["--server", str(path)])
        out = StringIO()
        code = check_file(options, out, Clock())
        self.assertEqual(
            (f"wrong: hooks[1]: {REASON}\n", MISTAKEN), (out.getvalue(), code)
        )
        self.flushLoggedErrors(RuntimeError)
