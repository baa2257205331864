"""
Tests of the combinations of keys that are refused: they are not safe, or make no
sense.
"""

from __future__ import annotations

from tests.config.test_loading import OPEN, TO, LoadingTestCase


class ServerCombinationTests(LoadingTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("tokens.toml", "server.pem", "ca.pem"):
            self.write(name, "")

    def refused(self, text: str, *mistakes: str) -> None:
        """
        The file has exactly these mistakes.
        """
        self.assertEqual(list(mistakes), self.mistakes(self.server, text))

    def test_no_authentication(self) -> None:
        self.refused(
            'listen = ["tcp://127.0.0.1:7000"]',
            "auth: anybody could open tunnels: set auth.tokens (--tokens) or "
            "auth.client_ca, or say insecure_no_auth (--insecure-no-auth)",
        )

    def test_with_authentication(self) -> None:
        self.server('listen = ["tcp://127.0.0.1:7000"]\nauth.tokens = "tokens.toml"')
        self.server(
            'listen = ["tls://0.0.0.0:7000"]\npem = "server.pem"\n'
            'auth.client_ca = "ca.pem"'
        )

    def test_no_authentication_and_tokens(self) -> None:
        self.refused(
            OPEN + 'auth.tokens = "tokens.toml"',
            "insecure_no_auth: contradicts auth.tokens: leave one of them out",
        )

    def test_wrong_key_of_authentication_is_enough_blame(self) -> None:
        self.refused(
            'listen = ["tcp://127.0.0.1:7000"]\nauth.tokens = 3',
            "auth.tokens: expected a path, got 3",
        )

    def test_plaintext(self) -> None:
        for text in ("tcp://0.0.0.0:7000", "ws://[::]:80/", "tcp:7000"):
            listen = f'listen = ["tcp://127.0.0.1:1", "{text}"]\n'
            rest = "insecure_no_auth = true\n"
            self.refused(
                listen + rest,
                f'listen: "{text}" may listen in plaintext beyond this machine: '
                "use tls:// or wss://, a loopback address, or say "
                "insecure_plaintext (--insecure-plaintext)",
            )
            self.server(listen + rest + "insecure_plaintext = true")

    def test_plaintext_on_this_machine(self) -> None:
        for text in (
            "tcp://localhost:7000",
            "ws://[::1]:80/x",
            "unix:/run/x",
            "tcp:7000:interface=127.0.0.1",
        ):
            self.server(f'listen = ["{text}"]\ninsecure_no_auth = true')

    def test_no_certificate(self) -> None:
        self.refused(
            'listen = ["tls://0.0.0.0:7000"]\ninsecure_no_auth = true',
            'pem: missing: "tls://0.0.0.0:7000" needs a certificate and key (--pem)',
        )

    def test_no_certificate_for_endpoint(self) -> None:
        """
        An endpoint description brings its own.
        """
        self.server('listen = ["ssl:7000:privateKey=x"]\ninsecure_no_auth = true')

    def test_wrong_certificate_path_is_enough_blame(self) -> None:
        self.refused(
            'listen = ["tls://0.0.0.0:7000"]\ninsecure_no_auth = true\npem = 3',
            "pem: expected a path, got 3",
        )

    def test_listener_given_twice(self) -> None:
        self.refused(
            'listen = ["unix:/x", "unix:/y", "unix:/x"]\ninsecure_no_auth = true',
            'listen: "unix:/x" is given twice',
        )

    def test_binding_without_a_channel(self) -> None:
        text = (
            'listen = ["tls://0.0.0.0:7000", "tcp://127.0.0.1:1"]\n'
            'pem = "server.pem"\n'
            'auth = { tokens = "tokens.toml", channel_binding = "%s" }'
        )
        self.refused(
            text % "require",
            'auth.channel_binding: "tcp://127.0.0.1:1" has no TLS channel, so every '
            "client there would be refused",
        )
        self.server(text % "prefer")
        self.server(text % "never")

    def test_binding_without_tokens(self) -> None:
        self.refused(
            'listen = ["tls://0.0.0.0:7000"]\npem = "server.pem"\n'
            'auth = { client_ca = "ca.pem", channel_binding = "require" }',
            "auth.channel_binding: only tokens are bound to a channel: set "
            'auth.tokens, or leave "require" out',
        )

    def test_client_certificates_without_tls(self) -> None:
        message = (
            'auth.client_ca: "tcp://127.0.0.1:1" has no TLS and so no client '
            "certificates: every client there would be refused"
        )
        listen = 'listen = ["tcp://127.0.0.1:1"]\n'
        both = 'auth = { client_ca = "ca.pem", tokens = "tokens.toml"'
        self.refused(listen + 'auth.client_ca = "ca.pem"', message)
        self.refused(listen + both + "}", message)
        self.server(listen + both + ', require = "any" }')

    def test_files_that_are_missing(self) -> None:
        directory = self.directory.absolute()
        self.refused(
            'listen = ["tls://0.0.0.0:1"]\npem = "a"\n'
            'auth = { tokens = "b", client_ca = "c" }',
            f"pem: no such file or directory: {directory}/a",
            f"auth.tokens: no such file: {directory}/b",
            f"auth.client_ca: no such file: {directory}/c",
        )

    def test_directories(self) -> None:
        directory = self.directory.absolute() / "d"
        directory.mkdir()
        self.refused(
            'listen = ["tls://0.0.0.0:1"]\npem = "d"\nauth.tokens = "d"',
            f"auth.tokens: is a directory: {directory}",
        )

    def test_pattern_that_matches_nobody(self) -> None:
        message = (
            "matches no client: an identity is token:NAME, certificate:NAME or "
            "anonymous"
        )
        self.refused(OPEN + "[policy.clients.web]", f"policy.clients.web: {message}")
        self.refused(
            OPEN + '[policy.clients."Token:a"]', f'policy.clients."Token:a": {message}'
        )
        for pattern in ("token:web", "certificate:CN=x", "anonymous", "*", "[a-z]*"):
            self.server(OPEN + f'[policy.clients."{pattern}"]')

    def test_heartbeat(self) -> None:
        self.refused(
            OPEN + "timeouts = { heartbeat_interval = 2.5, heartbeat_timeout = 2.5 }",
            "timeouts.heartbeat_interval: 2.5 s is not less than heartbeat_timeout, "
            "2.5 s",
        )

    def test_session_smaller_than_a_stream(self) -> None:
        self.refused(
            OPEN + "limits.max_session_bytes = 1048576\ntuning.stream_window = 2097152",
            "limits.max_session_bytes: 1048576 is less than tuning.stream_window, "
            "2097152",
        )


class ClientCombinationTests(LoadingTestCase):
    def refused(self, text: str, *mistakes: str) -> None:
        """
        The file has exactly these mistakes.
        """
        self.assertEqual(list(mistakes), self.mistakes(self.client, text))

    def to(self, server: str) -> str:
        return TO.replace("tls://example.com:7000", server)

    def test_plaintext(self) -> None:
        for server in ("tcp://example.com:7000", "ws://10.0.0.1/x", "tcp:h:7000"):
            self.refused(
                self.to(server),
                f'server: "{server}" would be used in plaintext: use tls:// or '
                "wss://, or say insecure_plaintext (--insecure-plaintext)",
            )
            self.client("insecure_plaintext = true\n" + self.to(server))

    def test_plaintext_on_this_machine(self) -> None:
        for server in ("tcp://127.0.0.1:7000", "ws://localhost/", "unix:/run/x"):
            self.client(self.to(server))

    def test_tls_keys_without_tls(self) -> None:
        for name in ("ca.pem", "client.pem"):
            self.write(name, "")
        server = "tcp://127.0.0.1:7000"
        self.refused(
            'ca = "ca.pem"\npem = "client.pem"\nserver_name = "x"\n' + self.to(server),
            f'ca: has no effect: "{server}" has no TLS',
            f'pem: has no effect: "{server}" has no TLS',
            f'server_name: has no effect: "{server}" has no TLS',
        )
        self.client('ca = "ca.pem"\npem = "client.pem"\nserver_name = "x"\n' + TO)

    def test_binding(self) -> None:
        required = 'channel_binding = "require"\n'
        self.refused(
            required + TO,
            "channel_binding: only tokens are bound to a channel: set a token, or "
            'leave "require" out',
        )
        self.refused(
            required + 'token = "t"\n' + self.to("tcp://127.0.0.1:7000"),
            'channel_binding: "tcp://127.0.0.1:7000" has no TLS channel to bind to',
        )
        self.client(required + 'token = "t"\n' + TO)

    def test_binding_with_a_token_from_the_environment(self) -> None:
        self.environ["REITUNNEL_TOKEN"] = "t"
        self.client('channel_binding = "require"\n' + TO)

    def test_files_that_are_missing(self) -> None:
        directory = self.directory.absolute()
        self.refused(
            'ca = "a"\npem = "b"\n' + TO,
            f"ca: no such file: {directory}/a",
            f"pem: no such file: {directory}/b",
        )

    def test_nothing_to_do(self) -> None:
        self.refused(
            'server = "tls://h:1"',
            "tunnels: nothing to do: give -R or a [[tunnels]] table",
        )

    def test_port_asked_for_twice(self) -> None:
        tunnel = '[[tunnels]]\nport = 6000\ntarget = "b:1"\n'
        self.refused(TO + tunnel, "tunnels: port 6000 is asked for twice")
        bound = tunnel + 'bind = "::1"\n'
        self.refused(TO + bound + bound, "tunnels: port 6000 of ::1 is asked for twice")
        self.client(TO + bound)
        self.client(TO + 2 * tunnel.replace("6000", "0"))

    def test_direct_carrier_without_data_links(self) -> None:
        self.refused(
            'carrier = "direct"\npool_size = 0\n' + TO,
            'pool_size: carrier = "direct" needs at least 1 data link',
        )
        self.refused(
            'carrier = "pigeon"\npool_size = 0\n' + TO,
            'carrier: expected one of "auto", "direct", "mux", got "pigeon"',
        )
        self.client("pool_size = 0\n" + TO)
        self.client('carrier = "direct"\npool_size = 1\n' + TO)

    def test_delays(self) -> None:
        self.refused(
            "retry = { initial_delay = 2, max_delay = 1.5 }\n" + TO,
            "retry.initial_delay: 2 s is more than max_delay, 1.5 s",
        )

    def test_heartbeat(self) -> None:
        self.refused(
            "timeouts.heartbeat_timeout = 3\n" + TO,
            "timeouts.heartbeat_interval: 10 s is not less than heartbeat_timeout, 3 s",
        )

    def test_session_smaller_than_a_stream(self) -> None:
        self.refused(
            "limits.max_session_bytes = 1048576\ntuning.stream_window = 2097152\n" + TO,
            "limits.max_session_bytes: 1048576 is less than tuning.stream_window, "
            "2097152",
        )

    def test_mistakes_of_a_flag(self) -> None:
        self.assertEqual(
            [
                (
                    'the server\'s address: "tcp://h:1" would be used in plaintext: '
                    "use tls:// or wss://, or say insecure_plaintext "
                    "(--insecure-plaintext)"
                )
            ],
            self.mistakes(self.client, TO, server="tcp://h:1"),
        )

    def test_monitoring(self) -> None:
        """
        The pages of the process are for this machine, unless told otherwise.
        """
        exposed = '[monitoring]\nlisten = "0.0.0.0:9100"\n'
        self.refused(
            TO + exposed,
            'monitoring.listen: "0.0.0.0:9100" would show everybody who reaches it '
            "what this process does: use a loopback address or unix:/path, or say "
            "monitoring.insecure_expose",
        )
        self.client(f"{TO}{exposed}insecure_expose = true\n")
        for address in ("127.0.0.1:9100", "[::1]:0", "unix:/run/x.sock"):
            self.client(f'{TO}[monitoring]\nlisten = "{address}"\n')
        self.refused(
            f'{TO}[monitoring]\nlisten = "example.com:1"\n',
            'monitoring.listen: expected "address:port", with an IP address, or '
            '"unix:/path", got "example.com:1"',
        )
        [mistake] = self.mistakes(
            self.client, TO, **{"monitoring.listen": "192.0.2.1:1"}
        )
        self.assertTrue(mistake.startswith("--monitor: "), mistake)
