"""
A wrapper for hooks that block: they are called in threads of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorFromThreads

from reitunnel.errors import Code, InvalidHook
from reitunnel.hooks.call_queue import CallQueue, Question
from reitunnel.hooks.calls import HOOK_INTERFACES, PAIRS, wants
from reitunnel.hooks.deciding import GIVEN_UP
from reitunnel.hooks.decisions import deferred_from
from reitunnel.hooks.threads import Threads, WorkerThreads
from reitunnel.hooks.wrapping import HookWrapper, Rewrap, method_of
from reitunnel.interfaces import (
    Decision,
    IBackgroundHook,
    IHookHost,
    IReactorHook,
    IServer,
    ISession,
    IStream,
    ITunnel,
)


def default_workers() -> int:
    """
    How many threads a hook that blocks has, unless it is said: two for each processor.
    """
    return 2 * (os.cpu_count() or 1)


class QueuedHook(HookWrapper):
    """
    Stands for a hook that is called in threads.

    Its decisions that are coroutine functions do not block, and are left as they are.
    """

    def __init__(self, hook: object, queue: CallQueue) -> None:
        """
        @param queue: makes the calls.
        """
        events = [event for face in HOOK_INTERFACES for event in face.names()]
        blocking = [
            event
            for event in events
            if wants(hook, event)
            and not (event in PAIRS and iscoroutinefunction(getattr(hook, event)))
        ]
        super().__init__(hook, changes=blocking)
        queue.used = queue.used or bool(blocking)
        queue.decides = queue.decides or any(event in PAIRS for event in blocking)
        self._queue = queue
        self._methods = {event: method_of(hook, event) for event in blocking}
        # Who is not asked for opens has nothing to set closes against.
        self._owed = {closes for opens, closes in PAIRS.items() if wants(hook, opens)}

    def finish(self) -> Decision:
        """
        The hook itself finishes when the queue is empty.
        """

    def on_server_start(self, server: IServer) -> Decision:
        """
        See L{IServerHook.on_server_start}.
        """
        return self._ask("on_server_start", server, lambda: self.on_server_stop(server))

    def on_server_stop(self, server: IServer) -> None:
        """
        See L{IServerHook.on_server_stop}.
        """
        event = "on_server_stop"
        self._queue.put_last((event, self._methods[event], (server,)))

    def on_client_connect(self, client: ISession) -> Decision:
        """
        See L{IClientHook.on_client_connect}.
        """
        return self._ask(
            "on_client_connect",
            client,
            lambda: self.on_client_disconnect(client, Code.ABORTED, GIVEN_UP),
        )

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """
        self._put_close(client, "on_client_disconnect", client, code, reason)

    def on_tunnel_open(self, tunnel: ITunnel) -> Decision:
        """
        See L{ITunnelHook.on_tunnel_open}.
        """
        return self._ask(
            "on_tunnel_open",
            tunnel,
            lambda: self.on_tunnel_close(tunnel, Code.ABORTED, GIVEN_UP),
        )

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """
        self._put_close(tunnel.session, "on_tunnel_close", tunnel, code, reason)

    def on_stream_open(self, stream: IStream) -> Decision:
        """
        See L{IStreamHook.on_stream_open}.
        """
        return self._ask(
            "on_stream_open",
            stream,
            lambda: self.on_stream_close(stream, Code.ABORTED, GIVEN_UP),
        )

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """
        session = stream.tunnel.session
        self._put_close(session, "on_stream_close", stream, code, reason)

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_received}.
        """
        event = "on_data_received"
        self._queue.put(tunnel.session, (event, self._methods[event], (tunnel, count)))

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_sent}.
        """
        event = "on_data_sent"
        self._queue.put(tunnel.session, (event, self._methods[event], (tunnel, count)))

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """
        event = "on_error"
        self._queue.put(None, (event, self._methods[event], (error, context)))

    def _put_close(self, lane: object, event: str, *arguments: object) -> None:
        call = (event, self._methods[event], arguments)
        self._queue.put(lane, call, owed=event in self._owed)

    def _ask(
        self, event: str, subject: object, allowed_late: Callable[[], None]
    ) -> Decision:
        return self._queue.ask(
            Question(event, self._methods[event], subject, allowed_late)
        )


class AsyncHook(HookWrapper):
    """
    Has a hook called in threads, so that it may block. The reactor goes on meanwhile.

    Notifications wait in a bounded queue. What is above the bound is dropped, counted
    and reported. Decisions do not wait in it: they are asked in a thread before all
    that waits, and the open waits for the answer.

    With one worker there is never more than one call of the hook at a time, and
    notifications come in their order. With more, that holds for the notifications of
    one client with its tunnels and streams, and those of different clients may come at
    once; a decision may come beside a notification.

    At L{finish} all that waits is done first. Wrappers inside of this one are put
    outside: they stay in the reactor's thread, and only the hook itself leaves it.

    @ivar capacity: how many calls may wait: so many data and error events, and so many
        closes. A close waits in any case if the hook is asked for the open.
    @ivar workers: how many threads may run.
    """

    def __init__(
        self,
        hook: object,
        capacity: int = 1000,
        workers: int | None = None,
        *,
        threads: Callable[[], Threads] | None = None,
    ) -> None:
        """
        @param hook: a hook that does not use the reactor in its calls.
        @param capacity: how many calls may wait, at least 1.
        @param workers: how many threads may run, at least 1; L{default_workers} if
            L{None}.
        @param threads: makes the threads; without it they are real ones.
        @raise InvalidHook: if C{hook} is none, or uses the reactor.
        @raise ValueError: if a number is less than 1.
        """
        if workers is None:
            workers = default_workers()
        if capacity < 1:
            raise ValueError(f"the capacity must be at least 1, not {capacity}")
        if workers < 1:
            raise ValueError(f"there must be at least 1 worker, not {workers}")
        self.capacity = capacity
        self.workers = workers
        self._threads = threads
        self._queue = CallQueue(capacity, workers)
        self._called: list[Any] = []
        super().__init__(self._moved(hook))

    @property
    def calls_in_threads(self) -> bool:
        """
        Whether any call is made in a thread: not if all are decisions that are
        coroutines.
        """
        return self._queue.used

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.

        @raise InvalidHook: if the reactor has no threads.
        """
        threads = self._threads
        if threads is None:
            reactor = host.reactor
            if not IReactorFromThreads.providedBy(reactor):
                raise InvalidHook(f"{host.name} needs a reactor that has threads")

            def threads() -> Threads:
                return WorkerThreads(reactor, f"reitunnel-{host.name}")

        super().attach(host)
        self._queue.attach(host, threads)

    async def finish(self) -> None:
        """
        Make all calls that wait, and let the threads end.
        """
        try:
            # First the wrappers, which may have something to say yet.
            await self._finished(super().finish)
            await self._queue.drain()
        except CancelledError:
            self._queue.give_up()
            raise
        for hook in self._called:
            if IBackgroundHook.providedBy(hook):
                await self._finished(hook.finish)

    def around(self, change: Rewrap) -> AsyncHook:
        """
        See L{HookWrapper.around}.
        """
        return self

    def _moved(self, hook: object) -> object:
        """
        Make a hook of which only the innermost is called in threads.
        """
        if isinstance(hook, HookWrapper):
            return hook.around(self._moved)
        if IReactorHook.providedBy(hook):
            raise InvalidHook(
                f"{type(hook).__name__} uses the reactor: it cannot be called in "
                "another thread"
            )
        self._called.append(hook)
        return QueuedHook(hook, self._queue)

    async def _finished(self, finish: Callable[[], Decision]) -> None:
        try:
            pending = deferred_from(finish())
            if pending is not None:
                await pending
        except CancelledError:
            raise
        except (Exception, SystemExit) as error:
            self._failed("finish", error)
