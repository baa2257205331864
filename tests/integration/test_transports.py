"""
Links over real sockets.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import FileSender

from reitunnel.errors import TransportError
from reitunnel.transports import (
    LinkURL,
    TCPOptions,
    base_transport,
    link_facts,
    server_endpoint,
)
from tests.integration.links import (
    SHORT,
    SMALL_BUFFERS,
    Echo,
    LinkTestCase,
    Peer,
    PeerFactory,
    Sink,
    Source,
    factory_of,
    failure_of,
    pause,
    port_number,
    talk_tls,
)
from tests.transports.support import Admission

SCHEMES = ("tcp", "tls", "ws", "wss")


class EverySchemeTests(LinkTestCase):
    """
    What is true of every transport.
    """

    async def links(
        self,
        servers: type[Any] = Peer,
        clients: type[Any] = Peer,
        **settings: Any,
    ) -> Any:
        """
        A link over each transport, one after the other: protocols of the server
        and of the client.
        """
        found = []
        for scheme in SCHEMES:
            server_factory, client_factory = PeerFactory(servers), PeerFactory(clients)
            url = await self.listen(
                scheme, server_factory, self.server_settings(**settings)
            )
            found.append(
                (
                    scheme,
                    *await self.connect(
                        url,
                        server_factory,
                        client_factory,
                        self.client_settings(**settings),
                    ),
                )
            )
        return found

    async def test_both_ways(self) -> None:
        for scheme, server, client in await self.links():
            for size in (1, 1000, 70_000, 1_500_000):
                data = bytes(range(251)) * (size // 251 + 1)
                before = len(server.received)
                client.transport.write(data)
                server.transport.write(data)
                await server.receive(before + len(data))
                await client.receive(before + len(data))
                self.assertEqual(data, server.received[before:], scheme)
                self.assertEqual(data, client.received[before:], scheme)
            await self.close(client, server)
            for side in (client, server):
                side.lost[0].trap(ConnectionDone)

    async def test_facts(self) -> None:
        for scheme, server, client in await self.links():
            mine, theirs = link_facts(client.transport), link_facts(server.transport)
            secure = scheme in ("tls", "wss")
            self.assertEqual((scheme, scheme), (mine.scheme, theirs.scheme))
            self.assertEqual((secure, secure), (mine.secure, theirs.secure))
            version = "1.3" if secure else None
            self.assertEqual((version, version), (mine.tls_version, theirs.tls_version))
            self.assertEqual((mine.host, mine.peer), (theirs.peer, theirs.host))
            self.assertEqual(mine.channel_binding, theirs.channel_binding)
            self.assertEqual(secure, mine.channel_binding is not None)
            self.assertEqual(secure, mine.certificate is not None)
            self.assertIsNone(theirs.certificate)
            await self.close(client, server)

    async def test_tcp_options(self) -> None:
        for _scheme, server, client in await self.links(tcp=TCPOptions(keepalive=7)):
            for side in (server, client):
                handle = base_transport(side.transport).getHandle()  # type: ignore[attr-defined]  # TCP
                tcp = socket.IPPROTO_TCP
                self.assertTrue(handle.getsockopt(tcp, socket.TCP_NODELAY))
                self.assertEqual(7, handle.getsockopt(tcp, socket.TCP_KEEPIDLE))
            await self.close(client, server)

    async def slow_reader(self, source: Source, sink: Sink, total: int) -> None:
        """
        Send much to somebody who reads nothing for a while.
        """
        sink.pause()
        source.begin(total)
        for _ in range(3):
            await self.steady(lambda: source.written)
            # What fits into the sockets and the buffers above them.
            on_the_way = source.written - sink.size
            self.assertTrue(on_the_way < 4_000_000, on_the_way)
            self.assertTrue(source.full or source.written == total)
            sink.resume()
            await pause(0.001)
            sink.pause()
        sink.resume()
        await sink.gone
        await source.gone
        sink.lost[0].trap(ConnectionDone)
        source.lost[0].trap(ConnectionDone)
        self.assertEqual(total, sink.size)
        self.assertEqual(source.digest.digest(), sink.digest.digest())

    async def test_client_that_reads_slowly(self) -> None:
        for scheme, server, client in await self.links(Source, Sink, tcp=SMALL_BUFFERS):
            await self.slow_reader(server, client, 40_000_000)
            self.assertEqual(0, client.while_paused, scheme)

    async def test_server_that_reads_slowly(self) -> None:
        for scheme, server, client in await self.links(Sink, Source, tcp=SMALL_BUFFERS):
            await self.slow_reader(client, server, 40_000_000)
            self.assertEqual(0, server.while_paused, scheme)

    async def test_what_was_written_arrives_before_the_end(self) -> None:
        for scheme, server, client in await self.links(Peer, Sink, tcp=SMALL_BUFFERS):
            client.pause()
            server.transport.write(bytes(5_000_000))
            server.transport.loseConnection()
            await pause(0.05)
            client.resume()
            await client.gone
            client.lost[0].trap(ConnectionDone)
            await server.gone
            self.assertEqual(5_000_000, client.size, scheme)

    async def test_file(self) -> None:
        """
        From a producer that is asked for each piece.
        """
        for size in (1_000_000, 0):
            for scheme, server, client in await self.links(Peer, Sink):
                content = bytes(range(250)) * (size // 250)
                sender = FileSender()
                sent = sender.beginFileTransfer(BytesIO(content), server.transport)
                server.transport.loseConnection()
                await sent
                await client.gone
                await server.gone
                self.assertEqual(size, client.size, scheme)
                self.assertEqual(
                    hashlib.sha256(content).digest(), client.digest.digest()
                )
                for side in (client, server):
                    side.lost[0].trap(ConnectionDone)

    async def test_abort(self) -> None:
        for _scheme, server, client in await self.links():
            server.transport.abortConnection()
            await server.gone
            await client.gone
            client.lost[0].trap(ConnectionLost, ConnectionDone)
            self.assertEqual((1, 1), (len(server.lost), len(client.lost)))

    async def test_echo(self) -> None:
        for _scheme, server, client in await self.links(Echo):
            for number in range(200):
                client.transport.write(b"%03d" % number)
                await client.receive(3 * number + 3)
            await self.close(client, server)

    async def test_refused(self) -> None:
        with contextlib.closing(socket.socket()) as unused:
            unused.bind(("127.0.0.1", 0))
            number = unused.getsockname()[1]
            for scheme in SCHEMES:
                url = LinkURL.parse(f"{scheme}://127.0.0.1:{number}")
                error = await failure_of(self, self.dial(url, PeerFactory()))
                self.assertEqual(f"{url}: the connection was refused", str(error))
                self.assertFalse(error.permanent)

    async def test_port_that_is_taken(self) -> None:
        for scheme in SCHEMES:
            url = await self.listen(scheme, PeerFactory())
            taken = LinkURL.parse(f"{scheme}://127.0.0.1:{url.port}")
            endpoint = server_endpoint(
                reactor,
                taken,
                self.server_settings(),
            )
            error = await failure_of(self, endpoint.listen(PeerFactory()))
            self.assertEqual(
                f"{taken}: cannot listen: Address already in use", str(error)
            )

    async def test_listen_on_a_name(self) -> None:
        for text, why in (
            ("tcp://localhost:0", None),
            ("tcp://no-such-name.invalid:0", "cannot listen: "),
            ("tcp://192.0.2.1:0", "cannot listen: Cannot assign requested address"),
        ):
            url = LinkURL.parse(text)
            endpoint = server_endpoint(reactor, url, self.server_settings())
            listening = endpoint.listen(PeerFactory())
            if why is None:
                self.addCleanup((await listening).stopListening)
            else:
                error = await failure_of(self, listening)
                self.assertIn(f"{url}: {why}", str(error))

    async def test_admission(self) -> None:
        for scheme in SCHEMES:
            admission, servers = Admission(), PeerFactory()
            settings = self.server_settings(admission=admission)
            url = await self.listen(scheme, servers, settings)
            server, client = await self.connect(url, servers, PeerFactory())
            self.assertEqual([base_transport(server.transport)], admission.asked)
            await self.close(client, server)
            self.assertEqual(admission.asked, admission.left)

    async def test_not_admitted(self) -> None:
        for scheme in SCHEMES:
            admission, servers = Admission(False), PeerFactory()
            settings = self.server_settings(admission=admission)
            url = await self.listen(scheme, servers, settings)
            clients = PeerFactory()
            try:
                client = await self.dial(url, clients)
            except TransportError:
                self.assertEqual([], clients.built)
            else:
                # Without a handshake there is nothing to fail.
                self.assertEqual("tcp", scheme)
                await client.gone
            self.assertEqual([], servers.built)
            self.assertEqual([], admission.left)


class SilenceTests(LinkTestCase):
    """
    Peers that do not go on with a handshake.
    """

    async def raw_connection(self, number: int) -> Any:
        """
        A connection without TLS or WebSocket.
        """
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", number)
        return await endpoint.connect(factory_of(Peer))

    async def raw_listener(self) -> tuple[int, PeerFactory]:
        """
        A listener without TLS or WebSocket.
        """
        peers = PeerFactory()
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(peers)
        self.addCleanup(port.stopListening)
        return port_number(port), peers

    async def test_silent_clients(self) -> None:
        for scheme, layer in (("tls", "TLS"), ("ws", "WebSocket"), ("wss", "TLS")):
            servers = PeerFactory()
            settings = self.server_settings(handshake_timeout=SHORT)
            url = await self.listen(scheme, servers, settings)
            client = await self.raw_connection(url.port)
            await client.gone
            self.assertEqual([], servers.built)
            expected = f"no {layer} handshake within {SHORT:g} s"
            await self.until(lambda: any(expected in m for m in self.messages))  # noqa: B023
            self.messages.clear()

    async def test_client_that_is_silent_above_tls(self) -> None:
        servers = PeerFactory()
        settings = self.server_settings(handshake_timeout=SHORT)
        url = await self.listen("wss", servers, settings)
        answer = await deferToThread(talk_tls, self.ca_path, url.port, "http/1.1", b"")
        self.assertEqual(b"", answer)
        self.assertEqual([], servers.built)

    async def test_silent_servers(self) -> None:
        number, peers = await self.raw_listener()
        settings = self.client_settings(handshake_timeout=SHORT)
        for scheme, layer in (("tls", "TLS"), ("ws", "WebSocket"), ("wss", "TLS")):
            url = LinkURL.parse(f"{scheme}://127.0.0.1:{number}")
            error = await failure_of(self, self.dial(url, PeerFactory(), settings))
            self.assertEqual(
                f"{url}: no {layer} handshake within {SHORT:g} s", str(error)
            )
            self.assertFalse(error.permanent)
        for peer in peers.built:
            assert isinstance(peer, Peer)
            await peer.gone

    async def test_cancelled(self) -> None:
        number, peers = await self.raw_listener()
        for scheme in ("tls", "ws", "wss"):
            url = LinkURL.parse(f"{scheme}://127.0.0.1:{number}")
            clients = PeerFactory()
            connecting = self.dial(url, clients)
            await self.until(lambda: peers.built and peers.built[-1].received)
            connecting.cancel()
            with self.assertRaises(CancelledError):
                await connecting
            peer = peers.built.pop()
            assert isinstance(peer, Peer)
            await peer.gone
            self.assertEqual([], clients.built)

    async def test_cancelled_before_it_is_connected(self) -> None:
        for scheme in SCHEMES:
            url = LinkURL.parse(
                f"{scheme}://localhost:{(await self.raw_listener())[0]}"
            )
            connecting = self.dial(url, PeerFactory())
            connecting.cancel()
            with self.assertRaises(CancelledError):
                await connecting

    async def test_plaintext_to_a_tls_port(self) -> None:
        for scheme in ("tls", "wss"):
            servers = PeerFactory()
            url = await self.listen(scheme, servers)
            client = await self.raw_connection(url.port)
            client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
            await client.gone
            self.assertEqual([], servers.built)
            await self.until(lambda: any("speak TLS" in m for m in self.messages))
            self.messages.clear()

    async def test_tls_to_a_plaintext_port(self) -> None:
        url = await self.listen("tcp", PeerFactory(Echo))
        dialled = LinkURL.parse(f"tls://localhost:{url.port}")
        error = await failure_of(self, self.dial(dialled, PeerFactory()))
        self.assertTrue(str(error).startswith(f"{dialled}: "))


class DescribedTests(LinkTestCase):
    """
    Endpoint descriptions.
    """

    async def link(self, server: str, client: str) -> tuple[Any, Any]:
        """
        Make a link from one description to the other.

        @param client: C{PORT} stands for what the server got.
        """
        servers = PeerFactory()
        url = LinkURL.parse(server)
        endpoint = server_endpoint(
            reactor,
            url,
            self.server_settings(),
        )
        port = await endpoint.listen(servers)
        self.addCleanup(port.stopListening)
        if "PORT" in client:
            client = client.replace("PORT", str(port_number(port)))
        return await self.connect(LinkURL.parse(client), servers, PeerFactory())

    async def exchange(self, server: Any, client: Any) -> None:
        """
        See that bytes move, then close.
        """
        client.transport.write(b"hello")
        server.transport.write(b"hi")
        self.assertEqual(b"hello", await server.receive(5))
        self.assertEqual(b"hi", await client.receive(2))
        await self.close(client, server)

    async def test_unix(self) -> None:
        # Short, because there is a limit.
        path = f"/tmp/reitunnel-test-{id(self):x}.sock"
        self.addCleanup(Path(path).unlink, missing_ok=True)
        server, client = await self.link(f"unix:{path}", f"unix:{path}")
        facts = link_facts(server.transport)
        self.assertEqual(("unix", False), (facts.scheme, facts.secure))
        await self.exchange(server, client)

    async def test_tcp(self) -> None:
        server, client = await self.link(
            "tcp:0:interface=127.0.0.1", "tcp:localhost:PORT"
        )
        self.assertEqual("tcp", link_facts(server.transport).scheme)
        await self.exchange(server, client)

    async def test_tls(self) -> None:
        issued = self.authority.issue("x", "localhost")
        pem = issued.write(self.directory / "twisted.pem")
        trust = self.directory / "trust"
        trust.mkdir()
        self.authority.write(trust / "ca.pem")
        server, client = await self.link(
            f"ssl:0:privateKey={pem}:certKey={pem}:interface=127.0.0.1",
            f"tls:localhost:PORT:trustRoots={trust}",
        )
        mine, theirs = link_facts(client.transport), link_facts(server.transport)
        self.assertEqual(("tls", True), (theirs.scheme, theirs.secure))
        self.assertEqual(mine.channel_binding, theirs.channel_binding)
        self.assertIsNotNone(mine.channel_binding)
        self.assertIsNotNone(mine.certificate)
        await self.exchange(server, client)
        self.flushWarnings()

    async def test_nobody_there(self) -> None:
        url = LinkURL.parse("unix:/nonexistent/reitunnel.sock")
        error = await failure_of(self, self.dial(url, PeerFactory()))
        self.assertIn("No such file or directory", str(error))
