"""
The scheduler: whose turn it is, with few streams and with many.
"""

from __future__ import annotations

from benchmarks.micro.cases import Case, Cases, repeat
from reitunnel.wire.scheduler import FairScheduler
from reitunnel.wire.streams import MAX_CREDIT, Stream

_CHUNK = bytes(64 << 10)


def _turns(count: int) -> Case:
    """
    Have streams take turns that always have more to send.
    """
    size = len(_CHUNK)
    scheduler = FairScheduler(size)
    for number in range(count):
        stream = Stream(
            2 * number + 2, 1, opener=True, send_credit=MAX_CREDIT, window=0
        )
        stream.queue.append(_CHUNK)
        stream.queued = size
        scheduler.put(stream)

    def turn() -> None:
        stream = scheduler.pick()
        assert stream is not None
        sent, _ = stream.take(min(size, stream.deficit))
        scheduler.charge(stream, sent)
        stream.queue.append(_CHUNK)
        stream.queued += size
        stream.send_credit = MAX_CREDIT

    return repeat(turn)


def cases() -> Cases:
    """
    Give the cases.
    """
    return {
        f"a turn among {count:,} streams": _turns(count) for count in (1, 100, 10_000)
    }
