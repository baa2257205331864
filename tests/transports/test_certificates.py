"""
Tests of L{reitunnel.transports.certificates} and L{reitunnel.transports.contexts}.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import LogLevel, capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from reitunnel.errors import CertificateError
from reitunnel.transports import ServerCertificates
from reitunnel.transports.certificates import CHECK_INTERVAL, ServerConnections
from reitunnel.transports.contexts import (
    HTTP_PROTOCOL,
    LINK_PROTOCOL,
    new_context,
    use_credentials,
)
from reitunnel.transports.pem import Credentials, load_credentials
from tests.certificates import CertificateAuthority, write_private
from tests.transports.support import CertificateTestCase, shake_hands


class ServerTestCase(CertificateTestCase):
    """
    A test that looks at a server from a client's side.
    """

    def connect(
        self,
        certificates: ServerCertificates,
        *,
        name: bytes | None = None,
        offer: list[bytes] | None = None,
        alpn: bytes = LINK_PROTOCOL,
        version: int = SSL.TLS1_3_VERSION,
        credentials: Credentials | None = None,
        session: SSL.Session | None = None,
        context: SSL.Context | None = None,
    ) -> tuple[SSL.Connection, SSL.Connection]:
        """
        Do a handshake.

        @return: the connections of the server and of the client.
        """
        if context is None:
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_max_proto_version(version)
            context.set_alpn_protos([LINK_PROTOCOL] if offer is None else offer)
            if credentials is not None:
                use_credentials(context, credentials)
        client = SSL.Connection(context)
        if session is not None:
            client.set_session(session)
        if name is not None:
            client.set_tlsext_host_name(name)
        server = SSL.Connection(certificates.context(alpn))
        shake_hands(server, client)
        return server, client

    def shown(self, certificates: ServerCertificates, name: bytes | None = None) -> str:
        """
        The common name of the certificate that a client gets to see.
        """
        _, client = self.connect(certificates, name=name)
        certificate = client.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return certificate.subject.rfc4514_string().removeprefix("CN=")


class FileTests(ServerTestCase):
    def test_shown(self) -> None:
        self.assertEqual("server", self.shown(ServerCertificates(self.server_pem())))

    def test_shown_with_the_chain(self) -> None:
        issued = self.authority.issue("a", "a.example")
        path = write_private(
            self.directory / "a.pem", issued.pem + self.authority.cert_pem
        )
        _, client = self.connect(ServerCertificates(path))
        chain = client.get_peer_cert_chain()
        assert chain is not None
        self.assertEqual(2, len(chain))

    def test_names(self) -> None:
        path = self.server_pem("b.example", "A.example")
        self.assertEqual(("a.example", "b.example"), ServerCertificates(path).names)

    def test_any_server_name(self) -> None:
        certificates = ServerCertificates(self.server_pem("a.example"))
        self.assertEqual("server", self.shown(certificates, b"other.example"))

    def test_missing(self) -> None:
        path = self.directory / "no.pem"
        error = self.assertRaises(CertificateError, ServerCertificates, path)
        self.assertEqual(
            f"{path}: cannot be read: No such file or directory", str(error)
        )

    def test_text_path(self) -> None:
        ServerCertificates(str(self.server_pem()))

    def test_weak_key(self) -> None:
        key = rsa.generate_private_key(65537, 1024)
        weak = _self_signed(key)
        path = write_private(self.directory / "weak.pem", weak)
        error = self.assertRaises(CertificateError, ServerCertificates, path)
        self.assertIn(f"{path}: OpenSSL does not take the certificate: ", str(error))


def _self_signed(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    private = key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    return private + certificate.public_bytes(Encoding.PEM)


class VersionTests(ServerTestCase):
    def test_old_version_is_refused(self) -> None:
        certificates = ServerCertificates(self.server_pem())
        error = self.assertRaises(
            SSL.Error, self.connect, certificates, version=SSL.TLS1_2_VERSION
        )
        self.assertIn("unsupported protocol", str(error))

    def test_old_version_when_asked_for(self) -> None:
        certificates = ServerCertificates(self.server_pem(), minimum_version="1.2")
        server, _ = self.connect(certificates, version=SSL.TLS1_2_VERSION)
        self.assertEqual("TLSv1.2", server.get_protocol_version_name())
        cipher = server.get_cipher_name()
        assert cipher is not None
        self.assertTrue(cipher.startswith("ECDHE-"), cipher)

    def test_even_older_version(self) -> None:
        certificates = ServerCertificates(self.server_pem(), minimum_version="1.2")
        self.assertRaises(
            SSL.Error, self.connect, certificates, version=SSL.TLS1_1_VERSION
        )

    def test_best_version_is_preferred(self) -> None:
        certificates = ServerCertificates(self.server_pem(), minimum_version="1.2")
        server, _ = self.connect(certificates)
        self.assertEqual("TLSv1.3", server.get_protocol_version_name())


class ALPNTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.certificates = ServerCertificates(self.server_pem())

    def test_chosen(self) -> None:
        server, client = self.connect(self.certificates, offer=[b"h2", LINK_PROTOCOL])
        self.assertEqual(LINK_PROTOCOL, server.get_alpn_proto_negotiated())
        self.assertEqual(LINK_PROTOCOL, client.get_alpn_proto_negotiated())

    def test_by_listener(self) -> None:
        server, _ = self.connect(
            self.certificates, offer=[LINK_PROTOCOL, HTTP_PROTOCOL], alpn=HTTP_PROTOCOL
        )
        self.assertEqual(HTTP_PROTOCOL, server.get_alpn_proto_negotiated())

    def test_others_are_refused(self) -> None:
        error = self.assertRaises(
            SSL.Error, self.connect, self.certificates, offer=[HTTP_PROTOCOL]
        )
        self.assertIn("no application protocol", str(error))


class DirectoryTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pems = self.directory / "pems"
        self.pems.mkdir()

    def issue(self, file: str, name: str, *names: str, valid_to: int = 30) -> None:
        issued = self.authority.issue(name, *names, valid_to=valid_to)
        issued.write(self.pems / file)

    def test_by_server_name(self) -> None:
        self.issue("1.pem", "one", "one.example", "uno.example")
        self.issue("2.pem", "two", "two.example")
        certificates = ServerCertificates(self.pems)
        self.assertEqual("one", self.shown(certificates, b"one.example"))
        self.assertEqual("one", self.shown(certificates, b"uno.example"))
        self.assertEqual("two", self.shown(certificates, b"two.example"))
        self.assertEqual("two", self.shown(certificates, b"TWO.example"))
        self.assertEqual(
            ("one.example", "two.example", "uno.example"), certificates.names
        )

    def test_wildcard(self) -> None:
        self.issue("1.pem", "one", "one.example")
        self.issue("2.pem", "wild", "*.example.com")
        self.issue("3.pem", "special", "a.example.com")
        certificates = ServerCertificates(self.pems)
        self.assertEqual("wild", self.shown(certificates, b"b.example.com"))
        self.assertEqual("special", self.shown(certificates, b"a.example.com"))
        self.assertEqual("one", self.shown(certificates, b"b.c.example.com"))
        self.assertEqual("one", self.shown(certificates, b"example.com"))

    def test_first_for_others(self) -> None:
        self.issue("2.pem", "two", "two.example")
        self.issue("1.pem", "one", "one.example")
        certificates = ServerCertificates(self.pems)
        self.assertEqual("one", self.shown(certificates))
        self.assertEqual("one", self.shown(certificates, b"other.example"))
        self.assertEqual("one", self.shown(certificates, b"\xff.example"))

    def test_default_for_others(self) -> None:
        self.issue("1.pem", "one", "one.example")
        self.issue("default.pem", "two", "two.example")
        self.assertEqual("two", self.shown(ServerCertificates(self.pems)))

    def test_file_name_where_there_is_no_other(self) -> None:
        self.issue("1.pem", "one", "one.example")
        self.issue("Two.example.pem", "two")
        certificates = ServerCertificates(self.pems)
        self.assertEqual("two", self.shown(certificates, b"two.example"))

    def test_same_name_twice(self) -> None:
        self.issue("1.pem", "old", "a.example", valid_to=2)
        self.issue("2.pem", "new", "a.example", valid_to=30)
        self.issue("3.pem", "middle", "a.example", valid_to=10)
        self.assertEqual("new", self.shown(ServerCertificates(self.pems), b"a.example"))

    def test_alpn_of_others(self) -> None:
        self.issue("1.pem", "one", "one.example")
        self.issue("2.pem", "two", "two.example")
        certificates = ServerCertificates(self.pems)
        for name in (b"one.example", b"two.example"):
            self.assertRaises(
                SSL.Error, self.connect, certificates, name=name, offer=[b"h2"]
            )

    def test_one_bad_file(self) -> None:
        self.issue("1.pem", "one", "one.example")
        bad = self.pems / "2.pem"
        bad.touch()
        error = self.assertRaises(CertificateError, ServerCertificates, self.pems)
        self.assertIn(str(bad), str(error))


class ClientCertificateTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        issued = self.authority.issue("client", client=True)
        self.mine = load_credentials(issued.write(self.directory / "client.pem"))
        foreign = CertificateAuthority("foreign").issue("client", client=True)
        self.theirs = load_credentials(foreign.write(self.directory / "foreign.pem"))

    def certificates(self, *, required: bool) -> ServerCertificates:
        return ServerCertificates(
            self.server_pem(),
            client_ca=self.ca_file(),
            require_client_certificate=required,
        )

    def test_required(self) -> None:
        certificates = self.certificates(required=True)
        server, _ = self.connect(certificates, credentials=self.mine)
        self.assertIsNotNone(server.get_peer_certificate())
        error = self.assertRaises(SSL.Error, self.connect, certificates)
        self.assertIn("did not return a certificate", str(error))

    def test_optional(self) -> None:
        certificates = self.certificates(required=False)
        server, _ = self.connect(certificates, credentials=self.mine)
        self.assertIsNotNone(server.get_peer_certificate())
        server, _ = self.connect(certificates)
        self.assertIsNone(server.get_peer_certificate())

    def test_of_another_authority(self) -> None:
        for required in (True, False):
            error = self.assertRaises(
                SSL.Error,
                self.connect,
                self.certificates(required=required),
                credentials=self.theirs,
            )
            self.assertIn("certificate verify failed", str(error))

    def test_of_a_server(self) -> None:
        issued = self.authority.issue("server")
        credentials = load_credentials(issued.write(self.directory / "wrong.pem"))
        self.assertRaises(
            SSL.Error,
            self.connect,
            self.certificates(required=True),
            credentials=credentials,
        )

    def test_none_is_asked_for(self) -> None:
        certificates = ServerCertificates(self.server_pem())
        server, _ = self.connect(certificates, credentials=self.theirs)
        self.assertIsNone(server.get_peer_certificate())

    def test_missing_authorities(self) -> None:
        path = self.directory / "no.pem"
        error = self.assertRaises(
            CertificateError, ServerCertificates, self.server_pem(), client_ca=path
        )
        self.assertIn(str(path), str(error))


class ResumptionTests(ServerTestCase):
    def session(
        self, certificates: ServerCertificates, context: SSL.Context
    ) -> SSL.Session:
        server, client = self.connect(certificates, context=context)
        # The tickets come with the first data.
        server.send(b"x")
        client.bio_write(server.bio_read(65536))
        self.assertEqual(b"x", client.recv(1))
        # Or else OpenSSL would spoil the session when the connection goes.
        client.set_shutdown(SSL.SENT_SHUTDOWN)
        session = client.get_session()
        assert session is not None
        return session

    def resumed(
        self,
        certificates: ServerCertificates,
        session: SSL.Session,
        context: SSL.Context,
    ) -> bool:
        self.verified = 0
        self.connect(certificates, context=context, session=session)
        return self.verified == 0

    def context(self, credentials: Credentials | None = None) -> SSL.Context:
        def verify(*_: object) -> bool:
            self.verified += 1
            return True

        self.verified = 0
        context = new_context(SSL.TLS_CLIENT_METHOD, "1.3")
        context.set_alpn_protos([LINK_PROTOCOL])
        context.set_verify(SSL.VERIFY_PEER, verify)
        if credentials is not None:
            use_credentials(context, credentials)
        return context

    def test_resumed(self) -> None:
        certificates = ServerCertificates(self.server_pem())
        context = self.context()
        session = self.session(certificates, context)
        self.assertTrue(self.verified)
        self.assertTrue(self.resumed(certificates, session, context))

    def test_resumed_with_client_certificate(self) -> None:
        certificates = ServerCertificates(self.server_pem(), client_ca=self.ca_file())
        issued = self.authority.issue("client", client=True)
        credentials = load_credentials(issued.write(self.directory / "client.pem"))
        context = self.context(credentials)
        session = self.session(certificates, context)
        self.verified = 0
        server, _ = self.connect(certificates, context=context, session=session)
        self.assertEqual(0, self.verified)
        certificate = server.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        self.assertEqual("CN=client", certificate.subject.rfc4514_string())

    def test_not_resumed_after_a_reload(self) -> None:
        certificates = ServerCertificates(self.server_pem())
        context = self.context()
        session = self.session(certificates, context)
        certificates.reload()
        self.assertFalse(self.resumed(certificates, session, context))


class ReloadTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 1000.0
        self.path = self.directory / "server.pem"
        self.write("one")
        self.certificates = ServerCertificates(self.path, now=lambda: self.now)

    def write(self, name: str) -> None:
        self.authority.issue(name, f"{name}.example").write(self.path)

    def test_reload(self) -> None:
        self.write("two")
        self.assertEqual("one", self.shown(self.certificates))
        self.certificates.reload()
        self.assertEqual("two", self.shown(self.certificates))
        self.assertEqual(("two.example",), self.certificates.names)

    def test_bad_file(self) -> None:
        self.path.write_bytes(b"")
        self.assertRaises(CertificateError, self.certificates.reload)
        self.assertEqual("one", self.shown(self.certificates))

    def test_open_connections_keep_what_they_have(self) -> None:
        server, client = self.connect(self.certificates)
        self.write("two")
        self.certificates.reload()
        client.send(b"x")
        server.bio_write(client.bio_read(65536))
        self.assertEqual(b"x", server.recv(1))

    def test_by_itself(self) -> None:
        self.write("two")
        self.now += CHECK_INTERVAL - 0.1
        self.assertEqual("one", self.shown(self.certificates))
        self.now += 0.1
        with capturedLogs() as events:
            self.assertEqual("two", self.shown(self.certificates))
        [event] = events
        self.assertEqual(LogLevel.info, event["log_level"])
        self.assertIn(str(self.path), str(formatEvent(event)))

    def test_unchanged(self) -> None:
        context = self.certificates.context(LINK_PROTOCOL)
        self.now += CHECK_INTERVAL
        self.assertIs(context, self.certificates.context(LINK_PROTOCOL))

    def test_by_itself_with_a_bad_file(self) -> None:
        self.path.write_bytes(b"")
        messages = []
        for _ in range(3):
            self.now += CHECK_INTERVAL
            with capturedLogs() as events:
                self.assertEqual("one", self.shown(self.certificates))
            messages += [formatEvent(event) for event in events]
        [message] = messages
        self.assertIn(f"{self.path}: there is no", str(message))
        self.write("two")
        self.now += CHECK_INTERVAL
        self.assertEqual("two", self.shown(self.certificates))

    def test_by_itself_with_no_file(self) -> None:
        self.path.unlink()
        self.now += CHECK_INTERVAL
        self.assertEqual("one", self.shown(self.certificates))

    def test_new_file_in_the_directory(self) -> None:
        pems = self.directory / "pems"
        pems.mkdir()
        self.authority.issue("one", "one.example").write(pems / "1.pem")
        certificates = ServerCertificates(pems, now=lambda: self.now)
        self.authority.issue("two", "two.example").write(pems / "2.pem")
        self.now += CHECK_INTERVAL
        self.assertEqual("two", self.shown(certificates, b"two.example"))

    def test_new_authorities(self) -> None:
        ca = self.ca_file()
        certificates = ServerCertificates(self.path, client_ca=ca, now=lambda: self.now)
        issued = CertificateAuthority("new")
        mine = issued.issue("client", client=True).write(self.directory / "c.pem")
        credentials = load_credentials(mine)
        self.assertRaises(
            SSL.Error, self.connect, certificates, credentials=credentials
        )
        ca.unlink()
        issued.write(ca)
        self.now += CHECK_INTERVAL
        server, _ = self.connect(certificates, credentials=credentials)
        self.assertIsNotNone(server.get_peer_certificate())


class ConnectionsTests(ServerTestCase):
    def test_interface(self) -> None:
        connections = ServerConnections(ServerCertificates(self.server_pem()))
        verifyObject(IOpenSSLServerConnectionCreator, connections)
