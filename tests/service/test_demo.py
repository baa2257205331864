"""
Tests of the parts of C{reitunnel demo}; C{tests/integration/test_command.py} runs it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

from cryptography.x509 import (
    IPAddress,
    SubjectAlternativeName,
    load_pem_x509_certificate,
)
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reitunnel.errors import ReitunnelError
from reitunnel.service.demo import PATIENCE, Demo, DemoOptions, DemoRun
from reitunnel.service.demo_certificates import make_certificates
from reitunnel.service.demo_site import TITLE, SampleSite
from tests.service.fakes import FakeReactor


class _Tags(HTMLParser):
    """
    Which elements there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """
        An element begins.
        """
        self.found.append(tag)


class SampleSiteTests(SynchronousTestCase):
    def get(self, request: bytes) -> tuple[bytes, bytes]:
        """
        Ask the site, as a stream of a tunnel does.

        @return: the head and the body of the answer.
        """
        site = SampleSite()
        verifyObject(IProtocolFactory, site)
        site.doStart()
        self.addCleanup(site.doStop)
        protocol = site.buildProtocol(IPv4Address("TCP", "192.0.2.7", 4711))
        transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.7", 4711))
        protocol.makeConnection(transport)
        protocol.dataReceived(request)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        return head, body

    def test_page(self) -> None:
        """
        The page shows what the visitor asked for and where from.
        """
        head, body = self.get(b"GET / HTTP/1.0\r\nHost: example.com:6000\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.0 200 "), head)
        self.assertIn(b"text/html; charset=utf-8", head)
        for part in (TITLE, b"192.0.2.7:4711", b"example.com:6000"):
            self.assertIn(part, body)
        self.assertNotIn(b"{{", body)

    def test_harmless(self) -> None:
        """
        What the visitor sends is shown as text.
        """
        _, body = self.get(b"GET / HTTP/1.0\r\nHost: <script>\r\n\r\n")
        tags = _Tags()
        tags.feed(body.decode())
        self.assertNotIn("script", tags.found)
        self.assertIn("main", tags.found)
        self.assertIn(b"&lt;script&gt;", body)

    def test_nothing_else(self) -> None:
        head, _ = self.get(b"GET /other HTTP/1.0\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.0 404 "), head)


class CertificateTests(SynchronousTestCase):
    def test_files(self) -> None:
        """
        A key and certificate for the address that the authority vouches for, in
        files that only their owner can read.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        made = make_certificates(directory, "127.0.0.1")
        for path in (made.authority, made.server):
            self.assertEqual(0o600, path.stat().st_mode & 0o777)
        authority = load_pem_x509_certificate(made.authority.read_bytes())
        certificate = load_pem_x509_certificate(made.server.read_bytes())
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(SubjectAlternativeName)
        self.assertEqual(
            ["127.0.0.1"],
            [str(each) for each in names.value.get_values_for_type(IPAddress)],
        )
        ssl.create_default_context().load_cert_chain(made.server)
        self.assertNotIn("PRIVATE KEY", made.authority.read_text())


class FakeDemo(Demo):
    """
    A demo of which each step is over when the test says so.
    """

    def __init__(self, reactor: Any, directory: Path) -> None:
        super().__init__(reactor, directory)
        self.directory = directory
        self.starting: Deferred[str] = Deferred()
        self.fetching: Deferred[str] = Deferred()
        self.stopped = False

    async def start(self, port: int) -> str:
        """
        Start, in time.
        """
        return await self.starting

    async def fetch(self, url: str) -> str:
        """
        Fetch, in time.
        """
        return await self.fetching

    async def stop(self) -> None:
        """
        Stop at once.
        """
        self.stopped = True


class DemoRunTests(SynchronousTestCase):
    def run_demo(
        self, script: Callable[[FakeReactor, FakeDemo], object], *arguments: str
    ) -> tuple[int, str, str]:
        """
        Run a demo; it is stopped, and its directory gone, at the end.

        @param script: what happens while the reactor runs.
        @return: the exit code, and what it said where.
        """
        reactor = FakeReactor()
        options = DemoOptions()
        options.parseOptions(arguments)
        made = []

        def make(reactor: Any, directory: Path) -> FakeDemo:
            self.assertEqual(0o700, directory.stat().st_mode & 0o777)
            made.append(FakeDemo(reactor, directory))
            return made[0]

        reactor.when_run = lambda: script(reactor, made[0])
        out, err = StringIO(), StringIO()
        code = DemoRun(reactor, options, out, err, make).run()
        self.assertEqual(1, reactor.stops)
        self.assertTrue(made[0].stopped)
        self.assertFalse(made[0].directory.exists())
        self.assertEqual([], reactor.getDelayedCalls())
        return code, out.getvalue(), err.getvalue()

    def test_once(self) -> None:
        def script(_: FakeReactor, demo: FakeDemo) -> None:
            demo.starting.callback("http://url/")
            demo.fetching.callback("200 OK")

        self.assertEqual(
            (0, "The sample site is public at http://url/\n200 OK\n", ""),
            self.run_demo(script, "--once"),
        )

    def test_until_stopped(self) -> None:
        """
        Ctrl-C is how it ends.
        """

        def script(reactor: FakeReactor, demo: FakeDemo) -> None:
            demo.starting.callback("http://url/")
            reactor.shut_down()

        code, out, err = self.run_demo(script)
        self.assertEqual((0, ""), (code, err))
        self.assertTrue(out.endswith("Ctrl-C stops the demo.\n"))

    def test_stopped_while_it_starts(self) -> None:
        """
        With C{--once} it has not done then what it should.
        """

        def script(reactor: FakeReactor, demo: FakeDemo) -> None:
            reactor.shut_down()

        self.assertEqual((0, "", ""), self.run_demo(script))
        self.assertEqual((1, "", ""), self.run_demo(script, "--once"))

    def test_failure(self) -> None:
        """
        What failed is one line.
        """

        def script(_: FakeReactor, demo: FakeDemo) -> None:
            demo.starting.errback(ReitunnelError("port taken"))

        self.assertEqual((1, "", "port taken\n"), self.run_demo(script))

    def test_too_slow(self) -> None:
        def script(reactor: FakeReactor, demo: FakeDemo) -> None:
            demo.starting.callback("http://url/")
            reactor.advance(PATIENCE)

        code, _, err = self.run_demo(script, "--once")
        self.assertEqual((1, "it took longer than 30 s\n"), (code, err))

    def test_defect(self) -> None:
        """
        What nobody has foreseen is logged.
        """

        def script(_: FakeReactor, demo: FakeDemo) -> None:
            demo.starting.errback(ZeroDivisionError("defect"))

        self.assertEqual((1, "", ""), self.run_demo(script))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class DemoOptionsTests(SynchronousTestCase):
    def test_port(self) -> None:
        for arguments, port in (((), 0), (("--port", "8080"), 8080), (("-p1",), 1)):
            options = DemoOptions()
            options.parseOptions(arguments)
            self.assertEqual(port, options["port"])
