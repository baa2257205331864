"""
Two sessions back to back, driven through every order of moves that hypothesis
can think of, beside a model that knows what has to come out.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
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
from reitunnel.wire.events import (
    DataReceived,
    EOFReceived,
    Event,
    GoingAway,
    LinkGiven,
    PeerSwitched,
    PingAnswered,
    StreamAccepted,
    StreamOpened,
    StreamOver,
    StreamReset,
    SwitchSent,
    TunnelAccepted,
    TunnelEnded,
    TunnelRequested,
)
from reitunnel.wire.messages import TunnelOpen
from reitunnel.wire.session import SessionLimits
from reitunnel.wire.streams import EARLY_CREDIT, Half, Stream
from reitunnel.wire.tunnels import TunnelHalf
from tests.wire.peers import Peer, Peers
from tests.wire.search import examples

KIB: Final = 1024
_PERIOD: Final = 4093
_PATTERN: Final = random.Random(1).randbytes(_PERIOD) * 20

limits = st.builds(
    SessionLimits,
    max_tunnels=st.just(2),
    max_streams=st.sampled_from([100, 100, 100, 2]),
    max_window=st.sampled_from([0, 20 * KIB, 64 * KIB]),
    max_session_bytes=st.sampled_from([0, 60 * KIB, 400 * KIB]),
    chunk=st.sampled_from([300, 4 * KIB, 64 * KIB]),
)
sides = st.sampled_from(["client", "server"])
codes = st.sampled_from([Code.NONE, Code.ABORTED, Code.TARGET_REFUSED, Code.INTERNAL])
few = st.integers(1, 3)
sizes = st.one_of(
    st.integers(1, 200), st.integers(1, 40 * KIB), st.sampled_from([20 * KIB, 60 * KIB])
)


class Way:
    """
    One direction of one stream: what was written into it, and what came out.

    Of a data link there are only the numbers of bytes here: they are its own, and
    come in order.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.written = 0
        self.read = 0
        self.consumed = 0
        self.switched_at: int | None = None
        self.read_switched = False
        self.eof_written = False
        self.eof_read = False

    def content(self, start: int, size: int) -> bytes:
        """
        Give the bytes that belong at a place.
        """
        begin = (self.seed * 397 + start) % _PERIOD
        return _PATTERN[begin : begin + size]

    def write(self, size: int) -> bytes:
        """
        Write the next bytes.
        """
        data = self.content(self.written, size)
        assert len(data) == size
        self.written += size
        return data

    def came(self, data: bytes) -> None:
        """
        Check that these are the next bytes.
        """
        assert not self.eof_read, "data after EOF"
        assert not self.read_switched, "data after SWITCH"
        assert bytes(data) == self.content(self.read, len(data)), "other bytes"
        self.read += len(data)
        assert self.read <= self.written

    @property
    def raw(self) -> int | None:
        """
        How many bytes went over the data link; L{None} if there is none.
        """
        return None if self.switched_at is None else self.written - self.switched_at

    def switched(self) -> None:
        """
        Check that all has come that was written before the switch.
        """
        assert not self.read_switched, "SWITCH twice"
        assert self.read == self.switched_at, "bytes are missing before SWITCH"
        self.read_switched = True

    def ended(self, raw: int | None) -> None:
        """
        Check that all that was written has come, and that it was ended.
        """
        assert not self.eof_read, "EOF twice"
        assert self.eof_written, "EOF out of nothing"
        assert raw == self.raw, "another number of bytes than the data link has"
        assert self.read + (raw or 0) == self.written, "bytes are missing"
        self.eof_read = True


class Trip:
    """
    One stream, as both sides should see it.
    """

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.streams: dict[Peer, Stream] = {}
        self.into: dict[Peer, Way] = {}
        self.accepted = False
        self.told_accepted = False
        self.link = 0
        self.finished: set[Peer] = set()
        self.said: dict[Peer, tuple[Code, str]] = {}
        self.heard: dict[Peer, tuple[Code, str]] = {}
        self.ends: dict[Peer, tuple[Code, str]] = {}

    def say_reset(self, peer: Peer, code: Code, reason: str) -> None:
        """
        A side resets the stream, if it has not ended it.
        """
        if self.streams[peer].local is not Half.ENDED:
            self.said[peer] = (code, reason)


class SessionMachine(RuleBasedStateMachine):
    """
    The moves, and the model.
    """

    @initialize(client=limits, server=limits, streams=st.integers(0, 3))
    def begin(self, client: SessionLimits, server: SessionLimits, streams: int) -> None:
        self.peers = Peers(client, server)
        self.client, self.server = self.peers.both
        self.trips: dict[Stream, Trip] = {}
        self.all_trips: list[Trip] = []
        self.coming: dict[int, deque[Trip]] = {}
        self.unsaid: list[Trip] = []
        self.tunnels: dict[Peer, set[int]] = {peer: set() for peer in self.peers.both}
        self.requested: list[int] = []
        self.promised_tunnels: set[int] = set()
        self.pings: dict[Peer, deque[bytes]] = {
            peer: deque() for peer in self.peers.both
        }
        self.gone_away: set[Peer] = set()
        self.serial = 0
        self.open_tunnel(1)
        self.settle()
        self.answer_tunnel(True, Code.NONE)
        for _ in range(streams):
            self.start_stream(1, None)
        self.settle()
        for _, stream in self.known(_pending):
            self.accept(stream)

    # The moves: tunnels.

    @precondition(lambda self: len(self.client.session.tunnels) < 3)
    @rule(number=few)
    def open_tunnel(self, number: int) -> None:
        if number not in self.client.session.tunnels:
            self.client.session.open_tunnel(TunnelOpen(number, "tcp"))
            self.tunnels[self.client].add(number)

    @precondition(lambda self: self.requested)
    @rule(accept=st.sampled_from([True, True, False]), code=codes)
    def answer_tunnel(self, accept: bool, code: Code) -> None:
        number = self.requested.pop(0)
        if accept:
            self.server.session.accept_tunnel(number, "192.0.2.1", 6000)
            self.promised_tunnels.add(number)
        else:
            self.server.session.refuse_tunnel(number, code, "no")
            self.tunnels[self.server].remove(number)

    @rule(side=sides, data=st.data(), code=codes, dice=st.integers(0, 9))
    def close_tunnel(
        self, side: str, data: st.DataObject, code: Code, dice: int
    ) -> None:
        peer = self.peer(side)
        if dice != 9 or not self.tunnels[peer]:
            return
        number = data.draw(st.sampled_from(sorted(self.tunnels[peer])))
        self.tunnels[peer].remove(number)
        if peer is self.server and number in self.requested:
            self.requested.remove(number)
        reason = f"closed by the {side}"
        for there, stream in self.known(_live):
            if there is peer and stream.tunnel == number:
                self.trips[stream].say_reset(peer, code or Code.CLOSED, reason)
        peer.session.close_tunnel(number, code, reason)
        self.take_events(peer)

    # The moves: streams.

    def open_tunnels(self) -> list[int]:
        """
        The tunnels for which the server can open streams.
        """
        return [
            tunnel.number
            for tunnel in self.server.session.tunnels.values()
            if tunnel.local is TunnelHalf.OPEN
        ]

    @precondition(lambda self: self.open_tunnels())
    @rule(data=st.data(), number=st.sampled_from([None, 2, 4]))
    def open_stream(self, data: st.DataObject, number: int | None) -> None:
        self.start_stream(data.draw(st.sampled_from(self.open_tunnels())), number)

    def start_stream(self, tunnel: int, number: int | None) -> None:
        stream = self.server.session.open_stream(tunnel, "198.51.100.7", 9, number)
        self.serial += 1
        trip = Trip(self.serial)
        trip.streams[self.server] = stream
        for index, peer in enumerate(self.peers.both):
            trip.into[peer] = Way(2 * self.serial + index)
        self.trips[stream] = trip
        self.all_trips.append(trip)
        self.unsaid.append(trip)
        self.coming.setdefault(stream.number, deque()).append(trip)

    @precondition(lambda self: self.known(_pending))
    @rule(data=st.data(), accept=st.sampled_from([True, True, True, False]), code=codes)
    def answer_stream(self, data: st.DataObject, accept: bool, code: Code) -> None:
        _, stream = self.pick(data, _pending)
        if accept:
            self.accept(stream)
        else:
            self.trips[stream].say_reset(self.client, code or Code.ABORTED, "refused")
            self.client.session.reset(stream, code, "refused")
            self.take_events(self.client)

    def accept(self, stream: Stream) -> None:
        self.trips[stream].accepted = True
        self.client.session.accept_stream(stream)

    @precondition(lambda self: self.known(_writable))
    @rule(data=st.data(), size=sizes)
    def write(self, data: st.DataObject, size: int) -> None:
        peer, stream = self.pick(data, _writable)
        way = self.trips[stream].into[self.peers.other(peer)]
        data_written, before = way.write(size), stream.queued
        if stream.local is not Half.SWITCHED:
            peer.session.send(stream, data_written)
            assert stream.queued == before + size

    @precondition(lambda self: self.known(_writable))
    @rule(data=st.data(), dice=st.integers(0, 3))
    def say_eof(self, data: st.DataObject, dice: int) -> None:
        if dice == 3:
            self.eof(*self.pick(data, _writable))

    def eof(self, peer: Peer, stream: Stream) -> None:
        way = self.trips[stream].into[self.peers.other(peer)]
        way.eof_written = True
        peer.session.send_eof(stream, way.raw or 0)

    @precondition(lambda self: self.known(_givable))
    @rule(data=st.data())
    def give_link(self, data: st.DataObject) -> None:
        _, stream = self.pick(data, _givable)
        trip = self.trips[stream]
        trip.link = trip.serial
        self.switch(self.server, stream, trip.link)

    @precondition(lambda self: self.known(_can_follow))
    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        peer, stream = self.pick(data, _can_follow)
        self.switch(peer, stream, stream.link)

    def switch(self, peer: Peer, stream: Stream, link: int) -> None:
        if stream.local is Half.OPEN and not stream.eof_queued:
            way = self.trips[stream].into[self.peers.other(peer)]
            way.switched_at = way.written
        peer.session.switch(stream, link)

    @precondition(lambda self: self.known(_finishable))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.finish_stream(*self.pick(data, _finishable))

    def finish_stream(self, peer: Peer, stream: Stream) -> None:
        trip = self.trips[stream]
        trip.into[self.peers.other(peer)].eof_written = True
        trip.finished.add(peer)
        peer.session.finish(stream)
        self.take_events(peer)

    @precondition(lambda self: self.known(_live))
    @rule(data=st.data(), code=codes, dice=st.integers(0, 3))
    def reset(self, data: st.DataObject, code: Code, dice: int) -> None:
        if dice == 3:
            peer, stream = self.pick(data, _live)
            reason = f"reset by the {peer.session.role.value}"
            self.trips[stream].say_reset(peer, code or Code.ABORTED, reason)
            peer.session.reset(stream, code, reason)
            self.take_events(peer)

    @precondition(lambda self: self.known(_unread))
    @rule(data=st.data(), size=sizes)
    def consume(self, data: st.DataObject, size: int) -> None:
        peer, stream = self.pick(data, _unread)
        self.consume_some(peer, stream, min(size, stream.unread))

    def consume_some(self, peer: Peer, stream: Stream, size: int) -> None:
        self.trips[stream].into[peer].consumed += size
        peer.session.consumed(stream, size)

    # The moves: the session.

    @rule(side=sides, payload=st.binary(min_size=8, max_size=8))
    def ping(self, side: str, payload: bytes) -> None:
        peer = self.peer(side)
        peer.session.ping(payload)
        self.pings[peer].append(payload)

    @rule(side=sides, dice=st.integers(0, 29))
    def goaway(self, side: str, dice: int) -> None:
        if dice == 29:
            self.peer(side).session.goaway(Code.SHUTDOWN, "bye")

    @rule(side=sides, budget=st.sampled_from([0, 1, 2000, 1 << 20]))
    def send(self, side: str, budget: int) -> None:
        peer = self.peer(side)
        self.send_from(peer, budget)
        assert not peer.session.control_queued
        self.take_events(peer)

    @precondition(lambda self: self.client.arriving or self.server.arriving)
    @rule(side=sides, size=sizes)
    def deliver(self, side: str, size: int) -> None:
        peer = self.peer(side)
        peer.read(size)
        self.take_events(peer)

    def _exchange(self) -> None:
        """
        Carry once both ways.
        """
        for peer in self.peers.both:
            self.send_from(peer)
        for peer in self.peers.both:
            peer.read(len(peer.arriving))
            self.take_events(peer)

    def send_from(self, peer: Peer, budget: int = 1 << 20) -> None:
        """
        Put what a side wants to send on its way: what is no data, all of it.
        """
        self.peers.send(peer, budget)
        if peer is self.server:
            self.unsaid.clear()

    # Three times as likely as another move, or little would get anywhere.
    exchange = rule()(_exchange)
    exchange_more = rule()(_exchange)
    exchange_still_more = rule()(_exchange)

    # What happens.

    def take_events(self, peer: Peer) -> None:
        """
        Hold everything that happened on a side against the model.
        """
        for event in peer.events():
            note(f"{peer.session.role.value}: {event}")
            self.happened(peer, event)

    def happened(self, peer: Peer, event: Event) -> None:
        match event:
            case TunnelRequested(request):
                assert peer is self.server
                self.tunnels[peer].add(request.tunnel)
                self.requested.append(request.tunnel)
            case TunnelAccepted(tunnel):
                assert peer is self.client
                assert tunnel in self.tunnels[peer] & self.promised_tunnels
            case TunnelEnded(tunnel):
                self.tunnels[peer].remove(tunnel)
                if peer is self.server and tunnel in self.requested:
                    self.requested.remove(tunnel)
            case StreamOpened(stream):
                assert peer is self.client
                assert stream.tunnel in self.tunnels[peer]
                self.meet(stream)
            case StreamAccepted(stream):
                trip = self.trips[stream]
                assert peer is self.server
                assert trip.accepted
                assert not trip.told_accepted
                trip.told_accepted = True
                self.check_not_ended(peer, trip)
            case DataReceived(stream, data):
                trip = self.trips[stream]
                self.check_not_ended(peer, trip)
                trip.into[peer].came(data)
            case EOFReceived(stream, raw):
                trip = self.trips[stream]
                self.check_not_ended(peer, trip)
                trip.into[peer].ended(raw)
            case SwitchSent(stream):
                trip = self.trips[stream]
                assert stream.link == trip.link
                assert trip.into[self.peers.other(peer)].switched_at is not None
            case LinkGiven(stream):
                assert peer is self.client
                assert stream.link == self.trips[stream].link
            case PeerSwitched(stream):
                trip = self.trips[stream]
                self.check_not_ended(peer, trip)
                assert stream.link == trip.link
                trip.into[peer].switched()
            case StreamReset(stream, code, reason):
                trip = self.trips[stream]
                assert peer not in trip.heard, "reset twice"
                assert trip.said.get(peer, (code, reason)) == (code, reason)
                self.check_not_over(peer, trip)
                trip.heard[peer] = (code, reason)
            case StreamOver(stream):
                self.over(peer, stream)
            case PingAnswered(payload):
                assert self.pings[peer].popleft() == payload
            case GoingAway():
                assert peer not in self.gone_away
                self.gone_away.add(peer)

    def meet(self, stream: Stream) -> Trip:
        """
        The client hears of a stream: the first under its number that it has not
        heard of.
        """
        trip = self.coming[stream.number].popleft()
        trip.streams[self.client] = stream
        self.trips[stream] = trip
        return trip

    def check_not_ended(self, peer: Peer, trip: Trip) -> None:
        assert peer not in trip.heard, "the stream is reset"
        self.check_not_over(peer, trip)

    def check_not_over(self, peer: Peer, trip: Trip) -> None:
        assert peer not in trip.ends, "the stream is over"

    def over(self, peer: Peer, stream: Stream) -> None:
        # A client does not tell its owner of a stream that it refuses by itself.
        trip = self.trips.get(stream) or self.meet(stream)
        assert peer not in trip.ends, "over twice"
        assert stream.over
        trip.ends[peer] = end = stream.end
        if trip in self.unsaid:
            # The client has not been told of it, and never is.
            self.unsaid.remove(trip)
            assert trip.said or trip.heard, "over, and nobody has said so"
            self.coming[stream.number].remove(trip)
            trip.ends[self.client] = end
        assert len(set(trip.ends.values())) == 1, trip.ends
        if end[0] is Code.NONE:
            assert not trip.said
            assert not trip.heard
            for way in trip.into.values():
                assert way.eof_read, "an end in order before all was read"
        elif peer not in trip.said and peer in trip.heard:
            assert end == trip.heard[peer], "another end than was told"
        elif trip.said:
            assert end in trip.said.values()

    # What always holds.

    @invariant()
    def credit_is_exact(self) -> None:
        for peer in self.peers.both:
            session = peer.session
            streams = session.streams.values()
            promised = sum(s.receive_credit + s.unread for s in streams)
            assert session.promised == promised
            most = session.limits.max_session_bytes + EARLY_CREDIT * len(streams)
            assert promised <= most
            for stream in streams:
                assert stream.receive_credit >= 0
                assert stream.queued == sum(map(len, stream.queue))
                if stream.local is not Half.ENDED and stream in self.trips:
                    way = self.trips[stream].into[peer]
                    assert stream.unread == way.read - way.consumed
                elif stream.local is Half.ENDED:
                    assert not stream.unread
                    assert not stream.queued

    @invariant()
    def books_agree(self) -> None:
        for peer in self.peers.both:
            session = peer.session
            listed = {
                (tunnel.number, stream)
                for tunnel in session.tunnels.values()
                for stream in tunnel.streams.values()
            }
            assert listed == {
                (stream.tunnel, stream)
                for stream in session.streams.values()
                if stream.local is not Half.ENDED
            }
            assert not any(stream.over for stream in session.streams.values())
            assert not any(tunnel.over for tunnel in session.tunnels.values())
            assert not session.peer_overdue

    # The end.

    def teardown(self) -> None:
        self.settle()
        self.check_credit_both_ends()
        self.end_all_in_order()
        for number in list(self.tunnels[self.client]):
            self.tunnels[self.client].remove(number)
            self.client.session.close_tunnel(number, Code.CLOSED, "the end")
        self.settle()
        for peer in self.peers.both:
            assert not peer.session.streams
            assert not peer.session.tunnels
            assert not peer.session.promised
            assert not peer.session.wants_to_send
            assert not self.tunnels[peer]
            assert not self.pings[peer]
        for trip in self.all_trips:
            assert len(trip.ends) == 2

    def settle(self) -> None:
        """
        Carry everything, until both sides wait for their owners.
        """
        self.send_from(self.server)
        self.peers.settle()
        for peer in self.peers.both:
            self.take_events(peer)

    def check_credit_both_ends(self) -> None:
        """
        When nothing is under way, both sides count the same credit.
        """
        for trip in self.all_trips:
            if not trip.ends and len(trip.streams) == 2:
                for peer, stream in trip.streams.items():
                    far = trip.streams[self.peers.other(peer)]
                    if far.said_eof or far.local is Half.SWITCHED:
                        assert not stream.receive_credit
                    else:
                        assert stream.receive_credit == far.send_credit

    def end_all_in_order(self) -> None:
        """
        Every stream that is still there can end in order, however little credit
        there was.
        """
        for _ in range(100):
            busy = False
            for trip in self.all_trips:
                if len(trip.ends) == 2:
                    continue
                busy = True
                for peer, stream in trip.streams.items():
                    self.push(peer, stream)
            self.settle()
            if not busy:
                return
        raise AssertionError("a stream is stuck")

    def push(self, peer: Peer, stream: Stream) -> None:
        if stream.local is Half.PENDING:
            self.accept(stream)
        if stream.unread:
            self.consume_some(peer, stream, stream.unread)
        if _writable(stream):
            self.eof(peer, stream)
        if _finishable(stream) and peer not in self.trips[stream].finished:
            self.finish_stream(peer, stream)

    # The parts.

    def peer(self, side: str) -> Peer:
        return self.client if side == "client" else self.server

    def known(self, fits: Callable[[Stream], bool]) -> list[tuple[Peer, Stream]]:
        """
        The streams of both sides of which their owners know.
        """
        return [
            (peer, stream)
            for peer in self.peers.both
            for stream in peer.session.streams.values()
            if stream in self.trips and fits(stream)
        ]

    def pick(
        self, data: st.DataObject, fits: Callable[[Stream], bool]
    ) -> tuple[Peer, Stream]:
        """
        Choose one of them.
        """
        known = self.known(fits)
        return known[data.draw(st.integers(0, len(known) - 1))]


def _pending(stream: Stream) -> bool:
    return stream.local is Half.PENDING


def _live(stream: Stream) -> bool:
    return stream.local is not Half.ENDED


def _unread(stream: Stream) -> bool:
    return stream.unread > 0


def _writable(stream: Stream) -> bool:
    waits = stream.eof_queued or stream.switch_queued
    return stream.local in (Half.OPEN, Half.SWITCHED) and not waits


def _finishable(stream: Stream) -> bool:
    ending = stream.local is Half.FINISHED or stream.eof_queued
    on_the_mux = stream.local is Half.OPEN and not stream.switch_queued
    return stream.peer_finished and (ending or on_the_mux)


def _givable(stream: Stream) -> bool:
    return (
        stream.opener
        and not (stream.link or stream.switch_queued)
        and stream.local in (Half.OPEN, Half.FINISHED)
        and stream.remote in (Half.OPEN, Half.FINISHED)
    )


def _can_follow(stream: Stream) -> bool:
    here = not stream.opener and stream.link
    return bool(here) and stream.local is Half.OPEN and _writable(stream)


class SessionMachineTests(SynchronousTestCase):
    def test_any_order(self) -> None:
        """
        Every stream's bytes arrive whole, in order and once; both ends agree on
        the end; nothing leaks.
        """
        run_state_machine_as_test(SessionMachine, settings=examples(150, steps=70))
