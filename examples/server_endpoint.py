"""
A server that is public without a port of its own: it listens on an endpoint, as other
Twisted programs do, and the endpoint is a public port of a Reitunnel server.

    $ python server_endpoint.py tcp://127.0.0.1:7000 token 6000

Programs that take endpoint descriptions do not even need to be changed::

    twist web --port 'reitunnel:tcp\\://127.0.0.1\\:7000:port=6000:tokenFile=token'
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from reitunnel import ClientConfig, Secret, TunnelServerEndpoint, shown


class Greeting(Protocol):
    """
    Tells visitors who they are, and closes. It knows nothing of tunnels.
    """

    def connectionMade(self) -> None:
        assert self.transport is not None
        visitor, public = self.transport.getPeer(), self.transport.getHost()
        text = f"hello, {shown(visitor)}, this is {shown(public)}\r\n"
        self.transport.write(text.encode())
        self.transport.loseConnection()


async def main(reactor: IReactorCore, server: str, token: Secret, number: str) -> None:
    """
    Serve visitors until the program is told to stop.
    """
    endpoint = TunnelServerEndpoint(
        reactor, ClientConfig(server=server, token=token), port=int(number)
    )
    # It waits until the server can be reached, and raises if the server refuses.
    port = await endpoint.listen(Factory.forProtocol(Greeting))
    # Closes the tunnel, and stops the client that the endpoint has made.
    reactor.addSystemEventTrigger("before", "shutdown", port.stopListening)
    print(f"listening on {shown(port.getHost())}")
    await Deferred()


if __name__ == "__main__":
    server, token_file, number = sys.argv[1:]
    react(main, [server, Secret(Path(token_file).read_text()), number])
