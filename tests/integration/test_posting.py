"""
L{reitunnel.hooks.posting} with services that behave well or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from reitunnel.hooks.posting import MAX_ANSWER, Poster, PostFailed
from tests.integration.web import WebTestCase, hang, hang_in_the_middle, huge


class PostingTests(WebTestCase):
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
        self.assertIn("refused", await self.reason(poster))

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
        self.assertNotEqual("", await self.reason(self.poster(url, ca=ca)))
        self.assertEqual([], self.service.asked)
