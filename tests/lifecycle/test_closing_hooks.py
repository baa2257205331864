"""
Hooks that close what they are being asked about, or what it is part of.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from reitunnel import Code
from reitunnel.interfaces import Decision, IStream, ITunnel
from tests.ledger import Decider
from tests.lifecycle.table import Row, TableCase
from tests.lifecycle.test_sessions import CONNECTING, Unconnected, connect
from tests.lifecycle.test_tunnels import ask
from tests.pair import Pair

NO = (Code.POLICY, "no")


def close_it(what: Any) -> None:
    what.close(*NO)


def close_its_tunnel(stream: IStream) -> None:
    stream.tunnel.close(*NO)


def close_its_session(what: Any) -> None:
    """
    Close the session of a tunnel or a stream.
    """
    tunnel = what.tunnel if IStream.providedBy(what) else what
    tunnel.session.close(*NO)


class Gate:
    """
    A decision that comes when the test wants it.
    """

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []

    def wait(self, _: object) -> Deferred[None]:
        """
        Decide later.
        """
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        return deferred

    def open(self) -> None:
        """
        Decide now.
        """
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if not deferred.called:
                deferred.callback(None)


class GatedPair(Unconnected):
    """
    A pair with a hook that closes things, on one side.

    @ivar gate: opens for what waits.
    @ivar decider: the last hook.
    """

    def __init__(
        self, side: str, event: str, close: Callable[[Any], None], how: str
    ) -> None:
        """
        @param side: whose hook it is: C{server} or C{client}.
        @param event: what is being asked: C{client}, C{tunnel} or C{stream}.
        @param close: what it does.
        @param how: when: C{at once}; C{later}, in a coroutine; C{second}, at once,
            but after a hook that took its time; or C{first}, at once, before a hook
            that never decides.
        """
        self.gate = gate = Gate()

        async def later(what: Any) -> None:
            await gate.wait(what)
            close(what)

        def guarded(decide: Callable[[Any], Decision]) -> Callable[[Any], Decision]:
            # The first tunnel is not the one that matters.
            def decide_if_it_matters(what: Any) -> Decision:
                if ITunnel.providedBy(what) and what.id == 1:
                    return None
                return decide(what)

            return decide_if_it_matters

        hooks: list[object] = []
        if how == "second":
            hooks.append(Decider(**{event: guarded(gate.wait)}))
        decide = later if how == "later" else close
        self.decider = Decider(**{event: guarded(decide)})
        hooks.append(self.decider)
        if how == "first":
            hooks.append(Decider(**{event: guarded(lambda _: Deferred())}))
        super().__init__(
            server_hooks=hooks if side == "server" else (),
            client_hooks=hooks if side == "client" else (),
        )


def visit(pair: Pair) -> None:
    assert isinstance(pair, GatedPair)
    visitor = pair.visit()
    pair.gate.open()
    pair.reactor.settle()
    assert visitor.reset


def open_second_tunnel(pair: Pair) -> None:
    assert isinstance(pair, GatedPair)
    ask(pair)
    pair.reactor.settle()
    pair.gate.open()


def connect_through(pair: Pair) -> None:
    assert isinstance(pair, GatedPair)
    connect(pair)
    pair.gate.open()


GIVEN_UP = "ABORTED: given up before it was open"


def rows_for(
    way: str,
    side: str,
    event: str,
    close: Callable[[Any], None],
    act: Callable[[Pair], None],
    at_once: tuple[list[str], list[str]],
    later: tuple[list[str], list[str]],
    *,
    before: Callable[[Pair], None] = connect,
    errors: tuple[str, ...] = (),
    first: tuple[list[str], list[str]] | None = None,
    hows: tuple[str, ...] = ("at once", "second", "later", "first"),
) -> list[Row]:
    """
    The same close in all ways.

    @param at_once: what the server's and the client's hooks are told when the hook
        closes at once, whether it is the first or the second.
    @param later: what they are told when it closes in a coroutine: then most
        decisions are given up before the hook has made them. A stream is over only
        when the peer has answered, and by then it has.
    @param first: what they are told when it closes at once and another hook never
        decides, unless that is C{later} too: the decision is given up at once.
    @param hows: the ways.
    """
    told = {"at once": at_once, "second": at_once, "later": later}
    told["first"] = first or later
    return [
        Row(
            f"{way} {how}",
            act,
            server=told[how][0],
            client=told[how][1],
            make=partial(GatedPair, side, event, close, how),
            before=before,
            errors=errors,
        )
        for how in hows
    ]


STREAM = ["stream+ 2", "stream- 2 POLICY: no (0/0)"]
STREAM_LATER = ["stream+ 2", f"stream- 2 {GIVEN_UP} (0/0)"]
TUNNEL_1 = "tunnel- 1 POLICY: no (0/0)"
SESSION = "client- POLICY: no"


class StreamTests(TableCase):
    """
    C{on_stream_open}.
    """

    rows = (
        *rows_for(
            "a hook of the server closes the stream",
            "server",
            "stream",
            close_it,
            visit,
            at_once=(STREAM, STREAM),
            later=(STREAM, STREAM),
            # Another hook's decision is waited for: the stream is not yet there to
            # be closed.
            hows=("at once", "second", "later"),
        ),
        *rows_for(
            "a hook of the client closes the stream",
            "client",
            "stream",
            close_it,
            visit,
            at_once=(STREAM, STREAM),
            later=(STREAM, STREAM),
            first=(STREAM, STREAM_LATER),
        ),
        *rows_for(
            "a hook of the server closes the tunnel",
            "server",
            "stream",
            close_its_tunnel,
            visit,
            at_once=([*STREAM_LATER, TUNNEL_1], [TUNNEL_1]),
            later=([*STREAM_LATER, TUNNEL_1], [TUNNEL_1]),
        ),
        *rows_for(
            "a hook of the client closes the tunnel",
            "client",
            "stream",
            close_its_tunnel,
            visit,
            at_once=([*STREAM, TUNNEL_1], [*STREAM, TUNNEL_1]),
            later=([*STREAM, TUNNEL_1], [*STREAM, TUNNEL_1]),
            first=([*STREAM, TUNNEL_1], [*STREAM_LATER, TUNNEL_1]),
        ),
        *rows_for(
            "a hook of the server closes the session",
            "server",
            "stream",
            close_its_session,
            visit,
            at_once=([*STREAM_LATER, TUNNEL_1, SESSION], [TUNNEL_1, SESSION]),
            later=([*STREAM_LATER, TUNNEL_1, SESSION], [TUNNEL_1, SESSION]),
        ),
        *rows_for(
            "a hook of the client closes the session",
            "client",
            "stream",
            close_its_session,
            visit,
            at_once=([*STREAM, TUNNEL_1, SESSION], [*STREAM, TUNNEL_1, SESSION]),
            later=([*STREAM, TUNNEL_1, SESSION], [*STREAM_LATER, TUNNEL_1, SESSION]),
        ),
    )


TUNNEL = ["tunnel+ 2", "tunnel- 2 POLICY: no (0/0)"]
TUNNEL_LATER = ["tunnel+ 2", f"tunnel- 2 {GIVEN_UP} (0/0)"]
BOTH = ["tunnel+ 2", TUNNEL_1, "tunnel- 2 POLICY: no (0/0)", SESSION]
BOTH_LATER = ["tunnel+ 2", TUNNEL_1, f"tunnel- 2 {GIVEN_UP} (0/0)", SESSION]


class TunnelTests(TableCase):
    """
    C{on_tunnel_open}.
    """

    rows = (
        *rows_for(
            "a hook of the server closes the tunnel",
            "server",
            "tunnel",
            close_it,
            open_second_tunnel,
            at_once=(TUNNEL, TUNNEL),
            later=(TUNNEL_LATER, TUNNEL),
        ),
        *rows_for(
            "a hook of the client closes the tunnel",
            "client",
            "tunnel",
            close_it,
            open_second_tunnel,
            at_once=([], TUNNEL),
            later=([], TUNNEL_LATER),
        ),
        *rows_for(
            "a hook of the server closes the session",
            "server",
            "tunnel",
            close_its_session,
            open_second_tunnel,
            at_once=(BOTH, BOTH),
            later=(BOTH_LATER, BOTH),
        ),
        *rows_for(
            "a hook of the client closes the session",
            "client",
            "tunnel",
            close_its_session,
            open_second_tunnel,
            at_once=([TUNNEL_1, SESSION], BOTH),
            later=([TUNNEL_1, SESSION], BOTH_LATER),
        ),
    )


class ClientTests(TableCase):
    """
    C{on_client_connect}.
    """

    rows = (
        *rows_for(
            "a hook of the server closes the session",
            "server",
            "client",
            close_it,
            connect_through,
            at_once=(["client+", SESSION], []),
            later=(["client+", f"client- {GIVEN_UP}"], []),
            before=lambda pair: None,
            errors=(CONNECTING,),
        ),
        *rows_for(
            "a hook of the client closes the session",
            "client",
            "client",
            close_it,
            connect_through,
            at_once=(["client+", SESSION], ["client+", SESSION]),
            later=(["client+", SESSION], ["client+", f"client- {GIVEN_UP}"]),
            before=lambda pair: None,
            errors=(CONNECTING,),
        ),
    )
