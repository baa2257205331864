"""
What every stream should carry, and what it did carry, as its visitor and its target
see it.

A visitor has an address of its own in 127.0.0.0/8, so that ledgers, which know its
address, can be compared with what it knows. It says in its first bytes which stream
it is. What each end sends is known in advance, byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any, Final

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from reitunnel.interfaces import IHalfCloseTransport

_SIZE: Final = 1048573
_TABLE: Final = Random(20).randbytes(_SIZE)
_TWICE: Final = _TABLE + _TABLE
_CHUNK: Final = 65536
_HEADER: Final = struct.Struct("!I")
_AFTERMATH: Final = 10.0
"""
How long after a client was killed a target may be closed in order before it has heard
a word, in seconds.
"""


def content(stream: int, up: bool, start: int, count: int) -> bytes:
    """
    Give what a stream carries.

    @param stream: its number.
    @param up: whether from the visitor to the target.
    @param start: after so many bytes.
    @param count: so many bytes, at most 64 KiB.
    """
    place = (start + stream * 7919 + up * 524287) % _SIZE
    return _TWICE[place : place + count]


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How an end sends.

    @ivar total: how many bytes.
    @ivar piece: how many at a time.
    @ivar interval: how long it waits after each, in seconds; 0 is as fast as it can.
    """

    total: int
    piece: int
    interval: float


@dataclass(frozen=True, slots=True)
class Order:
    """
    What a stream is to carry.

    @ivar number: its number, which is its visitor's address too.
    @ivar kind: C{interactive} or C{bulk}.
    @ivar up: what the visitor sends.
    @ivar down: what the target sends.
    """

    number: int
    kind: str
    up: Pace
    down: Pace

    @property
    def host(self) -> str:
        """
        The visitor's address.
        """
        high, low = divmod(self.number, 250)
        top, middle = divmod(high, 250)
        return f"127.{top + 1}.{middle}.{low + 1}"


def draw_order(number: int, random: Random, seconds: float) -> Order:
    """
    Draw a stream.

    @param seconds: how long an interactive one takes about; the slowest bulk one takes
        5 if that is no less than 2, else 1.5.
    """
    if random.random() < 0.6:
        interval = random.choice((0.02, 0.1, 0.5))
        piece = random.choice((1, 64, 700))
        total = max(1, int(random.uniform(0.5, 1.5) * seconds / interval)) * piece
        return Order(
            number,
            "interactive",
            Pace(total, piece, interval),
            Pace(total * random.choice((1, 4)), piece * 4, interval),
        )
    sizes = (0, 70_000, 1_500_000, 6_000_000 if seconds >= 2 else 700_000)
    return Order(
        number,
        "bulk",
        # A pause between pieces lets a bulk stream live through some faults.
        Pace(random.choice(sizes), _CHUNK, random.choice((0.0, 0.01, 0.05))),
        Pace(random.choice(sizes), _CHUNK, random.choice((0.0, 0.01, 0.05))),
    )


class Fate(Enum):
    """
    How one end of a stream ended.
    """

    OPEN = "open"
    COMPLETE = "complete"
    RESET = "reset"
    REFUSED = "refused"
    WRONG = "wrong"


@dataclass
class Record:
    """
    One stream.

    @ivar order: what it is to carry.
    @ivar visitor: its visitor's end.
    @ivar target: its target's end, if the target was reached.
    @ivar outages: how many times its link was lost while it was open.
    @ivar crashed: the ends, C{visitor} or C{target}, whose peer was killed: the
        kernel closes the sockets of a killed process in order.
    """

    order: Order
    visitor: Talker
    target: Talker | None = None
    outages: int = 0
    crashed: set[str] = field(default_factory=set)

    @property
    def over(self) -> bool:
        """
        Whether both ends are closed.
        """
        return self.visitor.fate is not Fate.OPEN and (
            self.target is None or self.target.fate is not Fate.OPEN
        )

    @property
    def complete(self) -> bool:
        """
        Whether all came through.
        """
        return self.visitor.fate is Fate.COMPLETE and (
            self.target is not None and self.target.fate is Fate.COMPLETE
        )

    @property
    def over_at(self) -> tuple[float, float]:
        """
        When the first and the last of its ends were closed.
        """
        ends = (self.visitor, self.target)
        times = [end.over_at for end in ends if end is not None]
        return min(times), max(times)

    def complaints(self) -> list[str]:
        """
        Say what must not be: an end that took a part for the whole, or other bytes.
        """
        ends = [("visitor", self.visitor)]
        if self.target is not None:
            ends.append(("target", self.target))
        found = [
            f"stream {self.order.number}: {name}: {end.complaint}"
            for name, end in ends
            if end.fate is Fate.WRONG and not (end.cut_short and name in self.crashed)
        ]
        for name, end in ends:
            if end.fate is Fate.OPEN:
                found.append(f"stream {self.order.number}: {name}: still open, {end}")
        return found


@implementer(IHalfCloseableProtocol, IPushProducer)
class Talker(Protocol):
    """
    One end of a stream: sends its part and checks the other one.

    @ivar sent: how many bytes it has sent, without the header.
    @ivar got: how many right bytes have come, without the header.
    @ivar fate: how it ended.
    @ivar complaint: what was wrong.
    @ivar cut_short: whether it was an end that came too soon, after nothing but right
        bytes.
    @ivar last_moved: when bytes came last.
    @ivar over_at: when it ended.
    """

    transport: IHalfCloseTransport

    def __init__(self, clock: Any, *, up: bool) -> None:
        """
        @param up: whether it is a visitor.
        """
        self.sent = 0
        self.got = 0
        self.fate = Fate.OPEN
        self.complaint = ""
        self.cut_short = False
        self.last_moved = 0.0
        self.over_at = float("inf")
        self.on_over: Callable[[], None] = _nothing
        self.on_moved: Callable[[Talker], None] = _ignore
        self._clock = clock
        self._up = up
        self._number = -1
        self._send: Pace | None = None
        self._expect = 0
        self._paused = False
        self._ended = False
        self._finished = False
        self._call: IDelayedCall | None = None

    def __str__(self) -> str:
        send = self._send.total if self._send is not None else 0
        return f"sent {self.sent} of {send}, got {self.got} of {self._expect}"

    def begin(self, order: Order) -> None:
        """
        Begin to send.
        """
        self._number = order.number
        self._send, receive = (
            (order.up, order.down) if self._up else (order.down, order.up)
        )
        self._expect = receive.total
        self.transport.registerProducer(self, True)
        self._go_on()

    def abort(self) -> None:
        """
        Reset the connection.
        """
        if self.fate is Fate.OPEN:
            self.transport.abortConnection()

    # IProtocol.

    def dataReceived(self, data: bytes) -> None:
        self.last_moved = self._clock.seconds()
        for start in range(0, len(data), _CHUNK):
            self._check(data[start : start + _CHUNK])
        self.on_moved(self)

    def readConnectionLost(self) -> None:
        self._finished = True
        if self.got < self._expect:
            self.cut_short = self.fate is Fate.OPEN
            self._wrong(f"an orderly end after {self.got} of {self._expect} bytes")
        self._close_if_done()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self.over_at = self._clock.seconds()
        if self.fate is Fate.OPEN:
            orderly = reason.check(ConnectionDone) is not None
            if orderly and self._finished and self._ended:
                self.fate = Fate.COMPLETE
            elif orderly:
                self._wrong(f"closed in order: {self}")
            else:
                self.fate = Fate.RESET
        self.on_over()

    # IPushProducer.

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._go_on()

    def stopProducing(self) -> None:
        self._paused = True

    # The parts.

    def _go_on(self) -> None:
        assert self._send is not None
        if self._call is not None and self._call.active():
            return
        while not (self._paused or self._ended):
            count = min(self._send.piece, self._send.total - self.sent)
            if not count:
                self._ended = True
                self.transport.unregisterProducer()
                self.transport.loseWriteConnection()
                self._close_if_done()
                return
            piece = content(self._number, self._up, self.sent, count)
            self.sent += count
            self.transport.write(piece)
            if self._send.interval:
                self._call = self._clock.callLater(self._send.interval, self._go_on)
                return

    def _check(self, data: bytes) -> None:
        expected = content(self._number, not self._up, self.got, len(data))
        if self.got + len(data) > self._expect:
            self._wrong(f"{self.got + len(data)} bytes came instead of {self._expect}")
        elif data != expected:
            self._wrong(f"other bytes than were sent, after {self.got}")
        else:
            self.got += len(data)

    def _wrong(self, complaint: str) -> None:
        if self.fate is Fate.OPEN:
            self.fate = Fate.WRONG
            self.complaint = complaint
            self.transport.abortConnection()

    def _close_if_done(self) -> None:
        if self._ended and self._finished and self.fate is Fate.OPEN:
            self.transport.loseConnection()


class _Target(Talker):
    """
    A target: learns from the first bytes which stream it is.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth.clock, up=False)
        self._truth = truth
        self._header = b""

    def dataReceived(self, data: bytes) -> None:
        if self._number < 0:
            self._header += data
            if len(self._header) < _HEADER.size:
                return
            (number,) = _HEADER.unpack_from(self._header)
            data = self._header[_HEADER.size :]
            if not self._truth.reached(number, self):
                self.transport.abortConnection()
                return
        if data:
            super().dataReceived(data)

    def readConnectionLost(self) -> None:
        if self._number < 0:
            self._wrong("an orderly end before the first bytes")
            if self._clock.seconds() > self._truth.crashed_at + _AFTERMATH:
                self._truth.strays.append(self.complaint)
            return
        super().readConnectionLost()


class Truth:
    """
    Every stream that there was.

    @ivar clock: the reactor.
    @ivar records: the streams, by number.
    @ivar strays: what was wrong with connections that belong to no stream.
    @ivar crashed_at: when a client was killed last.
    @ivar on_moved: told when bytes came to an end of a stream.
    """

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.records: dict[int, Record] = {}
        self.strays: list[str] = []
        self.crashed_at = float("-inf")
        self.on_moved: Callable[[Record], None] = _ignore_record

    def target_factory(self) -> Factory:
        """
        Make a factory for targets.
        """
        return _TargetFactory(self)

    async def visit(self, port: int, order: Order) -> Record | None:
        """
        Visit a public port.

        @return: the stream; L{None} if there is no such port now.
        """
        talker = Talker(self.clock, up=True)
        endpoint = TCP4ClientEndpoint(
            self.clock, "127.0.0.1", port, bindAddress=(order.host, 0)
        )
        try:
            await connectProtocol(endpoint, talker)
        except Exception:
            # Whatever it is, nobody listens there now.
            return None
        record = Record(order, talker)
        self.records[order.number] = record
        talker.on_moved = lambda _: self.on_moved(record)
        talker.transport.write(_HEADER.pack(order.number))
        talker.begin(order)
        return record

    def reached(self, number: int, target: Talker) -> bool:
        """
        A stream has reached its target.
        """
        record = self.records.get(number)
        if record is None or record.target is not None:
            self.strays.append(f"stream {number}: its first bytes came again")
            return False
        record.target = target
        target.on_moved = lambda _: self.on_moved(record)
        target.begin(record.order)
        return True

    def open(self) -> list[Record]:
        """
        Give the streams that are not over.
        """
        return [each for each in self.records.values() if not each.over]

    def complaints(self) -> list[str]:
        """
        Say what must not be.
        """
        return [
            *self.strays,
            *(
                complaint
                for record in self.records.values()
                for complaint in record.complaints()
            ),
        ]


class _TargetFactory(Factory):
    noisy = False

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def buildProtocol(self, addr: IAddress | None) -> Talker:
        return _Target(self._truth)


def _nothing() -> None:
    """
    The default of L{Talker.on_over}.
    """


def _ignore(talker: Talker) -> None:
    """
    The default of L{Talker.on_moved}.
    """


def _ignore_record(record: Record) -> None:
    """
    The default of L{Truth.on_moved}.
    """
