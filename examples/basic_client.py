"""
A client: makes something that listens here public on a server.

    $ python basic_client.py tcp://127.0.0.1:7000 token 127.0.0.1:8080

C{token} is a file with the token alone: the first line that C{reitunnel token}
has printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react

from reitunnel import Client, ClientConfig, Secret, shown


async def main(reactor: IReactorCore, server: str, token: Secret, target: str) -> None:
    """
    Keep one tunnel open until the program is told to stop.
    """
    client = Client(
        reactor,
        # With an id of its own it takes its tunnels over when it is started again.
        ClientConfig(server=server, token=token, client_id="basic-client"),
    )
    reactor.addSystemEventTrigger("before", "shutdown", client.stopService)
    client.startService()

    # Port 0: the server chooses, and the client keeps that port over reconnects.
    tunnel = await client.open_tunnel(target, port=0)
    print(f"{target} is public on {shown(tunnel.address)}")

    # Until Ctrl-C. It raises if the client gives up: when another one with the same
    # id takes over, for example.
    await client.when_over()


if __name__ == "__main__":
    server, token_file, target = sys.argv[1:]
    react(main, [server, Secret(Path(token_file).read_text()), target])
