"""
Which hooks there are: they are registered, welcomed by a reload, replaced, and removed,
and what they do in the background is brought to an end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from weakref import ref

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from reitunnel.errors import InvalidHook
from reitunnel.hooks.calls import (
    NOTHING_OPENED,
    Notification,
    Opened,
    PairedCalls,
    RegisteredHook,
    fault,
    inspect_hook,
    name_of_hook,
    verify_hook,
)
from reitunnel.hooks.data import DataCall, DataSink, join_sinks
from reitunnel.hooks.deciding import Deciding
from reitunnel.hooks.decisions import Strategy
from reitunnel.hooks.host import HookHost
from reitunnel.hooks.reports import CallWatcher, Reports
from reitunnel.hooks.statistics import HookStatistics, Tallies, Tally
from reitunnel.hooks.wrapping import innermost
from reitunnel.interfaces import IBackgroundHook, IHeirHook, IServer

_T = TypeVar("_T")
_log = Logger()


class Registry:
    """
    The part of L{reitunnel.hooks.HookManager} that knows which hooks there are. The
    attributes are described there.
    """

    data_received: DataSink | None
    data_sent: DataSink | None

    def __init__(
        self,
        clock: IReactorTime,
        *,
        strategy: Strategy = Strategy.STOP_ON_ERROR,
        timeout: float = 5.0,
        slow: float = 0.1,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        @param clock: measures the time-outs. Hooks may use it as their reactor.
        @param strategy: what to do when a hook refuses.
        @param timeout: how long each hook may take for each decision, in
            seconds, more than 0.
        @param slow: how long a call may keep the reactor before the log says that
            the hook is slow, in seconds, more than 0.
        @param timer: measures the calls, in seconds.
        """
        if not timeout > 0:
            raise ValueError(f"the time-out must be more than 0, not {timeout}")
        if not slow > 0:
            raise ValueError(f"what is slow must be more than 0, not {slow}")
        self.strategy = strategy
        self._clock = clock
        self._reports = Reports(timer, slow)
        self._deciding = Deciding(clock, timeout, self._reports)
        self._registered: tuple[RegisteredHook, ...] = ()
        self._prepared: dict[int, RegisteredHook] = {}
        self._hosts: dict[RegisteredHook, HookHost] = {}
        self._retired: list[tuple[Callable[[], Any], HookHost]] = []
        self._data_calls: dict[Notification, DataCall] = {}
        self._rebuild()

    @property
    def hooks(self) -> tuple[object, ...]:
        """
        The registered hooks, in order.
        """
        return tuple(registered.hook for registered in self._registered)

    def register(self, hook: object, *, name: str | None = None) -> None:
        """
        Add a hook after those that are registered.

        It is asked and told of what begins from now on.

        @param hook: provides one or more of the hook interfaces.
        @param name: its name in messages. Without it that is the name of its
            class, with a number if that is taken.
        @raise InvalidHook: if the object provides no hook interface or not as
            the interface says, or is registered already.
        """
        if any(registered.hook is hook for registered in self._registered):
            raise InvalidHook(f"{type(hook).__name__} is registered already")
        registered = self._prepared.pop(id(hook), None) or self._prepare(hook, name)
        self._registered = (*self._registered, registered)
        self._rebuild()

    def unregister(self, hook: object) -> None:
        """
        Remove a hook. It is still told the close of what it allowed, and finishes
        with the others.

        @raise InvalidHook: if it is not registered.
        """
        removed = [known for known in self._registered if known.hook is hook]
        if not removed:
            raise InvalidHook(f"{type(hook).__name__} is not registered")
        self._registered = tuple(
            known for known in self._registered if known.hook is not hook
        )
        self._rebuild()
        self._retire(removed[0])

    def statistics(self) -> tuple[HookStatistics, ...]:
        """
        Say what the registered hooks have been called for so far, and how that went:
        in order of registration, an entry for each event that the hook wants.
        """
        return tuple(
            figures
            for registered in self._registered
            for figures in registered.tallies.snapshots()
        )

    def watch_calls(self, watcher: CallWatcher | None) -> None:
        """
        Tell somebody of each call from now on, except those of data events.

        @param watcher: called with the hook's name, the event, when the call began by
            the manager's timer, and how many seconds it kept the reactor; L{None}
            tells nobody any more. It must not raise.
        """
        self._reports.watcher = watcher

    async def finish(self) -> None:
        """
        Have the hooks end what they do in the background: the server or client has
        stopped. Each has as long as for a decision, and all finish at the same time.
        What goes wrong is reported.
        """
        waiting = [
            Deferred.fromCoroutine(
                self._deciding.finish(hook, registered.tallies.of("finish"))
            )
            for registered in self._registered
            if IBackgroundHook.providedBy(hook := registered.hook)
        ]
        removed, retired = self._finish_retired()
        await DeferredList([*waiting, *removed])
        self._report_rest()
        for host in retired:
            host.report_rest()

    async def welcome(
        self, hooks: Sequence[object], server: IServer, going: Sequence[object] = ()
    ) -> Opened:
        """
        Ask hooks that are about to be registered whether the server may go on with
        them. Register them then, or L{dismiss} them.

        @param going: the hooks that will be removed, from which they may inherit.
        @return: what to give to L{notify_server_stop}.
        @raise Refused: if it may not.
        @raise InvalidHook: as L{register} does.
        """
        self._let_inherit(hooks, going)
        for hook in hooks:
            self._prepared[id(hook)] = self._prepare(hook, None)
        asked = _opened(each.server for each in self._prepared.values())
        return await self._deciding.decide(
            asked, server, "on_server_start", "on_server_stop", self.strategy
        )

    def dismiss(self) -> None:
        """
        The hooks that were welcomed are not registered after all. They finish with
        those that were unregistered.
        """
        prepared, self._prepared = self._prepared, {}
        for registered in prepared.values():
            self._retire(registered)

    async def finish_removed(self) -> None:
        """
        Have the hooks that are not registered any more end what they do in the
        background.
        """
        waiting, hosts = self._finish_retired()
        await DeferredList(waiting)
        for host in hosts:
            host.report_rest()

    def replace(self, former: Sequence[object], hooks: Sequence[object]) -> None:
        """
        Put hooks first, in the place of others. A hook that is in both stays; one
        that goes is still told the close of what it allowed, and one that comes may
        inherit from it. Nothing has changed if it raises.

        @param former: hooks that are registered.
        @param hooks: hooks that provide one or more of the hook interfaces.
        @raise InvalidHook: if one of C{hooks} cannot be registered.
        """
        known = {id(registered.hook) for registered in self._registered}
        wanted = {id(hook) for hook in hooks}
        new = [hook for hook in hooks if id(hook) not in known]
        added: list[object] = []
        try:
            self._let_inherit(
                [hook for hook in new if id(hook) not in self._prepared],
                [hook for hook in former if id(hook) not in wanted],
            )
            for hook in new:
                self.register(hook)
                added.append(hook)
        except InvalidHook:
            for hook in added:
                self.unregister(hook)
            raise
        for hook in former:
            if id(hook) not in wanted:
                self.unregister(hook)
        by_hook = {id(registered.hook): registered for registered in self._registered}
        first = [by_hook.pop(id(hook)) for hook in hooks]
        self._registered = (*first, *by_hook.values())
        self._rebuild()

    def configure(self, *, strategy: Strategy, timeout: float, slow: float) -> None:
        """
        Change what to do when a hook refuses, how long each may take, and when the log
        says that one is slow, for what begins from now on.

        @param timeout: in seconds, more than 0.
        @param slow: in seconds, more than 0.
        """
        self.strategy = strategy
        self._deciding.timeout = timeout
        self._reports.slow = slow

    def _let_inherit(self, hooks: Iterable[object], going: Iterable[object]) -> None:
        """
        Let hooks go on with what those hold that go, or are gone and still told of
        closes.
        """
        gone = [hook for weakly, _ in self._retired if (hook := weakly()) is not None]
        left = [*innermost(going), *innermost(gone)]
        for heir in innermost(hooks):
            if IHeirHook.providedBy(heir):
                for index, former in enumerate(left):
                    if former is not heir and _inherits(heir, former):
                        del left[index]
                        break

    def _prepare(self, hook: object, name: str | None) -> RegisteredHook:
        try:
            return self._inspect(hook, name)
        except InvalidHook as error:
            error.hook = hook
            raise

    def _inspect(self, hook: object, name: str | None) -> RegisteredHook:
        verify_hook(hook)
        tallies = Tallies(name or self._free_name(name_of_hook(hook)))
        registered = inspect_hook(hook, tallies)
        host = HookHost(self._clock, tallies, self._reports)
        if IBackgroundHook.providedBy(hook):
            self._attach(hook, host)
        self._retired = [(old, its) for old, its in self._retired if old() is not hook]
        self._hosts[registered] = host
        return registered

    def _attach(self, hook: IBackgroundHook, host: HookHost) -> None:
        """
        @raise InvalidHook: if it cannot be attached.
        """
        tally = Tally(host.name, "attach")
        begun = self._reports.timer()
        try:
            hook.attach(host)
        except InvalidHook:
            raise
        except BaseException as error:
            said = f"{type(fault(error)).__name__}: {error}"
            # Users get one line. Where it fell over is for its author.
            _log.failure(
                "hook {hook} failed in attach", hook=host.name, level=LogLevel.debug
            )
            message = f"hook {host.name} failed in attach: {' '.join(said.split())}"
            raise InvalidHook(message) from error
        finally:
            self._reports.took(tally, begun)

    def _retire(self, registered: RegisteredHook) -> None:
        host = self._hosts.pop(registered)
        self._retired = [(old, its) for old, its in self._retired if old() is not None]
        if IBackgroundHook.providedBy(registered.hook):
            self._retired.append((_weakly(registered.hook), host))
        host.report_rest()

    def _finish_retired(self) -> tuple[list[Deferred[Any]], list[HookHost]]:
        """
        Begin to finish the hooks that are not registered any more.
        """
        waiting: list[Deferred[Any]] = []
        for weakly, host in self._retired:
            hook = weakly()
            if hook is not None:
                tally = Tally(host.name, "finish")
                waiting.append(
                    Deferred.fromCoroutine(self._deciding.finish(hook, tally))
                )
        return waiting, [host for _, host in self._retired]

    def _report_rest(self) -> None:
        # Who is told may register and unregister hooks.
        for call in tuple(self._data_calls.values()):
            call.failures.report_rest()
        for host in tuple(self._hosts.values()):
            host.report_rest()

    def _free_name(self, base: str) -> str:
        known = (*self._registered, *self._prepared.values())
        taken = {registered.name for registered in known}
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}#{number}"
        return name

    def _rebuild(self) -> None:
        known = self._registered
        self._server = _opened(hook.server for hook in known)
        self._client = _opened(hook.client for hook in known)
        self._tunnel = _opened(hook.tunnel for hook in known)
        self._stream = _opened(hook.stream for hook in known)
        self._reports.errors = _present(hook.error for hook in known)
        self._rebuild_data()

    def _rebuild_data(self) -> None:
        received = _present(hook.data_received for hook in self._registered)
        sent = _present(hook.data_sent for hook in self._registered)
        former, self._data_calls = self._data_calls, {}
        for notification in (*received, *sent):
            # A call that stays keeps its count of failures.
            self._data_calls[notification] = (
                former.pop(notification)
                if notification in former
                else DataCall(notification, self._clock, self._reports)
            )
        self.data_received = join_sinks([self._data_calls[call] for call in received])
        self.data_sent = join_sinks([self._data_calls[call] for call in sent])
        for call in former.values():
            call.failures.report_rest()


def _inherits(heir: IHeirHook, former: object) -> bool:
    """
    @raise InvalidHook: if it raises.
    """
    try:
        return bool(heir.inherit(former))
    except BaseException as error:
        said = f"{type(fault(error)).__name__}: {error}"
        name = name_of_hook(heir)
        raise InvalidHook(f"hook {name} failed in inherit: {said}") from error


def _weakly(hook: object) -> Callable[[], Any]:
    try:
        return ref(hook)
    except TypeError:
        # Its class has __slots__.
        return lambda: hook


def _opened(calls: Iterable[PairedCalls | None]) -> Opened:
    return Opened(_present(calls)) or NOTHING_OPENED


def _present(items: Iterable[_T | None]) -> tuple[_T, ...]:
    return tuple(item for item in items if item is not None)
