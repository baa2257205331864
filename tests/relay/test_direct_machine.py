"""
Two sessions with data links between them, driven through every order of moves that
hypothesis can think of: streams switch while bytes, ends and resets are under way, and
links are slow or die.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.errors import Code
from reitunnel.relay import StreamTransport
from reitunnel.relay.direct import Receiving, Sending
from reitunnel.wire.session import SessionLimits
from tests.relay.memory import EagerSocket, MemorySocket, MemoryTransport
from tests.relay.programs import HalfCloseable
from tests.relay.rig import DataLinkPair, Rig
from tests.wire.search import examples

KIB: Final = 1024
_BYTES: Final = random.Random(2).randbytes(400 * KIB)

sizes = st.one_of(
    st.integers(1, 300),
    st.integers(1, 60 * KIB),
    st.sampled_from([64 * KIB, 100 * KIB]),
)


@dataclass
class End:
    """
    One end of a stream, and what its program did.
    """

    transport: StreamTransport
    program: HalfCloseable
    seed: int
    written: int = 0
    finished: bool = False
    closed: bool = False
    over: list[Code] = field(default_factory=list)
    counted: int = 0
    delivered: int = 0

    @property
    def writable(self) -> bool:
        return not (self.finished or self.transport.lost)

    def content(self, size: int) -> bytes:
        """
        The first bytes that this end writes.
        """
        return _BYTES[self.seed : self.seed + size]


@dataclass
class Trip:
    """
    A stream, and what has befallen it.
    """

    ends: tuple[End, End]
    pair: DataLinkPair | None = None
    aborted: bool = False
    cut: bool = False
    closed_early: bool = False

    @property
    def spoiled(self) -> bool:
        return self.aborted or self.cut or self.closed_early


class DirectMachine(RuleBasedStateMachine):
    """
    The moves, and the model.
    """

    @initialize(
        window=st.sampled_from([0, 20 * KIB, 256 * KIB]),
        chunk=st.sampled_from([1000, 64 * KIB]),
        eager=st.booleans(),
    )
    def begin(self, window: int, chunk: int, eager: bool) -> None:
        self.rig = Rig(SessionLimits(max_window=window, chunk=chunk))
        self.trips: list[Trip] = []
        self.free: list[DataLinkPair] = []
        self.all_pairs: list[DataLinkPair] = []
        for _ in range(2):
            self.open_stream()
            self.make_link(eager)

    # The moves.

    @precondition(lambda self: len(self.trips) < 4)
    @rule()
    def open_stream(self) -> None:
        self.stall_all(False)
        programs = HalfCloseable(), HalfCloseable()
        transports = self.rig.stream_between(*programs)
        seed = 10 * len(self.trips)
        near, far = (
            End(transport, program, seed + index)
            for index, (transport, program) in enumerate(
                zip(transports, programs, strict=True)
            )
        )
        for end in (near, far):
            self.watch(end)
        self.trips.append(Trip((near, far)))

    def watch(self, end: End) -> None:
        def count(size: int) -> None:
            end.counted += size

        def deliver(size: int) -> None:
            end.delivered += size

        end.transport.on_over = lambda code, _: end.over.append(code)
        end.transport.on_written = count
        end.transport.on_delivered = deliver

    @precondition(lambda self: len(self.free) < 2)
    @rule(eager=st.booleans())
    def make_link(self, eager: bool) -> None:
        pair = self.rig.data_link(EagerSocket if eager else MemorySocket)
        self.free.append(pair)
        self.all_pairs.append(pair)

    @precondition(lambda self: self.free and self.switchable())
    @rule(data=st.data())
    def attach(self, data: st.DataObject) -> None:
        trip = data.draw(st.sampled_from(self.switchable()))
        trip.pair = self.free.pop()
        trip.ends[0].transport.attach(trip.pair.server)

    def switchable(self) -> list[Trip]:
        return [trip for trip in self.trips if trip.ends[0].transport.can_switch]

    @precondition(lambda self: self.some(lambda end: end.writable))
    @rule(data=st.data(), size=sizes)
    def write(self, data: st.DataObject, size: int) -> None:
        _, end = self.pick(data, lambda end: end.writable)
        size = min(size, 390 * KIB - end.written)
        end.transport.write(end.content(end.written + size)[end.written :])
        end.written += size

    @precondition(lambda self: self.some(lambda end: end.writable))
    @rule(data=st.data(), dice=st.integers(0, 2))
    def half_close(self, data: st.DataObject, dice: int) -> None:
        if not dice:
            _, end = self.pick(data, lambda end: end.writable)
            end.transport.loseWriteConnection()
            end.finished = True

    @precondition(lambda self: self.some(lambda end: not end.transport.lost))
    @rule(data=st.data(), dice=st.integers(0, 4), abort=st.booleans())
    def close(self, data: st.DataObject, dice: int, abort: bool) -> None:
        if dice:
            return
        trip, end = self.pick(data, lambda end: not end.transport.lost)
        if abort:
            trip.aborted = True
            end.transport.abortConnection()
        else:
            end.closed = True
            trip.closed_early |= "finished" not in end.program.told
            end.transport.loseConnection()
        end.finished = True

    @precondition(lambda self: self.some(lambda end: not end.closed))
    @rule(data=st.data(), pause=st.booleans())
    def throttle(self, data: st.DataObject, pause: bool) -> None:
        _, end = self.pick(data, lambda end: not end.closed)
        if pause:
            end.transport.pauseProducing()
        else:
            end.transport.resumeProducing()

    @rule(data=st.data(), stalled=st.booleans())
    def stall(self, data: st.DataObject, stalled: bool) -> None:
        data.draw(st.sampled_from(self.connections())).stalled = stalled

    @precondition(lambda self: self.all_pairs)
    @rule(data=st.data(), dice=st.integers(0, 4), server_first=st.booleans())
    def cut(self, data: st.DataObject, dice: int, server_first: bool) -> None:
        """
        One end sees it at once, the other a little later.
        """
        if dice:
            return
        pair = data.draw(st.sampled_from(self.all_pairs))
        self.all_pairs.remove(pair)
        for trip in self.trips:
            trip.cut |= trip.pair is pair
        ends = (pair.near, pair.far) if server_first else (pair.far, pair.near)
        ends[0].cut()
        for _ in range(data.draw(st.integers(0, 3))):
            self.rig.turn()
        ends[1].cut()
        if pair in self.free:
            self.free.remove(pair)

    @rule(size=sizes)
    def turn(self, size: int) -> None:
        self.rig.turn(size)

    @rule()
    def turn_more(self) -> None:
        for _ in range(5):
            self.rig.turn()

    # What always holds.

    @invariant()
    def bytes_are_right(self) -> None:
        for trip in self.trips:
            for end, other in (trip.ends, trip.ends[::-1]):
                received = end.program.received
                assert received == other.content(len(received)), "other bytes"
                assert len(received) == end.delivered
                assert other.counted == other.written
                if "finished" in end.program.told and not trip.closed_early:
                    assert other.finished
                    assert len(received) == other.written, "an end before all came"

    @invariant()
    def sessions_live(self) -> None:
        assert not any(side.mux.lost for side in self.rig.sides)

    @invariant()
    def only_streams_with_a_reason_are_reset(self) -> None:
        for trip in self.trips:
            for end in trip.ends:
                assert trip.spoiled or end.program.codes in ([], [Code.NONE])
                assert len(end.over) <= 1

    # The end.

    def teardown(self) -> None:
        self.stall_all(False)
        self.rig.settle()
        for trip in self.trips:
            self.end_trip(trip)
        self.rig.settle()
        for trip in self.trips:
            self.check_end(trip)
        for data_link in tuple(self.rig.idle.values()):
            data_link.close()
        self.rig.idle.clear()
        self.rig.settle()
        assert not self.rig.leftovers(), self.rig.leftovers()
        for pair in self.all_pairs:
            assert pair.near.lost
            assert pair.far.lost

    def end_trip(self, trip: Trip) -> None:
        """
        Let a stream end in order.
        """
        for end in trip.ends:
            if not end.closed:
                end.transport.resumeProducing()
            end.transport.loseWriteConnection()
            end.finished = True
        self.rig.settle()
        self.bytes_are_right()
        for end, other in (trip.ends, trip.ends[::-1]):
            if not trip.spoiled:
                note(f"{end.seed}: {len(end.program.received)} of {other.written}")
                assert len(end.program.received) == other.written, "bytes are missing"
                assert "finished" in end.program.told
        for end in trip.ends:
            end.transport.loseConnection()

    def check_end(self, trip: Trip) -> None:
        near, far = trip.ends
        assert near.over == far.over, (near.over, far.over)
        (code,) = near.over
        allowed = {Code.NONE}
        if trip.aborted or trip.closed_early:
            allowed.add(Code.ABORTED)
        if trip.cut:
            allowed.add(Code.LINK_LOST)
        assert code in allowed, code
        if trip.pair is not None:
            assert trip.pair.near.lost
            assert trip.pair.far.lost
        for end in trip.ends:
            path = end.transport.path
            if path is not None:
                assert path.sending is Sending.ENDED
                assert path.receiving is Receiving.ENDED

    # The parts.

    def some(self, fits: Callable[[End], bool]) -> list[tuple[Trip, End]]:
        return [(trip, end) for trip in self.trips for end in trip.ends if fits(end)]

    def pick(
        self, data: st.DataObject, fits: Callable[[End], bool]
    ) -> tuple[Trip, End]:
        known = self.some(fits)
        return known[data.draw(st.integers(0, len(known) - 1))]

    def connections(self) -> list[MemoryTransport]:
        ends = [side.transport for side in self.rig.sides]
        for pair in self.all_pairs:
            ends += (pair.near, pair.far)
        return ends

    def stall_all(self, stalled: bool) -> None:
        for end in self.connections():
            end.stalled = stalled


class DirectMachineTests(SynchronousTestCase):
    def test_any_order(self) -> None:
        """
        Every stream's bytes arrive whole, in order and once, whatever carries them,
        or that stream alone is reset; both ends agree on the end; nothing is left.
        """
        run_state_machine_as_test(DirectMachine, settings=examples(150, steps=50))
