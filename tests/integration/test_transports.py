"""
Links over real sockets.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    serverFromString,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from reitunnel.errors import TransportError
from reitunnel.transports import (
    ClientTLS,
    LinkURL,
    ServerCertificates,
    ServerTransportSettings,
    TCPOptions,
    WebSocketLinkResource,
    base_transport,
    client_endpoint,
    link_facts,
    server_endpoint,
)
from tests.certificates import CertificateAuthority, Issued
from tests.integration.links import (
    SHORT,
    Echo,
    LinkTestCase,
    Peer,
    PeerFactory,
    Sink,
    Source,
    factory_of,
    pause,
    port_number,
)
from tests.transports.support import Admission

SCHEMES = ("tcp", "tls", "ws", "wss")

# Small, so that what fits in between is little next to what is sent.
SMALL_BUFFERS = TCPOptions(send_buffer=65536, receive_buffer=65536)


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
            if scheme != "tls":
                # Twisted's TLS hands on what is in the records that were read.
                self.assertEqual(0, client.while_paused, scheme)

    async def test_server_that_reads_slowly(self) -> None:
        for scheme, server, client in await self.links(Sink, Source, tcp=SMALL_BUFFERS):
            await self.slow_reader(client, server, 40_000_000)
            if scheme != "tls":
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
                error = await self.failure(self.dial(url, PeerFactory()))
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
            error = await self.failure(endpoint.listen(PeerFactory()))
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
                error = await self.failure(listening)
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

    async def failure(self, waiting: Deferred[Any]) -> TransportError:
        """
        The error that something fails with.
        """
        return await failure_of(self, waiting)


async def failure_of(test: LinkTestCase, waiting: Deferred[Any]) -> TransportError:
    """
    The error that something fails with.
    """
    try:
        result = await waiting
    except TransportError as error:
        return error
    return test.fail(f"no failure, but {result!r}")


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


def talk_tls(ca: Path, number: int, alpn: str | None, data: bytes) -> bytes:
    """
    Speak TLS with the help of Python's own library, in a thread.

    @return: what the server sends until it closes.
    """
    context = ssl.create_default_context(cafile=str(ca))
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    with (
        socket.create_connection(("127.0.0.1", number), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        received = b""
        with contextlib.suppress(OSError):
            wrapped.sendall(data)
            while piece := wrapped.recv(65536):
                received += piece
        return received


class TLSTests(LinkTestCase):
    """
    What TLS refuses, and what it remembers.
    """

    async def refused(
        self, url: LinkURL, tls: ClientTLS | None = None
    ) -> TransportError:
        """
        Dial in vain.
        """
        settings = (
            self.client_settings() if tls is None else self.client_settings(tls=tls)
        )
        clients = PeerFactory()
        error = await failure_of(self, self.dial(url, clients, settings))
        self.assertTrue(str(error).startswith(f"{url}: "), str(error))
        self.assertTrue(error.permanent)
        self.assertEqual([], clients.built)
        return error

    def certificates(self, issued: Issued, **options: Any) -> ServerTransportSettings:
        """
        The settings of a server that shows this certificate.
        """
        pem = issued.write(self.directory / "other.pem")
        return self.server_settings(certificates=ServerCertificates(pem, **options))

    async def test_wrong_name(self) -> None:
        for scheme in ("tls", "wss"):
            servers = PeerFactory()
            settings = self.certificates(self.authority.issue("x", "other.example"))
            url = await self.listen(scheme, servers, settings)
            error = await self.refused(url)
            self.assertIn("the server's certificate is not for 'localhost'", str(error))
            await self.until(lambda: any("no link with" in m for m in self.messages))
            self.assertEqual([], servers.built)

    async def test_other_name_on_purpose(self) -> None:
        servers = PeerFactory()
        settings = self.certificates(self.authority.issue("x", "other.example"))
        url = await self.listen("tls", servers, settings)
        tls = ClientTLS(ca_file=self.ca_path, server_name="other.example")
        server, client = await self.connect(
            url, servers, PeerFactory(), self.client_settings(tls=tls)
        )
        await self.close(client, server)

    async def test_foreign_authority(self) -> None:
        foreign = CertificateAuthority("foreign").issue("x", "localhost")
        url = await self.listen("tls", PeerFactory(), self.certificates(foreign))
        error = await self.refused(url)
        self.assertIn("is not trusted", str(error))

    async def test_system_roots(self) -> None:
        url = await self.listen("tls", PeerFactory())
        error = await self.refused(url, ClientTLS())
        self.assertIn("is not trusted", str(error))

    async def test_expired(self) -> None:
        issued = self.authority.issue("x", "localhost", valid_from=-3, valid_to=-1)
        url = await self.listen("tls", PeerFactory(), self.certificates(issued))
        self.assertIn("it has expired", str(await self.refused(url)))

    async def test_old_version(self) -> None:
        servers = PeerFactory()
        url = await self.listen("tls", servers)

        def old_client() -> str:
            context = ssl.create_default_context(cafile=str(self.ca_path))
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["reitunnel/1"])
            with socket.create_connection(("127.0.0.1", url.port), 20) as plain:
                try:
                    context.wrap_socket(plain, server_hostname="localhost")
                except ssl.SSLError as error:
                    return str(error)
            return "accepted"

        said = (await deferToThread(old_client)).lower().replace("_", " ")
        self.assertIn("protocol version", said)
        self.assertEqual([], servers.built)

    async def test_clients_without_alpn(self) -> None:
        servers = PeerFactory()
        url = await self.listen("tls", servers)
        answer = await deferToThread(talk_tls, self.ca_path, url.port, None, b"hello")
        self.assertEqual(b"", answer)
        self.assertEqual([], servers.built)
        await self.until(lambda: any("(no ALPN)" in m for m in self.messages))

    async def test_clients_with_other_alpn(self) -> None:
        servers = PeerFactory()
        url = await self.listen("tls", servers)

        def other_client() -> str:
            try:
                talk_tls(self.ca_path, url.port, "http/1.1", b"hello")
            except ssl.SSLError as error:
                return str(error)
            return "accepted"

        said = await deferToThread(other_client)
        self.assertIn("no application protocol", said.lower().replace("_", " "))
        self.assertEqual([], servers.built)

    async def test_servers_without_alpn(self) -> None:
        issued = self.authority.issue("x", "localhost")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(issued.write(self.directory / "python.pem"))
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve() -> None:
            plain, _ = listener.accept()
            plain.settimeout(20)
            with (
                contextlib.suppress(OSError),
                plain,
                context.wrap_socket(plain, server_side=True) as wrapped,
            ):
                wrapped.recv(1)

        serving = deferToThread(serve)
        url = LinkURL.parse(f"tls://localhost:{listener.getsockname()[1]}")
        error = await self.refused(url)
        self.assertEqual(
            f"{url}: the peer does not speak reitunnel/1 (no ALPN)", str(error)
        )
        await serving

    async def test_websocket_on_a_tls_port(self) -> None:
        url = await self.listen("tls", PeerFactory())
        wrong = LinkURL.parse(f"wss://localhost:{url.port}")
        error = await self.refused(wrong)
        self.assertIn("no protocol in common (ALPN)", str(error))

    async def test_mutual(self) -> None:
        for scheme in ("tls", "wss"):
            servers = PeerFactory()
            issued = self.authority.issue("x", "localhost")
            settings = self.certificates(issued, client_ca=self.ca_path)
            url = await self.listen(scheme, servers, settings)
            mine = self.authority.issue("me", client=True, organization="Us")
            tls = ClientTLS(
                ca_file=self.ca_path,
                certificate_file=mine.write(self.directory / "me.pem"),
            )
            for _ in range(2):
                # The second time the session is resumed.
                server, client = await self.connect(
                    url, servers, PeerFactory(), self.client_settings(tls=tls)
                )
                certificate = link_facts(server.transport).certificate
                assert certificate is not None
                self.assertEqual("me", certificate.common_name)
                self.assertEqual("Us", certificate.organization)
                server.transport.write(b"x")
                await client.receive(1)
                await self.close(client, server)

    async def test_client_certificate_missing(self) -> None:
        servers = PeerFactory()
        issued = self.authority.issue("x", "localhost")
        settings = self.certificates(issued, client_ca=self.ca_path)
        url = await self.listen("tls", servers, settings)
        # In TLS 1.3 the client is through before the server looks.
        client = await self.dial(url, PeerFactory())
        await client.gone
        client.lost[0].trap(ConnectionLost)
        self.assertIn("the peer wants a certificate", str(client.lost[0].value))
        self.assertEqual([], servers.built)
        await self.until(lambda: any("has no certificate" in m for m in self.messages))

    async def test_by_server_name(self) -> None:
        pems = self.directory / "pems"
        pems.mkdir()
        for name in ("a.example", "*.b.example"):
            file = name.replace("*", "wild") + ".pem"
            self.authority.issue(name, name).write(pems / file)
        servers = PeerFactory()
        settings = self.server_settings(certificates=ServerCertificates(pems))
        url = await self.listen("tls", servers, settings)
        for asked, shown in (
            ("a.example", "a.example"),
            ("x.b.example", "*.b.example"),
        ):
            tls = ClientTLS(ca_file=self.ca_path, server_name=asked)
            server, client = await self.connect(
                url, servers, PeerFactory(), self.client_settings(tls=tls)
            )
            certificate = link_facts(client.transport).certificate
            assert certificate is not None
            self.assertEqual(shown, certificate.common_name)
            await self.close(client, server)
        tls = ClientTLS(ca_file=self.ca_path, server_name="c.example")
        self.assertIn("not for 'c.example'", str(await self.refused(url, tls)))

    async def test_reload(self) -> None:
        pem = self.directory / "reloaded.pem"
        self.authority.issue("one", "localhost").write(pem)
        certificates = ServerCertificates(pem)
        servers = PeerFactory()
        url = await self.listen(
            "tls", servers, self.server_settings(certificates=certificates)
        )
        settings = self.client_settings()
        old = await self.connect(url, servers, PeerFactory(), settings)
        self.authority.issue("two", "localhost").write(pem)
        certificates.reload()
        new = await self.connect(url, servers, PeerFactory(), settings)
        for (_, client), name in ((old, "one"), (new, "two")):
            certificate = link_facts(client.transport).certificate
            assert certificate is not None
            self.assertEqual(name, certificate.common_name)
        old[0].transport.write(b"still here")
        await old[1].receive(10)
        await self.close(*old, *new)

    async def test_server_resumes(self) -> None:
        servers = PeerFactory(Echo)
        url = await self.listen("tls", servers)
        context = ssl.create_default_context(cafile=str(self.ca_path))
        context.set_alpn_protocols(["reitunnel/1"])

        def visit(session: ssl.SSLSession | None) -> tuple[bool | None, Any]:
            with (
                socket.create_connection(("127.0.0.1", url.port), 20) as plain,
                context.wrap_socket(
                    plain, server_hostname="localhost", session=session
                ) as wrapped,
            ):
                wrapped.sendall(b"x")
                wrapped.recv(1)
                return wrapped.session_reused, wrapped.session

        reused, session = await deferToThread(visit, None)
        self.assertFalse(reused)
        reused, _ = await deferToThread(visit, session)
        self.assertTrue(reused)
        for server in servers.built:
            assert isinstance(server, Peer)
            await server.gone

    async def test_client_resumes(self) -> None:
        issued = self.authority.issue("x", "localhost")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(issued.write(self.directory / "python.pem"))
        context.set_alpn_protocols(["reitunnel/1"])
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        url = LinkURL.parse(f"tls://localhost:{listener.getsockname()[1]}")

        def serve() -> Iterator[bool | None]:
            plain, _ = listener.accept()
            plain.settimeout(20)
            with plain, context.wrap_socket(plain, server_side=True) as wrapped:
                yield wrapped.session_reused
                wrapped.sendall(b"x")
                with contextlib.suppress(OSError):
                    wrapped.recv(1)

        settings = self.client_settings()
        reused = []
        for _ in range(3):
            serving = deferToThread(lambda: list(serve()))
            client = await self.dial(url, PeerFactory(), settings)
            await client.receive(1)
            # As when a link is lost.
            client.transport.abortConnection()
            await client.gone
            reused += await serving
        self.assertEqual([False, True, True], reused)


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

    async def test_endpoint_provider(self) -> None:
        url = LinkURL.parse("tcp:localhost:1")
        endpoint = client_endpoint(
            reactor,
            url,
            self.client_settings(),
        )
        self.assertTrue(hasattr(endpoint, "connect"))
