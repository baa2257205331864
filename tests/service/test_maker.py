"""
Tests of L{reitunnel.service.maker}, the plugin, and what is said of mistakes.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, cast

from twisted.application.service import Application, IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver
from twisted.plugin import getPlugins
from twisted.python.components import Componentized
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.client import Client
from reitunnel.config import ClientConfig, Secret, ServerConfig
from reitunnel.errors import CertificateError, ConfigError
from reitunnel.monitoring import MonitoredService
from reitunnel.server import Server
from reitunnel.service import maker
from reitunnel.service.exits import ExitCode
from reitunnel.service.logs import LineObserver
from reitunnel.service.maker import Options, make_program
from reitunnel.service.program import Program
from tests.certificates import CertificateAuthority

SERVER = ("server", "--listen", "tcp://127.0.0.1:0", "--insecure-no-auth")
CLIENT = ("client", "tcp://127.0.0.1:1", "-R", "0:h:1")


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(arguments)
    return options


class PluginTests(SynchronousTestCase):
    def test_found(self) -> None:
        """
        C{twistd} finds one plugin of this name, with options and a maker.
        """
        [plugin] = [
            each for each in getPlugins(IServiceMaker) if each.tapname == "reitunnel"
        ]
        verifyObject(IServiceMaker, plugin)
        self.assertIs(Options, plugin.options)
        self.assertIs(maker.makeService, plugin.makeService)


class OptionsTests(SynchronousTestCase):
    def mistake(self, *arguments: str) -> str:
        """
        What is said of a mistake before the exit with 2.
        """
        err = StringIO()
        with redirect_stderr(err):
            left = self.assertRaises(SystemExit, parsed, *arguments)
        self.assertEqual(2, left.code)
        return err.getvalue()

    def test_mistakes(self) -> None:
        """
        One line, with the command whose help is of use.
        """
        self.assertEqual(
            "reitunnel: a command is missing: server or client "
            "(see reitunnel --help)\n",
            self.mistake(),
        )
        self.assertEqual(
            "reitunnel client: option --nope not recognized (see reitunnel client "
            "--help)\n",
            self.mistake("client", "--nope"),
        )


class MakeProgramTests(SynchronousTestCase):
    def make(self, *arguments: str, twistd: dict[str, Any] | None = None) -> Program:
        options = parsed(*arguments)
        if twistd is not None:
            options.parent = cast(Any, twistd)
        exit_code = ExitCode(lambda handler: None, lambda code: None)
        self.patch(sys, "excepthook", sys.excepthook)
        return make_program(MemoryReactorClock(), options, exit_code)

    def test_server(self) -> None:
        [service] = self.make(*SERVER)
        self.assertIsInstance(service, Server)

    def test_client(self) -> None:
        [service] = self.make(*CLIENT)
        self.assertIsInstance(service, Client)

    def test_monitored(self) -> None:
        """
        With an address for it the server or client has a monitor.
        """
        for arguments in (SERVER, CLIENT):
            [service] = self.make(*arguments, "--monitor", "127.0.0.1:0")
            self.assertIsInstance(service, MonitoredService)

    def test_log(self) -> None:
        """
        The log of the application is written as the configuration says, unless
        C{twistd --logger} says otherwise.
        """
        out = StringIO()
        self.patch(sys, "stdout", out)
        program = self.make(*SERVER, "--log-format", "json", twistd={"nodaemon": 1})
        application = cast(Componentized, Application("reitunnel"))
        program.setServiceParent(application)
        observer = application.getComponent(ILogObserver)
        self.assertIsInstance(observer, LineObserver)
        observer({"log_format": "said"})
        self.assertTrue(out.getvalue().startswith('{"time"'), out.getvalue())
        program = self.make(*SERVER, twistd={"nodaemon": 1, "logger": object()})
        application = cast(Componentized, Application("reitunnel"))
        program.setServiceParent(application)
        self.assertIsNone(application.getComponent(ILogObserver, None))

    def test_mistakes(self) -> None:
        error = self.assertRaises(ConfigError, self.make, "server")
        self.assertIn("listen", [mistake.path for mistake in error.mistakes])

    def test_all_mistakes(self) -> None:
        """
        Those too that only a server or a client would find.
        """
        file = Path(self.mktemp())
        file.write_text('[[hooks]]\nname = "nosuch"\n')
        for command, key in (("server", "listen"), ("client", "tunnels")):
            error = self.assertRaises(
                ConfigError, self.make, command, "--config", str(file)
            )
            paths = {mistake.path for mistake in error.mistakes}
            self.assertTrue({key, "hooks[0].name"} <= paths, paths)

    def test_leaves(self) -> None:
        """
        What C{twistd} calls says them and exits.
        """
        err = StringIO()
        with redirect_stderr(err):
            left = self.assertRaises(SystemExit, maker.makeService, parsed("server"))
        self.assertEqual(2, left.code)
        self.assertIn("listen: missing (--listen)\n", err.getvalue())


class MistakesTests(SynchronousTestCase):
    """
    What only becomes known when a server or client is made has the key's path too.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def paths(self, error: ConfigError) -> list[str]:
        return [mistake.path for mistake in error.mistakes]

    def test_listen(self) -> None:
        config = ServerConfig(
            listen=("tcp://127.0.0.1:1", "tcp://a..b:1", "nope://a"),
            insecure_no_auth=True,
            insecure_plaintext=True,
        )
        error = self.assertRaises(ConfigError, Server, self.reactor, config)
        self.assertEqual(["listen[1]", "listen[2]"], self.paths(error))

    def test_server(self) -> None:
        config = ClientConfig(server="nope://a:1")
        error = self.assertRaises(ConfigError, Client, self.reactor, config)
        self.assertEqual(["server"], self.paths(error))

    def test_token(self) -> None:
        config = ClientConfig(server="tcp://127.0.0.1:1", token=Secret("geheim"))
        error = self.assertRaises(ConfigError, Client, self.reactor, config)
        self.assertEqual(["token"], self.paths(error))
        self.assertNotIn("geheim", str(error))

    def test_server_name(self) -> None:
        config = ClientConfig(server="tls://127.0.0.1:1", server_name="\u200b.")
        error = self.assertRaises(ConfigError, Client, self.reactor, config)
        self.assertEqual(["server_name"], self.paths(error))

    def test_open_key(self) -> None:
        pem = Path(self.mktemp())
        CertificateAuthority().issue("server").write(pem).chmod(0o640)
        config = ServerConfig(
            listen=("tls://127.0.0.1:0",), pem=pem, insecure_no_auth=True
        )
        error = self.assertRaises(CertificateError, Server, self.reactor, config)
        self.assertIn(str(pem), str(error))
