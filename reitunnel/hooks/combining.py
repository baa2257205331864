"""
A wrapper that makes one hook of several.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutine

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from reitunnel.errors import Code
from reitunnel.hooks.calls import (
    HOOK_INTERFACES,
    PAIRS,
    fault,
    misuse,
    name_of_hook,
    verify_hook,
    wants,
)
from reitunnel.hooks.deciding import GIVEN_UP
from reitunnel.hooks.decisions import (
    Strategy,
    code_of_end,
    deferred_from,
    not_none,
    raised_by,
    refusal,
)
from reitunnel.hooks.wrapping import HookWrapper, Rewrap, method_of
from reitunnel.interfaces import (
    Decision,
    IBackgroundHook,
    IHookHost,
    IServer,
    ISession,
    IStream,
    ITunnel,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """
    One hook's methods for an open and the close that answers it.
    """

    opens: Callable[..., object]
    closes: Callable[..., object]


class CombinedHook(HookWrapper):
    """
    Several hooks as one. They are called in their order; the ledger rule holds for
    each of them, and the failure of one does not keep a notification from the others.
    The first that refuses decides.

    @ivar hooks: the hooks.
    @ivar hook_name: what to call it, if nobody names it.
    """

    def __init__(self, *hooks: object) -> None:
        """
        @raise InvalidHook: if one is no hook.
        @raise ValueError: if there is none.
        """
        if not hooks:
            raise ValueError("a combined hook needs one hook or more")
        for hook in hooks:
            verify_hook(hook)
        self.hooks = hooks
        self.hook_name = "+".join(name_of_hook(hook) for hook in hooks)
        self.host: IHookHost | None = None
        self._pairs = {
            opens: tuple(
                Pair(method_of(hook, opens), method_of(hook, closes))
                for hook in hooks
                if wants(hook, opens) or wants(hook, closes)
            )
            for opens, closes in PAIRS.items()
        }
        self._received = self._methods("on_data_received")
        self._sent = self._methods("on_data_sent")
        self._errors = self._methods("on_error")
        wanted = []
        for interface in HOOK_INTERFACES:
            events = interface.names()
            if any(interface.providedBy(hook) for hook in hooks):
                wanted.append(interface)
                for event in events:
                    if not any(wants(hook, event) for hook in hooks):
                        # It does nothing, and so is free.
                        setattr(self, event, method_of(hooks[0], event))
        directlyProvides(self, IBackgroundHook, *wanted)

    async def on_server_start(self, server: IServer) -> None:
        """
        See L{IServerHook.on_server_start}.
        """
        await self._decide("on_server_start", server)

    def on_server_stop(self, server: IServer) -> None:
        """
        See L{IServerHook.on_server_stop}.
        """
        self._close("on_server_start", server)

    async def on_client_connect(self, client: ISession) -> None:
        """
        See L{IClientHook.on_client_connect}.
        """
        await self._decide("on_client_connect", client)

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """
        self._close("on_client_connect", client, code, reason)

    async def on_tunnel_open(self, tunnel: ITunnel) -> None:
        """
        See L{ITunnelHook.on_tunnel_open}.
        """
        await self._decide("on_tunnel_open", tunnel)

    def on_tunnel_close(self, tunnel: ITunnel, code: Code, reason: str) -> None:
        """
        See L{ITunnelHook.on_tunnel_close}.
        """
        self._close("on_tunnel_open", tunnel, code, reason)

    async def on_stream_open(self, stream: IStream) -> None:
        """
        See L{IStreamHook.on_stream_open}.
        """
        await self._decide("on_stream_open", stream)

    def on_stream_close(self, stream: IStream, code: Code, reason: str) -> None:
        """
        See L{IStreamHook.on_stream_close}.
        """
        self._close("on_stream_open", stream, code, reason)

    def on_data_received(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_received}.
        """
        for method in self._received:
            try:
                returned = method(tunnel, count)
            except BaseException as error:
                self._failed("on_data_received", fault(error))
            else:
                if returned is not None:
                    self._returned("on_data_received", returned)

    def on_data_sent(self, tunnel: ITunnel, count: int) -> None:
        """
        See L{IDataHook.on_data_sent}.
        """
        for method in self._sent:
            try:
                returned = method(tunnel, count)
            except BaseException as error:
                self._failed("on_data_sent", fault(error))
            else:
                if returned is not None:
                    self._returned("on_data_sent", returned)

    def on_error(self, error: BaseException, context: str) -> None:
        """
        See L{IErrorHook.on_error}.
        """
        # Of a failure here nobody may be told but the log, so that is the manager's.
        failures: list[BaseException] = []
        for method in self._errors:
            try:
                mistake = misuse("on_error", method(error, context))
            except BaseException as failure:
                failures.append(fault(failure))
            else:
                if mistake is not None:
                    failures.append(mistake)
        if failures:
            raise BaseExceptionGroup("in on_error", failures)

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.
        """
        self.host = host
        for hook in self.hooks:
            if IBackgroundHook.providedBy(hook):
                hook.attach(host)

    def finish(self) -> Decision:
        """
        See L{IBackgroundHook.finish}.
        """
        waiting = []
        for hook in self.hooks:
            if IBackgroundHook.providedBy(hook):
                try:
                    pending = deferred_from(hook.finish())
                except BaseException as error:
                    self._failed("finish", fault(error))
                else:
                    if pending is not None:
                        waiting.append(pending.addErrback(self._not_finished))
        return _all_of(waiting) if waiting else None

    @property
    def parts(self) -> Sequence[object]:
        """
        See L{HookWrapper.parts}.
        """
        return self.hooks

    def around(self, change: Rewrap) -> CombinedHook:
        """
        See L{HookWrapper.around}.
        """
        return CombinedHook(*(change(hook) for hook in self.hooks))

    def _methods(self, event: str) -> tuple[Callable[..., object], ...]:
        return tuple(
            method_of(hook, event) for hook in self.hooks if wants(hook, event)
        )

    async def _decide(self, event: str, subject: object) -> None:
        allowed: list[Pair] = []
        try:
            for pair in self._pairs[event]:
                returned = pair.opens(subject)
                if iscoroutine(returned):
                    # As a part of this one, so that its steps are timed.
                    returned = await returned
                elif returned is not None:
                    pending = deferred_from(returned)
                    if pending is not None:
                        returned = await pending
                if (mistake := not_none(event, returned)) is not None:
                    mistake.raiseException()
                allowed.append(pair)
        except (CancelledError, GeneratorExit):
            self._take_back(event, allowed, subject, Code.ABORTED, GIVEN_UP)
            raise
        except BaseException as error:
            refused = refusal(event, [error], Strategy.STOP_ON_ERROR)
            code = code_of_end(refused)
            self._take_back(event, allowed, subject, code, str(refused))
            raise

    def _take_back(
        self,
        event: str,
        allowed: Sequence[Pair],
        subject: object,
        code: Code,
        reason: str,
    ) -> None:
        # The stop of a server is the one close that has no code and no reason.
        end = () if event == "on_server_start" else (code, reason)
        for pair in allowed:
            self.tell(pair.closes, PAIRS[event], subject, *end)

    def _close(self, event: str, subject: object, *end: object) -> None:
        for pair in self._pairs[event]:
            self.tell(pair.closes, PAIRS[event], subject, *end)

    def _returned(self, event: str, returned: object) -> None:
        mistake = misuse(event, returned)
        if mistake is not None:
            self._failed(event, mistake)

    def _not_finished(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._failed("finish", raised_by(failure))


async def _all_of(waiting: list[Deferred[object]]) -> None:
    await DeferredList(waiting)
