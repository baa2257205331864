"""
Links through nginx, which ends TLS and passes WebSockets on.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ProcessDone
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from reitunnel.errors import TransportError
from reitunnel.transports import LinkURL, link_facts
from tests.integration.links import Echo, LinkTestCase, PeerFactory, Sink, Source
from tests.programs import require_program

# What the nginx manual says of WebSockets, and no more than that.
CONFIGURATION = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {directory}/nginx.pem;
        ssl_certificate_key {directory}/nginx.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        location /link {{
            proxy_pass http://127.0.0.1:{back_end};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""


class Program(ProcessProtocol):
    """
    A program that runs.

    @ivar ended: fires when it has ended.
    """

    transport: IProcessTransport

    def __init__(self) -> None:
        self.output = b""
        self.ended: Deferred[None] = Deferred()
        self.running = True

    def errReceived(self, data: bytes) -> None:
        self.output += data

    def processEnded(self, reason: Failure) -> None:
        self.running = False
        if reason.check(ProcessDone):
            self.ended.callback(None)
        else:
            self.ended.errback(reason)

    def stop(self) -> Deferred[None]:
        """
        Ask it to end.
        """
        if self.running:
            self.transport.signalProcess("TERM")
        return self.ended


class NginxTests(LinkTestCase):
    def setUp(self) -> None:
        self.program = require_program("nginx")
        super().setUp()

    async def start(self, factory: PeerFactory) -> LinkURL:
        """
        Listen for links, and put nginx in front.

        @return: what to dial.
        """
        back_end = await self.listen("ws", factory, path="/link")
        return await self.start_nginx(back_end.port)

    async def start_nginx(self, back_end: int) -> LinkURL:
        """
        Run nginx.

        @param back_end: the port that it passes WebSockets on to.
        @return: what to dial.
        """
        directory = self.directory.absolute()
        self.authority.issue("nginx", "localhost").write(directory / "nginx.pem")
        port = free_port()
        configuration = directory / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(directory=directory, port=port, back_end=back_end)
        )
        self.nginx = Program()
        arguments = ["nginx", "-p", str(directory), "-c", str(configuration)]
        reactor.spawnProcess(self.nginx, self.program, arguments)
        self.addCleanup(self.nginx.stop)
        await self.until(lambda: not self.nginx.running or answers(port))
        self.assertTrue(self.nginx.running, self.nginx.output)
        return LinkURL.parse(f"wss://localhost:{port}/link")

    async def link(self, servers: PeerFactory, clients: PeerFactory) -> tuple[Any, Any]:
        """
        A link through nginx.
        """
        return await self.connect(await self.start(servers), servers, clients)

    async def test_both_ways(self) -> None:
        server, client = await self.link(PeerFactory(Echo), PeerFactory())
        data = bytes(range(251)) * 12_000
        client.transport.write(data)
        await client.receive(len(data))
        self.assertEqual(data, client.received)
        for number in range(50):
            client.transport.write(b"%02d" % number)
            await client.receive(len(data) + 2 * number + 2)
        await self.close(client, server)
        for side in (client, server):
            side.lost[0].trap(ConnectionDone)
        self.assertNotIn(b"[error]", self.nginx.output)

    async def test_facts(self) -> None:
        server, client = await self.link(PeerFactory(), PeerFactory())
        mine, theirs = link_facts(client.transport), link_facts(server.transport)
        self.assertEqual(("wss", "ws"), (mine.scheme, theirs.scheme))
        self.assertEqual((True, False), (mine.secure, theirs.secure))
        # It is nginx that the server talks to, whatever nginx says of others.
        self.assertNotEqual(mine.host, theirs.peer)
        self.assertIsNone(theirs.channel_binding)
        await self.close(client, server)

    async def slow_reader(self, source: Source, sink: Sink) -> None:
        """
        Send much to somebody who reads nothing for a while.
        """
        sink.pause()
        source.begin(40_000_000)
        # Nginx and the sockets on both sides of it take some of it.
        self.assertTrue(await self.steady(lambda: source.written) < 30_000_000)
        self.assertEqual(0, sink.size)
        sink.resume()
        await sink.gone
        await source.gone
        self.assertEqual(40_000_000, sink.size)
        self.assertEqual(source.digest.digest(), sink.digest.digest())

    async def test_client_that_reads_slowly(self) -> None:
        server, client = await self.link(PeerFactory(Source), PeerFactory(Sink))
        await self.slow_reader(server, client)

    async def test_server_that_reads_slowly(self) -> None:
        server, client = await self.link(PeerFactory(Sink), PeerFactory(Source))
        await self.slow_reader(client, server)

    async def test_other_path(self) -> None:
        url = await self.start(PeerFactory())
        # One that nginx passes on.
        other = LinkURL.parse(f"wss://localhost:{url.port}/link/other")
        error = await self.refused(other)
        self.assertIn("HTTP 404 (Not Found)", str(error))
        self.assertTrue(error.permanent)

    async def test_no_server_behind(self) -> None:
        error = await self.refused(await self.start_nginx(free_port()))
        self.assertIn("HTTP 502 (Bad Gateway)", str(error))
        self.assertFalse(error.permanent)

    async def test_nginx_goes_away(self) -> None:
        server, client = await self.link(PeerFactory(), PeerFactory())
        await self.nginx.stop()
        await client.gone
        await server.gone
        self.assertEqual((1, 1), (len(client.lost), len(server.lost)))

    async def refused(self, url: LinkURL) -> TransportError:
        """
        Dial in vain.
        """
        try:
            await self.dial(url, PeerFactory())
        except TransportError as error:
            return error
        return self.fail("no failure")


def free_port() -> int:
    """
    A port that nobody has now.
    """
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        number: int = unused.getsockname()[1]
        return number


def answers(port: int) -> bool:
    """
    Whether somebody listens there.
    """
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
