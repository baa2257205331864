"""
A pair with a monitor, whose pages are asked for in memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import Monitoring
from reitunnel.monitoring import Monitor, Watched
from tests.memory import Caller, Peer
from tests.pair import Pair

MONITOR_PORT = 9100
LISTEN = Monitoring(listen=f"127.0.0.1:{MONITOR_PORT}")


@dataclass(frozen=True)
class Response:
    """
    What came back.
    """

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """
        The body as a value.
        """
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """
        The body as text.
        """
        return self.body.decode()


class AskingTestCase(SynchronousTestCase):
    """
    A server and a client, one of them watched.
    """

    settings = LISTEN

    def setUp(self) -> None:
        self.pair = self.make_pair()
        self.monitor = Monitor(
            self.pair.reactor, self.watched(self.pair), self.settings
        )
        self.successResultOf(self.monitor.start_listening())
        self.addCleanup(self.stop)

    def make_pair(self) -> Pair:
        """
        Make both.
        """
        return Pair()

    def watched(self, pair: Pair) -> Watched:
        """
        Choose which.
        """
        return pair.server

    def stop(self) -> None:
        """
        Stop all, and see that nothing is left.
        """
        stopping = self.monitor.stopService()
        self.pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertEqual([], self.pair.stop())

    def begin(
        self,
        path: str,
        *,
        method: str = "GET",
        host: str = "localhost",
        port: int = MONITOR_PORT,
        **headers: str,
    ) -> Peer:
        """
        Ask for a page.

        @param port: where the monitor listens.
        @param headers: with underscores for dashes.
        """
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{n.replace('_', '-')}: {value}" for n, value in headers.items()]
        peer = Peer()
        self.pair.reactor.connectTCP("127.0.0.1", port, Caller(peer))
        self.pair.reactor.settle()
        peer.say("\r\n".join([*lines, "", ""]).encode())
        self.pair.reactor.settle()
        return peer

    def answer(self, peer: Peer) -> Response:
        """
        Take the answer apart.
        """
        head, _, body = peer.received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return Response(int(first.split()[1]), headers, body)

    def ask(self, path: str, **more: Any) -> Response:
        """
        Ask for a page that comes at once.
        """
        return self.answer(self.begin(path, **more))
