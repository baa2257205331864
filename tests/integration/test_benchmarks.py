"""
The benchmarks, run as programs, with the smallest sizes.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Thread

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.load.pings import answer, ask
from benchmarks.load.transfer import Moved, prepare, receive, receive_exactly, send
from benchmarks.results import Run, load
from benchmarks.running.procfs import Process, family, processes
from tests.integration.processes import (
    Finished,
    ProcessTestCase,
    Running,
    reactor,
)

ROOT = Path(__file__).resolve().parents[2]
TINY = (sys.executable, "-m", "benchmarks", "--plan", "tiny")


class TransferTests(SynchronousTestCase):
    def setUp(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.near = socket.create_connection(listener.getsockname(), 10)
            self.far, _ = listener.accept()
        self.near.settimeout(None)
        for end in (self.near, self.far):
            self.addCleanup(end.close)
            prepare(end)

    def sending(self, size: int | None, seconds: float | None = None) -> list[int]:
        """
        Send in a thread.

        @return: where the number of bytes will be.
        """
        sent: list[int] = []

        def run() -> None:
            sent.append(send(self.far, seconds=seconds, size=size))

        thread = Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, 10)
        return sent

    def moved(self, rate: float | None = None, until: float | None = None) -> Moved:
        """
        Receive all of it, and close.
        """
        moved = receive(self.near, rate=rate, until=until)
        self.near.close()
        return moved

    def test_a_size(self) -> None:
        sent = self.sending(3_000_001)
        self.assertEqual(3_000_001, self.moved().bytes)
        self.doCleanups()
        self.assertEqual([3_000_001], sent)

    def test_a_time(self) -> None:
        sent = self.sending(None, seconds=0.05)
        received = self.moved().bytes
        self.doCleanups()
        self.assertEqual([received], sent)

    def test_a_pace(self) -> None:
        """
        A reader with a pace waits, and is not faster than it.
        """
        self.sending(1_000_000)
        moved = self.moved(rate=5_000_000)
        self.assertGreater(moved.idle, 0)
        self.assertLess(moved.counted / (moved.seconds + moved.idle), 6_000_000)

    def test_cut_off(self) -> None:
        """
        A sender whose receiver cuts it off ends too.
        """
        sent = self.sending(None)
        received = self.moved(until=0.05).bytes
        self.doCleanups()
        self.assertGreaterEqual(sent[0] + (1 << 20), received)

    def test_counted_from_one_piece_to_the_next(self) -> None:
        """
        The first piece after the start belongs to the start.
        """
        # The receiver gets everything at once, as one piece.
        self.far.sendall(b"abc")
        self.far.shutdown(socket.SHUT_WR)
        moved = receive(self.near, skip=1e-9)
        self.assertEqual((3, 0, 0.0), (moved.bytes, moved.counted, moved.seconds))

    def test_questions(self) -> None:
        """
        Each is answered when it is complete, and no sooner.
        """
        answered: list[int] = []

        def run() -> None:
            answered.append(answer(self.far, 128))

        thread = Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, 10)
        taken = ask(self.near, size=128, seconds=0.01, pause=0.001)
        self.near.close()
        thread.join(10)
        self.assertEqual([128 * len(taken)], answered)

    def test_half_a_question(self) -> None:
        self.near.sendall(bytes(64))
        self.near.shutdown(socket.SHUT_WR)
        self.assertRaises(ConnectionError, answer, self.far, 128)

    def test_too_few_bytes(self) -> None:
        self.far.sendall(b"abc")
        self.far.close()
        self.assertRaises(ConnectionError, receive_exactly, self.near, 4)


class BenchmarkTests(ProcessTestCase):
    def bench(self, *arguments: str) -> Running:
        """
        Start the benchmarks.
        """
        self.output = self.directory / "run.json"
        environ = {"PYTHONPATH": str(ROOT)}
        arguments = (*TINY, f"--output={self.output}", *arguments)
        return self.start(*arguments, environ=environ)

    async def run_rows(self, *rows: str, arguments: Iterable[str] = ()) -> Run:
        """
        Run some benchmarks.

        @param arguments: what else is asked for.
        @return: what they found.
        """
        finished: Finished = await self.bench(
            *(f"--only={row}" for row in rows), *arguments
        ).finished(patience=100)
        self.assertEqual(0, finished.code, finished.out + finished.err)
        run = load(self.output)
        self.assertEqual([], run.notes)
        return run

    def found(self, run: Run) -> Iterator[tuple[str, str, str]]:
        """
        What was measured of what; none of it failed.
        """
        for series in run.series:
            self.assertNotIn(None, series.values)
            yield series.row, series.contender, series.quantity

    async def test_streams_and_round_trips(self) -> None:
        found = set(self.found(await self.run_rows("bulk", "latency", "loaded")))
        for contender in ("none", "tcp mux"):
            self.assertIn(("bulk", contender, "rate"), found)
            self.assertIn(("latency", contender, "p99"), found)
            self.assertIn(("loaded", contender, "p50"), found)
        self.assertIn(("bulk", "tcp mux", "cpu"), found)
        self.assertNotIn(("bulk", "none", "cpu"), found)

    async def test_capacity(self) -> None:
        found = set(
            self.found(
                await self.run_rows("visits", "sharing", "crowd", "tunnels", "memory")
            )
        )
        for row, quantity in (
            ("visits", "rate"),
            ("sharing", "fairness"),
            ("crowd", "server memory"),
            ("tunnels", "opening"),
            ("memory", "client growth"),
        ):
            self.assertIn((row, "tcp mux", quantity), found)

    async def test_paths(self) -> None:
        run = await self.run_rows("handshakes", "long path")
        found = set(self.found(run))
        for server in ("reitunnel server", "Twisted server"):
            for version in ("1.2", "1.3"):
                for kind in ("full", "resumed"):
                    quantity = f"TLS {version} {kind}"
                    self.assertIn(("handshakes", server, quantity), found)
        self.assertIn(("long path", "tcp mux", "rate"), found)
        (there_and_back,) = (
            series.values
            for series in run.series
            if (series.contender, series.quantity) == ("none", "p50")
        )
        assert there_and_back[0] is not None
        self.assertGreaterEqual(there_and_back[0], 100)

    async def test_reitunnel_next_to_itself(self) -> None:
        """
        Each variant, and those that all are compared with.
        """
        rows = ("resumption", "data hooks", "monitoring")
        run = await self.run_rows(*rows)
        found = set(self.found(run))
        for row, base, other, quantity in (
            ("resumption", "no resumption", "resumption", "rate"),
            ("resumption", "no resumption", "resumption", "server most"),
            ("data hooks", "no hook", "20 hooks", "cpu"),
            ("monitoring", "not monitored", "CPU profile", "rate"),
            ("monitoring", "not monitored", "heap traced", "p50"),
            ("monitoring", "not monitored", "event trace", "p50"),
        ):
            for variant in (base, other):
                self.assertIn((row, f"tcp mux ({variant})", quantity), found)

    async def test_hooks(self) -> None:
        found = set(self.found(await self.run_rows("bandwidth", "metrics")))
        self.assertIn(("bandwidth", "tcp mux", "off by"), found)
        self.assertIn(("metrics", "100 told apart", "kept"), found)

    async def test_tuning(self) -> None:
        # Without nodelay a visit takes long.
        rows = ("preset", "nodelay", "pool_size")
        run = await self.run_rows(*rows, arguments=["--set=visits=2"])
        found = set(self.found(run))
        for contender, quantity in (
            ("tcp mux (latency)", "cpu"),
            ("tcp mux (latency)", "p50"),
            ("tcp mux (throughput)", "rate"),
        ):
            self.assertIn(("preset", contender, quantity), found)
        self.assertIn(("nodelay", "tcp mux (off)", "p50"), found)
        self.assertIn(("pool_size", "tcp mux (1 link)", "rate"), found)

    async def test_pumps_of_records(self) -> None:
        """
        Reitunnel's own and Twisted's, in the same run.
        """
        names = ("tls mux", "tls mux (Twisted's TLS)", "tls direct (Twisted's TLS)")
        chosen = [f"--contender={name}" for name in names]
        found = set(self.found(await self.run_rows("bulk", arguments=chosen)))
        for name in names:
            self.assertIn(("bulk", name, "rate"), found)

    async def test_stopped(self) -> None:
        """
        All that runs ends with it.
        """
        running = self.bench("--only=bulk", "--set=bulk=60")
        await running.wait_for(r"^bulk \.\.\.$")
        started: list[Process] = []
        while len(started) < 6:
            # Itself, two targets, a visitor, a server and a client.
            await self.pause()
            started = family([running.pid])
        # Once more, while it ends what it started.
        running.signal("INT")
        await self.pause()
        finished = await running.stop()
        self.assertEqual(128 + 2, finished.code)
        for _ in range(100):
            left = {(each.pid, each.started) for each in processes()}
            stayed = [each for each in started if (each.pid, each.started) in left]
            if not stayed:
                return
            # One whose parent ended first waits to be buried by another.
            await self.pause()
        self.fail(f"still there: {stayed}")

    async def test_mistakes(self) -> None:
        finished = await self.bench("--contender=frp").finished()
        self.assertEqual(1, finished.code)
        self.assertIn("no contender 'frp'; there are none, socat", finished.err)

    def pause(self) -> Deferred[None]:
        """
        Let others run for a moment.
        """
        return deferLater(reactor, 0.05, lambda: None)
