"""
Secrets do not show where somebody looks at the objects that hold them, or at what is
said of a mistake.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Client, ClientConfig
from reitunnel.auth import ClientAuthenticator, ClientCredentials, new_token
from reitunnel.auth.scram import ClientFirst, Header, Verifier
from reitunnel.auth.token_file import read_token_file
from reitunnel.auth.tokens import Token
from reitunnel.config import HookSettings, Secret, load_client_config
from reitunnel.errors import (
    ConfigError,
    ConfigMistake,
    RemoteProtocolError,
    hide_tokens,
)
from reitunnel.wire.messages import Welcome, decode_message
from tests.auth.support import CHANNEL, PLAIN, write_token_file
from tests.client.rogue import WELCOME
from tests.memory import MemoryReactor
from tests.pair import client_config, server_config


def shapes(secret: bytes) -> list[str]:
    """
    How the bytes of a secret may show in a text.
    """
    return [secret.hex(), repr(secret)[2:-1], repr(secret)]


class ReprTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.token, self.entry = new_token("laptop")
        self.secret = self.token.rpartition("_")[2]

    def test_token(self) -> None:
        credentials = ClientCredentials(self.token)
        config = client_config(token=Secret(self.token))
        for value in (
            Token.parse(self.token),
            credentials,
            ClientAuthenticator(credentials),
            ClientFirst("laptop", self.secret, Header.bound(CHANNEL)),
            config,
            config.token,
            Client(MemoryReactor(), config),
            ClientAuthenticator(credentials).choose(["SCRAM-SHA-256"], PLAIN),
        ):
            self.assertNotIn(self.secret, f"{value!r} {value}")

    def test_verifier(self) -> None:
        file = read_token_file(write_token_file(Path(self.mktemp()), self.entry))
        [stored] = file.tokens.values()
        keys = (stored.verifier.stored_key, stored.verifier.server_key)
        for value in (file, stored, stored.verifier, Verifier(b"s", *keys)):
            for key in keys:
                for shape in shapes(key):
                    self.assertNotIn(shape, f"{value!r} {value}")

    def test_session(self) -> None:
        for shape in shapes(WELCOME.secret):
            self.assertNotIn(shape, f"{WELCOME!r} {WELCOME}")
        self.assertIn(WELCOME.session.hex(), repr(WELCOME))

    def test_channel(self) -> None:
        header = Header.bound(CHANNEL)
        for shape in shapes(CHANNEL):
            self.assertNotIn(shape, f"{header!r} {header}")


class TracebackTests(SynchronousTestCase):
    """
    What is raised while a secret is at hand says nothing of it.
    """

    def told(self, error: BaseException) -> str:
        failure = Failure(error)
        return "".join(traceback.format_exception(error)) + failure.getTraceback()

    def test_damaged_token(self) -> None:
        token, _ = new_token("laptop")
        damaged = token[:-2] + "aa"
        error = self.assertRaises(ValueError, ClientCredentials, damaged)
        self.assertNotIn(damaged[20:], self.told(error))

    def test_damaged_welcome(self) -> None:
        secret = b"a secret that is one byte longer!"
        payload = b"\x81\xa6secret\xc4\x21" + secret
        error = self.assertRaises(RemoteProtocolError, decode_message, Welcome, payload)
        self.assertNotIn("a secret", self.told(error))


class MisplacedTokenTests(SynchronousTestCase):
    """
    A token that somebody has put where a file, an address or a tunnel belongs.
    """

    def setUp(self) -> None:
        self.token, _ = new_token("laptop.2")
        self.secret = self.token.rpartition("_")[2]

    def test_hidden(self) -> None:
        self.assertEqual(
            "see rt1_laptop.2_..., twice: rt1_laptop.2_...",
            hide_tokens(f"see {self.token}, twice: {self.token.upper().lower()}"),
        )
        self.assertEqual("rt1_a_..., cut", hide_tokens(f"rt1_a_{'q' * 30}, cut"))
        self.assertEqual("rt1_is_no_token", hide_tokens("rt1_is_no_token"))

    def test_mistakes(self) -> None:
        for flags in (
            {"server": self.token},
            {"server": f"tcp://{self.token}:1"},
            {"token_file": self.token},
            {"ca": self.token},
            {"pem": self.token},
            {"carrier": self.token},
            {"tunnels": [self.token]},
            {"tunnels": [f"6000:{self.token}"]},
            {"channel_binding": self.token},
        ):
            error: ConfigError = self.assertRaises(
                ConfigError, load_client_config, None, flags, {}
            )
            lines = "\n".join(str(mistake) for mistake in error.mistakes)
            self.assertNotIn(self.secret, f"{error} {lines}", flags)

    def test_unknown_key(self) -> None:
        self.assertEqual(
            "rt1_laptop.2_...: unknown key",
            str(ConfigMistake(self.token, "unknown key")),
        )

    def test_option_of_a_hook(self) -> None:
        hook = HookSettings(name="alarm", options={"url": "u", "password": "hunter2"})
        config = server_config(hooks=(hook,))
        self.assertNotIn("hunter2", f"{hook!r} {config!r}")
        self.assertIn("options=['password', 'url']", repr(config))

    def test_secret_of_a_configuration(self) -> None:
        config = ClientConfig(server="tcp://127.0.0.1:1", token=Secret(self.token))
        self.assertEqual("Secret(...)", f"{config.token!r}")
        self.assertEqual("Secret(...)", f"{config.token}")
