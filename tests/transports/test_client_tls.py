"""
Tests of L{reitunnel.transports.client_tls}.
"""

from __future__ import annotations

from typing import cast

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface.verify import verifyObject

from reitunnel.errors import CertificateError
from reitunnel.transports import ClientTLS, ServerCertificates
from reitunnel.transports.client_tls import TLSDial
from reitunnel.transports.contexts import LINK_PROTOCOL, new_context
from reitunnel.transports.pem import load_credentials
from tests.certificates import CertificateAuthority, Issued
from tests.transports.support import CertificateTestCase, shake_hands

# The connections made here need no protocol.
NO_PROTOCOL = cast(TLSMemoryBIOProtocol, None)


class ClientTestCase(CertificateTestCase):
    """
    A test that looks at a client from a server's side.
    """

    def server(self, *names: str) -> ServerCertificates:
        return ServerCertificates(self.server_pem(*names))

    def connect(
        self, server: ServerCertificates, dial: TLSDial
    ) -> tuple[SSL.Connection, SSL.Connection]:
        """
        Do a handshake.

        @return: the connections of the server and of the client.
        """
        theirs = SSL.Connection(server.context(LINK_PROTOCOL))
        mine = dial.clientConnectionForTLS(NO_PROTOCOL)
        shake_hands(theirs, mine)
        return theirs, mine

    def assert_refused(
        self, server: ServerCertificates, dial: TLSDial, reason: str
    ) -> None:
        self.assertRaises(SSL.Error, self.connect, server, dial)
        assert dial.problem is not None
        self.assertIn(reason, str(dial.problem))
        self.assertTrue(dial.problem.permanent)


class VerificationTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tls = ClientTLS(ca_file=self.ca_file())

    def dial(self, host: str, tls: ClientTLS | None = None) -> TLSDial:
        return (tls or self.tls).dial(host, 7000, LINK_PROTOCOL)

    def test_interface(self) -> None:
        verifyObject(IOpenSSLClientConnectionCreator, self.dial("localhost"))

    def test_right(self) -> None:
        for name in ("localhost", "127.0.0.1", "a.b.example", "::1"):
            dial = self.dial(name)
            self.connect(
                self.server("localhost", "127.0.0.1", "::1", "*.b.example"), dial
            )
            self.assertIsNone(dial.problem)
            self.assertTrue(dial.full)

    def test_address_with_a_zone(self) -> None:
        self.connect(self.server("fe80::1"), self.dial("fe80::1%eth0"))

    def test_dot_at_the_end(self) -> None:
        server, _ = self.connect(self.server(), self.dial("localhost."))
        self.assertEqual(b"localhost", server.get_servername())

    def test_alpn(self) -> None:
        server, _ = self.connect(self.server(), self.dial("localhost"))
        self.assertEqual(LINK_PROTOCOL, server.get_alpn_proto_negotiated())

    def test_server_name_is_sent(self) -> None:
        server, _ = self.connect(self.server(), self.dial("localhost"))
        self.assertEqual(b"localhost", server.get_servername())

    def test_address_is_not_sent(self) -> None:
        server, _ = self.connect(self.server("127.0.0.1"), self.dial("127.0.0.1"))
        self.assertIsNone(server.get_servername())

    def test_wrong_name(self) -> None:
        self.assert_refused(
            self.server("a.example"),
            self.dial("b.example"),
            "the server's certificate is not for 'b.example'",
        )

    def test_wrong_address(self) -> None:
        self.assert_refused(
            self.server("127.0.0.1"), self.dial("127.0.0.2"), "not for '127.0.0.2'"
        )

    def test_address_in_place_of_a_name(self) -> None:
        self.assert_refused(
            self.server("localhost"), self.dial("127.0.0.1"), "not for '127.0.0.1'"
        )

    def test_no_name_at_all(self) -> None:
        issued = self.authority.issue("localhost")
        server = ServerCertificates(issued.write(self.directory / "s.pem"))
        self.assert_refused(server, self.dial("localhost"), "not for 'localhost'")

    def test_other_name(self) -> None:
        tls = ClientTLS(ca_file=self.ca_file(), server_name="A.example")
        server, _ = self.connect(self.server("a.example"), self.dial("10.0.0.1", tls))
        self.assertEqual(b"a.example", server.get_servername())

    def test_international_name(self) -> None:
        tls = ClientTLS(ca_file=self.ca_file(), server_name="bücher.example")
        server = self.server("xn--bcher-kva.example")
        self.connect(server, self.dial("10.0.0.1", tls))
        self.assertRaises(ValueError, ClientTLS, server_name="\N{SNOWMAN}\u0301")

    def test_foreign_authority(self) -> None:
        foreign = CertificateAuthority("foreign").issue("x", "localhost")
        server = ServerCertificates(foreign.write(self.directory / "s.pem"))
        self.assert_refused(
            server, self.dial("localhost"), "from an authority that is not known"
        )

    def test_foreign_authority_in_the_chain(self) -> None:
        foreign = CertificateAuthority("foreign")
        issued = foreign.issue("x", "localhost")
        chained = Issued(issued.cert_pem + foreign.cert_pem, issued.key_pem)
        server = ServerCertificates(chained.write(self.directory / "s.pem"))
        self.assert_refused(
            server, self.dial("localhost"), "from an authority that is not trusted"
        )

    def test_system_does_not_trust_it(self) -> None:
        dial = self.dial("localhost", ClientTLS())
        self.assert_refused(self.server(), dial, "is not trusted")

    def test_expired(self) -> None:
        issued = self.authority.issue("x", "localhost", valid_from=-3, valid_to=-1)
        server = ServerCertificates(issued.write(self.directory / "s.pem"))
        self.assert_refused(server, self.dial("localhost"), "it has expired")

    def test_not_valid_yet(self) -> None:
        issued = self.authority.issue("x", "localhost", valid_from=1)
        server = ServerCertificates(issued.write(self.directory / "s.pem"))
        self.assert_refused(server, self.dial("localhost"), "it is not valid yet")

    def test_certificate_of_a_client(self) -> None:
        issued = self.authority.issue("x", "localhost", client=True)
        server = ServerCertificates(issued.write(self.directory / "s.pem"))
        self.assert_refused(
            server, self.dial("localhost"), "it is not meant for servers"
        )

    def test_client_certificate(self) -> None:
        issued = self.authority.issue("client", client=True)
        mine = issued.write(self.directory / "client.pem")
        tls = ClientTLS(ca_file=self.ca_file(), certificate_file=mine)
        server = ServerCertificates(self.server_pem(), client_ca=self.ca_file())
        theirs, _ = self.connect(server, self.dial("localhost", tls))
        certificate = theirs.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        self.assertEqual("CN=client", certificate.subject.rfc4514_string())


class VersionTests(ClientTestCase):
    def old_server(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        credentials = load_credentials(self.server_pem())
        context.use_certificate(credentials.certificate)
        context.use_privatekey(credentials.key)  # type: ignore[arg-type]  # an EC key
        return context

    def test_refused(self) -> None:
        dial = ClientTLS(ca_file=self.ca_file()).dial("localhost", 1, LINK_PROTOCOL)
        client = dial.clientConnectionForTLS(NO_PROTOCOL)
        server = SSL.Connection(self.old_server())
        self.assertRaises(SSL.Error, shake_hands, server, client)

    def test_when_asked_for(self) -> None:
        tls = ClientTLS(ca_file=self.ca_file(), minimum_version="1.2")
        client = tls.dial("localhost", 1, LINK_PROTOCOL).clientConnectionForTLS(
            NO_PROTOCOL
        )
        shake_hands(SSL.Connection(self.old_server()), client)
        self.assertEqual("TLSv1.2", client.get_protocol_version_name())


class FileTests(ClientTestCase):
    def test_missing(self) -> None:
        path = self.directory / "no.pem"
        for error in (
            self.assertRaises(CertificateError, ClientTLS, ca_file=path),
            self.assertRaises(CertificateError, ClientTLS, certificate_file=path),
        ):
            self.assertIn(str(path), str(error))

    def test_key_that_others_can_read(self) -> None:
        path = self.authority.issue("a", client=True).write(self.directory / "a.pem")
        path.chmod(0o644)
        error = self.assertRaises(CertificateError, ClientTLS, certificate_file=path)
        self.assertIn("mode 0644", str(error))

    def test_no_files_are_needed(self) -> None:
        ClientTLS().dial("localhost", 1, LINK_PROTOCOL)

    def test_changed_files(self) -> None:
        path = self.ca_file()
        tls = ClientTLS(ca_file=path)
        other = CertificateAuthority("other")
        issued = other.issue("x", "localhost")
        server = ServerCertificates(issued.write(self.directory / "s.pem"))
        dial = tls.dial("localhost", 1, LINK_PROTOCOL)
        self.assertRaises(SSL.Error, self.connect, server, dial)
        path.unlink()
        other.write(path)
        self.connect(server, tls.dial("localhost", 1, LINK_PROTOCOL))

    def test_changed_to_something_bad(self) -> None:
        path = self.ca_file()
        tls = ClientTLS(ca_file=path)
        path.write_bytes(b"")
        messages = []
        for _ in range(2):
            with capturedLogs() as events:
                self.connect(self.server(), tls.dial("localhost", 1, LINK_PROTOCOL))
            messages += [str(formatEvent(event)) for event in events]
        [message] = messages
        self.assertIn(f"the old ones stay: {path}", message)


class SessionTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tls = ClientTLS(ca_file=self.ca_file())
        self.certificates = self.server("localhost", "a.example")

    def visit(
        self, host: str = "localhost", port: int = 1, *, speak: bool = True
    ) -> TLSDial:
        """
        Connect; and have the server say something, and the client remember it.
        """
        dial = self.tls.dial(host, port, LINK_PROTOCOL)
        server, client = self.connect(self.certificates, dial)
        if speak:
            server.send(b"x")
            client.bio_write(server.bio_read(65536))
            client.recv(1)
            dial.remember(client)
        dial.release(client)
        return dial

    def test_resumed(self) -> None:
        self.assertTrue(self.visit().full)
        self.assertFalse(self.visit().full)
        self.assertFalse(self.visit().full)

    def test_not_without_the_servers_word(self) -> None:
        self.visit(speak=False)
        self.assertTrue(self.visit().full)

    def test_by_server(self) -> None:
        self.visit()
        self.assertTrue(self.visit("a.example").full)
        self.assertTrue(self.visit(port=2).full)
        self.assertFalse(self.visit("a.example").full)

    def test_refused_by_the_server(self) -> None:
        self.visit()
        self.certificates.reload()
        self.assertTrue(self.visit().full)
        self.assertFalse(self.visit().full)

    def test_forgotten_when_trust_changes(self) -> None:
        self.visit()
        path = self.ca_file()
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        self.assertTrue(self.visit().full)

    def test_not_remembered_from_before_a_change(self) -> None:
        dial = self.tls.dial("localhost", 1, LINK_PROTOCOL)
        _, client = self.connect(self.certificates, dial)
        path = self.ca_file()
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        self.visit(speak=False)
        dial.remember(client)
        self.assertTrue(self.visit().full)

    def test_bound(self) -> None:
        self.visit()
        for port in range(2, 66):
            self.visit(port=port)
        self.assertTrue(self.visit().full)
        self.assertFalse(self.visit(port=65).full)

    def test_nothing_to_remember(self) -> None:
        dial = self.tls.dial("localhost", 1, LINK_PROTOCOL)
        dial.remember(SSL.Connection(new_context(SSL.TLS_CLIENT_METHOD, "1.3")))
        self.assertTrue(self.visit().full)
