"""
Tests of TLS with openssl, and of certificates that are wrong, of clients, and new.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from tests.certificates import CertificateAuthority
from tests.integration.processes import reactor
from tests.integration.programs.cases import TunnelTestCase, over_transports
from tests.integration.programs.deployment import TLS, WSS, Remote
from tests.integration.programs.targets import start_socat

_NO_TOKENS = {"auth.tokens": None, "auth.channel_binding": None}
_NO_TOKEN = {"token_file": None, "channel_binding": None}
_NOWHERE = Remote("127.0.0.1:9")
_CHANGED_SOON = 15.0


@over_transports(TLS, WSS)
class TLSTests(TunnelTestCase):
    """
    Of what is spoken, and who is trusted.
    """

    @property
    def application_protocol(self) -> str:
        """
        What ALPN must agree on.
        """
        return "reitunnel/1" if self.way == TLS else "http/1.1"

    def openssl(self, *flags: str) -> list[str | os.PathLike[str]]:
        """
        The command that shakes hands with the server and verifies it.
        """
        return [
            *("openssl", "s_client", "-servername", "localhost"),
            *("-connect", f"127.0.0.1:{self.deployment.port}"),
            *("-verify_return_error", "-CAfile", self.deployment.ca),
            *flags,
        ]

    async def handshake(self, *flags: str, code: int = 0) -> str:
        """
        Shake hands as openssl does it.

        @return: what it says of the connection.
        """
        program, *arguments = self.openssl(*flags)
        finished = await self.run_program(str(program), *arguments, code=code)
        return finished.out + finished.err

    async def certificate(self) -> str:
        """
        The certificate that the server shows.
        """
        said = await self.handshake("-tls1_3", "-alpn", self.application_protocol)
        shown = re.search("-----BEGIN (.*\n)+-----END CERTIFICATE-----", said)
        assert shown is not None, said
        return shown[0]

    async def assert_refused(
        self, client_id: str, keys: Mapping[str, str | None], reason: str
    ) -> None:
        """
        Start a client that gives up, and see that it says why in one line.
        """
        client = self.launch_client([_NOWHERE], client_id, keys)
        finished = await client.finished()
        self.assertEqual(finished.code, 1, client.output)
        [line] = finished.lines
        self.assertIn(reason, line)

    async def test_versions(self) -> None:
        """
        TLS 1.3 is spoken, and nothing older.
        """
        await self.start_server()
        said = await self.handshake("-tls1_3", "-alpn", self.application_protocol)
        self.assertIn("New, TLSv1.3", said)
        self.assertIn("Verify return code: 0 (ok)", said)
        self.assertIn(f"ALPN protocol: {self.application_protocol}", said)
        said = await self.handshake(
            "-tls1_2", "-alpn", self.application_protocol, code=1
        )
        self.assertIn("alert protocol version", said)

    async def test_application_protocol(self) -> None:
        """
        Whoever comes for another protocol is refused. On C{tls} links, so is who
        comes for none: the connection is closed at once.
        """
        server = await self.start_server()
        said = await self.handshake("-tls1_3", "-alpn", "h2", code=1)
        self.assertIn("no application protocol", said)
        if self.way == TLS:
            program, *arguments = self.openssl("-tls1_3")
            # It would end by itself at the end of its input, which is not yet.
            await self.start(str(program), *arguments).finished()
            await server.wait_for("no link with .*ALPN", count=2)

    async def test_wrong_authority(self) -> None:
        """
        A client that does not trust the server says so and exits.
        """
        await self.start_server()
        other = CertificateAuthority("Another").write(self.directory / "other.pem")
        await self.assert_refused("client", {"ca": str(other)}, "is not trusted")

    async def test_wrong_name(self) -> None:
        """
        So does one that finds another server than it was told.
        """
        await self.start_server()
        await self.assert_refused(
            "client",
            {"server_name": "tunnel.example.com"},
            "the server's certificate is not for 'tunnel.example.com'",
        )

    async def test_client_certificate(self) -> None:
        """
        A certificate of the right authority is enough where that is asked for.
        Without one, or with one of another authority, nobody comes in.
        """
        authority = CertificateAuthority("Clients")
        trusted = authority.write(self.directory / "clients.pem")
        good, bad = (
            str(each.issue("lab", client=True).write(self.directory / f"{name}.pem"))
            for name, each in (("good", authority), ("bad", CertificateAuthority()))
        )
        await self.start_server({**_NO_TOKENS, "auth.client_ca": str(trusted)})
        await self.assert_refused("without", _NO_TOKEN, "wants a certificate")
        await self.assert_refused(
            "bad", {**_NO_TOKEN, "pem": bad}, "does not trust the certificate"
        )
        target = f"127.0.0.1:{await start_socat(self, 'cat')}"
        client, [port] = await self.start_client(
            target, client_id="good", keys={**_NO_TOKEN, "pem": good}
        )
        await client.wait_for("connected to .* as certificate:lab/good")
        answer = await self.run_shell('printf x | nc -N 127.0.0.1 "$1"', str(port))
        self.assertEqual(answer, "x")

    async def test_new_certificate(self) -> None:
        """
        The server uses a new certificate without a restart; clients that are
        connected stay so.
        """
        server = await self.start_server()
        client, _ = await self.start_client(_NOWHERE)
        old = await self.certificate()
        self.deployment.renew_certificate()
        deadline = reactor.seconds() + _CHANGED_SOON
        while await self.certificate() == old:
            self.assertLess(reactor.seconds(), deadline)
        await server.wait_for("changed certificates are in use")
        self.assertNotIn("not connected", client.output)
        await self.start_client(_NOWHERE, client_id="another")
