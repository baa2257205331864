"""
What the tests of C{reitunnel.relay.splice} share.
"""

from __future__ import annotations

import gc
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.relay.pipes import LARGE_PIPES, LARGE_SIZE, Pipe, Pipes
from reitunnel.relay.splice import Splice
from tests.relay.level import LevelReactor, Peer, Relay, descriptors, unix_pair

Pair = Callable[[], tuple[socket.socket, socket.socket]]


class CountedPipes(Pipes):
    """
    Pipes that know which are in use.

    @ivar used: those that are.
    """

    def __init__(self, size: int = LARGE_SIZE, large: int = LARGE_PIPES) -> None:
        super().__init__(size, large)
        self.used: set[Pipe] = set()

    def take(self, large: bool = True) -> Pipe:
        pipe = super().take(large)
        self.used.add(pipe)
        return pipe

    def give(self, pipe: Pipe) -> None:
        self.used.remove(pipe)
        super().give(pipe)

    def destroy(self, pipe: Pipe) -> None:
        self.used.discard(pipe)
        super().destroy(pipe)


class Owner:
    """
    Owns a splice, writes down what it is told, and does what tests ask for then.

    @ivar read: how many bytes were read from each end.
    @ivar written: how many bytes were written to each end.
    @ivar ended: the ends that have ended, in order.
    @ivar over: what C{on_over} was told, each time.
    @ivar on_read: called after bytes were read, with the end.
    @ivar on_written: called after bytes were written, with the end.
    @ivar on_eof: called with the end that has ended.
    @ivar on_over: called when the splice is over.
    """

    def __init__(self, reactor: LevelReactor, pipes: Pipes, relay: Relay) -> None:
        self.read = [0, 0]
        self.written = [0, 0]
        self.ended: list[int] = []
        self.over: list[Failure | None] = []
        self.on_read: Callable[[int], None] = lambda end: None
        self.on_written: Callable[[int], None] = lambda end: None
        self.on_eof: Callable[[int], None] = lambda end: None
        self.on_over: Callable[[], None] = lambda: None
        self.relay = relay
        self._reactor = reactor
        self.peers = relay.peers
        self.splice = Splice(
            reactor,
            pipes,
            relay.ends,
            on_read=(lambda count: self._read(0, count), lambda n: self._read(1, n)),
            on_written=(
                lambda count: self._written(0, count),
                lambda count: self._written(1, count),
            ),
            on_eof=self._eof,
            on_over=self._over,
        )

    def until_over(self) -> None:
        """
        Turn the reactor until the splice is over.
        """
        self._reactor.until(lambda: self.over)

    def until_ended(self, count: int) -> None:
        """
        Turn the reactor until so many ends have ended.
        """
        self._reactor.until(lambda: len(self.ended) >= count)

    def until_written(self, end: int, count: int) -> None:
        """
        Turn the reactor until so much was written to an end.
        """
        self._reactor.until(lambda: self.written[end] >= count)

    def fill(self) -> None:
        """
        Let the first peer send until nothing moves any more. The second does not
        read.
        """
        while self.peers[0].send(1 << 16) or self._reactor.turn(0.01):
            self._reactor.turn()

    def close(self) -> None:
        """
        Close both connections: an C{on_over}.
        """
        for transport in self.relay.ends:
            transport.loseConnection()

    def abort(self) -> None:
        """
        Abort both connections: an C{on_over}.
        """
        for transport in self.relay.ends:
            transport.abortConnection()

    def stop(self, end: int = 0) -> None:
        """
        Stop the splice: a callback.
        """
        self.splice.stop()

    def pass_on(self, end: int) -> None:
        """
        Pass the end of one connection on to the other: an C{on_eof}.
        """
        self.splice.finish(1 - end)

    def _read(self, end: int, count: int) -> None:
        self.read[end] += count
        self.on_read(end)

    def _written(self, end: int, count: int) -> None:
        self.written[end] += count
        self.on_written(end)

    def _eof(self, end: int) -> None:
        self.ended.append(end)
        self.on_eof(end)

    def _over(self, failure: Failure | None) -> None:
        self.over.append(failure)
        self.on_over()


class SpliceTestCase(SynchronousTestCase):
    """
    Joins connections. Afterwards there is nothing left of them.
    """

    def setUp(self) -> None:
        gc.collect()
        self.before = descriptors()
        self.reactor = LevelReactor()
        self.pipes = CountedPipes()
        self.relays: list[Relay] = []

    def relay(self, pair: Pair = unix_pair, other: Pair | None = None) -> Relay:
        """
        Make two connections that Twisted copies between.
        """
        relay = Relay(self.reactor, [pair(), (other or pair)()])
        self.relays.append(relay)
        return relay

    def owner(
        self, pair: Pair = unix_pair, *, adjust: Callable[[Relay], None] | None = None
    ) -> Owner:
        """
        Make two connections that nobody reads from, and a splice that is not started.
        """
        relay = self.relay(pair)
        if adjust is not None:
            adjust(relay)
        for transport in relay.transports:
            transport.pauseProducing()
        return Owner(self.reactor, self.pipes, relay)

    def started(
        self, pair: Pair = unix_pair, *, adjust: Callable[[Relay], None] | None = None
    ) -> Owner:
        """
        Make two joined connections, whose ends are passed on.
        """
        owner = self.owner(pair, adjust=adjust)
        owner.on_eof = owner.pass_on
        owner.splice.start(0, 1)
        return owner

    def get(self, peer: Peer, total: int) -> None:
        """
        Let a peer receive, until it has got so much.
        """
        self.reactor.until(lambda: len(peer.got) + peer.receive() >= total)

    def get_all(self, peer: Peer) -> None:
        """
        Let a peer receive until the end.
        """
        self.reactor.until(lambda: peer.receive() * 0 or peer.at_end)

    def registered(self) -> list[object]:
        """
        What the reactor looks after.
        """
        return [*self.reactor.getReaders(), *self.reactor.getWriters()]

    def tearDown(self) -> None:
        for relay in self.relays:
            relay.close()
        left = self.registered()
        self.pipes.clear()
        self.assertEqual([], left)
        self.assertEqual(set(), self.pipes.used)
        self.assertEqual(self.before, descriptors())


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """
    Let the process open nothing more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest:
        free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
