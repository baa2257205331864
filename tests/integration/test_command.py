"""
The C{reitunnel} command and the C{twistd} plugin, as programs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.wire import Echo
from twisted.python.failure import Failure

from reitunnel.auth import new_token
from tests.certificates import CertificateAuthority, write_private
from tests.integration.processes import Finished, ProcessTestCase, Running, reactor

TWISTD = ("twistd", "-n", "--pidfile=", "reitunnel")
REITUNNEL = ("reitunnel",)
OPEN_SERVER = ("server", "--listen", "tcp://127.0.0.1:0", "--insecure-no-auth")
PUBLIC = r"is open: 127\.0\.0\.1:(\d+) -> "


class Visitor(Protocol):
    """
    Sends a line, and waits for it to come back.
    """

    def __init__(self, said: bytes) -> None:
        self.heard: Deferred[bytes] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self._said = said
        self._buffer = b""

    def connectionMade(self) -> None:
        """
        Send it.
        """
        assert self.transport is not None
        self.transport.write(self._said)

    def say_again(self) -> None:
        """
        Send it once more.
        """
        assert self.transport is not None
        self.heard = Deferred()
        self._buffer = b""
        self.transport.write(self._said)

    def dataReceived(self, data: bytes) -> None:
        """
        Some of it came back.
        """
        self._buffer += data
        if len(self._buffer) >= len(self._said):
            self.heard.callback(self._buffer)

    def connectionLost(self, reason: Failure | None = None) -> None:
        """
        It will not come back.
        """
        self.gone.callback(None)
        if not self.heard.called:
            self.heard.errback(reason)


class CommandTestCase(ProcessTestCase):
    """
    What the tests have in common.
    """

    def put(self, name: str, text: str, mode: int = 0o600) -> Path:
        """
        Write a file.
        """
        path = write_private(self.directory / name, text.encode())
        path.chmod(mode)
        return path

    async def listen(self, factory: Factory) -> int:
        """
        Listen until the end of the test.

        @return: the port.
        """
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port: IListeningPort = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        address = port.getHost()
        assert isinstance(address, IPv4Address)
        return address.port

    async def taken_port(self) -> int:
        """
        A port that is taken until the end of the test.
        """
        return await self.listen(Factory.forProtocol(Protocol))

    async def start_server(self, *arguments: str) -> tuple[Running, str]:
        """
        Start a server that lets everybody in, and wait until it listens.

        @return: the program, and where it listens.
        """
        running = self.start(*(arguments or (*REITUNNEL, *OPEN_SERVER)))
        match = await running.wait_for(r"listening on (\w+://127\.0\.0\.1:\d+)$")
        return running, match[1]

    async def visit(self, port: int) -> Visitor:
        """
        Visit a public port whose target is an echo. The connection stays open
        until the end of the test.
        """
        visitor = Visitor(b"hello\n")
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        await endpoint.connect(Factory.forProtocol(lambda: visitor))
        assert visitor.transport is not None
        self.addCleanup(visitor.transport.loseConnection)
        self.assertEqual(b"hello\n", await visitor.heard)
        return visitor

    def assert_line(self, finished: Finished, code: int, pattern: str) -> None:
        """
        The program said one line, which fits, and exited with the code.
        """
        self.assertEqual(1, len(finished.lines), finished)
        self.assertRegex(finished.lines[0], pattern)
        self.assertEqual(code, finished.code, finished)


class StopTests(CommandTestCase):
    """
    Both commands, the server and the client, exit with 0 when asked to stop.
    """

    async def server_stops(self, command: tuple[str, ...], name: str) -> None:
        server, _ = await self.start_server(*command, *OPEN_SERVER)
        finished = await server.stop(name)
        self.assertEqual(0, finished.code, finished)
        said = [line.partition(" ")[2] for line in finished.lines]
        self.assertEqual([f"stopping: SIG{name}", "stopped"], said[1:])

    async def client_stops(self, command: tuple[str, ...], name: str) -> None:
        _, url = await self.start_server()
        client = self.start(*command, "client", url, "-R", "0:127.0.0.1:1")
        await client.wait_for(PUBLIC)
        finished = await client.stop(name)
        self.assertEqual(0, finished.code, finished)

    async def test_server_of_twistd(self) -> None:
        await self.server_stops(TWISTD, "TERM")
        await self.server_stops(TWISTD, "INT")

    async def test_server_of_reitunnel(self) -> None:
        await self.server_stops(REITUNNEL, "TERM")
        await self.server_stops(REITUNNEL, "INT")

    async def test_client_of_twistd(self) -> None:
        await self.client_stops(TWISTD, "TERM")
        await self.client_stops(TWISTD, "INT")

    async def test_client_of_reitunnel(self) -> None:
        await self.client_stops(REITUNNEL, "TERM")
        await self.client_stops(REITUNNEL, "INT")

    async def test_client_that_is_not_connected(self) -> None:
        """
        A client that waits for its next attempt stops too.
        """
        client = self.start(*TWISTD, "client", "tcp://127.0.0.1:1", "-R", "0:h:1")
        await client.wait_for(
            r"not connected to tcp://127\.0\.0\.1:1: the connection was refused; "
            r"next attempt in \d\.\d s$"
        )
        finished = await client.stop()
        self.assertEqual(0, finished.code, finished)

    async def test_second_signal(self) -> None:
        """
        A second signal ends the wait for open streams.
        """
        target = await self.listen(Factory.forProtocol(Echo))
        server, url = await self.start_server(
            *REITUNNEL, *OPEN_SERVER, "--drain-timeout", "3600"
        )
        client = self.start(*REITUNNEL, "client", url, "-R", f"0:127.0.0.1:{target}")
        await self.visit(int((await client.wait_for(PUBLIC))[1]))
        server.signal("INT")
        await server.wait_for("waiting up to 3600 s for 1 stream")
        finished = await server.stop("INT")
        self.assertIn("SIGINT: not waiting any longer", finished.out)
        # The end of an orderly stop: hooks are told before it.
        self.assertTrue(finished.out.rstrip().endswith(" stopped"), finished)
        self.assertEqual(0, finished.code, finished)


class TunnelTests(CommandTestCase):
    async def test_flags(self) -> None:
        """
        A tunnel over TLS with a token, all by flags.
        """
        authority = CertificateAuthority()
        authority.write(self.directory / "ca.pem")
        authority.issue("server", "127.0.0.1").write(self.directory / "server.pem")
        made = await self.run_to_end(
            "reitunnel", "token", "laptop", "--add", "tokens.toml", "--out", "token"
        )
        self.assertEqual((0, ""), (made.code, made.out))
        target = await self.listen(Factory.forProtocol(Echo))
        server, url = await self.start_server(
            *REITUNNEL, "server", "--listen", "tls://127.0.0.1:0",
            "--pem", "server.pem", "--tokens", "tokens.toml", "--max-conns", "10",
        )  # fmt: skip
        client = self.start(
            *REITUNNEL, "client", url, "--ca", "ca.pem", "--token-file", "token",
            "-R", f"0:127.0.0.1:{target}", "--client-id", "desk",
        )  # fmt: skip
        line = rf"tunnel 1 of token:laptop/desk {PUBLIC}127\.0\.0\.1:{target}$"
        port = int((await client.wait_for(line))[1])
        self.assertEqual(port, int((await server.wait_for(line))[1]))
        await self.visit(port)

    async def test_config_files(self) -> None:
        """
        The same by files, in which paths are relative to the file; the token comes
        from the environment.
        """
        authority = CertificateAuthority()
        authority.write(self.directory / "ca.pem")
        authority.issue("server", "127.0.0.1").write(self.directory / "server.pem")
        token, lines = new_token("laptop")
        self.put("tokens.toml", lines)
        target = await self.listen(Factory.forProtocol(Echo))
        config = self.put(
            "server.toml",
            'listen = ["tls://127.0.0.1:0"]\npem = "server.pem"\n'
            'auth.tokens = "tokens.toml"\n',
        )
        server, url = await self.start_server(*TWISTD, "server", "-c", str(config))
        config = self.put(
            "client.toml",
            f'server = "{url}"\nca = "ca.pem"\n[[tunnels]]\nport = 0\n'
            f'target = "127.0.0.1:{target}"\n',
        )
        client = self.start(
            *TWISTD, "client", "-c", str(config), environ={"REITUNNEL_TOKEN": token}
        )
        await self.visit(int((await client.wait_for(PUBLIC))[1]))
        for running in (server, client):
            self.assertNotIn(token[-20:], running.output)

    async def test_two_clients_in_one_directory(self) -> None:
        """
        C{reitunnel} writes no pid file.
        """
        _, url = await self.start_server()
        for target in ("127.0.0.1:1", "127.0.0.1:2"):
            client = self.start(*REITUNNEL, "client", url, "-R", f"0:{target}")
            await client.wait_for(PUBLIC)
        self.assertEqual([], list(self.directory.iterdir()))


class DaemonTests(CommandTestCase):
    async def test_daemon(self) -> None:
        """
        C{twistd} exits with 0 when the server listens; the daemon has a pid file
        and a log file, serves, and stops on SIGTERM.
        """
        parent = self.start(
            "twistd", "--pidfile=server.pid", "--logfile=server.log", "reitunnel",
            *OPEN_SERVER,
        )  # fmt: skip
        finished = await parent.finished()
        self.assertEqual(Finished(0, "", ""), finished)
        pid = int((self.directory / "server.pid").read_text())
        self.kill_daemon_later(pid, parent)
        log = self.directory / "server.log"
        [line] = log.read_text().splitlines()
        url = line.partition("listening on ")[2]
        client = self.start(*REITUNNEL, "client", url, "-R", "0:127.0.0.1:1")
        await client.wait_for(PUBLIC)
        await client.stop()
        os.kill(pid, signal.SIGTERM)
        await parent.gone()
        said = [line.partition(" ")[2] for line in log.read_text().splitlines()]
        self.assertEqual(["stopping: SIGTERM", "stopped"], said[-2:])
        self.assertEqual([log], list(self.directory.iterdir()))

    async def test_rotation(self) -> None:
        """
        SIGUSR1 rotates the log file, as C{twistd} does.
        """
        parent = self.start(
            "twistd", "--pidfile=pid", "--logfile=log", "reitunnel", *OPEN_SERVER
        )
        await parent.finished()
        pid = int((self.directory / "pid").read_text())
        self.kill_daemon_later(pid, parent)
        os.kill(pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGTERM)
        await parent.gone()
        self.assertIn("listening on", (self.directory / "log.1").read_text())
        self.assertIn("stopped", (self.directory / "log").read_text())

    async def test_reload(self) -> None:
        """
        SIGHUP reloads a daemon that has gone to another directory.
        """
        (self.directory / "elsewhere").mkdir()
        self.put(
            "server.toml", 'listen = ["tcp://127.0.0.1:0"]\ninsecure_no_auth = true\n'
        )
        pid_file, log = self.directory / "pid", self.directory / "log"
        parent = self.start(
            "twistd", f"--pidfile={pid_file}", f"--logfile={log}", "--rundir=elsewhere",
            "reitunnel", "server", "--config", "server.toml",
        )  # fmt: skip
        self.assertEqual(Finished(0, "", ""), await parent.finished())
        pid = int(pid_file.read_text())
        self.kill_daemon_later(pid, parent)
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGTERM)
        await parent.gone()
        said = [line.partition(" ")[2] for line in log.read_text().splitlines()]
        expected = ["the configuration is reloaded", "stopping: SIGTERM", "stopped"]
        self.assertEqual(expected, said[1:])

    async def test_taken_port(self) -> None:
        """
        The parent exits with 1 and a line.
        """
        port = await self.taken_port()
        url = f"tcp://127.0.0.1:{port}"
        finished = await self.run_to_end(
            "twistd", "reitunnel", "server", "--listen", url, "--insecure-no-auth"
        )
        self.assertEqual(1, finished.code, finished)
        message = f"{url}: cannot listen: Address already in use"
        self.assertEqual(message, finished.err.splitlines()[0])
        self.assertNotIn("Traceback", finished.err)
        log = self.directory / "twistd.log"
        [line] = log.read_text().splitlines()
        self.assertTrue(line.endswith(message), line)
        self.assertEqual([log], list(self.directory.iterdir()))

    async def test_mistakes(self) -> None:
        """
        They are said on the terminal, and no daemon is started.
        """
        finished = await self.run_to_end("twistd", "reitunnel", "server")
        self.assertEqual(2, finished.code)
        self.assertRegex(finished.err, r"(?m)^listen: missing \(--listen\)$")
        self.assertEqual([], list(self.directory.iterdir()))

    async def test_log_to_standard_output(self) -> None:
        finished = await self.run_to_end("twistd", "-l", "-", "reitunnel", *OPEN_SERVER)
        self.assert_line(finished, 1, "^--logfile: a daemon cannot log to standard")

    async def test_log_file_that_cannot_be_written(self) -> None:
        finished = await self.run_to_end(
            "twistd", "-l", "none/log", "reitunnel", *OPEN_SERVER
        )
        self.assert_line(
            finished, 1, "^--logfile: none/log: cannot be written: No such file or dir"
        )

    async def test_client_that_gives_up(self) -> None:
        """
        What is found after the start is in the log, and the pid file is removed.
        """
        parent = self.start(
            "twistd", "reitunnel", "client", "tls://nosuchhost.invalid:7000",
            "-R", "0:127.0.0.1:1",
        )  # fmt: skip
        self.assertEqual(Finished(0, "", ""), await parent.finished())
        await parent.gone()
        log = self.directory / "twistd.log"
        [line] = log.read_text().splitlines()
        self.assertRegex(line, "CRITICAL .*nosuchhost.invalid.* cannot be resolved")
        self.assertEqual([log], list(self.directory.iterdir()))


class FailureTests(CommandTestCase):
    """
    What cannot start says why in one line, and exits with 1.
    """

    async def test_taken_port(self) -> None:
        port = await self.taken_port()
        url = f"tcp://127.0.0.1:{port}"
        for command in (TWISTD, REITUNNEL):
            finished = await self.run_to_end(
                *command, "server", "--listen", url, "--insecure-no-auth"
            )
            self.assert_line(
                finished, 1, f"CRITICAL {url}: cannot listen: Address already in use$"
            )

    async def test_one_of_two_ports_taken(self) -> None:
        """
        All of the listeners, or none.
        """
        port = await self.taken_port()
        finished = await self.run_to_end(
            *TWISTD, *OPEN_SERVER, "--listen", f"tcp://127.0.0.1:{port}"
        )
        self.assert_line(finished, 1, f":{port}: cannot listen: Address already in use")

    async def test_log_file(self) -> None:
        """
        With a log file the line is in it, and on the terminal.
        """
        port = await self.taken_port()
        url = f"tcp://127.0.0.1:{port}"
        finished = await self.run_to_end(
            "reitunnel", "-l", "log", "server", "--listen", url, "--insecure-no-auth"
        )
        self.assert_line(finished, 1, f"^{url}: cannot listen: ")
        log = (self.directory / "log").read_text()
        self.assertIn(f"CRITICAL {url}: cannot listen: ", log)

    async def test_open_key(self) -> None:
        pem = CertificateAuthority().issue("server").write(self.directory / "s.pem")
        pem.chmod(0o644)
        for command in (TWISTD, REITUNNEL, ("twistd", "reitunnel")):
            finished = await self.run_to_end(
                *command, "server", "--listen", "tls://127.0.0.1:0", "--pem", "s.pem",
                "--insecure-no-auth",
            )  # fmt: skip
            self.assert_line(
                finished, 1, "s.pem: others can read the private key .mode 0644."
            )

    async def test_damaged_certificate(self) -> None:
        self.put("s.pem", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
        finished = await self.run_to_end(
            *REITUNNEL, "server", "--listen", "tls://127.0.0.1:0", "--pem", "s.pem",
            "--insecure-no-auth",
        )  # fmt: skip
        self.assert_line(finished, 1, "s.pem: ")

    async def test_unresolvable_host(self) -> None:
        for command in (TWISTD, REITUNNEL):
            finished = await self.run_to_end(
                *command, "client", "tls://nosuchhost.invalid:7000", "-R", "0:h:1"
            )
            self.assert_line(
                finished,
                1,
                "CRITICAL tls://nosuchhost.invalid:7000: the name 'nosuchhost.invalid' "
                "cannot be resolved$",
            )

    async def test_wrong_token(self) -> None:
        self.put("tokens.toml", new_token("laptop")[1])
        self.put("token", new_token("laptop")[0])
        _, url = await self.start_server(
            *REITUNNEL, "server", "--listen", "tcp://127.0.0.1:0",
            "--tokens", "tokens.toml",
        )  # fmt: skip
        for command in (TWISTD, REITUNNEL):
            finished = await self.run_to_end(
                *command, "client", url, "-R", "0:h:1", "--token-file", "token"
            )
            self.assert_line(finished, 1, "CRITICAL .*authentication failed$")

    async def test_untrusted_server(self) -> None:
        CertificateAuthority("theirs").write(self.directory / "ca.pem")
        pem = CertificateAuthority("ours").issue("server", "127.0.0.1")
        pem.write(self.directory / "server.pem")
        _, url = await self.start_server(
            *REITUNNEL, "server", "--listen", "tls://127.0.0.1:0", "--pem",
            "server.pem", "--insecure-no-auth",
        )  # fmt: skip
        finished = await self.run_to_end(
            *REITUNNEL, "client", url, "-R", "0:h:1", "--ca", "ca.pem"
        )
        self.assert_line(finished, 1, f"CRITICAL {url}: .*not trusted")

    async def test_port_of_a_tunnel_taken(self) -> None:
        """
        One tunnel that is refused does not end the client.
        """
        port = await self.taken_port()
        _, url = await self.start_server()
        client = self.start(
            *REITUNNEL, "client", url, "-R", f"{port}:h:1", "-R", "0:h:2"
        )
        await client.wait_for(rf"refused.*:{port}: Address already in use")
        await client.wait_for(PUBLIC)
        finished = await client.stop()
        self.assertEqual(0, finished.code, finished)


class MistakeTests(CommandTestCase):
    """
    What is wrong with flags or configuration is said in a line each, and the exit
    code is 2.
    """

    async def test_config(self) -> None:
        config = self.put(
            "server.toml",
            'listen = ["tls://127.0.0.1:0"]\n'
            '[limits]\nmax_client = 3\nmax_conns = "x"\n',
        )
        expected = [
            'limits.max_client: unknown key; did you mean "max_clients"?',
            'limits.max_conns: expected an integer from 1 to 1000000, got "x"',
            (
                "auth: anybody could open tunnels: set auth.tokens (--tokens) or "
                "auth.client_ca, or say insecure_no_auth (--insecure-no-auth)"
            ),
            'pem: missing: "tls://127.0.0.1:0" needs a certificate and key (--pem)',
        ]
        for command in (TWISTD, REITUNNEL):
            finished = await self.run_to_end(*command, "server", "-c", str(config))
            self.assertEqual(expected, finished.lines)
            self.assertEqual(2, finished.code)

    async def test_missing_certificate(self) -> None:
        for command in (TWISTD, REITUNNEL):
            finished = await self.run_to_end(
                *command, "server", "--listen", "tls://127.0.0.1:0", "--pem", "no.pem",
                "--insecure-no-auth",
            )  # fmt: skip
            self.assert_line(
                finished, 2, "^--pem: no such file or directory: .*no.pem$"
            )

    async def test_unknown_flag(self) -> None:
        for command in (TWISTD, REITUNNEL):
            finished = await self.run_to_end(*command, "server", "--lisen", "x")
            self.assert_line(
                finished,
                2,
                r"^reitunnel server: option --lisen not recognized "
                r"\(see reitunnel server --help\)$",
            )

    async def test_damaged_token(self) -> None:
        for command in (TWISTD, REITUNNEL):
            finished = await self.run_to_end(
                *command, "client", "tcp://127.0.0.1:1", "-R", "0:h:1",
                environ={"REITUNNEL_TOKEN": "rt1_laptop_geheim"},
            )  # fmt: skip
            self.assert_line(finished, 2, "^token: the token is damaged")
            self.assertNotIn("geheim", finished.err)

    async def test_no_command(self) -> None:
        self.assert_line(
            await self.run_to_end(*TWISTD), 2, "^reitunnel: a command is missing"
        )
        self.assert_line(
            await self.run_to_end(*REITUNNEL), 2, "^reitunnel: a command is missing"
        )


class LogTests(CommandTestCase):
    async def test_json(self) -> None:
        """
        Every line of both sides is a JSON object.
        """
        server, url = await self.json_server()
        client = self.start(
            *TWISTD, "client", url, "-R", "0:127.0.0.1:1", "--log-format", "json"
        )
        await client.wait_for("is open")
        for running in (client, server):
            finished = await running.stop()
            lines = [json.loads(line) for line in finished.lines]
            self.assertTrue(len(lines) > 2, finished)
            for line in lines:
                self.assertTrue({"time", "level", "namespace", "message"} <= set(line))
            [opened] = [line for line in lines if "is open" in line["message"]]
            self.assertEqual("127.0.0.1:1", opened["target"])

    async def json_server(self) -> tuple[Running, str]:
        running = self.start(*REITUNNEL, *OPEN_SERVER, "--log-format", "json")
        match = await running.wait_for(r'"addresses": "(tcp:[^"]+)"')
        return running, match[1]

    async def test_level(self) -> None:
        """
        With C{debug} Twisted's own lines are there, without it they are not.
        """
        server, _ = await self.start_server(*TWISTD, *OPEN_SERVER)
        self.assertNotIn("starting up", (await server.stop()).out)
        server, _ = await self.start_server(
            *TWISTD, *OPEN_SERVER, "--log-level", "debug"
        )
        self.assertIn("starting up", (await server.stop()).out)


class OtherCommandTests(CommandTestCase):
    async def test_twistd_knows_the_plugin(self) -> None:
        finished = await self.run_to_end("twistd", "--help")
        self.assertRegex(finished.out, r"(?m)^    reitunnel +Tunnels from a public")

    async def test_no_reactor(self) -> None:
        """
        Nothing that is imported to find or describe the plugin installs a reactor:
        C{twistd --reactor} could not do so any more.
        """
        script = (
            "import sys; import twisted.plugins.reitunnel_dropin; "
            "import reitunnel.service.maker, reitunnel.service.command; "
            "sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        finished = await self.run_to_end(sys.executable, "-c", script)
        self.assertEqual(Finished(0, "", ""), finished)

    async def test_other_reactor(self) -> None:
        server, _ = await self.start_server("reitunnel", "-r", "poll", *OPEN_SERVER)
        finished = await server.stop()
        self.assertEqual(0, finished.code, finished)

    async def test_demo_once(self) -> None:
        finished = await self.run_to_end("reitunnel", "demo", "--once")
        self.assertEqual(0, finished.code, finished)
        self.assertRegex(
            finished.out,
            r"\AThe sample site is public at http://127\.0\.0\.1:\d+/\n"
            r"200 OK, \d+ bytes in \d+ ms, through one TLS 1\.3 link of token:demo, ",
        )

    async def test_demo(self) -> None:
        """
        The demo runs until it is stopped, and leaves nothing in the temporary
        directory.
        """
        demo = self.start("reitunnel", "demo", environ={"TMPDIR": str(self.directory)})
        await demo.wait_for(r"^Ctrl-C stops the demo\.$")
        [made] = self.directory.iterdir()
        self.assertEqual(0o700, made.stat().st_mode & 0o777)
        for file in made.iterdir():
            self.assertEqual(0o600, file.stat().st_mode & 0o777)
        finished = await demo.stop("INT")
        self.assertEqual(0, finished.code, finished)
        self.assertEqual([], list(self.directory.iterdir()))

    async def test_demo_on_a_taken_port(self) -> None:
        port = await self.taken_port()
        finished = await self.run_to_end("reitunnel", "demo", "--port", str(port))
        self.assertEqual(1, finished.code, finished)
        self.assertIn(
            f"127.0.0.1:{port}: Address already in use", finished.err.splitlines()[-1]
        )

    async def test_version(self) -> None:
        finished = await self.run_to_end("reitunnel", "--version")
        self.assert_line(finished, 0, r"^reitunnel \d+\.\d+")

    async def test_check(self) -> None:
        config = self.put("server.toml", 'listen = ["tcp://127.0.0.1:0"]\n')
        finished = await self.run_to_end("reitunnel", "check", str(config))
        self.assert_line(finished, 2, "^wrong: auth: anybody could open tunnels")
