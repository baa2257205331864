"""
Tests of L{reitunnel.transports.facts}.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate
from OpenSSL import SSL
from twisted.internet.address import UNIXAddress
from twisted.internet.testing import StringTransport
from zope.interface import implementer
from zope.interface.verify import verifyObject

from reitunnel.interfaces import ICertificate, ILinkFacts
from reitunnel.transports import (
    LinkFacts,
    PeerCertificate,
    ServerCertificates,
    link_facts,
)
from reitunnel.transports.contexts import LINK_PROTOCOL, new_context, use_credentials
from reitunnel.transports.pem import load_credentials
from tests.transports.support import CertificateTestCase, shake_hands
from tests.transports.test_layers import Layer


class TLSTransport(StringTransport):
    """
    A transport with a TLS connection.
    """

    def __init__(self, connection: SSL.Connection) -> None:
        super().__init__()
        self.connection = connection

    def getHandle(self) -> SSL.Connection:
        return self.connection


class FactsTests(CertificateTestCase):
    def test_plain(self) -> None:
        transport = StringTransport()
        facts = link_facts(transport)
        verifyObject(ILinkFacts, facts)
        self.assertEqual(
            LinkFacts(
                scheme="tcp",
                peer=transport.getPeer(),
                host=transport.getHost(),
                secure=False,
                tls_version=None,
                channel_binding=None,
                certificate=None,
            ),
            facts,
        )

    def test_unix(self) -> None:
        address = UNIXAddress("/run/x")
        facts = link_facts(StringTransport(hostAddress=address, peerAddress=address))
        self.assertEqual("unix", facts.scheme)
        self.assertFalse(facts.secure)

    def test_layers_have_their_own_scheme(self) -> None:
        self.assertEqual("x", link_facts(Layer(StringTransport())).scheme)

    def test_own_answer(self) -> None:
        own = link_facts(StringTransport())

        @implementer(ILinkFacts)
        class Sure(StringTransport):
            scheme, peer, host = "carrier-pigeon", own.peer, own.host
            secure, tls_version = True, None
            channel_binding, certificate = None, None

        transport = Sure()
        self.assertIs(transport, link_facts(transport))

    def shake_hands(
        self, *, with_certificate: bool = False, old: bool = False
    ) -> tuple[SSL.Connection, SSL.Connection]:
        certificates = ServerCertificates(
            self.server_pem(),
            client_ca=self.ca_file(),
            require_client_certificate=False,
            minimum_version="1.2" if old else "1.3",
        )
        context = new_context(SSL.TLS_CLIENT_METHOD, "1.2")
        if old:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_alpn_protos([LINK_PROTOCOL])
        if with_certificate:
            self.issued = self.authority.issue(
                "me", "me.example", "10.0.0.1", client=True, organization="Us"
            )
            path = self.issued.write(self.directory / "c.pem")
            use_credentials(context, load_credentials(path))
        server = SSL.Connection(certificates.context(LINK_PROTOCOL))
        client = SSL.Connection(context)
        shake_hands(server, client)
        return server, client

    def test_tls(self) -> None:
        server, client = self.shake_hands()
        mine, theirs = (link_facts(TLSTransport(side)) for side in (server, client))
        self.assertEqual("tls", mine.scheme)
        self.assertTrue(mine.secure)
        self.assertEqual(("1.3", "1.3"), (mine.tls_version, theirs.tls_version))
        assert mine.channel_binding is not None
        self.assertEqual(32, len(mine.channel_binding))
        self.assertEqual(mine.channel_binding, theirs.channel_binding)
        self.assertIsNone(mine.certificate)

    def test_binding_of_another_connection(self) -> None:
        bindings = set()
        for _ in range(2):
            server, _client = self.shake_hands()
            bindings.add(link_facts(TLSTransport(server)).channel_binding)
        self.assertEqual(2, len(bindings))

    def test_no_binding_with_old_tls(self) -> None:
        server, _client = self.shake_hands(old=True)
        facts = link_facts(TLSTransport(server))
        self.assertTrue(facts.secure)
        self.assertEqual("1.2", facts.tls_version)
        self.assertIsNone(facts.channel_binding)

    def test_certificate(self) -> None:
        server, _ = self.shake_hands(with_certificate=True)
        certificate = link_facts(TLSTransport(server)).certificate
        verifyObject(ICertificate, certificate)
        expected = load_pem_x509_certificate(self.issued.cert_pem)
        self.assertEqual(
            PeerCertificate(
                common_name="me",
                subject="O=Us,CN=me",
                organization="Us",
                names=("me.example", "10.0.0.1"),
                fingerprint=expected.fingerprint(SHA256()).hex(),
            ),
            certificate,
        )

    def test_certificate_that_nobody_has_verified(self) -> None:
        _, client = self.shake_hands()
        self.assertIsNotNone(client.get_peer_certificate())
        self.assertIsNone(link_facts(TLSTransport(client)).certificate)

    def test_certificate_without_names(self) -> None:
        issued = self.authority.issue("me")
        certificate = PeerCertificate.of(load_pem_x509_certificate(issued.cert_pem))
        self.assertEqual((), certificate.names)
        self.assertEqual("", certificate.organization)
