"""
HTTP services that behave well or not, on a port of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import PrivateCertificate
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from tests.certificates import CertificateAuthority
from tests.integration.streaming import port_of


class Service(Resource):
    """
    Answers posts as the test says.

    @ivar asked: what was posted.
    @ivar tokens: what came in C{Authorization}.
    @ivar render: gives the answer to a request: bytes, or an object for JSON.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.tokens: list[str | None] = []
        self.answer: Callable[[Request], Any] = lambda request: {}

    def render_POST(self, request: Request) -> bytes | int:
        assert request.content is not None
        self.asked.append(json.loads(request.content.read()))
        self.tokens.append(request.getHeader("authorization"))
        answer = self.answer(request)
        if isinstance(answer, bytes | int):
            return answer
        return json.dumps(answer).encode()


def hang(request: Request) -> int:
    """
    Never answer.
    """
    return NOT_DONE_YET


def hang_in_the_middle(request: Request) -> int:
    """
    Answer a little, and never the rest.
    """
    request.setHeader(b"content-length", b"100")
    request.write(b"{")
    return NOT_DONE_YET


def huge(request: Request) -> bytes:
    """
    Answer more than anybody wants.
    """
    return b" " * (1 << 20)


class WebTestCase(TestCase):
    """
    A test with a service.
    """

    timeout = 120

    def setUp(self) -> None:
        self.service = Service()
        self.connections = 0
        self.site = Site(self.service)
        build = self.site.buildProtocol

        def count(addr: Any) -> Any:
            self.connections += 1
            return build(addr)

        self.site.buildProtocol = count  # type: ignore[method-assign]  # to count

    async def serve(self) -> str:
        """
        Listen.

        @return: the URL.
        """
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port: IListeningPort = await endpoint.listen(self.site)
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port_of(port.getHost())}/policy"

    async def serve_tls(self, name: str = "127.0.0.1") -> tuple[str, str]:
        """
        Listen with TLS.

        @return: the URL, and the file of who vouches for the service.
        """
        authority = CertificateAuthority()
        issued, ca = self._files(authority, name)
        certificate = PrivateCertificate.loadPEM(issued)
        endpoint = SSL4ServerEndpoint(
            reactor, 0, certificate.options(), interface="127.0.0.1"
        )
        port: IListeningPort = await endpoint.listen(self.site)
        self.addCleanup(port.stopListening)
        return f"https://127.0.0.1:{port_of(port.getHost())}/policy", ca

    def _files(self, authority: CertificateAuthority, name: str) -> tuple[bytes, str]:
        directory = Path(self.mktemp())
        directory.mkdir()
        issued = authority.issue(name, name).write(directory / "server.pem")
        return issued.read_bytes(), str(authority.write(directory / "ca.pem"))
