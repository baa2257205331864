"""
Which page is where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
from twisted.internet.task import deferLater
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource

from reitunnel.monitoring.flames import draw
from reitunnel.monitoring.heap import Heap
from reitunnel.monitoring.holdings import describe_reactor
from reitunnel.monitoring.lag import LagMeter
from reitunnel.monitoring.pages import (
    HTML,
    JSON,
    Answer,
    Arguments,
    Page,
    PageError,
    as_json,
    missing,
)
from reitunnel.monitoring.profiler import Clock, Profiler, SignalTimer, Timer
from reitunnel.monitoring.status import StatusReport
from reitunnel.monitoring.totals import Totals
from reitunnel.monitoring.trace import Trace
from reitunnel.monitoring.watched import Watched, side_of

if TYPE_CHECKING:
    from reitunnel.monitoring.metrics import MetricsReport

LONGEST_PROFILE: Final = 300.0
LONGEST_TRACE: Final = 60.0
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"

INDEX: Final = """\
/metrics                        for Prometheus
/health                         whether the process answers
/ready                          whether it is of use
/status                         sessions and tunnels; streams=yes lists streams too
"""
DEBUG_INDEX: Final = """\
/debug/profile?seconds=10       flame graph; format=raw, clock=wall, hz=100
/debug/trace?seconds=5          for chrome://tracing and Perfetto; least_turn_us=100
/debug/reactor                  what the reactor holds
/debug/heap?top=25              who holds memory, between a start and a stop
/debug/heap/diff?top=25         what has changed since the mark
POST /debug/heap/start          frames=1, seconds=600
POST /debug/heap/mark
POST /debug/heap/stop
"""


@dataclass
class PageTree:
    """
    The pages.

    @ivar stop: ends what goes on beyond a page.
    """

    root: IResource
    stop: Callable[[], None]


@dataclass
class OneAtATime:
    """
    Keeps two of a kind from going on at the same time in a process.
    """

    what: str
    busy: bool = field(default=False, init=False)

    def __enter__(self) -> None:
        if self.busy:
            raise PageError(409, f"there is a {self.what} under way: one at a time")
        self.busy = True

    def __exit__(self, *_: object) -> None:
        self.busy = False


# The timer, its signal and the reactor are the process's, which may have several
# monitors.
_PROFILE: Final = OneAtATime("profile")
_TRACE: Final = OneAtATime("trace")


def page_tree(
    reactor: Any,
    watched: Watched,
    totals: Totals,
    lag: LagMeter,
    report: StatusReport,
    *,
    debug: bool,
    make_timer: Callable[[Clock], Timer] = SignalTimer,
) -> PageTree:
    """
    Make the pages.

    @param debug: whether those below C{/debug/} are there.
    @param make_timer: makes what has the profiler look.
    """
    heap = Heap(reactor)
    pages = _Pages(reactor, watched, totals, lag, report, debug)
    root = _directory(
        {
            b"": Page(pages.index),
            b"metrics": Page(pages.metrics),
            b"health": Page(pages.health),
            b"ready": Page(pages.ready),
            b"status": Page(pages.status, arguments=("streams",)),
        }
    )
    if debug:
        probes = _Probes(reactor, watched, report, make_timer)
        heap_page = Page(heap.top, arguments=("top",))
        for name, page in {
            b"diff": Page(heap.difference, arguments=("top",)),
            b"start": Page(heap.start, "POST", ("seconds", "frames")),
            b"mark": Page(heap.mark, "POST"),
            b"stop": Page(heap.stop, "POST"),
        }.items():
            heap_page.putChild(name, page)
        root.putChild(
            b"debug",
            _directory(
                {
                    b"": Page(pages.index),
                    b"profile": Page(
                        probes.profile,
                        arguments=("seconds", "hz", "format", "clock"),
                    ),
                    b"trace": Page(
                        probes.trace, arguments=("seconds", "least_turn_us")
                    ),
                    b"reactor": Page(probes.holdings),
                    b"heap": heap_page,
                }
            ),
        )
    return PageTree(root, heap.close)


class _Directory(Resource):
    """
    What pages are below.
    """

    def getChild(self, path: bytes, request: Request) -> Resource:
        """
        Say that there is no such page.
        """
        return Page(missing)

    def render(self, request: Request) -> int:
        """
        Without the slash at its end it is the same page.
        """
        page: Page = self.children[b""]
        return page.render(request)


def _directory(children: dict[bytes, Resource]) -> Resource:
    directory = _Directory()  # type: ignore[no-untyped-call]
    for name, child in children.items():
        directory.putChild(name, child)
    return directory


@dataclass
class _Pages:
    """
    The pages that cost little.
    """

    reactor: Any
    watched: Watched
    totals: Totals
    lag: LagMeter
    report: StatusReport
    debug: bool
    _metrics: MetricsReport | None = field(default=None, init=False)

    async def index(self, arguments: Arguments) -> Answer:
        """
        Say which pages there are.
        """
        return Answer((INDEX + (DEBUG_INDEX if self.debug else "")).encode())

    async def health(self, arguments: Arguments) -> Answer:
        """
        Answer, which is all that is asked.
        """
        return as_json({"healthy": True, "lag": self.lag.newest})

    async def ready(self, arguments: Arguments) -> Answer:
        """
        Say whether it is of use.
        """
        why_not = self.watched.unready
        if why_not:
            return as_json({"ready": False, "reason": why_not}, 503)
        return as_json({"ready": True})

    async def status(self, arguments: Arguments) -> Answer:
        """
        Say how things are.
        """
        streams = arguments.choice("streams", "no", "yes") == "yes"
        return as_json(self.report.describe(streams=streams))

    async def metrics(self, arguments: Arguments) -> Answer:
        """
        Give the metrics.
        """
        try:
            from reitunnel.monitoring.metrics import (  # noqa: PLC0415  # an extra
                MetricsReport,
            )
        except ImportError:
            raise PageError(
                501, "no prometheus-client: pip install 'reitunnel[metrics]'"
            ) from None
        if self._metrics is None:
            self._metrics = MetricsReport(self.watched, self.totals, self.lag)
        return Answer(self._metrics.exposition(), METRICS)


class _Probes:
    """
    The pages that look deeper.
    """

    def __init__(
        self,
        reactor: Any,
        watched: Watched,
        report: StatusReport,
        make_timer: Callable[[Clock], Timer],
    ) -> None:
        self._reactor = reactor
        self._watched = watched
        self._report = report
        self._make_timer = make_timer

    async def profile(self, arguments: Arguments) -> Answer:
        """
        Profile for a while.
        """
        seconds = arguments.number("seconds", 10, 0.1, LONGEST_PROFILE)
        rate = arguments.number("hz", 100, 1, 1000)
        form = arguments.choice("format", "flame", "raw")
        clock: Clock = (
            "cpu" if arguments.choice("clock", "cpu", "wall") == "cpu" else "wall"
        )
        with _PROFILE:
            profiler = Profiler(clock, self._make_timer(clock))
            try:
                profiler.start(1 / rate)
            except RuntimeError as error:
                raise PageError(501, str(error)) from None
            try:
                await deferLater(self._reactor, seconds)
            finally:
                profile = profiler.stop()
        if form == "raw":
            return Answer(profile.collapsed().encode())
        title = f"reitunnel {side_of(self._watched)}, {seconds:g} s"
        return Answer(draw(profile, title).encode(), HTML)

    async def trace(self, arguments: Arguments) -> Answer:
        """
        Trace for a while.
        """
        seconds = arguments.number("seconds", 5, 0.1, LONGEST_TRACE)
        least = arguments.number("least_turn_us", 100, 0, 1e6)
        with _TRACE:
            trace = Trace(self._reactor, self._watched, least_turn=least / 1e6)
            trace.start()
            try:
                await deferLater(self._reactor, seconds)
            finally:
                events = trace.stop()
        # Compact: there may be many.
        body = msgspec.json.encode(events)
        return Answer(body, JSON, file_name="reitunnel-trace.json")

    async def holdings(self, arguments: Arguments) -> Answer:
        """
        Show what the reactor holds.
        """
        return as_json(
            {
                **describe_reactor(self._reactor),
                "state": self._report.describe(streams=True),
            }
        )
