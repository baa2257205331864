"""
How tunnels end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from reitunnel import Code, Refused
from reitunnel.config.settings import Limits, Policy
from reitunnel.config.values import PortRange
from reitunnel.interfaces import Decision, ITunnel
from tests.ledger import Decider
from tests.lifecycle.table import Row, TableCase, talk
from tests.pair import TARGET_PORT, Pair, client_config, server_config

TARGET = f"127.0.0.1:{TARGET_PORT}"


def close_wanted(pair: Pair) -> None:
    [wanted] = pair.client.wanted
    wanted.close()


def close_on_client(pair: Pair, *arguments: Any) -> None:
    [tunnel] = pair.client.tunnels
    tunnel.close(*arguments)


def close_on_server(pair: Pair, *arguments: Any) -> None:
    [tunnel] = pair.server.tunnels
    tunnel.close(*arguments)


def for_a_reason(close: Callable[..., None]) -> Callable[[Pair], None]:
    return lambda pair: close(pair, Code.POLICY, "enough")


def close_twice(pair: Pair) -> None:
    """
    Both sides close it at the same time.
    """
    [tunnel] = pair.server.tunnels
    [wanted] = pair.client.wanted
    tunnel.close(Code.POLICY, "enough")
    tunnel.close(Code.LIMIT, "too much")
    wanted.close()
    wanted.close()


def ends(line: str) -> list[str]:
    return [f"stream- 2 {line} (5/7)", f"tunnel- 1 {line} (5/7)"]


class ClosedTests(TableCase):
    """
    Tunnels that were open, with one stream that moved 5 and 7 bytes. No byte of
    another kind is lost: streams end before their tunnel.
    """

    rows = (
        Row(
            "client closes",
            close_wanted,
            before=talk,
            server=ends("CLOSED"),
            client=ends("CLOSED"),
        ),
        Row(
            "ITunnel.close on the client",
            close_on_client,
            before=talk,
            server=ends("CLOSED"),
            client=ends("CLOSED"),
        ),
        Row(
            "ITunnel.close on the client with a reason",
            for_a_reason(close_on_client),
            before=talk,
            server=ends("POLICY: enough"),
            client=ends("POLICY: enough"),
        ),
        Row(
            "ITunnel.close on the server",
            close_on_server,
            before=talk,
            server=ends("CLOSED"),
            client=ends("CLOSED"),
        ),
        Row(
            "ITunnel.close on the server with a reason",
            for_a_reason(close_on_server),
            before=talk,
            server=ends("POLICY: enough"),
            client=ends("POLICY: enough"),
        ),
        Row(
            "both close at once",
            close_twice,
            server=["stream- 2 POLICY: enough (5/7)", "tunnel- 1 POLICY: enough (5/7)"],
            client=["stream- 2 POLICY: enough (5/7)", "tunnel- 1 CLOSED (5/7)"],
            before=talk,
        ),
        Row(
            "without a stream",
            close_wanted,
            server=["tunnel- 1 CLOSED (0/0)"],
            client=["tunnel- 1 CLOSED (0/0)"],
        ),
        Row(
            "without a stream by the server",
            close_on_server,
            server=["tunnel- 1 CLOSED (0/0)"],
            client=["tunnel- 1 CLOSED (0/0)"],
        ),
    )


def refuse(tunnel: ITunnel) -> None:
    if tunnel.id > 1:
        raise Refused("no such tunnels")


def fail(tunnel: ITunnel) -> None:
    if tunnel.id > 1:
        raise ZeroDivisionError


def never(tunnel: ITunnel) -> Deferred[None] | None:
    return Deferred() if tunnel.id > 1 else None


def on_server(decide: Callable[[ITunnel], Decision], **server: Any) -> Pair:
    return Pair(server=server_config(**server), server_hooks=[Decider(tunnel=decide)])


def on_client(decide: Callable[[ITunnel], Decision]) -> Pair:
    return Pair(client_hooks=[Decider(tunnel=decide)])


def ask(pair: Pair, port: int = 6001, bind: str = "") -> None:
    """
    Ask for tunnel 2, whatever becomes of it.
    """
    pair.client.open_tunnel(TARGET, port, bind=bind).addErrback(lambda _: None)


def ask_and_wait(pair: Pair) -> None:
    ask(pair)
    pair.reactor.advance(5)


def ask_for_taken(pair: Pair) -> None:
    other = pair.reactor.listenTCP(6001, Factory(), interface="127.0.0.1")
    ask(pair)
    pair.reactor.settle()
    other.stopListening()


NO_SUCH_ADDRESS = (
    "tunnel- 2 ADDRESS_INVALID: 192.0.2.1:6001: Cannot assign requested address (0/0)"
)
IN_USE = "tunnel- 2 ADDRESS_IN_USE: 127.0.0.1:6001: Address already in use (0/0)"


class RefusedTests(TableCase):
    """
    Tunnels that were asked for and never open. The server's hooks are asked after
    its policy.
    """

    rows = (
        Row(
            "port is not allowed",
            ask,
            client=["tunnel+ 2", "tunnel- 2 POLICY: port 6001 is not allowed (0/0)"],
            make=lambda: Pair(
                server=server_config(policy=Policy(ports=(PortRange(6000, 6000),)))
            ),
            errors=["tunnel 2 of anonymous/laptop: refused"],
        ),
        Row(
            "address is not allowed",
            partial(ask, bind="0.0.0.0"),
            client=[
                "tunnel+ 2",
                "tunnel- 2 POLICY: the address '0.0.0.0' is not allowed (0/0)",
            ],
            errors=["tunnel 2 of anonymous/laptop: refused"],
        ),
        Row(
            "no tunnel is allowed",
            partial(ask, port=0),
            client=["tunnel+ 1", "tunnel- 1 POLICY: no port is allowed (0/0)"],
            make=lambda: Pair(
                server=server_config(policy=Policy(ports=())),
                client=client_config(tunnels=()),
            ),
            errors=["tunnel 1 of anonymous/laptop: refused"],
        ),
        Row(
            "address cannot be bound",
            partial(ask, bind="192.0.2.1"),
            server=["tunnel+ 2", NO_SUCH_ADDRESS],
            client=["tunnel+ 2", NO_SUCH_ADDRESS],
            make=lambda: Pair(server=server_config(policy=Policy(bind=("*",)))),
        ),
        Row(
            "port is taken",
            ask_for_taken,
            server=["tunnel+ 2", IN_USE],
            client=["tunnel+ 2", IN_USE],
        ),
        Row(
            "too many tunnels",
            ask,
            client=["tunnel+ 2", "tunnel- 2 LIMIT: more than 1 tunnels (0/0)"],
            make=lambda: Pair(server=server_config(limits=Limits(max_tunnels=1))),
        ),
        Row(
            "a hook of the server refuses",
            ask,
            server=["tunnel+ 2", "tunnel- 2 REFUSED: no such tunnels (0/0)"],
            client=["tunnel+ 2", "tunnel- 2 REFUSED: no such tunnels (0/0)"],
            make=partial(on_server, refuse),
        ),
        Row(
            "a hook of the client refuses",
            ask,
            client=["tunnel+ 2", "tunnel- 2 REFUSED: no such tunnels (0/0)"],
            make=partial(on_client, refuse),
        ),
        Row(
            "a hook of the server does not decide",
            ask_and_wait,
            server=["tunnel+ 2", "tunnel- 2 REFUSED: refused by a hook (0/0)"],
            client=["tunnel+ 2", "tunnel- 2 REFUSED: refused by a hook (0/0)"],
            make=partial(on_server, never),
            errors=["hook Decider failed in on_tunnel_open"],
        ),
        Row(
            "a hook of the client does not decide",
            ask_and_wait,
            client=["tunnel+ 2", "tunnel- 2 REFUSED: refused by a hook (0/0)"],
            make=partial(on_client, never),
            errors=["hook Decider failed in on_tunnel_open"],
        ),
    )

    def test_failing_hook(self) -> None:
        """
        What a hook raises besides L{Refused} is not told to the peer.
        """
        for make in (on_server, on_client):
            pair = make(fail).start()
            ask(pair)
            pair.reactor.settle()
            self.assertEqual(
                ["tunnel+ 2", "tunnel- 2 REFUSED: refused by a hook (0/0)"],
                pair.told_client.take()[-2:],
            )
            self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
            self.assertEqual([], pair.stop())


def ask_and_close(pair: Pair) -> None:
    """
    Close tunnel 2 while it is being decided on.
    """
    ask(pair)
    pair.reactor.settle()
    wanted = pair.client.wanted[-1]
    wanted.close()


def ask_and_cancel(pair: Pair) -> None:
    asking = pair.client.open_tunnel(TARGET, 6001)
    asking.addErrback(lambda _: None)
    pair.reactor.settle()
    asking.cancel()


def ask_and_lose(pair: Pair) -> None:
    ask(pair)
    pair.reactor.settle()
    pair.link.cut()


def ask_and_stop_client(pair: Pair) -> None:
    ask(pair)
    pair.reactor.settle()
    pair.client.stopService()


def ask_and_stop_server(pair: Pair) -> None:
    ask(pair)
    pair.reactor.settle()
    pair.server.stopService()


def given_up(number: int) -> str:
    return f"tunnel- {number} ABORTED: given up before it was open (0/0)"


CUT = "LINK_LOST: the link was lost"
CLIENT_STOPS = "SHUTDOWN: the client is stopping"
SERVER_STOPS = "SHUTDOWN: the server is stopping"
SERVER_LINK = "the link of client anonymous/laptop"
CLIENT_LINK = "the link to tcp://127.0.0.1:7000"


class UndecidedTests(TableCase):
    """
    Tunnels that are given up while hooks decide.
    """

    rows = (
        Row(
            "client closes while hooks of the server decide",
            ask_and_close,
            server=["tunnel+ 2", given_up(2)],
            client=["tunnel+ 2", "tunnel- 2 CLOSED (0/0)"],
            make=partial(on_server, never),
        ),
        Row(
            "client closes while hooks of the client decide",
            ask_and_close,
            client=["tunnel+ 2", given_up(2)],
            make=partial(on_client, never),
        ),
        Row(
            "opening is cancelled while hooks of the server decide",
            ask_and_cancel,
            server=["tunnel+ 2", given_up(2)],
            client=["tunnel+ 2", "tunnel- 2 CLOSED (0/0)"],
            make=partial(on_server, never),
        ),
        Row(
            "opening is cancelled while hooks of the client decide",
            ask_and_cancel,
            client=["tunnel+ 2", given_up(2)],
            make=partial(on_client, never),
        ),
        Row(
            "link is lost while hooks of the server decide",
            ask_and_lose,
            server=[
                "tunnel+ 2",
                f"tunnel- 1 {CUT} (0/0)",
                given_up(2),
                f"client- {CUT}",
            ],
            client=[
                "tunnel+ 2",
                f"tunnel- 1 {CUT} (0/0)",
                f"tunnel- 2 {CUT} (0/0)",
                f"client- {CUT}",
            ],
            make=partial(on_server, never),
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
        Row(
            "link is lost while hooks of the client decide",
            ask_and_lose,
            server=[f"tunnel- 1 {CUT} (0/0)", f"client- {CUT}"],
            client=[
                "tunnel+ 2",
                f"tunnel- 1 {CUT} (0/0)",
                given_up(2),
                f"client- {CUT}",
            ],
            make=partial(on_client, never),
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
        Row(
            "client stops while hooks of the server decide",
            ask_and_stop_client,
            server=[
                "tunnel+ 2",
                f"tunnel- 1 {CLIENT_STOPS} (0/0)",
                given_up(2),
                f"client- {CLIENT_STOPS}",
            ],
            client=[
                "tunnel+ 2",
                f"tunnel- 1 {CLIENT_STOPS} (0/0)",
                f"tunnel- 2 {CLIENT_STOPS} (0/0)",
                f"client- {CLIENT_STOPS}",
            ],
            make=partial(on_server, never),
        ),
        Row(
            "server stops while hooks of the server decide",
            ask_and_stop_server,
            server=[
                "tunnel+ 2",
                f"tunnel- 1 {SERVER_STOPS} (0/0)",
                given_up(2),
                f"client- {SERVER_STOPS}",
                "server-",
            ],
            client=[
                "tunnel+ 2",
                f"tunnel- 2 {SERVER_STOPS} (0/0)",
                f"tunnel- 1 {SERVER_STOPS} (0/0)",
                f"client- {SERVER_STOPS}",
            ],
            make=partial(on_server, never),
        ),
    )


def visitor_while_closing(close: Callable[[Pair], None], pair: Pair) -> None:
    visitor = pair.visit()
    close(pair)
    pair.reactor.settle()
    assert visitor.reset


def visit_and_lose(pair: Pair) -> None:
    pair.visit()
    pair.link.cut()


def undecided_stream(pair_of: str) -> Pair:
    hooks = [Decider(stream=lambda stream: Deferred())]
    return Pair(
        server_hooks=hooks if pair_of == "server" else (),
        client_hooks=hooks if pair_of == "client" else (),
    )


def undecided(number: int) -> str:
    return f"stream- {number} ABORTED: given up before it was open (0/0)"


class UndecidedStreamTests(TableCase):
    """
    Tunnels that close while hooks decide on a stream of theirs.
    """

    rows = (
        Row(
            "client closes while hooks of the server decide",
            partial(visitor_while_closing, close_wanted),
            server=["stream+ 2", undecided(2), "tunnel- 1 CLOSED (0/0)"],
            client=["tunnel- 1 CLOSED (0/0)"],
            make=partial(undecided_stream, "server"),
        ),
        Row(
            "client closes while hooks of the client decide",
            partial(visitor_while_closing, close_wanted),
            server=["stream+ 2", "stream- 2 CLOSED (0/0)", "tunnel- 1 CLOSED (0/0)"],
            client=["stream+ 2", undecided(2), "tunnel- 1 CLOSED (0/0)"],
            make=partial(undecided_stream, "client"),
        ),
        Row(
            "server closes while hooks of the server decide",
            partial(visitor_while_closing, close_on_server),
            server=["stream+ 2", undecided(2), "tunnel- 1 CLOSED (0/0)"],
            client=["tunnel- 1 CLOSED (0/0)"],
            make=partial(undecided_stream, "server"),
        ),
        Row(
            "server closes while hooks of the client decide",
            partial(visitor_while_closing, close_on_server),
            server=["stream+ 2", "stream- 2 CLOSED (0/0)", "tunnel- 1 CLOSED (0/0)"],
            client=["stream+ 2", undecided(2), "tunnel- 1 CLOSED (0/0)"],
            make=partial(undecided_stream, "client"),
        ),
        Row(
            "link is lost while hooks of the server decide",
            visit_and_lose,
            server=[
                "stream+ 2",
                undecided(2),
                f"tunnel- 1 {CUT} (0/0)",
                f"client- {CUT}",
            ],
            client=[f"tunnel- 1 {CUT} (0/0)", f"client- {CUT}"],
            make=partial(undecided_stream, "server"),
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
        Row(
            "link is lost while hooks of the client decide",
            visit_and_lose,
            server=[
                "stream+ 2",
                f"stream- 2 {CUT} (0/0)",
                f"tunnel- 1 {CUT} (0/0)",
                f"client- {CUT}",
            ],
            client=[
                "stream+ 2",
                undecided(2),
                f"tunnel- 1 {CUT} (0/0)",
                f"client- {CUT}",
            ],
            make=partial(undecided_stream, "client"),
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
    )
