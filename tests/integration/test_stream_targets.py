"""
Targets of other kinds than a TCP port, through a real server and a real client.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import (
    ProcessEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    UNIXServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.portforward import ProxyFactory
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import File

from reitunnel import ClientTunnel
from tests.certificates import CertificateAuthority
from tests.integration.streaming import (
    Echo,
    Program,
    Programs,
    StreamTestCase,
    port_of,
    stopped_growing,
)

MIB = 1 << 20


class InProcessTests(StreamTestCase):
    """
    Targets in this process: no port in between.
    """

    async def test_echo(self) -> None:
        await self.start()
        tunnel = await self.tunnel(Programs(Echo))
        visitor = await self.visit(tunnel, Program(keep=False))
        sender = visitor.send(32 * MIB)
        await visitor.finished
        self.assertEqual(sender.digest.digest(), visitor.digest.digest())
        await self.over()
        self.assertFalse(visitor.was_reset)

    async def test_resets(self) -> None:
        """
        They travel both ways.
        """
        await self.start()
        programs = Programs()
        tunnel = await self.tunnel(programs)
        visitor, target = await self.visited(tunnel, programs)
        visitor.transport.abortConnection()
        await target.lost
        self.assertTrue(target.was_reset)
        visitor, target = await self.visited(tunnel, programs)
        target.transport.abortConnection()
        await visitor.lost
        self.assertTrue(visitor.was_reset)
        await self.over()

    async def test_visitor_that_never_reads(self) -> None:
        """
        The producer of the target is paused, and its stream costs little.
        """
        await self.start()
        programs = Programs()
        tunnel = await self.tunnel(programs)
        visitor, target = await self.visited(tunnel, programs, keep=False)
        visitor.transport.pauseProducing()
        sender = target.send(64 * MIB)
        sent = await stopped_growing(lambda: sender.sent)
        # The window may have grown to 16 MiB; the rest is in the buffers of sockets.
        self.assertLess(sent, 40 * MIB)
        visitor.transport.resumeProducing()
        await visitor.finished
        self.assertEqual(sender.digest.digest(), visitor.digest.digest())

    async def test_port_forwarder(self) -> None:
        """
        Twisted's own, which is not ready when it is connected, pauses, and never
        unregisters its producers.
        """
        await self.start()
        programs = Programs(Echo)
        host, _, port = (await self.listen(programs)).partition(":")
        forwarder = ProxyFactory(host, int(port))
        forwarder.noisy = False
        tunnel = await self.tunnel(forwarder)
        visitor = await self.visit(tunnel, Program(keep=False))
        visitor.transport.write(b"early")
        await visitor.got(5)
        self.assertEqual(sha256(b"early").digest(), visitor.digest.digest())
        visitor.transport.loseConnection()
        await gatherResults([visitor.lost, programs.built[0].lost])
        await self.over()

    async def test_takes_no_visitor(self) -> None:
        """
        Its visitor is reset.
        """

        class Nobody(Factory[Protocol]):
            noisy = False

            def buildProtocol(self, addr: object) -> None:
                return None

        await self.start()
        visitor = await self.visit(await self.tunnel(Nobody()))
        await visitor.lost
        self.assertTrue(visitor.was_reset)
        await self.over()


class Upload(Resource):
    """
    Answers with the SHA-256 of what is sent to it.
    """

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        return sha256(request.content.read()).hexdigest().encode()


class WebTests(StreamTestCase):
    """
    A web site in this process.
    """

    def setUp(self) -> None:
        """
        Make a site with a large file and a form.
        """
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        self.data = bytes(range(256)) * (16 * MIB // 256)
        (directory / "large").write_bytes(self.data)
        root = File(str(directory))
        root.putChild(b"upload", Upload())
        self.site = Site(root)
        self.site.noisy = False

    async def publish(self) -> ClientTunnel:
        """
        Open a tunnel to the site.
        """
        await self.start()
        return await self.tunnel(self.site)

    async def test_pages(self) -> None:
        """
        One connection after the other, and one for several pages.
        """
        tunnel = await self.publish()
        assert tunnel.address is not None
        url = b"http://127.0.0.1:%d/" % tunnel.address.port
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        for agent in (Agent(reactor), Agent(reactor, pool=pool)):
            for _ in range(3):
                response = await agent.request(b"GET", url + b"large")
                self.assertEqual(self.data, await readBody(response))
                response = await agent.request(b"GET", url + b"missing")
                self.assertEqual(404, response.code)
                await readBody(response)
        (seen,) = self.server.tunnels
        self.assertGreater(seen.bytes_sent, 6 * len(self.data))

    async def test_upload(self) -> None:
        tunnel = await self.publish()
        visitor = await self.visit(tunnel)
        visitor.transport.write(
            b"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(self.data)
        )
        visitor.transport.write(self.data)
        await visitor.finished
        self.assertTrue(
            visitor.received.endswith(sha256(self.data).hexdigest().encode())
        )
        visitor.transport.loseConnection()
        await self.over()
        self.assertFalse(visitor.was_reset)

    async def test_visitor_that_leaves_in_the_middle(self) -> None:
        tunnel = await self.publish()
        visitor = await self.visit(tunnel)
        visitor.transport.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await visitor.got(100_000)
        visitor.transport.abortConnection()
        await visitor.lost
        await self.over()


class UNIXTests(StreamTestCase):
    def setUp(self) -> None:
        """
        Make a place with a short name: that of a socket is limited.
        """
        directory = TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = f"{directory.name}/target"

    async def test_half_closes(self) -> None:
        """
        As over TCP.
        """
        await self.start()
        programs = Programs()
        endpoint = UNIXServerEndpoint(reactor, self.path)
        port: IListeningPort = await endpoint.listen(programs)
        self.addCleanup(port.stopListening)
        tunnel = await self.tunnel(f"unix:{self.path}")
        visitor, target = await self.visited(tunnel, programs)
        visitor.transport.write(b"question")
        visitor.transport.loseWriteConnection()
        await target.finished
        self.assertEqual(b"question", target.received)
        target.transport.write(b"answer")
        target.transport.loseConnection()
        await visitor.finished
        self.assertEqual(b"answer", visitor.received)
        await self.over()


class ProcessTests(StreamTestCase):
    """
    A program that is started for each visitor, as inetd does.
    """

    async def visit_program(self, *command: str) -> Program:
        """
        Visit a program.
        """
        await self.start()
        arguments = ("sh", "-c", *command)
        target = ProcessEndpoint(reactor, "/bin/sh", arguments)
        return await self.visit(await self.tunnel(target))

    async def test_half_close(self) -> None:
        """
        It reads to the end, and then answers.
        """
        visitor = await self.visit_program("wc -c")
        sender = visitor.send(MIB)
        await visitor.finished
        self.assertEqual(MIB, sender.sent)
        self.assertEqual(b"%d" % MIB, visitor.received.strip())
        await self.over()
        self.assertFalse(visitor.was_reset)

    async def test_exits(self) -> None:
        visitor = await self.visit_program("echo gone")
        await visitor.finished
        self.assertEqual(b"gone\n", visitor.received)
        visitor.transport.loseConnection()
        await self.over()
        self.assertFalse(visitor.was_reset)

    async def test_fails(self) -> None:
        visitor = await self.visit_program("exit 1")
        await visitor.lost
        self.assertTrue(visitor.was_reset)
        await self.over()

    async def test_visitor_resets(self) -> None:
        """
        The program cannot write any more.
        """
        visitor = await self.visit_program("yes")
        await visitor.got(MIB)
        visitor.transport.abortConnection()
        await self.over()


class TLSTests(StreamTestCase):
    """
    A target that is reached over TLS, by an endpoint. TLS in Twisted has no
    half-close.
    """

    async def target(self) -> tuple[ClientTunnel, Programs]:
        """
        Let a target listen with TLS, and open a tunnel to it.
        """
        await self.start()
        authority = CertificateAuthority()
        issued = authority.issue("localhost", "localhost")
        programs = Programs(lambda: Program(keep=False))
        endpoint = SSL4ServerEndpoint(
            reactor,
            0,
            PrivateCertificate.loadPEM(issued.pem).options(),
            interface="127.0.0.1",
        )
        port: IListeningPort = await endpoint.listen(programs)
        self.addCleanup(port.stopListening)
        trust = trustRootFromCertificates([Certificate.loadPEM(authority.cert_pem)])
        dial = wrapClientTLS(
            optionsForClientTLS("localhost", trust),
            TCP4ClientEndpoint(reactor, "127.0.0.1", port_of(port.getHost())),
        )
        return await self.tunnel(dial), programs

    async def test_visitor_ends(self) -> None:
        """
        All it has sent arrives, although it ended before TLS was through.
        """
        tunnel, programs = await self.target()
        arriving = programs.next()
        visitor = await self.visit(tunnel)
        sender = visitor.send(MIB)
        target = await arriving
        await target.lost
        self.assertEqual(sender.digest.digest(), target.digest.digest())
        await visitor.finished
        await self.over()
        self.assertFalse(visitor.was_reset)

    async def test_target_closes(self) -> None:
        """
        All it has sent arrives, and the visitor is not reset.
        """
        tunnel, programs = await self.target()
        visitor, target = await self.visited(tunnel, programs, keep=False)
        visitor.transport.write(b"question")
        await target.got(8)
        data = bytes(range(256)) * 4096
        target.transport.write(data)
        target.transport.loseConnection()
        await visitor.finished
        self.assertEqual(sha256(data).digest(), visitor.digest.digest())
        visitor.transport.loseConnection()
        await self.over()
        self.assertFalse(visitor.was_reset)

    async def test_visitor_that_is_slow(self) -> None:
        """
        The target is stopped, and then all it has sent arrives.
        """
        tunnel, programs = await self.target()
        visitor, target = await self.visited(tunnel, programs, keep=False)
        visitor.transport.write(b"question")
        await target.got(8)
        visitor.transport.pauseProducing()
        data = bytes(range(256)) * (32 * MIB // 256)
        target.transport.write(data)
        (seen,) = self.client.tunnels
        self.assertLess(await stopped_growing(lambda: seen.bytes_sent), 16 * MIB)
        visitor.transport.resumeProducing()
        await visitor.got(len(data))
        self.assertEqual(sha256(data).digest(), visitor.digest.digest())
        visitor.transport.abortConnection()
        await target.lost
        await self.over()
