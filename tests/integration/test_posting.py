"""
L{reitunnel.hooks.posting} with services that behave well or not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web.server import Request

from reitunnel.hooks.answer_bounds import MAX_ANSWER
from reitunnel.hooks.posting import Poster, PostFailed
from tests.integration.streaming import port_of
from tests.integration.web import WebTestCase, hang, hang_in_the_middle, huge


class Saying(Protocol):
    """
    Answers any bytes, and closes.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self._answer)
        self.transport.loseConnection()


class PostingTests(WebTestCase):
    async def serve_raw(self, protocol: Callable[[], Protocol]) -> str:
        """
        Listen with something that need not be HTTP.

        @return: the URL.
        """
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(Factory.forProtocol(protocol))
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port_of(port.getHost())}/"

    def poster(self, url: str, timeout: float = 60.0, **options: Any) -> Poster:
        poster = Poster(reactor, url, timeout=timeout, **options)
        self.addCleanup(poster.close)
        return poster

    async def reason(self, poster: Poster) -> str:
        """
        Why a post fails.
        """
        error = await self.assertFailure(poster.post(b"{}"), PostFailed)
        return str(error)

    def token_file(self) -> str:
        path = Path(self.mktemp())
        path.write_text("s3cret\n", encoding="utf-8")
        path.chmod(0o600)
        return str(path)

    async def test_answer(self) -> None:
        poster = self.poster(await self.serve(), token_file=self.token_file())
        self.service.answer = lambda request: b"yes"
        self.assertEqual(b"yes", await poster.post(b'{"a":1}'))
        self.assertEqual([{"a": 1}], self.service.asked)
        self.assertEqual(["Bearer s3cret"], self.service.tokens)

    async def test_connections_are_kept(self) -> None:
        poster = self.poster(await self.serve())
        for _ in range(5):
            await poster.post(b"{}")
        self.assertEqual(1, self.connections)

    async def test_kept_connection_is_gone(self) -> None:
        """
        A service that closes connections is asked anew.
        """
        poster = self.poster(await self.serve())

        def close(request: Request) -> bytes:
            assert request.transport is not None
            IReactorTime(reactor).callLater(0, request.transport.loseConnection)
            return b"yes"

        self.service.answer = close
        for _ in range(5):
            self.assertEqual(b"yes", await poster.post(b"{}"))

    async def test_many_at_once(self) -> None:
        poster = self.poster(await self.serve())
        await gatherResults([poster.post(b"{}") for _ in range(50)])
        self.assertEqual(50, len(self.service.asked))

    async def test_hangs(self) -> None:
        self.service.answer = hang
        poster = self.poster(await self.serve(), timeout=0.3)
        self.assertEqual("no answer within 0.3 s", await self.reason(poster))

    async def test_hangs_in_the_middle(self) -> None:
        self.service.answer = hang_in_the_middle
        poster = self.poster(await self.serve(), timeout=0.3)
        self.assertEqual("no answer within 0.3 s", await self.reason(poster))

    async def test_huge(self) -> None:
        self.service.answer = huge
        poster = self.poster(await self.serve())
        self.assertEqual(
            f"the answer has more than {MAX_ANSWER} bytes", await self.reason(poster)
        )

    async def test_endless_headers(self) -> None:
        """
        Headers count too. A service that never comes to an end of them is hung up on.
        """
        gone: Deferred[None] = Deferred()

        class Endless(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"HTTP/1.1 200 OK\r\n")
                producer = LoopingCall(self.transport.write, b"A: b\r\n" * 999)
                producer.start(0).addErrback(lambda _: None)
                self.producer = producer

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                self.producer.stop()
                gone.callback(None)

        poster = self.poster(await self.serve_raw(Endless))
        self.assertEqual(
            f"the answer has more than {MAX_ANSWER} bytes", await self.reason(poster)
        )
        await gone

    async def test_bound_is_for_each_answer(self) -> None:
        """
        Many answers over one connection are not too long together.
        """
        self.service.answer = lambda request: b" " * 60_000
        poster = self.poster(await self.serve())
        for _ in range(5):
            self.assertEqual(60_000, len(await poster.post(b"{}")))
        self.assertEqual(1, self.connections)

    async def test_not_http(self) -> None:
        for nonsense in (
            b"\x00\xff garbage\r\n\r\n",
            b"nonsense\r\n",
            b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        ):
            poster = self.poster(await self.serve_raw(partial(Saying, nonsense)))
            self.assertEqual("the answer is not HTTP", await self.reason(poster))

    async def test_closed(self) -> None:
        for said in (b"", b"HTTP/1.1 200 OK\r\n"):
            poster = self.poster(await self.serve_raw(partial(Saying, said)))
            self.assertEqual(
                "the connection was closed before the answer was there",
                await self.reason(poster),
            )

    async def test_status(self) -> None:
        """
        What is no success is none, and its body is not read; redirections are not
        followed.
        """
        for code in (302, 404, 500):

            def answer(request: Request, code: int = code) -> bytes:
                request.setResponseCode(code)
                request.setHeader(b"location", b"/policy")
                return b"x" * (1 << 20)

            self.service.answer = answer
            poster = self.poster(await self.serve())
            self.assertEqual(f"the answer was {code}", await self.reason(poster))
        self.assertEqual(3, len(self.service.asked))

    async def test_nobody_there(self) -> None:
        poster = self.poster("http://127.0.0.1:1/")
        self.assertEqual("the connection was refused", await self.reason(poster))

    async def test_cancelled(self) -> None:
        self.service.answer = hang
        poster = self.poster(await self.serve())
        posting = poster.post(b"{}")
        posting.cancel()
        await self.assertFailure(posting, CancelledError)

    async def test_tls(self) -> None:
        url, ca = await self.serve_tls()
        self.service.answer = lambda request: b"yes"
        self.assertEqual(b"yes", await self.poster(url, ca=ca).post(b"{}"))

    async def test_unknown_authority(self) -> None:
        url, _ = await self.serve_tls()
        self.assertIn(
            "TLS failed: certificate verify", await self.reason(self.poster(url))
        )
        self.assertEqual([], self.service.asked)

    async def test_other_name(self) -> None:
        url, ca = await self.serve_tls("other.example.com")
        self.assertEqual(
            "TLS failed: the certificate is for another name",
            await self.reason(self.poster(url, ca=ca)),
        )
        self.assertEqual([], self.service.asked)
