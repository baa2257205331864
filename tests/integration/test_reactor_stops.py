"""
A reactor that is stopped by somebody who does not stop the services first.
"""

from __future__ import annotations

import sys

from tests.integration.processes import ProcessTestCase

PROGRAM = """
import sys

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogBeginner, textFileLogObserver

from reitunnel import Client, ClientConfig, Server, ServerConfig
from reitunnel.config import ClientTimeouts

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)])
# The reactor closes all that it reads from in no order: with many ports, some are
# closed before the link.
TUNNELS = 50


async def main():
    server = Server(
        reactor, ServerConfig(listen=("tcp://127.0.0.1:0",), insecure_no_auth=True)
    )
    server.startService()
    [address] = await server.when_listening()
    url = f"tcp://127.0.0.1:{address.port}"
    # Without resumption tunnels are closed when the link is.
    timeouts = ClientTimeouts(resume=0.0)
    client = Client(reactor, ClientConfig(server=url, timeouts=timeouts))
    client.startService()
    for _ in range(TUNNELS):
        await client.open_tunnel(Factory.forProtocol(Protocol))
    reactor.stop()


reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
reactor.run()
"""


class ReactorStopsTests(ProcessTestCase):
    async def test_nothing_fails(self) -> None:
        """
        Tunnels are closed without a failure, though the reactor has closed their
        ports before.
        """
        finished = await self.run_to_end(sys.executable, "-c", PROGRAM)
        self.assertEqual(0, finished.code, finished.err)
        self.assertIn("closed after", finished.err)
        for sign in ("Traceback", "#error", "#critical", "Unhandled"):
            self.assertNotIn(sign, finished.err)
