"""
The programs under a service manager: stopping, reloading, notices, inherited sockets.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.protocols.wire import Echo
from twisted.python.filepath import FilePath

from tests.certificates import CertificateAuthority
from tests.integration.processes import PATIENCE, Running, reactor
from tests.integration.test_command import (
    OPEN_SERVER,
    PUBLIC,
    REITUNNEL,
    TWISTD,
    CommandTestCase,
    Visitor,
)

STREAMS = 1000
AT_A_TIME = 50


class DrainTests(CommandTestCase):
    """
    SIGTERM: open streams go on for a while.
    """

    async def start_pair(self, patience: str, target: int) -> tuple[Running, Running]:
        """
        Start a server and a client with one tunnel.
        """
        drain = ("--drain-timeout", patience)
        server, url = await self.start_server(*REITUNNEL, *OPEN_SERVER, *drain)
        client = self.start(
            *REITUNNEL, "client", url, "-R", f"0:127.0.0.1:{target}", *drain
        )
        self.port = int((await client.wait_for(PUBLIC))[1])
        return server, client

    def allow_descriptors(self) -> None:
        """
        Have room for both ends of every stream, here and in the programs.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 4 * STREAMS:
            most = hard if hard != resource.RLIM_INFINITY else 4 * STREAMS
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4 * STREAMS), hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    async def drains(self, stopped: str) -> None:
        self.allow_descriptors()
        target = await self.listen(Factory.forProtocol(Echo))
        programs = dict(
            zip(("server", "client"), await self.start_pair("600", target), strict=True)
        )
        visitors: list[Visitor] = []
        for _ in range(STREAMS // AT_A_TIME):
            coming = [
                Deferred.fromCoroutine(self.visit(self.port)) for _ in range(AT_A_TIME)
            ]
            visitors += [visitor for _, visitor in await DeferredList(coming)]
        running = programs[stopped]
        running.signal("TERM")
        await running.wait_for(f"waiting up to 600 s for {STREAMS} streams")
        await programs["client"].wait_for(
            "the server says: the server is stopping"
            if stopped == "server"
            else "stopping: SIGTERM"
        )
        # Old ones go on, and there are no new ones.
        for visitor in (visitors[0], visitors[-1]):
            visitor.say_again()
            self.assertEqual(b"hello\n", await visitor.heard)
        await self.refused()
        begun = monotonic()
        for visitor in visitors:
            assert visitor.transport is not None
            visitor.transport.loseConnection()
        finished = await running.finished(120)
        took = monotonic() - begun
        # For whoever reads the log of the tests.
        print(f"{stopped}: {STREAMS} streams drained in {took:.2f} s")  # noqa: T201
        self.assertEqual(0, finished.code, finished.lines[-5:])
        self.assertNotIn("Traceback", finished.out)

    async def refused(self) -> None:
        """
        Wait until the public port is closed. The client that is stopped tells the
        server, which takes a moment.
        """
        end = monotonic() + PATIENCE
        while monotonic() < end:
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
            try:
                late = Protocol()
                await endpoint.connect(Factory.forProtocol(lambda: late))  # noqa: B023
            except ConnectionRefusedError:
                return
            assert late.transport is not None
            late.transport.loseConnection()
        self.fail("the public port stays open")

    async def test_server(self) -> None:
        await self.drains("server")

    async def test_client(self) -> None:
        await self.drains("client")

    async def test_bound(self) -> None:
        """
        Streams that do not end are reset when the time is over.
        """
        target = await self.listen(Factory.forProtocol(Echo))
        for stopped in (0, 1):
            programs = await self.start_pair("0.3", target)
            await self.visit(self.port)
            running = programs[stopped]
            finished = await running.stop("TERM")
            self.assertIn("waiting up to 0.3 s for 1 stream", finished.out)
            self.assertEqual(0, finished.code, finished)
            programs[1 - stopped].signal("KILL")


class ReloadTests(CommandTestCase):
    """
    SIGHUP: the configuration is read again.
    """

    async def reloads(self, command: tuple[str, ...]) -> None:
        target = await self.listen(Factory.forProtocol(Echo))
        top = "insecure_no_auth = true\n"
        listen = 'listen = ["tcp://127.0.0.1:0"]\n'
        server_file = self.put("server.toml", top + listen)
        server, url = await self.start_server(*command, "server", "-c", "server.toml")
        table = f'[[tunnels]]\nport = 0\ntarget = "127.0.0.1:{target}"\n'
        client_file = self.put("client.toml", f'server = "{url}"\n{table}')
        client = self.start(*command, "client", "-c", "client.toml", "--carrier", "mux")
        visitor = await self.visit(int((await client.wait_for(PUBLIC))[1]))

        # A mistake: a line for each, and all stays.
        server_file.write_text(f"{listen}limits.max_conns = 0\n[hoks]\n")
        server.signal("HUP")
        await server.wait_for("ERROR not reloaded: limits.max_conns: expected an int")
        await server.wait_for("ERROR not reloaded: hoks: unknown key")

        # A good one, though a key does not change.
        server_file.write_text(f'{top}{listen}tuning.backlog = 7\nlog_level = "warn"\n')
        server.signal("HUP")
        await server.wait_for(r"stay as they were until a restart: tuning\.backlog$")

        # One more tunnel, then the first one goes.
        other = f'[[tunnels]]\nport = 0\ntarget = "127.0.0.1:{target}"\n'
        named = f'{other}metadata = {{ name = "b" }}\n'
        client_file.write_text(f'server = "{url}"\ncarrier = "auto"\n{table}{named}')
        client.signal("HUP")
        second = await self.visit(int((await client.wait_for(PUBLIC, 2))[1]))
        visitor.say_again()
        self.assertEqual(b"hello\n", await visitor.heard)
        client_file.write_text(f'server = "{url}"\n{named}')
        client.signal("HUP")
        await visitor.gone
        second.say_again()
        self.assertEqual(b"hello\n", await second.heard)
        self.assertNotIn("hold from the next session", client.out)

        for running in (client, server):
            finished = await running.stop()
            self.assertEqual(0, finished.code, finished)
            self.assertNotIn("Traceback", finished.out)

    async def test_reitunnel(self) -> None:
        await self.reloads(REITUNNEL)

    async def test_twistd(self) -> None:
        await self.reloads(TWISTD)

    async def test_many_at_once(self) -> None:
        """
        However many signals come, and while it stops.
        """
        self.put("s.toml", 'listen = ["tcp://127.0.0.1:0"]\ninsecure_no_auth = true\n')
        server, _ = await self.start_server(*REITUNNEL, "server", "-c", "s.toml")
        for _ in range(20):
            server.signal("HUP")
        await server.wait_for("the configuration is reloaded")
        server.signal("TERM")
        server.signal("HUP")
        finished = await server.finished()
        self.assertEqual(0, finished.code, finished)
        self.assertNotIn("Traceback", finished.out)

    async def test_certificates(self) -> None:
        """
        Another file, and the same one with other content: the next client sees it.
        """
        for name in ("one", "two"):
            authority = CertificateAuthority()
            authority.write(self.directory / f"{name}-ca.pem")
            pem = authority.issue("server", "127.0.0.1")
            pem.write(self.directory / f"{name}.pem")
        text = (
            'listen = ["tls://127.0.0.1:0"]\ninsecure_no_auth = true\npem = "one.pem"\n'
        )
        file = self.put("server.toml", text)
        server, url = await self.start_server(*REITUNNEL, "server", "-c", str(file))

        async def connects(ca: str) -> None:
            client = self.start(
                *REITUNNEL, "client", url, "--ca", ca, "-R", "0:127.0.0.1:1"
            )
            await client.wait_for(PUBLIC)
            await client.stop()

        await connects("one-ca.pem")
        file.write_text(text.replace("one", "two"))
        server.signal("HUP")
        await server.wait_for("the configuration is reloaded")
        await connects("two-ca.pem")
        content = (self.directory / "one.pem").read_bytes()
        (self.directory / "two.pem").write_bytes(content)
        server.signal("HUP")
        await server.wait_for("the configuration is reloaded", 2)
        await connects("one-ca.pem")
        (self.directory / "two.pem").write_text("junk")
        server.signal("HUP")
        await server.wait_for("ERROR not reloaded: .*two.pem")
        await connects("one-ca.pem")


class ServiceManager(DatagramProtocol):
    """
    Takes notices, as a service manager does.
    """

    def __init__(self) -> None:
        self.notices: list[str] = []
        self._waiting: list[tuple[str, Deferred[str]]] = []

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """
        A notice came.
        """
        self.notices.append(datagram.decode())
        for wait in tuple(self._waiting):
            if wait[0] in self.notices[-1]:
                self._waiting.remove(wait)
                wait[1].callback(self.notices[-1])

    def next(self, text: str) -> Deferred[str]:
        """
        Wait for a notice in which a text stands, from now on.
        """
        waiting: Deferred[str] = Deferred()
        self._waiting.append((text, waiting))
        return waiting.addTimeout(PATIENCE, reactor)


class NoticeTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        # A socket's path has at most 107 characters.
        directory = mkdtemp(prefix="notices")
        self.addCleanup(FilePath(directory).remove)
        path = str(Path(directory) / "notify")
        self.manager = ServiceManager()
        port = reactor.listenUNIXDatagram(path, self.manager)
        self.addCleanup(port.stopListening)
        self.environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}

    async def test_server(self) -> None:
        """
        Ready when it listens; reloading; the watchdog; stopping.
        """
        ready = self.manager.next("READY=1")
        server = self.start(*REITUNNEL, *OPEN_SERVER, environ=self.environ)
        expected = "READY=1\nSTATUS=0 clients, 0 tunnels, 0 streams"
        self.assertEqual(expected, await ready)
        self.assertIn("listening on", server.out)
        await self.manager.next("WATCHDOG=1")
        reloading, again = self.manager.next("RELOADING=1"), self.manager.next("READY")
        server.signal("HUP")
        self.assertRegex(await reloading, r"\ARELOADING=1\nMONOTONIC_USEC=\d+\Z")
        await again
        stopping = self.manager.next("STOPPING=1")
        self.assertEqual(0, (await server.stop()).code)
        await stopping

    async def test_watchdog(self) -> None:
        """
        A process that is stuck is silent.
        """
        ready = self.manager.next("READY=1")
        server = self.start(*REITUNNEL, *OPEN_SERVER, environ=self.environ)
        await ready
        await self.manager.next("WATCHDOG=1")
        server.signal("STOP")
        # Some may have been under way.
        await self.pause()
        before = len(self.manager.notices)
        await self.pause()
        self.assertEqual(before, len(self.manager.notices))
        again = self.manager.next("WATCHDOG=1")
        server.signal("CONT")
        await again
        self.assertEqual(0, (await server.stop()).code)

    def pause(self) -> Deferred[None]:
        """
        Let the watchdog's time pass more than once.
        """
        over: Deferred[None] = Deferred()
        reactor.callLater(1.0, over.callback, None)
        return over

    async def test_client(self) -> None:
        """
        Ready when it is let in, or not, and tries again.
        """
        arguments = ("-R", "0:127.0.0.1:1")
        ready = self.manager.next("READY=1")
        client = self.start(
            *REITUNNEL, "client", "tcp://127.0.0.1:1", *arguments, environ=self.environ
        )
        expected = "STATUS=not connected to tcp://127.0.0.1:1: "
        self.assertIn(expected, await ready)
        await client.stop()
        _, url = await self.start_server()
        ready = self.manager.next("READY=1")
        client = self.start(*REITUNNEL, "client", url, *arguments, environ=self.environ)
        self.assertIn(f"STATUS=connected to {url}: ", await ready)
        self.assertEqual(0, (await client.stop()).code)

    async def test_client_that_gives_up(self) -> None:
        """
        It was never ready.
        """
        client = self.start(
            *REITUNNEL, "client", "tls://nosuchhost.invalid:1", "-R", "0:127.0.0.1:1",
            environ=self.environ,
        )  # fmt: skip
        self.assertEqual(1, (await client.finished()).code)
        self.assertEqual([], [n for n in self.manager.notices if "READY" in n])


INHERIT = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print("port", listening.getsockname()[1], flush=True)
os.dup2(listening.fileno(), 3)
os.environ.update(
    LISTEN_FDS="1", LISTEN_FDNAMES="links", LISTEN_PID=str(os.getpid())
)
os.execv(sys.argv[1], sys.argv[1:])
"""


class SocketTests(CommandTestCase):
    """
    Sockets that the service manager has opened.
    """

    def inherit(self, *arguments: str) -> Running:
        program = str(Path(sys.executable).parent / "reitunnel")
        return self.start(sys.executable, "-c", INHERIT, program, *arguments)

    async def test_inherited(self) -> None:
        listen = "systemd:domain=INET:name=links"
        server = self.inherit(
            "server", "--listen", listen, "--insecure-no-auth", "--insecure-plaintext"
        )
        port = int((await server.wait_for(r"^port (\d+)$"))[1])
        await server.wait_for("listening on systemd:domain=INET:name=links$")
        target = await self.listen(Factory.forProtocol(Echo))
        client = self.start(
            *REITUNNEL, "client", f"tcp://127.0.0.1:{port}",
            "-R", f"0:127.0.0.1:{target}",
        )  # fmt: skip
        await self.visit(int((await client.wait_for(PUBLIC))[1]))
        # A listener that stays is left alone.
        server.signal("HUP")
        await server.wait_for("the configuration is reloaded")
        self.assertEqual(0, (await server.stop()).code)

    async def test_plaintext(self) -> None:
        """
        Nobody knows where such a socket listens: it counts as plaintext beyond this
        machine.
        """
        server = self.inherit(
            "server", "--listen", "systemd:domain=INET:index=0", "--insecure-no-auth"
        )
        finished = await server.finished()
        self.assertEqual(2, finished.code, finished)
        self.assertIn("may listen in plaintext beyond this machine", finished.err)

    async def test_no_such_socket(self) -> None:
        finished = await self.run_to_end(
            *REITUNNEL, "server", "--listen", "systemd:domain=INET:name=other",
            "--insecure-no-auth", "--insecure-plaintext",
        )  # fmt: skip
        self.assertEqual(1, finished.code, finished)
        self.assertNotIn("Traceback", finished.out + finished.err)
