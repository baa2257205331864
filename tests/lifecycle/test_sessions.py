"""
How sessions end, and how they never begin.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from twisted.internet.defer import Deferred

from reitunnel import Client, Code, Refused
from reitunnel.config.settings import ClientTimeouts, Limits
from reitunnel.interfaces import Decision, ISession
from tests.ledger import Decider
from tests.lifecycle.table import Row, TableCase, talk, visitor_of
from tests.pair import Pair, client_config, server_config


def all_end(end: str, *, tunnel: str = "", stream: str = "") -> list[str]:
    """
    The lines of a session that ends with its tunnel and its stream.
    """
    return [
        f"stream- 2 {stream or end} (5/7)",
        f"tunnel- 1 {tunnel or end} (5/7)",
        f"client- {end}",
    ]


CUT = "LINK_LOST: the link was lost"
SILENT = "TIMEOUT: the link was silent"
CLIENT_STOPS = "SHUTDOWN: the client is stopping"
SERVER_STOPS = "SHUTDOWN: the server is stopping"
TAKEN = "TAKEN_OVER: the same client connected again"
BROKEN = "PROTOCOL: unknown frame kind 0xff"
SERVER_LINK = "the link of client anonymous/laptop"
CLIENT_LINK = "the link to tcp://127.0.0.1:7000"
CONNECTING = "connecting to tcp://127.0.0.1:7000"


def cut(pair: Pair) -> None:
    pair.link.cut()


def silence(seconds: float, pair: Pair) -> None:
    pair.link.silence()
    pair.reactor.advance(seconds)


def break_protocol(end: str, pair: Pair) -> None:
    """
    Let one side send what is no frame.
    """
    getattr(pair.link, end).write(b"\xff" * 10)


def take_over(pair: Pair) -> None:
    other = Client(pair.reactor, client_config(tunnels=()))
    other.startService()
    pair.reactor.settle()
    other.stopService()


def close_on_server(pair: Pair, *arguments: Any) -> None:
    pair.session.close(*arguments)


def close_on_client(pair: Pair, *arguments: Any) -> None:
    session = pair.client.session
    assert session is not None
    session.close(*arguments)


def for_a_reason(close: Callable[..., None]) -> Callable[[Pair], None]:
    return lambda pair: close(pair, Code.POLICY, "enough")


def stop_client(pair: Pair) -> None:
    pair.client.stopService()


def stop_server(pair: Pair) -> None:
    pair.server.stopService()


def stop_and_finish(stop: Callable[[Pair], None], pair: Pair) -> None:
    stop(pair)
    pair.reactor.advance(5)
    visitor_of(pair).hang_up()


def stop_and_wait(stop: Callable[[Pair], None], pair: Pair) -> None:
    stop(pair)
    pair.reactor.advance(10)


def stop_and_lose(stop: Callable[[Pair], None], pair: Pair) -> None:
    stop(pair)
    pair.reactor.settle()
    pair.link.cut()


def quick_client() -> Pair:
    """
    The client notices silence first.
    """
    timeouts = ClientTimeouts(heartbeat_interval=4, heartbeat_timeout=12, resume=0.0)
    return Pair(client=client_config(timeouts=timeouts))


class EndedTests(TableCase):
    """
    Sessions with a tunnel and an open stream, which moved 5 and 7 bytes.
    """

    rows = (
        Row(
            "link is lost",
            cut,
            server=all_end(CUT),
            client=all_end(CUT),
            before=talk,
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
        Row(
            "link is silent",
            partial(silence, 30),
            server=all_end(SILENT),
            client=all_end(SILENT),
            before=talk,
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
        Row(
            "link is silent and the client notices first",
            partial(silence, 12),
            client=all_end(SILENT),
            make=quick_client,
            before=talk,
            errors=[CLIENT_LINK],
        ),
        Row(
            "client breaks the protocol",
            partial(break_protocol, "client"),
            server=all_end(BROKEN),
            client=all_end(BROKEN),
            before=talk,
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
        Row(
            "server breaks the protocol",
            partial(break_protocol, "server"),
            server=all_end(BROKEN),
            client=all_end(BROKEN),
            before=talk,
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
        Row(
            "another client takes over",
            take_over,
            server=[
                "client+ 2",
                f"stream- 2 {TAKEN} (5/7)",
                f"tunnel- 1 {TAKEN} (5/7)",
                f"client- 1 {TAKEN}",
                f"client- 2 {CLIENT_STOPS}",
            ],
            client=all_end(TAKEN),
            before=talk,
        ),
        Row(
            "ISession.close on the server",
            close_on_server,
            server=all_end("CLOSED"),
            client=all_end("CLOSED"),
            before=talk,
        ),
        Row(
            "ISession.close on the server with a reason",
            for_a_reason(close_on_server),
            server=all_end("POLICY: enough"),
            client=all_end("POLICY: enough"),
            before=talk,
        ),
        Row(
            "ISession.close on the client",
            close_on_client,
            server=all_end("CLOSED"),
            client=all_end("CLOSED"),
            before=talk,
        ),
        Row(
            "ISession.close on the client with a reason",
            for_a_reason(close_on_client),
            server=all_end("POLICY: enough"),
            client=all_end("POLICY: enough"),
            before=talk,
        ),
        Row(
            "client stops and the stream finishes",
            partial(stop_and_finish, stop_client),
            server=all_end(CLIENT_STOPS, stream="NONE"),
            client=all_end(CLIENT_STOPS, stream="NONE"),
            before=talk,
        ),
        Row(
            "client stops and the stream does not finish",
            partial(stop_and_wait, stop_client),
            server=all_end(CLIENT_STOPS),
            client=all_end(CLIENT_STOPS),
            before=talk,
        ),
        Row(
            "client stops and the link is lost",
            partial(stop_and_lose, stop_client),
            server=all_end(CLIENT_STOPS),
            client=all_end(CUT),
            before=talk,
            errors=[CLIENT_LINK],
        ),
        Row(
            "server stops and the stream finishes",
            partial(stop_and_finish, stop_server),
            server=[*all_end(SERVER_STOPS, stream="NONE"), "server-"],
            client=all_end(SERVER_STOPS, stream="NONE"),
            before=talk,
            errors=[],
        ),
        Row(
            "server stops and the stream does not finish",
            partial(stop_and_wait, stop_server),
            server=[*all_end(SERVER_STOPS), "server-"],
            client=all_end(SERVER_STOPS),
            before=talk,
            errors=[],
        ),
        Row(
            "server stops and the link is lost",
            partial(stop_and_lose, stop_server),
            server=[*all_end(CUT, tunnel=SERVER_STOPS), "server-"],
            client=all_end(SERVER_STOPS),
            before=talk,
            errors=[SERVER_LINK],
        ),
    )


class IdleTests(TableCase):
    """
    Sessions with a tunnel and no stream.
    """

    rows = (
        Row(
            "client stops",
            stop_client,
            server=[f"tunnel- 1 {CLIENT_STOPS} (0/0)", f"client- {CLIENT_STOPS}"],
            client=[f"tunnel- 1 {CLIENT_STOPS} (0/0)", f"client- {CLIENT_STOPS}"],
        ),
        Row(
            "server stops",
            stop_server,
            server=[
                f"tunnel- 1 {SERVER_STOPS} (0/0)",
                f"client- {SERVER_STOPS}",
                "server-",
            ],
            client=[f"tunnel- 1 {SERVER_STOPS} (0/0)", f"client- {SERVER_STOPS}"],
        ),
        Row(
            "link is lost",
            cut,
            server=[f"tunnel- 1 {CUT} (0/0)", f"client- {CUT}"],
            client=[f"tunnel- 1 {CUT} (0/0)", f"client- {CUT}"],
            errors=[SERVER_LINK, CLIENT_LINK],
        ),
        Row(
            "nothing happens for a day",
            lambda pair: pair.reactor.advance(86400),
        ),
    )


def refuse(client: ISession) -> None:
    raise Refused("not today")


def never(client: ISession) -> Deferred[None]:
    return Deferred()


def on_server(decide: Callable[[ISession], Decision], **server: Any) -> Pair:
    return Unconnected(
        server=server_config(**server), server_hooks=[Decider(client=decide)]
    )


def on_client(decide: Callable[[ISession], Decision]) -> Pair:
    return Unconnected(client_hooks=[Decider(client=decide)])


class Unconnected(Pair):
    """
    A pair whose client is started by the row.
    """

    def start(self) -> Self:
        """
        Start the server.
        """
        return self.start_server()


def connect(pair: Pair) -> None:
    pair.start_client()


def connect_and_wait(pair: Pair) -> None:
    connect(pair)
    pair.reactor.advance(5)


def connect_and_cut(pair: Pair) -> None:
    connect(pair)
    pair.link.cut()


def connect_and_stop_client(pair: Pair) -> None:
    connect(pair)
    pair.client.stopService()


def connect_and_stop_server(pair: Pair) -> None:
    connect(pair)
    pair.server.stopService()


def connect_and_break(pair: Pair) -> None:
    connect(pair)
    pair.link.client.write(b"\xff" * 10)


class FullServer(Unconnected):
    """
    Another client has the only place.
    """

    def __init__(self) -> None:
        super().__init__(server=server_config(limits=Limits(max_clients=1)))
        self.other = Client(self.reactor, client_config(client_id="other", tunnels=()))

    def start(self) -> Self:
        """
        Start the server and the other client.
        """
        super().start()
        self.other.startService()
        return self


def connect_in_vain(pair: Pair) -> None:
    assert isinstance(pair, FullServer)
    connect(pair)
    pair.other.stopService()


GIVEN_UP = "client- ABORTED: given up before it was open"


class NeverBegunTests(TableCase):
    """
    Sessions that are refused, or given up while hooks decide.
    """

    rows = (
        Row(
            "a hook of the server refuses",
            connect,
            server=["client+", "client- REFUSED: not today"],
            make=partial(on_server, refuse),
            errors=[CONNECTING],
        ),
        Row(
            "a hook of the client refuses",
            connect,
            server=["client+", "client- REFUSED: not today"],
            client=["client+", "client- REFUSED: not today"],
            make=partial(on_client, refuse),
        ),
        Row(
            "a hook of the server does not decide",
            connect_and_wait,
            server=["client+", "client- REFUSED: refused by a hook"],
            make=partial(on_server, never),
            errors=["hook Decider failed in on_client_connect", CONNECTING],
        ),
        Row(
            "a hook of the client does not decide",
            connect_and_wait,
            server=["client+", "client- REFUSED: refused by a hook"],
            client=["client+", "client- REFUSED: refused by a hook"],
            make=partial(on_client, never),
            errors=["hook Decider failed in on_client_connect"],
        ),
        Row(
            "link is lost while hooks of the server decide",
            connect_and_cut,
            server=["client+", GIVEN_UP],
            make=partial(on_server, never),
            errors=[CONNECTING],
        ),
        Row(
            "link is lost while hooks of the client decide",
            connect_and_cut,
            server=["client+", f"client- {CUT}"],
            client=["client+", GIVEN_UP],
            make=partial(on_client, never),
            errors=[SERVER_LINK, CONNECTING],
        ),
        Row(
            "client stops while hooks of the server decide",
            connect_and_stop_client,
            server=["client+", GIVEN_UP],
            make=partial(on_server, never),
        ),
        Row(
            "client stops while hooks of the client decide",
            connect_and_stop_client,
            server=["client+", f"client- {CLIENT_STOPS}"],
            client=["client+", GIVEN_UP],
            make=partial(on_client, never),
        ),
        Row(
            "server stops while hooks of the server decide",
            connect_and_stop_server,
            server=["client+", GIVEN_UP, "server-"],
            make=partial(on_server, never),
            errors=[CONNECTING],
        ),
        Row(
            "server stops while hooks of the client decide",
            connect_and_stop_server,
            server=["client+", f"client- {SERVER_STOPS}", "server-"],
            client=["client+", GIVEN_UP],
            make=partial(on_client, never),
            errors=[CONNECTING],
        ),
        Row(
            "client breaks the protocol while hooks of the server decide",
            connect_and_break,
            server=["client+", GIVEN_UP],
            make=partial(on_server, never),
            errors=["the handshake with 127.0.0.1:40001", CONNECTING],
        ),
        Row(
            "server is full",
            connect_in_vain,
            server=[f"client- {CLIENT_STOPS}"],
            make=FullServer,
            errors=[CONNECTING],
        ),
    )
