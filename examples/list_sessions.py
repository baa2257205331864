"""
A server that can be asked: a second port, for this machine alone, lists the sessions
with their tunnels, and closes them.

    $ python list_sessions.py tcp://127.0.0.1:7000 tokens.toml 7001
    $ nc 127.0.0.1 7001
    list
    token:office/basic-client from 127.0.0.1:50714, for 12 s
      tunnel 1: 127.0.0.1:41817 -> 127.0.0.1:8080
      2 visitors, 840 bytes from visitors, 66012 bytes to them
    close token:office/basic-client
    closed
"""

# mypy: disallow-untyped-calls=false
# Twisted's LineOnlyReceiver has no types.

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IReactorCore
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver

from reitunnel import AuthSettings, Code, Server, ServerConfig, shown
from reitunnel.interfaces import ISession


class Console(LineOnlyReceiver):
    """
    Answers an operator.
    """

    delimiter = b"\n"

    def __init__(self, server: Server) -> None:
        self._server = server

    def lineReceived(self, line: bytes) -> None:
        for answer in self._answers(line.decode(errors="replace").split()):
            self.sendLine(answer.encode())

    def _answers(self, words: list[str]) -> Iterator[str]:
        sessions = {name_of(session): session for session in self._server.sessions}
        match words:
            case ["list"]:
                for session in sessions.values():
                    yield from described(session)
            case ["close", name] if name in sessions:
                # The client connects again after a while. To keep it out, have a
                # hook refuse it in on_client_connect.
                sessions[name].close(Code.CLOSED, "closed by an operator")
                yield "closed"
            case ["close", name]:
                yield f"there is no {name}"
            case _:
                yield "say: list, or: close NAME"


def name_of(session: ISession) -> str:
    """
    Who it is, and which one of those it is.
    """
    return f"{session.identity}/{session.instance}"


def described(session: ISession) -> Iterator[str]:
    """
    Lines that say how a session is doing.
    """
    seconds = time.time() - session.opened_at
    yield f"{name_of(session)} from {shown(session.facts.peer)}, for {seconds:.0f} s"
    for tunnel in session.tunnels:
        yield f"  tunnel {tunnel.id}: {shown(tunnel.address)} -> {tunnel.target}"
        yield (
            f"  {len(list(tunnel.streams))} visitors, {tunnel.bytes_received} bytes "
            f"from visitors, {tunnel.bytes_sent} bytes to them"
        )


async def main(reactor: IReactorCore, listen: str, tokens: str, port: str) -> None:
    """
    Serve clients and operators until the program is told to stop.
    """
    config = ServerConfig(listen=(listen,), auth=AuthSettings(tokens=Path(tokens)))
    server = Server(reactor, config)
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    server.startService()
    [address] = await server.when_listening()
    print(f"clients dial {shown(address)}")
    endpoint = TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1")
    listening = await endpoint.listen(Factory.forProtocol(lambda: Console(server)))
    print(f"operators ask {shown(listening.getHost())}")
    await Deferred[None]()  # until Ctrl-C


if __name__ == "__main__":
    react(main, sys.argv[1:])
