"""
A server: whoever has one of its tokens may open tunnels on it.

    $ python basic_server.py tcp://127.0.0.1:7000 tokens.toml

C{reitunnel token NAME} makes a token for a client, and the lines for C{tokens.toml}.
C{tcp://} is for one machine. Between two, listen on C{tls://} with a certificate:
mutual_tls.py shows how.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react
from twisted.logger import globalLogBeginner, textFileLogObserver

from reitunnel import AuthSettings, Server, ServerConfig


async def main(reactor: IReactorCore, listen: str, tokens: str) -> None:
    """
    Serve until the program is told to stop.
    """
    config = ServerConfig(listen=(listen,), auth=AuthSettings(tokens=Path(tokens)))
    server = Server(reactor, config)

    # Told to stop, it lets the open streams end, then closes the sessions.
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)

    server.startService()
    await server.when_listening()  # raises TransportError if a port is taken
    await Deferred[None]()  # until Ctrl-C


if __name__ == "__main__":
    # The server says where it listens, and what clients open and close.
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
    react(main, sys.argv[1:])
