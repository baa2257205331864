"""
A client with a certificate and nothing else: further links of its session are judged by
it, also those that take a short cut through TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from reitunnel import Client, ClientConfig, Server, ServerConfig
from reitunnel.config.settings import AuthSettings, Retry
from reitunnel.relay import Link
from reitunnel.server.session import ServerSession
from tests.certificates import CertificateAuthority


class CertifiedTests(TestCase):
    timeout = 120.0

    async def until(self, condition: Callable[[], object]) -> None:
        """
        Wait until something is so.
        """
        while not condition():
            await deferLater(reactor, 0.02)

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    async def test_links(self) -> None:
        directory = self.directory
        authority = CertificateAuthority()
        ca = authority.write(directory / "ca.pem")
        pem = authority.issue("server", "localhost").write(directory / "server.pem")
        own = authority.issue("router-7", client=True).write(directory / "client.pem")
        server = Server(
            reactor,
            ServerConfig(
                listen=("tls://127.0.0.1:0",), pem=pem, auth=AuthSettings(client_ca=ca)
            ),
        )
        server.privilegedStartService()
        server.startService()
        self.addCleanup(server.stopService)
        [address] = await server.when_listening()
        client = Client(
            reactor,
            ClientConfig(
                server=f"tls://localhost:{address.port}",  # type: ignore[attr-defined]  # of TCP
                ca=ca,
                pem=own,
                client_id="one",
                carrier="direct",
                pool_size=2,
                retry=Retry(initial_delay=0.1),
            ),
        )
        client.startService()
        self.addCleanup(client.stopService)
        await client.when_connected()
        [session] = server.sessions
        assert isinstance(session, ServerSession)
        self.assertEqual("certificate:router-7", session.identity)
        await self.until(lambda: len(session.links) == 2)
        for _ in range(3):
            link = session.mux.link
            link.abort()
            await self.until(partial(_another, session, link))
            self.assertEqual([session], list(server.sessions))
            self.assertTrue(session.link_up)
        certificate = session.facts.certificate
        assert certificate is not None
        self.assertEqual("router-7", certificate.common_name)


def _another(session: ServerSession, link: Link) -> bool:
    return session.mux.link is not link
