"""
Tests of C{examples/hook_plugin}: a distribution with a hook, which a configuration
file switches on by name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from tests.examples.running import EXAMPLES, ROOT, SECONDS, ExampleTestCase, fetch

SERVER = """
listen = ["tcp://127.0.0.1:0"]
auth.tokens = "tokens.toml"

[[hooks]]
name = "visitor-networks"
allow = ["{network}"]
"""


class HookPluginTests(ExampleTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_token()
        # A copy, because Twisted writes what it has found beside its plugins.
        self.sources = self.directory / "hook_plugin"
        ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
        shutil.copytree(EXAMPLES / "hook_plugin", self.sources, ignore=ignored)

    def public_address(self, network: str) -> str:
        """
        Start a server that lets in visitors of a network, and a client.

        @return: the public address.
        """
        self.environment["PYTHONPATH"] = f"{self.sources}:{ROOT}"
        (self.directory / "server.toml").write_text(SERVER.format(network=network))
        command = Path(sys.executable).with_name("reitunnel")
        server = self.start(command, "server", "--config", "server.toml")
        url = server.wait_for(r"listening on (tcp://\S+)")[1]
        client = self.start_example("basic_client.py", url, "token", self.serve())
        return client.wait_for(r"is public on (\S+)")[1]

    def test_visitor_of_an_allowed_network(self) -> None:
        self.assertEqual("carried\n", fetch(self.public_address("127.0.0.0/8")))

    def test_visitor_of_another_network(self) -> None:
        address = self.public_address("192.0.2.0/24")
        self.assertRaises(ConnectionResetError, fetch, address)

    def test_wrong_option(self) -> None:
        error = self.assertRaises(AssertionError, self.public_address, "here")
        self.assertIn(
            "hooks[0]: 'here' does not appear to be an IPv4 or IPv6 network\n",
            str(error),
        )

    def test_wheel(self) -> None:
        """
        It can be installed, and has nothing but the module and the drop-in.
        """
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
                *("--no-index", "--no-build-isolation", "."),
            ],
            cwd=self.sources,
            stdin=subprocess.DEVNULL,
            timeout=4 * SECONDS,
            check=True,
        )
        (wheel,) = self.sources.glob("*.whl")
        self.assertEqual(
            {"visitor_networks.py", "twisted/plugins/visitor_networks_dropin.py"},
            {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name},
        )
