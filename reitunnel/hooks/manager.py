"""
Calls the hooks: asks them for decisions, and tells them what happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from reitunnel.errors import Code, HookTimeout, InvalidHook, Refused
from reitunnel.hooks.calls import (
    NOTHING_OPENED,
    Notification,
    Opened,
    PairedCalls,
    RegisteredHook,
    inspect_hook,
    misuse,
    verify_hook,
)
from reitunnel.hooks.data import DataCall, DataSink, join_sinks
from reitunnel.hooks.decisions import (
    DecisionWait,
    Strategy,
    deferred_from,
    not_none,
    raised_by,
    refusal,
)
from reitunnel.interfaces import IServer, ISession, IStream, ITunnel

GIVEN_UP: Final = "given up before it was open"
"""The reason of a close with C{ABORTED}: what was opened never came to be."""

_log = Logger()

_T = TypeVar("_T")


class HookManager:
    """
    Holds the hooks of one server or one client, and calls them in the order in
    which they were registered.

    A C{decide_*} asks for a decision. It returns who allowed the open, which
    the caller keeps and gives to the matching C{notify_*} exactly once, at the
    close. It raises L{Refused} and nothing else when a hook refuses; the
    text is fit for the peer, and the C{__cause__} is what the hook raised, or
    with L{Strategy.COLLECT_AND_CONTINUE} an L{ExceptionGroup} of what they all
    raised. The hooks that had allowed that open have been told its close by
    then, with L{Code.REFUSED}. The same holds, with L{Code.ABORTED}, when the
    caller cancels the decision. So each hook sees one close for each open that
    it allowed, whatever is registered or unregistered in between.

    @ivar data_received: takes bytes that came from a visitor; L{None} while no
        hook wants to know. It never raises.
    @ivar data_sent: the same for bytes that went to a visitor.
    """

    data_received: DataSink | None
    data_sent: DataSink | None

    def __init__(
        self,
        clock: IReactorTime,
        *,
        strategy: Strategy = Strategy.STOP_ON_ERROR,
        timeout: float = 5.0,
    ) -> None:
        """
        @param clock: measures the time-outs.
        @param strategy: what to do when a hook refuses.
        @param timeout: how long each hook may take for each decision, in
            seconds, more than 0.
        """
        if not timeout > 0:
            raise ValueError(f"the time-out must be more than 0, not {timeout}")
        self._clock = clock
        self._strategy = strategy
        self._timeout = timeout
        self._registered: tuple[RegisteredHook, ...] = ()
        self._data_calls: dict[Notification, DataCall] = {}
        self._rebuild()

    @property
    def hooks(self) -> tuple[object, ...]:
        """
        The registered hooks, in order.
        """
        return tuple(registered.hook for registered in self._registered)

    @property
    def decides_server_start(self) -> bool:
        """
        Whether any hook is to be asked or told of a server.
        """
        return bool(self._server)

    @property
    def decides_client_connect(self) -> bool:
        """
        Whether any hook is to be asked or told of a client.
        """
        return bool(self._client)

    @property
    def decides_tunnel_open(self) -> bool:
        """
        Whether any hook is to be asked or told of a tunnel.
        """
        return bool(self._tunnel)

    @property
    def decides_stream_open(self) -> bool:
        """
        Whether any hook is to be asked or told of a stream. If not, the caller
        may do without the decision, and keep L{NOTHING_OPENED}.
        """
        return bool(self._stream)

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
        verify_hook(hook)
        registered = inspect_hook(hook, name or self._free_name(type(hook).__name__))
        self._registered = (*self._registered, registered)
        self._rebuild()

    def unregister(self, hook: object) -> None:
        """
        Remove a hook. It is still told the close of what it allowed.

        @raise InvalidHook: if it is not registered.
        """
        kept = tuple(known for known in self._registered if known.hook is not hook)
        if len(kept) == len(self._registered):
            raise InvalidHook(f"{type(hook).__name__} is not registered")
        self._registered = kept
        self._rebuild()

    def replace(self, former: Sequence[object], hooks: Sequence[object]) -> None:
        """
        Put hooks first, in the place of others. A hook that is in both stays; one
        that goes is still told the close of what it allowed. Nothing has changed if
        it raises.

        @param former: hooks that are registered.
        @param hooks: hooks that provide one or more of the hook interfaces.
        @raise InvalidHook: if one of C{hooks} cannot be registered.
        """
        before = self._registered
        known = {id(each.hook): each for each in before}
        going = {id(hook) for hook in former}
        rest = tuple(each for each in before if id(each.hook) not in going)
        self._registered = ()
        try:
            for hook in hooks:
                if id(hook) in known:
                    self._registered = (*self._registered, known[id(hook)])
                else:
                    self.register(hook)
        except InvalidHook:
            self._registered = before
            self._rebuild()
            raise
        self._registered = (*self._registered, *rest)
        self._rebuild()

    def configure(self, *, strategy: Strategy, timeout: float) -> None:
        """
        Change what to do when a hook refuses and how long each may take, for the
        decisions that begin from now on.

        @param timeout: in seconds, more than 0.
        """
        self._strategy = strategy
        self._timeout = timeout

    async def decide_server_start(self, server: IServer) -> Opened:
        """
        Ask whether the server may start.

        @return: what to give to L{notify_server_stop}.
        @raise Refused: if it may not.
        """
        return await self._decide(
            self._server, server, "on_server_start", "on_server_stop"
        )

    def notify_server_stop(self, opened: Opened, server: IServer) -> None:
        """
        Tell that the server has stopped.

        @param opened: what L{decide_server_start} returned.
        """
        self._notify(opened, "on_server_stop", server)
        self._report_data_failures()

    async def decide_client_connect(self, client: ISession) -> Opened:
        """
        Ask whether a client that has authenticated may connect.

        @return: what to give to L{notify_client_disconnect}.
        @raise Refused: if it may not.
        """
        return await self._decide(
            self._client, client, "on_client_connect", "on_client_disconnect"
        )

    def notify_client_disconnect(
        self, opened: Opened, client: ISession, code: Code, reason: str
    ) -> None:
        """
        Tell that a session is over.

        @param opened: what L{decide_client_connect} returned.
        """
        self._notify(opened, "on_client_disconnect", client, code, reason)
        self._report_data_failures()

    async def decide_tunnel_open(self, tunnel: ITunnel) -> Opened:
        """
        Ask whether a tunnel may be opened.

        @return: what to give to L{notify_tunnel_close}.
        @raise Refused: if it may not.
        """
        return await self._decide(
            self._tunnel, tunnel, "on_tunnel_open", "on_tunnel_close"
        )

    def notify_tunnel_close(
        self, opened: Opened, tunnel: ITunnel, code: Code, reason: str
    ) -> None:
        """
        Tell that a tunnel is closed.

        @param opened: what L{decide_tunnel_open} returned.
        """
        self._notify(opened, "on_tunnel_close", tunnel, code, reason)

    async def decide_stream_open(self, stream: IStream) -> Opened:
        """
        Ask whether a visitor's stream may be opened.

        @return: what to give to L{notify_stream_close}.
        @raise Refused: if it may not.
        """
        return await self._decide(
            self._stream, stream, "on_stream_open", "on_stream_close"
        )

    def notify_stream_close(
        self, opened: Opened, stream: IStream, code: Code, reason: str
    ) -> None:
        """
        Tell that a stream is over.

        @param opened: what L{decide_stream_open} returned.
        """
        self._notify(opened, "on_stream_close", stream, code, reason)

    def notify_error(self, error: BaseException, context: str) -> None:
        """
        Tell of a failure. Logging it is left to the caller.

        @param error: what was raised.
        @param context: what was being done, one line for people.
        """
        for call in self._errors:
            # A failure here is logged only: to report it would come back here.
            try:
                mistake = misuse(call.event, call.method(error, context))
            except Exception:
                self._log_failure(call.hook, call.event, Failure())
            else:
                if mistake is not None:
                    self._log_failure(call.hook, call.event, Failure(mistake))

    async def _decide(
        self, asked: Opened, subject: object, opens: str, closes: str
    ) -> Opened:
        allowed: list[PairedCalls] = []
        errors: list[BaseException] = []
        try:
            for calls in asked:
                failure = await self._ask(calls, opens, subject)
                if failure is None:
                    allowed.append(calls)
                    continue
                errors.append(raised_by(failure))
                if failure.check(Refused) is None:
                    self._report(calls.hook, opens, failure)
                if self._strategy is Strategy.STOP_ON_ERROR:
                    break
        except BaseException:
            self._take_back(allowed, closes, subject, Code.ABORTED, GIVEN_UP)
            raise
        if not errors:
            return asked
        refused = refusal(opens, errors, self._strategy)
        self._take_back(allowed, closes, subject, Code.REFUSED, str(refused))
        raise refused

    async def _ask(
        self, calls: PairedCalls, event: str, subject: object
    ) -> Failure | None:
        # What a hook raises is returned: what is raised here is the caller's
        # own cancellation, and nothing a hook does can be taken for that.
        try:
            returned = calls.opens(subject)
        except Exception:
            return Failure()
        if returned is None:
            return None
        pending = deferred_from(returned)
        if pending is None:
            return not_none(event, returned)
        wait = DecisionWait(
            pending,
            running=lambda: bool(getattr(returned, "cr_running", False)),
            clock=self._clock,
            timeout=self._timeout,
            hook=calls.hook,
            event=event,
            late=lambda failure: self._report(calls.hook, event, failure),
        )
        await wait.over
        return wait.failure

    def _take_back(
        self,
        allowed: Sequence[PairedCalls],
        closes: str,
        subject: object,
        code: Code,
        reason: str,
    ) -> None:
        # The stop of a server is the one close that has no code and no reason.
        if closes == "on_server_stop":
            self._notify(allowed, closes, subject)
        else:
            self._notify(allowed, closes, subject, code, reason)

    def _notify(
        self, owed: Sequence[PairedCalls], closes: str, *arguments: object
    ) -> None:
        for calls in owed:
            try:
                mistake = misuse(closes, calls.closes(*arguments))
            except Exception:
                self._report(calls.hook, closes, Failure())
            else:
                if mistake is not None:
                    self._report(calls.hook, closes, Failure(mistake))

    def _report(self, hook: str, event: str, failure: Failure) -> None:
        self._log_failure(hook, event, failure)
        self.notify_error(raised_by(failure), f"hook {hook} failed in {event}")

    def _report_data(
        self, call: Notification, error: BaseException, count: int
    ) -> None:
        if not count:
            self._report(call.hook, call.event, Failure(error))
            return
        _log.error(
            "hook {hook} failed {count} times more in {event}, the last: {error!r}",
            hook=call.hook,
            event=call.event,
            count=count,
            error=error,
        )
        self.notify_error(
            error, f"hook {call.hook} failed {count} times more in {call.event}"
        )

    def _report_data_failures(self) -> None:
        for call in self._data_calls.values():
            call.report_rest()

    def _log_failure(self, hook: str, event: str, failure: Failure) -> None:
        if failure.check(HookTimeout) is not None:
            # It has no traceback, and its text says it all.
            _log.error("{error}", error=failure.value, hook=hook, event=event)
        else:
            _log.failure(
                "hook {hook} failed in {event}",
                failure=failure,
                hook=hook,
                event=event,
            )

    def _free_name(self, base: str) -> str:
        taken = {registered.name for registered in self._registered}
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
        self._errors = _present(hook.error for hook in known)
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
                else DataCall(notification, self._clock, self._report_data)
            )
        self.data_received = join_sinks([self._data_calls[call] for call in received])
        self.data_sent = join_sinks([self._data_calls[call] for call in sent])
        for call in former.values():
            call.report_rest()


def _opened(calls: Iterable[PairedCalls | None]) -> Opened:
    return Opened(_present(calls)) or NOTHING_OPENED


def _present(items: Iterable[_T | None]) -> tuple[_T, ...]:
    return tuple(item for item in items if item is not None)
