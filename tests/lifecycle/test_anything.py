"""
Whatever happens, in whatever order, the hooks of both sides are told by the rules,
and nothing is left when both have stopped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from reitunnel import Code, Refused
from reitunnel.config.settings import Limits
from reitunnel.config.values import Carrier
from reitunnel.interfaces import Decision
from tests.ledger import Decider
from tests.memory import MemoryConnection, Peer
from tests.pair import TARGET_PORT, Pair, client_config, server_config
from tests.wire.search import examples

STREAM_END = re.compile(r"stream- \d+ NONE \(\d+/\d+\)")


class Fate:
    """
    How the hooks of both sides decide, one after the other.

    @ivar plan: what comes next: C{allow}, C{refuse}, C{fail}, C{later}, C{never},
        C{close it} or C{close around it}. When there is no more, all is allowed.
    """

    def __init__(self, plan: list[str]) -> None:
        self.plan = plan
        self._waiting: list[Deferred[None]] = []

    def hook(self) -> Decider:
        """
        Make a hook that decides so.
        """
        return Decider(client=self._decide, tunnel=self._decide, stream=self._decide)

    def decide(self) -> None:
        """
        Allow what waits.
        """
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if not deferred.called:
                deferred.callback(None)

    def _decide(self, subject: Any) -> Decision:
        match self.plan.pop(0) if self.plan else "allow":
            case "refuse":
                raise Refused("no")
            case "later":
                self._waiting.append(Deferred())
                return self._waiting[-1]
            case "never":
                return Deferred()
            case "close it":
                subject.close(Code.POLICY, "closed by a hook")
            case "close around it":
                around = getattr(
                    subject, "tunnel", getattr(subject, "session", subject)
                )
                around.close(Code.POLICY, "closed by a hook")
            case "close later":
                return self._close_later(subject)
        return None

    async def _close_later(self, subject: Any) -> None:
        gate: Deferred[None] = Deferred()
        self._waiting.append(gate)
        await gate
        subject.close(Code.POLICY, "closed by a hook")


class Story:
    """
    A pair, and what can happen to it.
    """

    def __init__(
        self, server_plan: list[str], client_plan: list[str], carrier: Carrier
    ) -> None:
        self.fates = (Fate(server_plan), Fate(client_plan))
        self.pair = Pair(
            server=server_config(limits=Limits(max_conns=3, max_tunnels=3)),
            client=client_config(carrier=carrier, pool_size=2),
            server_hooks=[self.fates[0].hook()],
            client_hooks=[self.fates[1].hook()],
        )
        self.visitors: list[Peer] = []
        self._stopping: dict[str, Deferred[None]] = {}

    def visit(self, number: int) -> None:
        self.visitors.append(self.pair.arrive(6000 + number % 2))

    def visitor(self, number: int) -> Peer | None:
        here = [each for each in self.visitors if each.connected and not each.lost]
        return here[number % len(here)] if here else None

    def target(self, number: int) -> Peer | None:
        here = [each for each in self.pair.targets.all if not each.lost]
        return here[number % len(here)] if here else None

    def of_visitor(self, act: Callable[[Peer], None], number: int) -> None:
        peer = self.visitor(number)
        if peer is not None:
            act(peer)

    def of_target(self, act: Callable[[Peer], None], number: int) -> None:
        peer = self.target(number)
        if peer is not None:
            act(peer)

    def open_tunnel(self, number: int) -> None:
        opening = self.pair.client.open_tunnel(
            f"127.0.0.1:{TARGET_PORT + number % 2}", 6000 + number % 3
        )
        opening.addErrback(lambda _: None)

    def close_wanted(self, number: int) -> None:
        wanted = self.pair.client.wanted
        if wanted:
            wanted[number % len(wanted)].close()

    def close_tunnel(self, number: int) -> None:
        sides = (self.pair.server, self.pair.client)
        tunnels = list(sides[number % 2].tunnels)
        if tunnels:
            tunnels[number // 2 % len(tunnels)].close(Code.POLICY, "closed")

    def close_stream(self, number: int) -> None:
        sides = (self.pair.server, self.pair.client)
        streams = [s for t in sides[number % 2].tunnels for s in t.streams]
        if streams:
            streams[number // 2 % len(streams)].close(Code.POLICY, "closed")

    def close_session(self, number: int) -> None:
        sessions = list(self.pair.server.sessions)
        if number % 2 and self.pair.client.session is not None:
            sessions = [self.pair.client.session]
        for session in sessions:
            session.close(Code.POLICY, "closed")

    def harm_link(self, number: int) -> None:
        if any(
            getattr(each.server.getHost(), "port", 0) == 7000
            for each in self.pair.reactor.connections
        ):
            harm(self.pair.link, number)

    def harm_data_link(self, number: int) -> None:
        links = self.pair.data_links
        if links:
            harm(links[number // 4 % len(links)], number)

    def pass_time(self, number: int) -> None:
        self.pair.reactor.advance((0.1, 1.0, 6.0, 40.0)[number % 4])

    def decide(self, number: int) -> None:
        self.fates[number % 2].decide()

    def stop(self, number: int) -> None:
        name = ("server", "client")[number % 2]
        if name not in self._stopping:
            self._stopping[name] = getattr(self.pair, name).stopService()

    def start(self, number: int) -> None:
        name = ("server", "client")[number % 2]
        stopping = self._stopping.get(name)
        if stopping is not None and stopping.called:
            del self._stopping[name]
            getattr(self.pair, name).startService()

    def settle(self, number: int) -> None:
        self.pair.reactor.settle()


def harm(link: MemoryConnection, number: int) -> None:
    if number % 4 == 0:
        link.cut()
    elif number % 4 == 1:
        link.silence()
    else:
        (link.client, link.server)[number % 2].write(b"\xff" * 10)


def _say(peer: Peer) -> None:
    peer.say(b"x" * 3000)


def _stay(peer: Peer) -> None:
    peer.follows = False


ACTS: dict[str, Callable[[Story, int], None]] = {
    "visit": Story.visit,
    "visitor says": lambda story, n: story.of_visitor(_say, n),
    "visitor finishes": lambda story, n: story.of_visitor(Peer.finish, n),
    "visitor hangs up": lambda story, n: story.of_visitor(Peer.hang_up, n),
    "visitor aborts": lambda story, n: story.of_visitor(Peer.abort, n),
    "visitor stays": lambda story, n: story.of_visitor(_stay, n),
    "target says": lambda story, n: story.of_target(_say, n),
    "target finishes": lambda story, n: story.of_target(Peer.finish, n),
    "target hangs up": lambda story, n: story.of_target(Peer.hang_up, n),
    "target aborts": lambda story, n: story.of_target(Peer.abort, n),
    "open a tunnel": Story.open_tunnel,
    "close a wanted tunnel": Story.close_wanted,
    "close a tunnel": Story.close_tunnel,
    "close a stream": Story.close_stream,
    "close a session": Story.close_session,
    "harm the link": Story.harm_link,
    "harm a data link": Story.harm_data_link,
    "decide": Story.decide,
    "time": Story.pass_time,
    "stop": Story.stop,
    "start": Story.start,
    "settle": Story.settle,
}
"""The frequent ones stand several times below."""

FREQUENT = ("visit", "visitor says", "target says", "settle", "time", "decide")

acts = st.lists(
    st.tuples(st.sampled_from([*ACTS, *FREQUENT, *FREQUENT]), st.integers(0, 11)),
    min_size=5,
    max_size=40,
)
carriers = st.sampled_from(get_args(Carrier))
plans = st.lists(
    st.sampled_from(
        [
            *["allow"] * 6,
            "refuse",
            "later",
            "later",
            "never",
            "close it",
            "close around it",
            "close later",
        ]
    ),
    max_size=12,
)


class AnythingTests(SynchronousTestCase):
    @examples(300)
    @given(carriers, acts, plans, plans)
    def test_rules(
        self,
        carrier: Carrier,
        happens: list[tuple[str, int]],
        server_plan: list[str],
        client_plan: list[str],
    ) -> None:
        story = Story(server_plan, client_plan, carrier)
        pair = story.pair.start()
        for name, number in happens:
            ACTS[name](story, number)
        pair.reactor.settle()
        for fate in story.fates:
            fate.plan.clear()
            fate.decide()
        self.assertEqual([], pair.stop())

    @examples(150)
    @given(
        carriers,
        st.lists(
            st.tuples(
                st.sampled_from(
                    [name for name in ACTS if "visit" in name or "target" in name]
                ),
                st.integers(0, 11),
            ),
            min_size=5,
            max_size=40,
        ),
    )
    def test_streams_agree(
        self, carrier: Carrier, happens: list[tuple[str, int]]
    ) -> None:
        """
        As long as the links live, both sides say the same of each stream's end; and
        when it was an end in order, of its bytes.
        """
        story = Story([], [], carrier)
        pair = story.pair.start()
        for name, number in happens:
            ACTS[name](story, number)
            pair.reactor.settle()
        for peer in (*story.visitors, *pair.targets.all):
            if not peer.lost:
                peer.hang_up()
        pair.reactor.settle()
        there = [line.split(" (")[0] for line in ends(pair.told_server.lines)]
        here = [line.split(" (")[0] for line in ends(pair.told_client.lines)]
        self.assertEqual(sorted(there), sorted(here))
        whole = [
            line for line in ends(pair.told_server.lines) if STREAM_END.match(line)
        ]
        self.assertEqual(
            sorted(whole),
            sorted(filter(STREAM_END.match, ends(pair.told_client.lines))),
        )
        self.assertEqual([], pair.stop())


def ends(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("stream-")]
