"""
Hooks that refuse for now: clients ask again.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code, Refused
from reitunnel.hooks import BaseHook
from reitunnel.interfaces import Decision, ISession, IStream, ITunnel
from tests.pair import Pair


class BusyHook(BaseHook):
    """
    Refuses the first of some kind of open.

    @ivar asked: how often it was asked.
    """

    def __init__(self, kind: str, passing: bool = True) -> None:
        self.asked = 0
        self._kind = kind
        self._passing = passing

    def on_client_connect(self, client: ISession) -> Decision:
        return self._decide("client")

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        return self._decide("tunnel")

    def on_stream_open(self, stream: IStream) -> Decision:
        return self._decide("stream")

    def _decide(self, kind: str) -> Decision:
        if kind == self._kind:
            self.asked += 1
            if self.asked == 1:
                raise Refused("busy", passing=self._passing)
        return None


class SilentHook(BusyHook):
    """
    Gives no answer, until it does.
    """

    decides = False

    def _decide(self, kind: str) -> Decision:
        if kind != self._kind or self.decides:
            return None
        self.asked += 1
        return Deferred()


def with_hook(side: str, hook: BusyHook) -> Pair:
    """
    A pair, with a hook on one side.
    """
    if side == "server":
        return Pair(server_hooks=[hook])
    return Pair(client_hooks=[hook])


class PassingRefusalTests(SynchronousTestCase):
    def each_side(self, check: Callable[[str], None]) -> None:
        for side in ("server", "client"):
            check(side)

    def check_client(self, side: str) -> None:
        hook = BusyHook("client")
        pair = with_hook(side, hook).start()
        self.assertEqual(1, hook.asked)
        self.assertEqual([], pair.public_ports)
        pair.reactor.advance(10)
        self.assertEqual(2, hook.asked)
        self.assertIsNone(pair.visit().lost)
        self.assertEqual([], pair.stop())

    def test_client(self) -> None:
        self.each_side(self.check_client)

    def check_tunnel(self, side: str) -> None:
        hook = BusyHook("tunnel")
        pair = with_hook(side, hook).start()
        self.assertEqual(1, hook.asked)
        self.assertEqual([], pair.public_ports)
        pair.reactor.advance(60)
        self.assertEqual(2, hook.asked)
        self.assertIsNone(pair.visit().lost)
        self.assertEqual([], pair.stop())

    def test_tunnel(self) -> None:
        self.each_side(self.check_tunnel)

    def check_stream(self, side: str) -> None:
        pair = with_hook(side, BusyHook("stream")).start()
        self.assertTrue(pair.visit().reset)
        self.assertIsNone(pair.visit().lost)
        if side == "client":
            # The server's hooks are told how the client has ended the stream.
            self.assertIn("LIMIT: busy", "\n".join(pair.told_server.lines))
        self.assertEqual([], pair.stop())

    def test_stream(self) -> None:
        self.each_side(self.check_stream)

    def check_no_answer(self, kind: str) -> None:
        """
        A hook that cannot decide today may do so tomorrow.
        """
        hook = SilentHook(kind)
        pair = Pair(server_hooks=[hook]).start()
        self.assertEqual([], pair.public_ports)
        pair.reactor.advance(3600)
        asked = hook.asked
        self.assertGreater(asked, 10)
        self.assertLess(asked, 600)
        hook.decides = True
        pair.reactor.advance(120)
        self.assertIsNone(pair.visit().lost)
        self.assertEqual([], pair.stop())

    def test_client_without_answer(self) -> None:
        self.check_no_answer("client")

    def test_tunnel_without_answer(self) -> None:
        self.check_no_answer("tunnel")

    def test_for_good(self) -> None:
        """
        Of any other refusal a client takes note: it gives up, or does not ask for the
        tunnel again.
        """
        hook = BusyHook("client", passing=False)
        pair = with_hook("server", hook).start()
        failure = self.failureResultOf(pair.client.when_over())
        self.assertIn("busy", str(failure.value))
        pair.reactor.advance(600)
        self.assertEqual(1, hook.asked)
        self.assertEqual([], pair.stop())
        hook = BusyHook("tunnel", passing=False)
        pair = with_hook("server", hook).start()
        pair.reactor.advance(600)
        self.assertEqual(1, hook.asked)
        self.assertEqual([], pair.stop())

    def test_code(self) -> None:
        self.assertEqual(Code.REFUSED, Refused("no").code)
        self.assertEqual(Code.LIMIT, Refused("no", passing=True).code)
        self.assertEqual("no", str(Refused("no", passing=True)))
