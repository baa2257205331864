"""
Two muxes back to back with sockets at both ends, and everything that visitors and
targets may do, in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.wire.session import SessionLimits
from tests.relay.memory import MemorySocket, MemoryTransport, Remote
from tests.relay.rig import Rig
from tests.wire.search import examples

PERIOD: Final = 251
PATTERN: Final = bytes(range(PERIOD)) * 1200
"""What everybody sends; its period shares no factor with any size of a buffer."""

STREAMS: Final = 2


@dataclass
class Party:
    """
    A visitor or a target.

    @ivar sent: how many bytes it has sent.
    @ivar ended: whether it has said that it sends no more.
    @ivar gone: whether it has closed or aborted its connection.
    """

    remote: Remote
    sent: int = 0
    ended: bool = False
    gone: bool = False

    def write(self, size: int) -> None:
        if not (self.ended or self.gone or self.remote.lost):
            start = self.sent % PERIOD
            self.remote.transport.write(PATTERN[start : start + size])
            self.sent += size

    def pause(self, _: int) -> None:
        if not self.remote.finished:
            self.remote.transport.pauseProducing()

    def resume(self, _: int) -> None:
        if not (self.remote.finished or self.gone):
            self.remote.transport.resumeProducing()

    def finish(self, _: int) -> None:
        if not (self.ended or self.gone):
            self.ended = True
            self.remote.transport.loseWriteConnection()

    def close(self, _: int) -> None:
        if not self.gone:
            self.ended = self.gone = True
            self.remote.transport.loseConnection()

    def abort(self, _: int) -> None:
        if not self.gone:
            self.ended = self.gone = True
            self.remote.transport.abortConnection()


@dataclass
class Pair:
    """
    A visitor, its target, and how their stream ended at each side.
    """

    visitor: Party
    target: Party
    ends: list[Code] = field(default_factory=list)

    def parties(self) -> list[tuple[Party, Party]]:
        """
        Both directions.
        """
        return [(self.visitor, self.target), (self.target, self.visitor)]


ORDERLY: Final[list[Callable[[Party, int], None]]] = [
    Party.write,
    Party.write,
    Party.pause,
    Party.resume,
    Party.finish,
]
ANY: Final = [*ORDERLY, Party.close, Party.abort]

Step = tuple[int, bool, Callable[[Party, int], None], int, int, int]


def steps(moves: list[Callable[[Party, int], None]]) -> SearchStrategy[list[Step]]:
    """
    What happens: on which stream, to the visitor or the target, which move with
    which size; then how many turns the reactor makes, and how much is read in each.
    """
    step = st.tuples(
        st.integers(0, STREAMS - 1),
        st.booleans(),
        st.sampled_from(moves),
        st.sampled_from([1, 5_000, 30_000, 200_000]),
        st.sampled_from([0, 1, 5, 100]),
        st.sampled_from([7, 1_000, 65_536]),
    )
    return st.lists(step, min_size=5, max_size=40)


class BackToBackTests(SynchronousTestCase):
    def run_steps(
        self, steps: list[Step], link: type[MemoryTransport]
    ) -> tuple[Rig, list[Pair]]:
        """
        Do what was chosen, then let everybody read and finish.
        """
        rig = Rig(
            SessionLimits(max_window=32 << 10, chunk=4 << 10), link=link, room=8 << 10
        )
        pairs = []
        for _ in range(STREAMS):
            visitor, target = rig.pumped()
            pair = Pair(Party(visitor), Party(target))
            for transport in (rig.visitors[-1], rig.targets[-1]):
                transport.on_over = lambda code, _, pair=pair: pair.ends.append(code)  # type: ignore[misc]  # mypy does not see the default
            pairs.append(pair)
        for number, at_target, move, size, turns, read in steps:
            pair = pairs[number]
            move(pair.target if at_target else pair.visitor, size)
            for _ in range(turns):
                rig.turn(read)
            for sender, receiver in pair.parties():
                self.check_prefix(sender, receiver)
        for pair in pairs:
            for party in (pair.visitor, pair.target):
                party.resume(0)
                party.finish(0)
        rig.settle()
        return rig, pairs

    def check_prefix(self, sender: Party, receiver: Party) -> None:
        """
        What came is what was sent, in order, perhaps not yet all of it.
        """
        received = receiver.remote.received
        self.assertLessEqual(len(received), sender.sent)
        whole = PATTERN[: PERIOD * 10]
        for start in range(0, len(received), len(whole)):
            piece = received[start : start + len(whole)]
            self.assertEqual(whole[: len(piece)], piece)

    def check_nothing_left(self, rig: Rig, pairs: list[Pair]) -> None:
        """
        Both sides agree on each end, and nobody holds anything.
        """
        for pair in pairs:
            self.assertEqual(2, len(pair.ends))
            self.assertEqual(1, len(set(pair.ends)))
            for party in (pair.visitor, pair.target):
                self.assertTrue(party.remote.transport.far.lost)
        self.assertEqual([], rig.leftovers())
        rig.close()
        self.assertEqual([], rig.clock.getDelayedCalls())

    @examples(300)
    @given(steps(ORDERLY), st.sampled_from([MemorySocket, MemoryTransport]))
    def test_orderly(self, steps: list[Step], link: type[MemoryTransport]) -> None:
        """
        Whoever is slow, and however the ends come: every byte arrives, then the
        end.
        """
        rig, pairs = self.run_steps(steps, link)
        for pair in pairs:
            for sender, receiver in pair.parties():
                self.check_prefix(sender, receiver)
                self.assertEqual(sender.sent, len(receiver.remote.received))
                self.assertTrue(receiver.remote.finished)
                self.assertFalse(receiver.remote.was_reset)
            self.assertEqual([Code.NONE, Code.NONE], pair.ends)
        self.check_nothing_left(rig, pairs)

    @examples(300)
    @given(steps(ANY), st.sampled_from([MemorySocket, MemoryTransport]))
    def test_anything(self, steps: list[Step], link: type[MemoryTransport]) -> None:
        """
        With closes and aborts: nothing arrives that was not sent, and nothing is
        left. A stream that ended in order has carried all bytes to whoever stayed;
        one that did not was reset for whoever had not yet seen the end.
        """
        rig, pairs = self.run_steps(steps, link)
        for pair in pairs:
            for sender, receiver in pair.parties():
                reason = receiver.remote.transport.far.reason
                assert reason is not None
                if pair.ends[0] is Code.NONE:
                    whole = len(receiver.remote.received) == sender.sent
                    self.assertTrue(receiver.gone or whole)
                elif reason.check(ConnectionDone):
                    self.assertTrue(receiver.ended and sender.ended)
        self.check_nothing_left(rig, pairs)
