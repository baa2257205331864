"""
The C{remote-policy} hook with real services, in a real server.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.web.server import NOT_DONE_YET, Request

from reitunnel.errors import TunnelRefused
from reitunnel.hooks.remote_policy import (
    RemotePolicyHookFactory,
    RemotePolicyOptions,
)
from tests.integration.streaming import Programs, StreamTestCase
from tests.integration.web import WebTestCase, hang, hang_in_the_middle, huge


class RemotePolicyTests(WebTestCase, StreamTestCase):
    async def begin(self, url: str, **options: Any) -> Programs:
        """
        Start a server that asks the service, a client, and a target.
        """
        await self.start()
        factory = RemotePolicyHookFactory()
        made = RemotePolicyOptions(url=url, **options)
        self.server.hooks.register(factory.build(made, reactor))
        return Programs()

    async def opened(self, programs: Programs) -> str:
        """
        Open a tunnel.

        @return: why it is refused, or nothing.
        """
        try:
            await self.tunnel(programs)
        except TunnelRefused as refused:
            return refused.reason
        return ""

    async def test_allowed(self) -> None:
        self.service.answer = lambda request: {"decision": "allow"}
        programs = await self.begin(await self.serve(), ask=("tunnel", "stream"))
        tunnel = await self.tunnel(programs)
        visitor, target = await self.visited(tunnel, programs)
        visitor.transport.write(b"hello")
        await target.got(5)
        self.assertEqual(
            ["tunnel", "stream"], [each["ask"] for each in self.service.asked]
        )

    async def test_refused(self) -> None:
        self.service.answer = lambda request: {
            "decision": "refuse",
            "reason": f"not {self.service.asked[-1]['client']['instance']}",
        }
        programs = await self.begin(await self.serve(), ask=("tunnel",))
        self.assertEqual("not test", await self.opened(programs))

    async def test_tls(self) -> None:
        self.service.answer = lambda request: {"decision": "allow"}
        url, ca = await self.serve_tls()
        programs = await self.begin(url, ask=("tunnel",), ca=ca)
        self.assertEqual("", await self.opened(programs))

    async def test_unverified(self) -> None:
        """
        A service whose certificate nobody vouches for is not asked.
        """
        url, _ = await self.serve_tls()
        programs = await self.begin(url, ask=("tunnel",))
        await self.assert_closed(programs)
        self.assertEqual([], self.service.asked)

    async def assert_closed(self, programs: Programs) -> None:
        self.assertEqual(
            "the policy service gives no answer", await self.opened(programs)
        )

    async def test_hanging(self) -> None:
        self.service.answer = hang
        programs = await self.begin(await self.serve(), ask=("tunnel",), timeout=0.3)
        await self.assert_closed(programs)

    async def test_hanging_in_the_middle(self) -> None:
        self.service.answer = hang_in_the_middle
        programs = await self.begin(await self.serve(), ask=("tunnel",), timeout=0.3)
        await self.assert_closed(programs)

    async def test_huge(self) -> None:
        self.service.answer = huge
        programs = await self.begin(await self.serve(), ask=("tunnel",))
        await self.assert_closed(programs)

    async def test_lying(self) -> None:
        self.service.answer = lambda request: {"allow": True}
        programs = await self.begin(await self.serve(), ask=("tunnel",))
        await self.assert_closed(programs)

    async def test_slow(self) -> None:
        """
        An answer that comes in time counts, however slowly it comes.
        """

        def answer(request: Request) -> int:
            rest = list(b'{"decision": "allow"}')

            def drip() -> None:
                request.write(bytes([rest.pop(0)]))
                if rest:
                    reactor.callLater(0.01, drip)
                else:
                    request.finish()

            drip()
            return NOT_DONE_YET

        self.service.answer = answer
        programs = await self.begin(await self.serve(), ask=("tunnel",), timeout=60.0)
        # The server waits for hooks for 5 s; this takes a part of one.
        self.assertEqual("", await self.opened(programs))

    async def test_fails_open(self) -> None:
        self.service.answer = hang
        programs = await self.begin(
            await self.serve(), ask=("tunnel",), timeout=0.3, fail_open=True
        )
        self.assertEqual("", await self.opened(programs))
