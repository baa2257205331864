"""
Tests of the pages below C{/debug/}.
"""

from __future__ import annotations

import gc
import json
import signal
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

from twisted.internet.testing import MemoryReactorClock

from reitunnel import Client
from reitunnel.auth import new_token
from reitunnel.config import AuthSettings, Monitoring, Secret
from reitunnel.errors import Code, Refused
from reitunnel.hooks import BaseHook
from reitunnel.interfaces import IStream
from reitunnel.monitoring import Monitor, trace, tree
from reitunnel.monitoring.holdings import describe_reactor
from reitunnel.monitoring.turns import TurnWatcher
from tests.certificates import write_private
from tests.memory import Peer
from tests.monitoring.asking import MONITOR_PORT, AskingTestCase, Response
from tests.pair import Pair, client_config, server_config


class DebugTestCase(AskingTestCase):
    """
    Pages that take their time.
    """

    def finish(self, peer: Peer, seconds: float) -> Response:
        """
        Let time go by, and take the answer.
        """
        self.pair.reactor.advance(seconds)
        self.pair.reactor.settle()
        return self.answer(peer)


class ProfileTests(DebugTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(
            signal.signal, signal.SIGPROF, signal.signal(signal.SIGPROF, signal.SIG_IGN)
        )

    @property
    def profiling(self) -> bool:
        """
        Whether a profile is under way.
        """
        return signal.getsignal(signal.SIGPROF) is not signal.SIG_IGN

    def test_flame(self) -> None:
        peer = self.begin("/debug/profile?seconds=2")
        self.assertTrue(self.profiling)
        answer = self.finish(peer, 2)
        self.assertEqual("text/html; charset=utf-8", answer.headers["content-type"])
        self.assertIn("reitunnel server, 2 s", answer.text)
        self.assertFalse(self.profiling)

    def test_raw(self) -> None:
        peer = self.begin("/debug/profile?seconds=1&format=raw&hz=1")
        answer = self.finish(peer, 1)
        self.assertEqual(200, answer.code)
        self.assertEqual("text/plain; charset=utf-8", answer.headers["content-type"])

    def test_one_at_a_time(self) -> None:
        first = self.begin("/debug/profile?seconds=2")
        second = self.ask("/debug/profile?seconds=1&clock=wall")
        self.assertEqual(409, second.code)
        self.assertIn("one at a time", second.text)
        self.assertEqual(200, self.finish(first, 2).code)
        self.assertEqual(200, self.finish(self.begin("/debug/profile"), 10).code)

    def test_asker_leaves(self) -> None:
        peer = self.begin("/debug/profile?seconds=100")
        peer.abort()
        self.pair.reactor.settle()
        self.assertFalse(self.profiling)


class HeapTests(DebugTestCase):
    def setUp(self) -> None:
        super().setUp()
        if tracemalloc.is_tracing():
            self.skipTest("allocations are traced already")
        self.addCleanup(tracemalloc.stop)

    def post(self, path: str) -> Response:
        return self.ask(path, method="POST")

    def test_not_traced(self) -> None:
        for path, method in (
            ("/debug/heap", "GET"),
            ("/debug/heap/mark", "POST"),
            ("/debug/heap/stop", "POST"),
            ("/debug/heap/diff", "GET"),
        ):
            self.assertEqual(409, self.ask(path, method=method).code, path)

    def test_difference(self) -> None:
        """
        What was allocated since the mark is found where it was.
        """
        self.assertTrue(self.post("/debug/heap/start").json["traced"])
        self.assertEqual(409, self.post("/debug/heap/start").code)
        self.assertEqual(409, self.ask("/debug/heap/diff").code)
        self.assertEqual(200, self.post("/debug/heap/mark").code)
        held = [bytearray(1000) for _ in range(1000)]
        difference = self.ask("/debug/heap/diff?top=1").json
        [most] = difference["difference"]
        self.assertIn("test_debug.py", most["place"])
        self.assertGreaterEqual(most["more_bytes"], 1_000_000)
        self.assertGreaterEqual(difference["traced_bytes"], 1_000_000)
        [top] = self.ask("/debug/heap?top=1").json["top"]
        self.assertEqual(most["place"], top["place"])
        self.assertEqual(1000, len(held))
        self.assertEqual({"traced": False}, self.post("/debug/heap/stop").json)
        self.assertFalse(tracemalloc.is_tracing())

    def test_callers(self) -> None:
        self.post("/debug/heap/start?frames=5")
        held = bytearray(5_000_000)
        [top] = self.ask("/debug/heap?top=1").json["top"]
        self.assertEqual(4, len(top["called_from"]))
        self.assertEqual(5_000_000, len(held))

    def test_ends_by_itself(self) -> None:
        self.post("/debug/heap/start?seconds=5")
        self.pair.reactor.advance(4)
        self.assertTrue(tracemalloc.is_tracing())
        self.pair.reactor.advance(1)
        self.assertFalse(tracemalloc.is_tracing())

    def test_ends_with_the_monitor(self) -> None:
        self.post("/debug/heap/start?seconds=5")
        stopping = self.monitor.stopService()
        self.pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertFalse(tracemalloc.is_tracing())

    def test_tracing_of_others(self) -> None:
        """
        What somebody else has begun can be looked at, and goes on.
        """
        tracemalloc.start()
        self.assertEqual(200, self.ask("/debug/heap").code)
        self.assertEqual(409, self.post("/debug/heap/start").code)
        stopping = self.monitor.stopService()
        self.pair.reactor.settle()
        self.successResultOf(stopping)
        self.assertTrue(tracemalloc.is_tracing())


class TwoMonitorsTests(DebugTestCase):
    """
    A process with a server and a client, and a monitor for each. What there is once in
    a process is for one of them at a time.
    """

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(
            signal.signal, signal.SIGPROF, signal.signal(signal.SIGPROF, signal.SIG_IGN)
        )
        self.other = Monitor(
            self.pair.reactor,
            self.pair.client,
            Monitoring(listen=f"127.0.0.1:{MONITOR_PORT + 1}"),
        )
        self.successResultOf(self.other.start_listening())

    def stop(self) -> None:
        stopping = self.other.stopService()
        self.pair.reactor.settle()
        self.successResultOf(stopping)
        super().stop()

    def test_one_at_a_time(self) -> None:
        for page in ("profile", "trace"):
            path = f"/debug/{page}?seconds=2"
            for ports in ((0, 1), (1, 0)):
                mine, others = (MONITOR_PORT + each for each in ports)
                first = self.begin(path, port=mine)
                second = self.ask(path, port=others)
                self.assertEqual(409, second.code)
                self.assertIn("one at a time", second.text)
                self.assertEqual(200, self.finish(first, 2).code)

    def test_heap(self) -> None:
        """
        Who stops the tracing of the other's ends all of it: a later one has its time.
        """
        if tracemalloc.is_tracing():
            self.skipTest("allocations are traced already")
        self.addCleanup(tracemalloc.stop)
        start = partial(self.ask, "/debug/heap/start?seconds=5", method="POST")
        self.assertEqual(200, start().code)
        self.assertEqual(409, start(port=MONITOR_PORT + 1).code)
        stop = self.ask("/debug/heap/stop", method="POST", port=MONITOR_PORT + 1)
        self.assertEqual(200, stop.code)
        self.pair.reactor.advance(4)
        self.assertEqual(200, start(port=MONITOR_PORT + 1).code)
        self.pair.reactor.advance(4)
        self.assertTrue(tracemalloc.is_tracing())
        self.pair.reactor.advance(1)
        self.assertFalse(tracemalloc.is_tracing())


class Reading:
    """
    A descriptor.
    """

    def fileno(self) -> int:
        """
        Give it.
        """
        return 7

    def getHost(self) -> object:
        """
        There is none.
        """
        raise NotImplementedError


class HoldingsTests(DebugTestCase):
    def test_page(self) -> None:
        """
        Delayed calls are there by name, and the streams with their windows.
        """
        self.pair.start()
        self.pair.open_stream()
        page = self.ask("/debug/reactor").json
        calls = page["delayed_calls"]["by_function"]
        self.assertTrue(any(name.endswith("Heartbeat._beat") for name in calls), calls)
        [tunnel] = page["state"]["sessions"][0]["tunnels"]
        self.assertEqual(262144, tunnel["list"][0]["window"])

    def test_descriptors(self) -> None:
        reactor: Any = MemoryReactorClock()
        reactor.addReader(Reading())
        reactor.callLater(3, partial(partial(self.setUp), 1), 2)
        reactor.callLater(1, "not a secret".startswith, "secret")
        described = describe_reactor(reactor)
        name = f"{__name__}.Reading"
        self.assertEqual({name: 1}, described["readers"]["by_class"])
        self.assertEqual([{"class": name, "fd": 7}], described["readers"]["list"])
        self.assertEqual(0, described["writers"]["count"])
        self.assertEqual({"count": 0}, described["threads"])
        first, second = described["delayed_calls"]["list"]
        self.assertEqual((1.0, 3.0), (first["in"], second["in"]))
        self.assertIn("AskingTestCase.setUp", second["calls"])
        self.assertNotIn("secret", json.dumps(described))


class Refusing(BaseHook):
    """
    Refuses every stream.
    """

    async def on_stream_open(self, stream: IStream) -> None:
        """
        Refuse.
        """
        raise Refused("no")


class TraceTests(DebugTestCase):
    def events(self, answer: Response) -> list[dict[str, Any]]:
        self.assertEqual(200, answer.code)
        self.assertIn("reitunnel-trace.json", answer.headers["content-disposition"])
        events: list[dict[str, Any]] = answer.json["traceEvents"]
        for event in events:
            self.assertLessEqual({"ph", "pid", "ts", "name"}, set(event))
            if event["ph"] in "be":
                self.assertLessEqual({"cat", "id"}, set(event))
        return events

    def shape(self, events: list[dict[str, Any]], kind: str) -> list[tuple[str, str]]:
        return [(e["ph"], e["name"]) for e in events if e.get("cat") == kind]

    def test_what_opens_and_closes(self) -> None:
        peer = self.begin("/debug/trace?seconds=5")
        self.pair.start()
        visitor, target = self.pair.open_stream()
        visitor.say(b"hello")
        self.pair.reactor.advance(1)
        target.hang_up()
        self.pair.reactor.settle()
        events = self.events(self.finish(peer, 4))
        tunnel = "tunnel 1 of anonymous/laptop"
        stream = f"stream 2 of {tunnel}"
        self.assertEqual([("b", stream), ("e", stream)], self.shape(events, "stream"))
        self.assertEqual([("b", tunnel), ("e", tunnel)], self.shape(events, "tunnel"))
        [closed] = [e for e in events if e["ph"] == "e" and e["cat"] == "stream"]
        self.assertEqual("NONE", closed["args"]["code"])
        self.assertEqual(5, closed["args"]["received"])
        calls = [name for _, name in self.shape(events, "hook")]
        self.assertIn("Ledger.on_tunnel_open", calls)
        self.assertIn("Ledger.on_stream_close", calls)
        self.assertNotIn("trace.on_stream_open", calls)
        counted = [e["args"] for e in events if e["ph"] == "C"]
        self.assertEqual(5, sum(each["received"] for each in counted))

    def test_what_was_open_before(self) -> None:
        """
        It begins with the trace; what closes meanwhile ends then, the rest with the
        trace.
        """
        self.pair.start()
        visitor, target = self.pair.open_stream()
        self.pair.open_stream()
        peer = self.begin("/debug/trace?seconds=5")
        target.hang_up()
        visitor.hang_up()
        self.pair.reactor.advance(1)
        events = self.events(self.finish(peer, 4))
        first, second = (f"stream {n} of tunnel 1 of anonymous/laptop" for n in (2, 4))
        self.assertEqual(
            [("b", first), ("b", second), ("e", first), ("e", second)],
            self.shape(events, "stream"),
        )

    def test_same_name(self) -> None:
        """
        A client that takes its own place has the same name, and is another session:
        each has its end.
        """
        self.pair.start()
        peer = self.begin("/debug/trace?seconds=5")
        for _ in range(2):
            other = Client(self.pair.reactor, client_config())
            other.startService()
            self.pair.reactor.settle()
        events = self.events(self.finish(peer, 5))
        stopping = other.stopService()
        self.pair.reactor.settle()
        self.successResultOf(stopping)
        for kind, count in (("session", 3), ("tunnel", 3)):
            ids = {
                phase: [
                    event["id"]
                    for event in events
                    if (event.get("cat"), event["ph"]) == (kind, phase)
                ]
                for phase in "be"
            }
            self.assertEqual(count, len(set(ids["b"])), kind)
            self.assertEqual(sorted(ids["b"]), sorted(ids["e"]), kind)

    def test_nothing_is_left(self) -> None:
        """
        The hooks are as before, whether the trace ends or the asker leaves.
        """
        hooks = self.pair.server.hooks.hooks
        self.finish(self.begin("/debug/trace?seconds=1"), 1)
        self.assertEqual(hooks, self.pair.server.hooks.hooks)
        peer = self.begin("/debug/trace?seconds=5")
        self.assertNotEqual(hooks, self.pair.server.hooks.hooks)
        self.assertEqual(409, self.ask("/debug/trace").code)
        peer.abort()
        self.pair.reactor.settle()
        self.assertEqual(hooks, self.pair.server.hooks.hooks)

    def test_errors(self) -> None:
        """
        Of an error there is its type: its text may be anything.
        """
        peer = self.begin("/debug/trace?seconds=5")
        self.pair.server.hooks.notify_error(ValueError("hunter2"), "a test")
        answer = self.finish(peer, 5)
        [error] = [e for e in self.events(answer) if e.get("cat") == "error"]
        self.assertEqual("ValueError", error["name"])
        self.assertEqual({"context": "a test"}, error["args"])
        self.assertNotIn("hunter2", answer.text)

    def test_bounded(self) -> None:
        self.patch(trace, "MOST_EVENTS", 10)
        self.pair.start()
        peer = self.begin("/debug/trace?seconds=5")
        for _ in range(20):
            self.pair.open_stream()
        answer = self.finish(peer, 5)
        self.assertLess(len(answer.json["traceEvents"]), 20)
        self.assertGreater(answer.json["otherData"]["lost_events"], 20)

    def test_nothing_is_kept(self) -> None:
        """
        What opens meanwhile owes the trace its close, and may be open for weeks: the
        events are not kept for that.
        """
        traces: list[trace.Trace] = []

        class Watched(trace.Trace):
            def start(self) -> None:
                traces.append(self)
                super().start()

        self.patch(tree, "Trace", Watched)
        self.pair.start()
        peer = self.begin("/debug/trace?seconds=5")
        self.pair.open_stream()
        self.assertLess(5, len(self.events(self.finish(peer, 5))))
        kept = [ref(each) for each in traces]
        traces.clear()
        gc.collect()
        [found] = kept
        still = found()
        assert still is not None, "it is owed a close"
        lists = [each for each in vars(still).values() if isinstance(each, list | dict)]
        self.assertEqual(0, sum(map(len, lists)))

    def test_refused(self) -> None:
        """
        What another hook refuses has no beginning without an end.
        """
        self.pair.start()
        self.pair.server.hooks.register(Refusing())
        peer = self.begin("/debug/trace?seconds=5")
        self.pair.visit()
        shape = self.shape(self.events(self.finish(peer, 5)), "stream")
        self.assertEqual([], shape)


class Looping:
    """
    A reactor whose loop the test is.
    """

    def __init__(self) -> None:
        self.turns: list[object] = []

    def mainLoop(self) -> None:
        """
        Be one of Twisted's.
        """

    def runUntilCurrent(self) -> None:
        """
        Work.
        """
        self.turns.append("calls")

    def doIteration(self, delay: float) -> None:
        """
        Wait.
        """
        self.turns.append(delay)
        if delay < 0:
            raise ValueError


class TurnTests(DebugTestCase):
    def test_turns(self) -> None:
        reactor = Looping()
        told: list[str] = []
        times = iter(range(100))
        watcher = TurnWatcher(
            reactor, lambda name, *_: told.append(name), 0.0, lambda: next(times)
        )
        watcher.start()
        reactor.runUntilCurrent()
        reactor.doIteration(3)
        self.assertRaises(ValueError, reactor.doIteration, -1)
        watcher.stop()
        reactor.runUntilCurrent()
        self.assertEqual(["timed calls", "wait and events", "wait and events"], told)
        self.assertEqual(["calls", 3, -1, "calls"], reactor.turns)
        self.assertEqual({"turns"}, set(vars(reactor)))

    def test_patched_already(self) -> None:
        """
        What somebody else has put before the methods stays, whoever came first.
        """
        reactor: Any = Looping()
        told: list[str] = []

        def theirs() -> None:
            told.append("theirs")

        reactor.runUntilCurrent = theirs
        watcher = TurnWatcher(
            reactor, lambda name, *_: told.append(name), 0.0, lambda: 0.0
        )
        watcher.start()
        reactor.runUntilCurrent()
        watcher.stop()
        self.assertIs(theirs, reactor.runUntilCurrent)
        watcher.start()
        ours = reactor.runUntilCurrent

        def later() -> None:
            ours()

        reactor.runUntilCurrent = later
        watcher.stop()
        self.assertIs(later, reactor.runUntilCurrent)
        reactor.runUntilCurrent()
        self.assertEqual(["theirs", "timed calls", "theirs"], told)

    def test_other_loops(self) -> None:
        """
        Where there are no turns, nothing is put in their way.
        """
        watcher = TurnWatcher(object(), lambda *_: None, 0.0, lambda: 0.0)
        watcher.start()
        watcher.stop()
        self.assertFalse(watcher.possible)


class SecretTests(DebugTestCase):
    """
    No page shows a secret.
    """

    def make_pair(self) -> Pair:
        self.token, entry = new_token("office")
        tokens = write_private(Path(self.mktemp()), entry.encode())
        return Pair(
            server=server_config(
                insecure_no_auth=False, auth=AuthSettings(tokens=tokens)
            ),
            client=client_config(token=Secret(self.token)),
        )

    def look(self, answer: Response) -> None:
        """
        See that nothing is in a page that should not be.
        """
        self.assertNotIn(self.token, answer.text)
        self.assertNotIn("Config(", answer.text)
        for session in self.pair.server.sessions:
            secret: bytes = session.secret  # type: ignore[attr-defined]
            self.assertNotIn(secret.hex(), answer.text)
            self.assertNotIn(session.id, answer.text)

    def test_pages(self) -> None:
        """
        Not even one that is an argument of a delayed call.
        """
        self.pair.start()
        self.pair.open_stream()
        call = self.pair.reactor.callLater(
            60, print, self.token, self.pair.client.config
        )
        for path in ("/status?streams=yes", "/debug/reactor", "/metrics", "/ready"):
            answer = self.ask(path)
            self.assertNotEqual(500, answer.code)
            self.look(answer)
        call.cancel()

    def test_trace(self) -> None:
        peer = self.begin("/debug/trace?seconds=1")
        self.pair.start()
        self.pair.open_stream()
        self.pair.session.close(Code.CLOSED, "over")
        self.look(self.finish(peer, 1))
