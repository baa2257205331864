"""
How streams end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code, Refused
from reitunnel.config.settings import (
    ClientLimits,
    ClientTimeouts,
    Limits,
    TunnelSettings,
)
from reitunnel.errors import HookTimeout
from reitunnel.interfaces import Decision, IStream
from tests.ledger import Decider
from tests.lifecycle.table import Row, TableCase, talk, visitor_of
from tests.pair import PUBLIC_PORT, Pair, client_config, server_config


def visitor_finishes(pair: Pair) -> None:
    target = pair.targets.newest
    target.follows = False
    visitor_of(pair).finish()
    pair.reactor.settle()
    target.say(b"...")
    target.hang_up()


def target_finishes(pair: Pair) -> None:
    visitor = visitor_of(pair)
    visitor.follows = False
    pair.targets.newest.finish()
    pair.reactor.settle()
    visitor.say(b"...")
    visitor.hang_up()


def visitor_leaves_a_sender(pair: Pair) -> None:
    """
    A visitor that closes does not read what the target still sends: the kernel
    answers that with a reset.
    """
    target = pair.targets.newest
    target.follows = False
    visitor_of(pair).hang_up()
    pair.reactor.settle()
    target.say(b"...")
    pair.reactor.settle()
    target.say(b"...")
    pair.reactor.settle()


def target_leaves_a_sender(pair: Pair) -> None:
    visitor = visitor_of(pair)
    visitor.follows = False
    pair.targets.newest.hang_up()
    pair.reactor.settle()
    visitor.say(b"...")
    pair.reactor.settle()
    visitor.say(b"...")
    pair.reactor.settle()


def close_on_server(pair: Pair, *arguments: Any) -> None:
    [tunnel] = pair.server.tunnels
    [stream] = tunnel.streams
    stream.close(*arguments)


def close_on_client(pair: Pair, *arguments: Any) -> None:
    [tunnel] = pair.client.tunnels
    [stream] = tunnel.streams
    stream.close(*arguments)


def for_a_reason(close: Callable[..., None]) -> Callable[[Pair], None]:
    return lambda pair: close(pair, Code.POLICY, "enough")


def wait_and_see(pair: Pair) -> None:
    pair.reactor.advance(86400)
    assert visitor_of(pair).lost is None


class EndedTests(TableCase):
    """
    Streams that were open, with 5 bytes from the visitor and 7 to it.
    """

    rows = (
        Row(
            "visitor closes in order",
            lambda pair: visitor_of(pair).hang_up(),
            server=["stream- 2 NONE (5/7)"],
            client=["stream- 2 NONE (5/7)"],
            before=talk,
        ),
        Row(
            "target closes in order",
            lambda pair: pair.targets.newest.hang_up(),
            server=["stream- 2 NONE (5/7)"],
            client=["stream- 2 NONE (5/7)"],
            before=talk,
        ),
        Row(
            "visitor half-closes and is answered",
            visitor_finishes,
            server=["stream- 2 NONE (5/10)"],
            client=["stream- 2 NONE (5/10)"],
            before=talk,
        ),
        Row(
            "target half-closes and is answered",
            target_finishes,
            server=["stream- 2 NONE (8/7)"],
            client=["stream- 2 NONE (8/7)"],
            before=talk,
        ),
        Row(
            "visitor aborts",
            lambda pair: visitor_of(pair).abort(),
            server=["stream- 2 ABORTED (5/7)"],
            client=["stream- 2 ABORTED (5/7)"],
            before=talk,
        ),
        Row(
            "target aborts",
            lambda pair: pair.targets.newest.abort(),
            server=["stream- 2 ABORTED (5/7)"],
            client=["stream- 2 ABORTED (5/7)"],
            before=talk,
        ),
        Row(
            "visitor closes while the target sends",
            visitor_leaves_a_sender,
            server=["stream- 2 ABORTED (5/13)"],
            client=["stream- 2 ABORTED (5/13)"],
            before=talk,
        ),
        Row(
            "target closes while the visitor sends",
            target_leaves_a_sender,
            server=["stream- 2 ABORTED (11/7)"],
            client=["stream- 2 ABORTED (11/7)"],
            before=talk,
        ),
        Row(
            "IStream.close on the server",
            close_on_server,
            server=["stream- 2 ABORTED (5/7)"],
            client=["stream- 2 ABORTED (5/7)"],
            before=talk,
        ),
        Row(
            "IStream.close on the server with a reason",
            for_a_reason(close_on_server),
            server=["stream- 2 POLICY: enough (5/7)"],
            client=["stream- 2 POLICY: enough (5/7)"],
            before=talk,
        ),
        Row(
            "IStream.close on the client",
            close_on_client,
            server=["stream- 2 ABORTED (5/7)"],
            client=["stream- 2 ABORTED (5/7)"],
            before=talk,
        ),
        Row(
            "IStream.close on the client with a reason",
            for_a_reason(close_on_client),
            server=["stream- 2 POLICY: enough (5/7)"],
            client=["stream- 2 POLICY: enough (5/7)"],
            before=talk,
        ),
        Row(
            "nothing happens for a day",
            wait_and_see,
            before=talk,
        ),
    )


def with_target(target: str) -> Pair:
    """
    A pair with a tunnel to another target.
    """
    tunnel = TunnelSettings(port=PUBLIC_PORT, target=target)
    return Pair(client=client_config(tunnels=(tunnel,)))


def to_nowhere() -> Pair:
    """
    The target's host never answers, and the client waits long for it.
    """
    tunnel = TunnelSettings(port=PUBLIC_PORT, target="192.0.2.1:80")
    return Pair(
        client=client_config(tunnels=(tunnel,), timeouts=ClientTimeouts(target=1000.0))
    )


def visit_refused_target(pair: Pair) -> None:
    pair.close_target()
    visitor = pair.visit()
    assert visitor.reset


def visit_refused_target_with_data(pair: Pair) -> None:
    pair.close_target()
    visitor = pair.arrive()
    pair.reactor.soon(lambda: visitor.say(b"hello"))
    pair.reactor.settle()
    assert visitor.reset


def visit_unreachable(pair: Pair) -> None:
    pair.reactor.unreachable.add("192.0.2.1")
    assert pair.visit().reset


def visit_silent(pair: Pair) -> None:
    pair.reactor.silent.add("192.0.2.1")
    visitor = pair.visit()
    assert visitor.lost is None
    pair.reactor.advance(10)
    assert visitor.reset


def visit_and_wait(pair: Pair) -> None:
    pair.reactor.silent.add("192.0.2.1")
    visitor = pair.visit()
    pair.reactor.advance(30)
    assert visitor.reset


def visit_in_vain(pair: Pair) -> None:
    assert pair.visit().reset


def leave_while_dialling(pair: Pair, *, in_order: bool) -> None:
    pair.reactor.silent.add("192.0.2.1")
    visitor = pair.visit()
    if in_order:
        visitor.hang_up()
        pair.reactor.advance(30)
    else:
        visitor.abort()


class Unwilling(Factory):
    """
    Takes no visitor.
    """

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return None


class Brief(Protocol):
    """
    Says something and leaves.
    """

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"bye")
        self.transport.loseConnection()


def visit_in_process(factory: Factory, pair: Pair) -> None:
    tunnel = pair.open_tunnel(factory, 6001)
    pair.told_server.take()
    pair.told_client.take()
    pair.visit(6001)
    tunnel.close()


TARGET_TROUBLE = "tunnel 1 of anonymous/laptop: a visitor"
NO_ROUTE = "stream- 2 TARGET_UNREACHABLE: no route to the host (0/0)"
NO_NAME = "stream- 2 TARGET_UNREACHABLE: the name cannot be resolved (0/0)"
NOT_ACCEPTED = (
    "stream- 2 TARGET_TIMEOUT: the client did not accept the stream in time (0/0)"
)


class TargetTests(TableCase):
    """
    Streams whose target is not there, or does not take them.
    """

    rows = (
        Row(
            "target refuses",
            visit_refused_target,
            server=["stream+ 2", "stream- 2 TARGET_REFUSED: connection refused (0/0)"],
            client=["stream+ 2", "stream- 2 TARGET_REFUSED: connection refused (0/0)"],
            errors=[TARGET_TROUBLE],
        ),
        Row(
            "target refuses a visitor who has said something",
            visit_refused_target_with_data,
            server=["stream+ 2", "stream- 2 TARGET_REFUSED: connection refused (5/0)"],
            client=["stream+ 2", "stream- 2 TARGET_REFUSED: connection refused (0/0)"],
            errors=[TARGET_TROUBLE],
        ),
        Row(
            "target is unreachable",
            visit_unreachable,
            server=["stream+ 2", NO_ROUTE],
            client=["stream+ 2", NO_ROUTE],
            make=partial(with_target, "192.0.2.1:80"),
            errors=[TARGET_TROUBLE],
        ),
        Row(
            "target has no address",
            visit_in_vain,
            server=["stream+ 2", NO_NAME],
            client=["stream+ 2", NO_NAME],
            make=partial(with_target, "nowhere.example:80"),
            errors=[TARGET_TROUBLE],
        ),
        Row(
            "target does not answer in time",
            visit_silent,
            server=["stream+ 2", "stream- 2 TARGET_TIMEOUT: no answer in time (0/0)"],
            client=["stream+ 2", "stream- 2 TARGET_TIMEOUT: no answer in time (0/0)"],
            make=partial(with_target, "192.0.2.1:80"),
            errors=[TARGET_TROUBLE],
        ),
        Row(
            "client does not accept in time",
            visit_and_wait,
            server=["stream+ 2", NOT_ACCEPTED],
            client=["stream+ 2", NOT_ACCEPTED],
            make=to_nowhere,
        ),
        Row(
            "visitor aborts while the target is dialled",
            partial(leave_while_dialling, in_order=False),
            server=["stream+ 2", "stream- 2 ABORTED (0/0)"],
            client=["stream+ 2", "stream- 2 ABORTED (0/0)"],
            make=to_nowhere,
        ),
        Row(
            "visitor closes while the target is dialled",
            partial(leave_while_dialling, in_order=True),
            server=["stream+ 2", NOT_ACCEPTED],
            client=["stream+ 2", NOT_ACCEPTED],
            make=to_nowhere,
        ),
        Row(
            "target in the process takes no visitor",
            partial(visit_in_process, Unwilling()),
            server=[
                "stream+ 2",
                "stream- 2 TARGET_REFUSED: the target takes no visitor (0/0)",
                "tunnel- 2 CLOSED (0/0)",
            ],
            client=[
                "stream+ 2",
                "stream- 2 TARGET_REFUSED: the target takes no visitor (0/0)",
                "tunnel- 2 CLOSED (0/0)",
            ],
            errors=["tunnel 2 of anonymous/laptop: a visitor"],
        ),
        Row(
            "target in the process leaves",
            partial(visit_in_process, Factory.forProtocol(Brief)),
            server=["stream+ 2", "stream- 2 NONE (0/3)", "tunnel- 2 CLOSED (0/3)"],
            client=["stream+ 2", "stream- 2 NONE (0/3)", "tunnel- 2 CLOSED (0/3)"],
        ),
    )


def refuse(stream: IStream) -> None:
    raise Refused("no visitors today")


def fail(stream: IStream) -> None:
    raise ZeroDivisionError


def never(stream: IStream) -> Deferred[None]:
    return Deferred()


def on_server(decide: Callable[[IStream], Decision]) -> Pair:
    return Pair(server_hooks=[Decider(stream=decide)])


def on_client(decide: Callable[[IStream], Decision]) -> Pair:
    return Pair(client_hooks=[Decider(stream=decide)])


def visit_and_time_out(pair: Pair) -> None:
    visitor = pair.visit()
    assert visitor.lost is None
    pair.reactor.advance(5)
    assert visitor.reset


def leave_undecided(pair: Pair) -> None:
    """
    Nobody reads from a visitor about whom hooks decide: that it left is not known
    before.
    """
    pair.visit().abort()
    pair.reactor.advance(5)


def lose_undecided(pair: Pair) -> None:
    """
    But there are reactors that notice.
    """
    pair.visit()
    pair.reactor.connection_to(PUBLIC_PORT).server.abortConnection()


GIVEN_UP = "stream- 2 ABORTED: given up before it was open (0/0)"


class RefusedTests(TableCase):
    """
    Streams that hooks refuse, or do not decide on.
    """

    rows = (
        Row(
            "a hook of the server refuses",
            visit_in_vain,
            server=["stream+ 2", "stream- 2 REFUSED: no visitors today (0/0)"],
            make=partial(on_server, refuse),
        ),
        Row(
            "a hook of the client refuses",
            visit_in_vain,
            server=["stream+ 2", "stream- 2 REFUSED: no visitors today (0/0)"],
            client=["stream+ 2", "stream- 2 REFUSED: no visitors today (0/0)"],
            make=partial(on_client, refuse),
        ),
        Row(
            "a hook of the server does not decide",
            visit_and_time_out,
            server=["stream+ 2", "stream- 2 REFUSED: refused by a hook (0/0)"],
            make=partial(on_server, never),
            errors=["hook Decider failed in on_stream_open"],
        ),
        Row(
            "a hook of the client does not decide",
            visit_and_time_out,
            server=["stream+ 2", "stream- 2 REFUSED: refused by a hook (0/0)"],
            client=["stream+ 2", "stream- 2 REFUSED: refused by a hook (0/0)"],
            make=partial(on_client, never),
            errors=["hook Decider failed in on_stream_open"],
        ),
        Row(
            "a visitor leaves while hooks of the server decide",
            leave_undecided,
            server=["stream+ 2", "stream- 2 REFUSED: refused by a hook (0/0)"],
            make=partial(on_server, never),
            errors=["hook Decider failed in on_stream_open"],
        ),
        Row(
            "a visitor leaves while hooks of the client decide",
            leave_undecided,
            server=["stream+ 2", "stream- 2 ABORTED (0/0)"],
            client=[
                "stream+ 2",
                "stream- 2 ABORTED: given up before it was open (0/0)",
            ],
            make=partial(on_client, never),
        ),
        Row(
            "a visitor is lost while hooks of the server decide",
            lose_undecided,
            server=["stream+ 2", GIVEN_UP],
            make=partial(on_server, never),
        ),
    )

    def test_failing_hook(self) -> None:
        """
        What a hook raises besides L{Refused} is not told to the peer.
        """
        for make, side in ((on_server, "told_server"), (on_client, "told_client")):
            pair = make(fail).start()
            pair.visit()
            told = getattr(pair, side)
            self.assertEqual(
                ["stream+ 2", "stream- 2 REFUSED: refused by a hook (0/0)"],
                told.take()[-2:],
            )
            [(error, _)] = told.errors
            self.assertIsInstance(error, ZeroDivisionError)
            self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
            self.assertEqual([], pair.stop())

    def test_time_out_is_reported(self) -> None:
        pair = on_server(never).start()
        visit_and_time_out(pair)
        [(error, _)] = pair.told_server.errors
        self.assertIsInstance(error, HookTimeout)


def visit_three(pair: Pair) -> None:
    """
    One more than the limit, and again one when the first has left.
    """
    first, second, third = pair.visit(), pair.visit(), pair.visit()
    assert (first.lost, second.lost) == (None, None)
    assert third.reset
    first.hang_up()
    pair.reactor.settle()
    fourth = pair.visit()
    assert fourth.lost is None
    second.hang_up()
    fourth.hang_up()


def limited(**limits: int) -> Pair:
    return Pair(server=server_config(limits=Limits(**limits)))


AT_THE_LIMIT = (
    "stream+ 2",
    "stream+ 4",
    "stream- 2 NONE (0/0)",
    "stream+ 6",
    "stream- 4 NONE (0/0)",
    "stream- 6 NONE (0/0)",
)


class WithoutHooksTests(SynchronousTestCase):
    """
    Where there is nobody to tell, less is done; it comes to the same.
    """

    def setUp(self) -> None:
        self.pair = Pair(
            server=server_config(limits=Limits(max_conns=1)), ledgers=False
        ).start()

    def tearDown(self) -> None:
        self.assertEqual([], self.pair.stop())
        self.assertEqual([], self.pair.told_server.lines)

    def test_bytes(self) -> None:
        talk(self.pair)
        [tunnel] = self.pair.server.tunnels
        [stream] = tunnel.streams
        self.assertEqual((5, 7), (stream.bytes_received, stream.bytes_sent))
        visitor_of(self.pair).hang_up()
        self.pair.reactor.settle()
        self.assertEqual([], list(tunnel.streams))
        self.assertEqual((5, 7), (tunnel.bytes_received, tunnel.bytes_sent))

    def test_limit(self) -> None:
        """
        What was taken is given back.
        """
        for _ in range(3):
            visitor = self.pair.visit()
            self.assertIs(None, visitor.lost)
            self.assertTrue(self.pair.visit().reset)
            visitor.abort()
            self.pair.reactor.settle()

    def test_refused_target(self) -> None:
        self.pair.close_target()
        self.assertTrue(self.pair.visit().reset)
        self.assertTrue(self.pair.visit().reset)

    def test_stop(self) -> None:
        """
        A server waits for the last stream, and no longer.
        """
        visitor = self.pair.visit()
        stopping = self.pair.server.stopService()
        self.pair.reactor.settle()
        self.assertNoResult(stopping)
        visitor.hang_up()
        self.pair.reactor.settle()
        self.successResultOf(stopping)


class LimitTests(TableCase):
    """
    Visitors beyond a limit of the server are no streams: no hook is told.
    """

    rows = (
        Row(
            "max_conns",
            visit_three,
            server=AT_THE_LIMIT,
            client=AT_THE_LIMIT,
            make=partial(limited, max_conns=2),
        ),
        Row(
            "max_streams_per_client",
            visit_three,
            server=AT_THE_LIMIT,
            client=AT_THE_LIMIT,
            make=partial(limited, max_streams_per_client=2),
        ),
        Row(
            "max_streams_per_tunnel",
            visit_three,
            server=AT_THE_LIMIT,
            client=AT_THE_LIMIT,
            make=partial(limited, max_streams_per_tunnel=2),
        ),
        Row(
            "max_streams of the client",
            visit_three,
            server=[
                "stream+ 2",
                "stream+ 4",
                "stream+ 6",
                "stream- 6 LIMIT: too many streams (0/0)",
                "stream- 2 NONE (0/0)",
                "stream+ 8",
                "stream- 4 NONE (0/0)",
                "stream- 8 NONE (0/0)",
            ],
            client=[
                "stream+ 2",
                "stream+ 4",
                "stream- 2 NONE (0/0)",
                "stream+ 8",
                "stream- 4 NONE (0/0)",
                "stream- 8 NONE (0/0)",
            ],
            make=lambda: Pair(client=client_config(limits=ClientLimits(max_streams=2))),
        ),
    )
