"""
A session that goes on from another address: whoever asks is told the new one.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress

from reitunnel import BaseHook, Code
from reitunnel.config import ClientTimeouts
from reitunnel.interfaces import ISession, ITunnel
from reitunnel.relay import shown
from tests.monitoring.asking import AskingTestCase
from tests.pair import TARGET_PORT, Pair, client_config


class Addresses(BaseHook):
    """
    Writes down both ends of the newest link, as each event shows them.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, IAddress, IAddress]] = []

    def on_client_connect(self, client: ISession) -> None:
        self._see("connect", client)

    def on_tunnel_open(self, tunnel: ITunnel) -> None:
        self._see("open", tunnel.session)

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        self._see("disconnect", client)

    def _see(self, event: str, session: ISession) -> None:
        self.seen.append((event, session.facts.host, session.facts.peer))


class NewAddressTests(AskingTestCase):
    def make_pair(self) -> Pair:
        self.hooks = Addresses(), Addresses()
        client = client_config(timeouts=ClientTimeouts(), tunnels=(), carrier="mux")
        return Pair(
            client=client, server_hooks=[self.hooks[0]], client_hooks=[self.hooks[1]]
        ).start()

    def ends(self) -> tuple[IAddress, IAddress]:
        """
        Both ends of the newest link: the server's first.
        """
        link = self.pair.link
        return link.server.getHost(), link.client.getHost()

    def test_hooks_and_status(self) -> None:
        old = self.ends()
        self.pair.link.cut()
        self.pair.settle()
        new = self.ends()
        self.assertTrue(self.pair.session.link_up)
        self.assertNotEqual(old, new)
        [status] = self.ask("/status").json["sessions"]
        self.assertEqual(shown(new[1]), status["peer"])
        self.pair.open_tunnel(f"127.0.0.1:{TARGET_PORT}", 7777)
        self.pair.session.close()
        self.pair.settle()
        expected = [("connect", *old), ("open", *new), ("disconnect", *new)]
        server, client = self.hooks
        self.assertEqual(expected, server.seen[:3])
        swapped = [(event, peer, host) for event, host, peer in expected]
        self.assertEqual(swapped, client.seen[:3])
