"""
TLS with certificates on both sides: no tokens, the certificate says who a client is.

Server and client are in one program here, to show both. It needs an authority, and
a certificate of it for each side, with its key in the same file:

    $ openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \\
        -subj "/CN=Example authority" -keyout ca.key -out ca.pem
    $ openssl req -x509 -CA ca.pem -CAkey ca.key \\
        -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \\
        -subj "/CN=localhost" -addext "subjectAltName=DNS:localhost" \\
        -addext "basicConstraints=critical,CA:FALSE" \\
        -keyout server.pem -out server.pem
    $ openssl req -x509 -CA ca.pem -CAkey ca.key \\
        -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \\
        -subj "/CN=laptop" -addext "extendedKeyUsage=clientAuth" \\
        -addext "basicConstraints=critical,CA:FALSE" \\
        -keyout client.pem -out client.pem
    $ python mutual_tls.py 127.0.0.1:7000 127.0.0.1:8080
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react

from reitunnel import AuthSettings, Client, ClientConfig, Server, ServerConfig, shown


async def main(reactor: IReactorCore, listen: str, target: str) -> None:
    """
    Open a tunnel, and keep it open until the program is told to stop.
    """
    server = Server(
        reactor,
        ServerConfig(
            listen=(f"tls://{listen}",),
            pem=Path("server.pem"),
            auth=AuthSettings(client_ca=Path("ca.pem")),
        ),
    )
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    server.startService()
    [address] = await server.when_listening()

    client = Client(
        reactor,
        ClientConfig(
            server=f"tls://{shown(address)}",
            # The name in the certificate. Without it that is the host in "server".
            server_name="localhost",
            ca=Path("ca.pem"),
            pem=Path("client.pem"),
        ),
    )
    reactor.addSystemEventTrigger("before", "shutdown", client.stopService)
    client.startService()
    tunnel = await client.open_tunnel(target)

    # What the server knows of the client: TLS has verified it.
    for session in server.sessions:
        certificate = session.facts.certificate
        assert certificate is not None
        print(f"{session.identity} came with {certificate.subject}")
    print(f"{target} is public on {shown(tunnel.address)}")
    await client.when_over()


if __name__ == "__main__":
    react(main, sys.argv[1:])
