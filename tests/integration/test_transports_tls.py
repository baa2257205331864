"""
Links over TLS and real sockets: what is refused, and what is remembered.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from threading import Timer
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.threads import deferToThread

from reitunnel.errors import TransportError
from reitunnel.transports import (
    ClientTLS,
    LinkURL,
    ServerCertificates,
    ServerTransportSettings,
    link_facts,
)
from tests.certificates import CertificateAuthority, Issued
from tests.integration.links import (
    Echo,
    LinkTestCase,
    Peer,
    PeerFactory,
    failure_of,
    talk_tls,
)
from tests.programs import require_program


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

    async def test_other_version(self) -> None:
        """
        TLS 1.2, for peers that have nothing better.
        """
        servers = PeerFactory(Echo)
        issued = self.authority.issue("x", "localhost")
        url = await self.listen(
            "tls", servers, self.certificates(issued, minimum_version="1.2")
        )
        context = ssl.create_default_context(cafile=str(self.ca_path))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["reitunnel/1"])
        data = bytes(range(256)) * 1000

        def visit() -> bytes:
            with (
                socket.create_connection(("127.0.0.1", url.port), 20) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as wrapped,
            ):
                self.assertEqual("TLSv1.2", wrapped.version())
                wrapped.sendall(data)
                received = b""
                while len(received) < len(data):
                    received += wrapped.recv(65536)
                wrapped.unwrap()
                return received

        self.assertEqual(data, await deferToThread(visit))
        [server] = servers.built
        assert isinstance(server, Peer)
        await server.gone
        server.lost[0].trap(ConnectionDone)

    async def test_end_that_may_be_somebody_elses_doing(self) -> None:
        """
        The connection is closed in order, but TLS is not.
        """
        servers = PeerFactory()
        url = await self.listen("tls", servers)
        context = ssl.create_default_context(cafile=str(self.ca_path))
        context.set_alpn_protocols(["reitunnel/1"])

        def visit() -> None:
            with (
                socket.create_connection(("127.0.0.1", url.port), 20) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as wrapped,
            ):
                wrapped.sendall(b"hello")
                # Of the connection alone. What was not read yet is, too: the end
                # would be a reset otherwise.
                wrapped.shutdown(socket.SHUT_WR)
                while wrapped.recv(65536):
                    pass

        await deferToThread(visit)
        [server] = servers.built
        assert isinstance(server, Peer)
        await server.gone
        self.assertEqual(b"hello", server.received)
        self.assertIs(ConnectionLost, server.lost[0].type)

    async def test_new_keys(self) -> None:
        """
        A peer changes its keys, and asks this side to do so too (RFC 8446,
        section 4.6.3). Python's own library cannot do that.
        """
        url = await self.listen("tls", PeerFactory(Echo))
        command = [require_program("openssl"), "s_client", "-msg"]
        command += ["-connect", f"127.0.0.1:{url.port}", "-alpn", "reitunnel/1"]
        lines = {"hello": "hello", "K": "KEYUPDATE", "again": "again"}
        said = await deferToThread(converse, command, lines)
        changes = [line for line in said.splitlines() if line.endswith(", KeyUpdate")]
        self.assertEqual([">>>", "<<<"], [line[:3] for line in changes], said)


def converse(command: list[str], lines: dict[str, str]) -> str:
    """
    Talk to a program, in a thread.

    @param lines: what to say, and for which line to wait before the next.
    @return: what it has said.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        patience = Timer(20, process.kill)
        patience.start()
        said = []
        for line, answer in lines.items():
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            for heard in iter(process.stdout.readline, ""):
                said.append(heard)
                if heard.strip() == answer:
                    break
        process.stdin.close()
        said.append(process.stdout.read())
        patience.cancel()
    return "".join(said)
