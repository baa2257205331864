"""
Tests of C{reitunnel:} endpoint strings.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel import ConfigError, TunnelPort, TunnelServerEndpoint
from reitunnel.auth import new_token
from reitunnel.client.endpoint_string import WORDS, TunnelEndpointParser
from reitunnel.config import AuthSettings
from reitunnel.service.options import CLIENT
from tests.certificates import write_private
from tests.memory import MemoryReactor, Peers
from tests.pair import Pair, client_config, server_config

SERVER = r"tcp\://127.0.0.1\:7000"


class StringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        token, lines = new_token("office")
        self.token = write_private(self.directory / "token", token.encode())
        tokens = write_private(self.directory / "tokens.toml", lines.encode())
        self.pair = Pair(
            server=server_config(
                insecure_no_auth=False, auth=AuthSettings(tokens=tokens)
            ),
            client=client_config(tunnels=()),
        ).start_server()
        self.addCleanup(lambda: self.assertEqual([], self.pair.stop()))

    def listen(self, description: str) -> TunnelPort:
        reactor = self.pair.reactor
        endpoint = serverFromString(reactor, description)
        self.assertIsInstance(endpoint, TunnelServerEndpoint)
        listening = endpoint.listen(Peers())
        reactor.settle()
        port = self.successResultOf(listening)
        assert isinstance(port, TunnelPort)

        def stop() -> None:
            port.stopListening()
            reactor.settle()

        self.addCleanup(stop)
        return port

    def mistakes(self, description: str) -> list[str]:
        """
        What is wrong with a string.
        """
        with self.assertRaises(ConfigError) as caught:
            serverFromString(MemoryReactor(), description)
        return str(caught.exception).splitlines()

    def test_provides(self) -> None:
        verifyObject(IPlugin, TunnelEndpointParser())
        verifyObject(IStreamServerEndpointStringParser, TunnelEndpointParser())

    def test_words(self) -> None:
        port = self.listen(
            f"reitunnel:{SERVER}:port=6000:bind=localhost:tokenFile={self.token}"
            ":clientId=shop:carrier=mux:drainTimeout=0:bufferSize=16384"
            ":preset=latency:insecurePlaintext=true:poolSize=3:timeout=20"
        )
        self.assertEqual([6000], self.pair.public_ports)
        config = port.client.config
        self.assertEqual("shop", self.pair.session.instance)
        self.assertEqual("token:office", self.pair.session.identity)
        self.assertEqual(("mux", 3), (config.carrier, config.pool_size))
        self.assertEqual(0, config.timeouts.drain)
        self.assertEqual(16384, config.tuning.buffer_size)
        self.assertTrue(config.insecure_plaintext)
        self.assertEqual("127.0.0.1", port.tunnel.bind)

    def test_file(self) -> None:
        """
        The file says what a client's file says, tunnels or not; the words win.
        """
        file = self.directory / "client.toml"
        file.write_text(
            'server = "tcp://127.0.0.1:7000"\ntoken_file = "token"\n'
            'client_id = "shop"\ncarrier = "mux"\n'
        )
        port = self.listen(f"reitunnel:config={file}:port=6000:carrier=direct")
        self.assertEqual("direct", port.client.config.carrier)
        self.assertEqual("shop", self.pair.session.instance)

    def test_mistakes_name_words(self) -> None:
        """
        Nobody is told of flags, which a string has not.
        """
        [line] = self.mistakes(
            f"reitunnel:tcp\\://192.0.2.1\\:7000:tokenFile={self.token}"
        )
        self.assertIn("say insecure_plaintext (insecurePlaintext)", line)
        [line] = self.mistakes(f"reitunnel:tokenFile={self.token}")
        self.assertNotIn("--", line)

    def test_port_of_the_servers_choice(self) -> None:
        self.listen(f"reitunnel:server={SERVER}:tokenFile={self.token}")
        self.assertEqual(1, len(self.pair.public_ports))

    def test_name_of_the_scheme(self) -> None:
        """
        As with Twisted's own, capitals are no matter.
        """
        self.listen(f"Reitunnel:{SERVER}:tokenFile={self.token}")

    def test_mistakes(self) -> None:
        """
        All are found, and called by their words.
        """
        found = self.mistakes(
            f"reitunnel:{SERVER}:prt=6000:port=sixty:bind=here:tokenFile=nowhere"
            ":poolSize=many"
        )
        self.assertEqual(
            ["prt", "port", "bind", "poolSize", "tokenFile"],
            [line.partition(":")[0] for line in found],
        )

    def test_colons(self) -> None:
        self.assertEqual(
            [r'server: ":" in it is written "\:", got "tls://h:7000"'],
            self.mistakes("reitunnel:tls://h:7000:port=6000"),
        )

    def test_server(self) -> None:
        [line] = self.mistakes("reitunnel:port=6000")
        self.assertTrue(line.startswith("server: "), line)
        self.assertEqual(
            ["server: given twice"],
            self.mistakes(f"reitunnel:{SERVER}:server={SERVER}"),
        )

    def test_token(self) -> None:
        """
        One that is none is a mistake in the string, and not only once it is used.
        """
        self.token.write_text("office")
        [line] = self.mistakes(f"reitunnel:{SERVER}:tokenFile={self.token}")
        self.assertTrue(line.startswith("tokenFile: "), line)

    def test_plaintext(self) -> None:
        """
        The rules about what is safe are those of every client.
        """
        [line] = self.mistakes(r"reitunnel:tcp\://tunnel.example.com\:7000:port=6000")
        self.assertIn("plaintext", line)

    def test_every_flag_of_a_client(self) -> None:
        """
        What C{reitunnel client} has flags for has a word here, except for what the
        program around it decides.
        """
        others = {"log_format", "log_level", "monitoring.listen"}
        keys = {flag.key for flag in CLIENT} - others
        self.assertEqual(keys | {"server"}, set(WORDS.values()))
