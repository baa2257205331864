"""
WebSockets over real sockets, by themselves and in a site.
"""

from __future__ import annotations

import socket

from twisted.internet import reactor
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    serverFromString,
)
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from reitunnel.transports import (
    LinkURL,
    WebSocketLinkResource,
    link_facts,
)
from tests.integration.links import (
    SMALL_BUFFERS,
    Echo,
    LinkTestCase,
    PeerFactory,
    Sink,
    Source,
    failure_of,
    port_number,
)


class WebSocketTests(LinkTestCase):
    """
    WebSockets by themselves, and in a site.
    """

    async def test_path(self) -> None:
        servers = PeerFactory()
        url = await self.listen("ws", servers, path="/a/link")
        server, client = await self.connect(url, servers, PeerFactory())
        await self.close(client, server)

    async def test_other_path(self) -> None:
        for scheme in ("ws", "wss"):
            servers = PeerFactory()
            url = await self.listen(scheme, servers, path="/link")
            wrong = LinkURL.parse(f"{scheme}://localhost:{url.port}/other")
            error = await failure_of(self, self.dial(wrong, PeerFactory()))
            self.assertEqual(
                f"{wrong}: the server answers HTTP 404 (Not Found) "
                "instead of a WebSocket",
                str(error),
            )
            self.assertTrue(error.permanent)
            self.assertEqual([], servers.built)

    async def site(self, factory: PeerFactory) -> int:
        """
        A site with a page and with links.

        @return: its port.
        """
        root = Resource()
        root.putChild(b"page", Data(b"a page", "text/plain"))
        settings = self.server_settings()
        root.putChild(b"link", WebSocketLinkResource(factory, settings))
        site = Site(root)
        site.noisy = False
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(site)
        self.addCleanup(port.stopListening)
        return port_number(port)

    async def test_in_a_site(self) -> None:
        servers = PeerFactory(Echo)
        number = await self.site(servers)
        url = LinkURL.parse(f"ws://localhost:{number}/link")
        server, client = await self.connect(url, servers, PeerFactory())
        data = bytes(range(256)) * 4096
        client.transport.write(data)
        await client.receive(len(data))
        self.assertEqual(data, client.received)
        await self.close(client, server)

    async def test_in_a_site_over_tls(self) -> None:
        servers, root = PeerFactory(Echo), Resource()
        root.putChild(b"link", WebSocketLinkResource(servers, self.server_settings()))
        issued = self.authority.issue("x", "localhost")
        pem = issued.write(self.directory / "site.pem")
        site = Site(root)
        site.noisy = False
        endpoint = serverFromString(
            reactor, f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1"
        )
        port = await endpoint.listen(site)
        self.addCleanup(port.stopListening)
        url = LinkURL.parse(f"wss://localhost:{port_number(port)}/link")
        server, client = await self.connect(url, servers, PeerFactory())
        mine, theirs = link_facts(client.transport), link_facts(server.transport)
        self.assertEqual(("wss", "wss"), (mine.scheme, theirs.scheme))
        self.assertEqual(mine.channel_binding, theirs.channel_binding)
        client.transport.write(bytes(300_000))
        await client.receive(300_000)
        await self.close(client, server)
        self.flushWarnings()

    async def test_next_to_a_page(self) -> None:
        number = await self.site(PeerFactory())

        def fetch(path: str) -> bytes:
            with socket.create_connection(("127.0.0.1", number), 20) as plain:
                head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close"
                plain.sendall(f"{head}\r\n\r\n".encode())
                received = b""
                while piece := plain.recv(65536):
                    received += piece
                return received

        self.assertIn(b"a page", await deferToThread(fetch, "/page"))
        self.assertIn(b"426 Upgrade Required", await deferToThread(fetch, "/link"))
        wrong = LinkURL.parse(f"ws://localhost:{number}/page")
        error = await failure_of(self, self.dial(wrong, PeerFactory()))
        self.assertIn("HTTP 200 (OK) instead of a WebSocket", str(error))

    async def test_back_pressure_in_a_site(self) -> None:
        servers = PeerFactory(Source)
        number = await self.site(servers)
        url = LinkURL.parse(f"ws://localhost:{number}/link")
        settings = self.client_settings(tcp=SMALL_BUFFERS)
        server, client = await self.connect(url, servers, PeerFactory(Sink), settings)
        client.pause()
        server.begin(40_000_000)
        self.assertTrue(await self.steady(lambda: server.written) < 20_000_000)
        client.resume()
        await client.gone
        await server.gone
        self.assertEqual(40_000_000, client.size)
