"""
C{reitunnel demo}: a server, a client and a sample site in one process, over TLS.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final, TextIO

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ReactorNotRunning,
)
from twisted.logger import Logger, globalLogBeginner
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.web.client import Agent, ResponseFailed, readBody

from reitunnel.auth import new_token
from reitunnel.client import Client, ClientTunnel
from reitunnel.config import (
    AuthSettings,
    ClientConfig,
    ClientTimeouts,
    Secret,
    ServerConfig,
    ServerTimeouts,
)
from reitunnel.errors import ReitunnelError
from reitunnel.server import Server
from reitunnel.service.demo_certificates import make_certificates
from reitunnel.service.demo_site import TITLE, SampleSite
from reitunnel.service.exits import FAILED, STOPPED
from reitunnel.service.logs import LineObserver
from reitunnel.service.options import CommandOptions
from reitunnel.service.private_files import write_new

HOST: Final = "127.0.0.1"
PATIENCE: Final = 30.0
"""Seconds until the demo is up, and for the page to come."""


class DemoOptions(CommandOptions):
    """
    C{reitunnel demo}.
    """

    synopsis = "reitunnel demo [options]"
    longdesc = (
        "Runs a server, a client and a sample site in one process, over TLS 1.3 with "
        "certificates and a token made on the spot, on this machine alone. Prints the "
        "URL. Ctrl-C stops it."
    )
    optFlags: ClassVar = [
        ["once", None, "Fetch the page through the tunnel, check it and exit"]
    ]
    optParameters: ClassVar = [
        ["port", "p", "0", "The public port; 0 is any that is free"]
    ]

    def postOptions(self) -> None:
        """
        See that the port is one.
        """
        text = self["port"]
        if not (text.isascii() and text.isdigit() and int(text) <= 65535):
            raise UsageError(f"--port: expected a port from 0 to 65535, got {text}")
        self["port"] = int(text)


class Demo:
    """
    The server, the client, and the tunnel to the sample site.
    """

    def __init__(self, reactor: Any, directory: Path) -> None:
        """
        @param directory: an empty one, for the certificates and the token file.
        """
        self._reactor = reactor
        self._directory = directory
        self._server: Server | None = None
        self._client: Client | None = None
        self._tunnel: ClientTunnel | None = None

    async def start(self, port: int) -> str:
        """
        Start all of it.

        @param port: the public port; 0 is any that is free.
        @return: the URL of the site.
        @raise ReitunnelError: if something cannot be started.
        """
        certificates = make_certificates(self._directory, HOST)
        token, verifier = new_token("demo")
        tokens = self._directory / "tokens.toml"
        write_new(tokens, verifier)
        server = Server(
            self._reactor,
            ServerConfig(
                listen=(f"tls://{HOST}:0",),
                pem=certificates.server,
                auth=AuthSettings(tokens=tokens, channel_binding="require"),
                timeouts=ServerTimeouts(drain=0.0),
            ),
        )
        self._server = server
        server.startService()
        [address] = await server.when_listening()
        assert isinstance(address, IPv4Address)
        client = Client(
            self._reactor,
            ClientConfig(
                server=f"tls://{HOST}:{address.port}",
                ca=certificates.authority,
                token=Secret(token),
                channel_binding="require",
                # The site is small: data links would be of no use.
                carrier="mux",
                timeouts=ClientTimeouts(drain=0.0),
            ),
        )
        self._client = client
        client.startService()
        self._tunnel = await client.open_tunnel(SampleSite(), port)
        public = self._tunnel.address
        assert public is not None
        return f"http://{public.host}:{public.port}/"

    async def fetch(self, url: str) -> str:
        """
        Fetch the site as a visitor does, and check what comes.

        @return: what was seen, for people.
        @raise ReitunnelError: if it is not the page.
        """
        begin = self._reactor.seconds()
        agent = Agent(self._reactor, connectTimeout=PATIENCE)
        try:
            response = await agent.request(b"GET", url.encode())
            page = await readBody(response)
        except (ConnectError, ConnectionClosed, ResponseFailed) as error:
            raise ReitunnelError(f"{url}: cannot be fetched: {error}") from None
        took = self._reactor.seconds() - begin
        if response.code != 200 or TITLE not in page:
            raise ReitunnelError(
                f"{url}: status {response.code} and {len(page)} bytes that are not "
                "the sample page"
            )
        assert self._client is not None
        session = self._client.session
        if session is None or not session.facts.secure:
            raise ReitunnelError("the link is not there, or has no TLS")
        # The server speaks TLS 1.3 alone, and requires the binding.
        return (
            f"200 OK, {len(page)} bytes in {took * 1000:.0f} ms, through one TLS 1.3 "
            f"link of {session.identity}, bound to its channel"
        )

    async def stop(self) -> None:
        """
        Stop what was started.
        """
        for service in (self._client, self._server):
            if service is not None and service.running:
                await service.stopService()


class DemoRun:
    """
    One run of the demo, and of the reactor for it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        options: DemoOptions,
        out: TextIO,
        err: TextIO,
        make: Callable[[Any, Path], Demo] = Demo,
    ) -> None:
        """
        @param out: where the URL is printed.
        @param err: where it is said what failed.
        @param make: makes the demo, of the reactor and a directory.
        """
        self._reactor = reactor
        self._options = options
        self._out = out
        self._err = err
        self._make = make
        self._code = FAILED
        self._running: Deferred[None] | None = None

    def run(self) -> int:
        """
        Run until it is done, or asked to stop.

        @return: the exit code.
        """
        self._reactor.callWhenRunning(self._begin)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self._reactor.run()
        return self._code

    def _begin(self) -> None:
        self._running = Deferred.fromCoroutine(self._in_directory())
        self._running.addCallbacks(self._done, self._failed)
        self._running.addCallback(lambda _: self._stop_reactor())

    def _stop(self) -> Deferred[None] | None:
        """
        The reactor is stopping: end the demo first.
        """
        running = self._running
        if running is None or running.called:
            return None
        running.cancel()
        return running

    def _stop_reactor(self) -> None:
        # It may be the other way around: it is stopping, and so the demo ended.
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def _done(self, _: None) -> None:
        self._code = STOPPED

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, CancelledError):
            # Ctrl-C is how it ends, unless it had something to do.
            self._code = FAILED if self._options["once"] else STOPPED
        elif isinstance(error, ReitunnelError):
            self._err.write(f"{error}\n")
        elif isinstance(error, TimeoutError):
            self._err.write(f"it took longer than {PATIENCE:g} s\n")
        else:
            self._log.failure("the demo failed", failure=failure)

    async def _in_directory(self) -> None:
        with TemporaryDirectory(prefix="reitunnel-demo-") as directory:
            demo = self._make(self._reactor, Path(directory))
            try:
                await self._show(demo)
            finally:
                await demo.stop()

    async def _show(self, demo: Demo) -> None:
        """
        Start, print the URL, and fetch the page or wait for Ctrl-C.
        """
        url = await self._in_time(demo.start(self._options["port"]))
        self._say(f"The sample site is public at {url}")
        if self._options["once"]:
            self._say(await self._in_time(demo.fetch(url)))
        else:
            self._say("Ctrl-C stops the demo.")
            await Deferred()

    def _in_time(self, doing: Coroutine[Any, Any, str]) -> Deferred[str]:
        return Deferred.fromCoroutine(doing).addTimeout(PATIENCE, self._reactor)

    def _say(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


def run_demo(options: DemoOptions, out: TextIO, err: TextIO, reactor: Any) -> int:
    """
    Run the demo, with its log on C{err}.
    """
    globalLogBeginner.beginLoggingTo(
        [LineObserver(err, "text", "info")], redirectStandardIO=False
    )
    return DemoRun(reactor, options, out, err).run()
