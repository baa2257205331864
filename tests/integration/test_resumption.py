"""
Streams whose control link is cut again and again, over real sockets.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from reitunnel import BaseHook, Code
from reitunnel.config.values import Carrier
from reitunnel.interfaces import ISession, IStream
from tests.integration.cutting import CuttingRelay
from tests.integration.streaming import Echo, Program, Programs, StreamTestCase, until

MIB = 1 << 20
CUTS = 10
SIZE = 48 * MIB
EACH = 2 * MIB
"""How much goes through a link before it is cut."""


class Ends(BaseHook):
    """
    Keeps what is told of ends and of errors.
    """

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        self.told.append((code, stream.bytes_received, stream.bytes_sent))

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        self.told.append((code, reason))

    def on_error(self, error: BaseException, context: str) -> None:
        self.told.append((error, context))


class CutLinkTests(StreamTestCase):
    """
    Over plain TCP.
    """

    carrier: Carrier = "mux"
    grace = 60.0
    relay: CuttingRelay

    async def reached_at(self, port: int) -> int:
        self.relay = CuttingRelay(port)
        dialled = await self.relay.start()
        self.addCleanup(self.relay.stop)
        return dialled

    async def cut(self) -> None:
        """
        Cut each link when it has carried something.
        """
        for number in range(CUTS):
            await until(
                lambda number=number: (  # type: ignore[misc]
                    len(self.relay.connections) > number
                    and self.relay.connections[-1].passed >= EACH
                )
            )
            self.relay.connections[-1].cut()

    async def ask(self, visitor: Program, over: Deferred[object]) -> bytes:
        """
        Ask an echo one question after the other.

        @return: all of them.
        """
        asked, number = b"", 0
        while not over.called:
            number += 1
            asked += b"question %d\n" % number
            visitor.transport.write(b"question %d\n" % number)
            await visitor.got(len(asked))
        return asked

    async def test_ten_times(self) -> None:
        """
        Nothing is lost or doubled, and nobody is told.
        """
        here, there = Ends(), Ends()
        await self.start(hooks=[here])
        self.server.hooks.register(there)
        visitor, target = await self.bulk_pair()
        programs = Programs(Echo)
        tunnel = await self.tunnel(await self.listen(programs))
        asking, _ = await self.visited(tunnel, programs)
        session = self.client.session
        sent, returned = visitor.send(SIZE), target.send(SIZE)
        moving: Deferred[object] = Deferred()
        asked = Deferred.fromCoroutine(self.ask(asking, moving))
        await self.cut()
        await gatherResults([visitor.finished, target.finished])
        moving.callback(None)
        questions = await asked
        self.assertEqual(sent.digest.digest(), target.digest.digest())
        self.assertEqual(returned.digest.digest(), visitor.digest.digest())
        self.assertEqual(questions, bytes(asking.received))
        asking.transport.loseWriteConnection()
        await asking.finished
        await self.over()
        self.assertIs(session, self.client.session)
        self.assertEqual(CUTS + 1, len(self.relay.connections))
        count = len(questions)
        expected = [(Code.NONE, SIZE, SIZE), (Code.NONE, count, count)]
        for ends in (here, there):
            self.assertEqual(expected, ends.told)


class TLSTests(CutLinkTests):
    """
    Over TLS.
    """

    scheme = "tls"


class WebSocketTests(CutLinkTests):
    """
    Over WebSocket.
    """

    scheme = "ws"


class SecureWebSocketTests(CutLinkTests):
    """
    Over WebSocket and TLS.
    """

    scheme = "wss"
