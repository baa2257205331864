"""
Reitunnel inside of Twisted web applications, on both sides.

- The server is a page of a site: clients dial C{/tunnel} as a WebSocket, next to
  the pages for people. It has no port of its own, and the site's TLS is its TLS.
- The target of the client is a site in the same process: nothing listens there.

Server and client are in one program here, to show both:

    $ python web_embedding.py 8080 tokens.toml token
"""

# mypy: disallow-untyped-calls=false
# Twisted's resources have no types.

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from reitunnel import (
    AuthSettings,
    Client,
    ClientConfig,
    Secret,
    Server,
    ServerConfig,
    shown,
)


class Overview(Resource):
    """
    The front page of the public site: the tunnels that are open.
    """

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        lines = [
            f"{tunnel.session.identity}: {shown(tunnel.address)} -> {tunnel.target}\n"
            for tunnel in self._server.tunnels
        ]
        return "".join(lines).encode() or b"no tunnels\n"


class Hello(Resource):
    """
    The page behind the NAT.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        # Streams know their visitor: to the site it is as if there were no tunnel.
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        return f"hello, {shown(request.getClientAddress())}\n".encode()


def public_site(server: Server) -> Site:
    """
    The site that everybody can reach.
    """
    root = Resource()
    root.putChild(b"", Overview(server))
    root.putChild(b"tunnel", server.websocket_resource())
    return Site(root)


async def main(reactor: IReactorCore, port: int, tokens: Path, token: Secret) -> None:
    """
    Run both sides until the program is told to stop.
    """
    # No listener: links come by the site.
    config = ServerConfig(listen=(), auth=AuthSettings(tokens=tokens))
    server = Server(reactor, config)
    endpoint = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1")
    listening = await endpoint.listen(public_site(server))
    server.startService()
    address = shown(listening.getHost())
    print(f"the overview is http://{address}/")

    client = Client(reactor, ClientConfig(server=f"ws://{address}/tunnel", token=token))
    client.startService()
    tunnel = await client.open_tunnel(Site(Hello()))
    print(f"the page behind the NAT is http://{shown(tunnel.address)}/")

    reactor.addSystemEventTrigger("before", "shutdown", client.stopService)
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    await client.when_over()


if __name__ == "__main__":
    port, tokens, token_file = sys.argv[1:]
    token = Secret(Path(token_file).read_text())
    react(main, [int(port), Path(tokens), token])
