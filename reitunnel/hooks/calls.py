"""
What is known of one registered hook: its name and its bound methods, found and
checked once, at registration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutine, iscoroutinefunction
from typing import Any, NewType

from twisted.internet.defer import Deferred
from zope.interface import Interface, Invalid
from zope.interface.verify import verifyObject

from reitunnel.errors import InvalidHook
from reitunnel.hooks.base import BaseHook
from reitunnel.interfaces import (
    IClientHook,
    IDataHook,
    IErrorHook,
    IServerHook,
    IStreamHook,
    ITunnelHook,
)

HOOK_INTERFACES: tuple[type[Interface], ...] = (
    IServerHook,
    IClientHook,
    ITunnelHook,
    IStreamHook,
    IDataHook,
    IErrorHook,
)
"""Every interface that a hook can provide."""

_DECISIONS = frozenset(
    {"on_server_start", "on_client_connect", "on_tunnel_open", "on_stream_open"}
)


@dataclass(frozen=True, slots=True, eq=False)
class PairedCalls:
    """
    One hook's methods for an open and the close that answers it.

    @ivar hook: the hook's name, for people.
    @ivar opens: asked to allow the open.
    @ivar closes: told of the close.
    """

    hook: str
    opens: Callable[..., object]
    closes: Callable[..., object]


@dataclass(frozen=True, slots=True, eq=False)
class Notification:
    """
    One hook's method for an event that has no answer.

    @ivar hook: the hook's name, for people.
    @ivar event: the method's name.
    @ivar method: the bound method.
    """

    hook: str
    event: str
    method: Callable[..., object]


Opened = NewType("Opened", tuple[PairedCalls, ...])
"""
Who allowed an open, and so is owed the close. Opaque: what a decision gives, and
the notification of the close takes.
"""

NOTHING_OPENED = Opened(())
"""What there is when nobody was asked."""


def owed_to(opened: Opened, hooks: Sequence[object]) -> tuple[Opened, Opened]:
    """
    Tell what these hooks are owed from what the others are.
    """
    ids = {id(hook) for hook in hooks}
    theirs: list[PairedCalls] = []
    others: list[PairedCalls] = []
    for calls in opened:
        owner = getattr(calls.closes, "__self__", None)
        (theirs if id(owner) in ids else others).append(calls)
    return Opened(tuple(theirs)), Opened(tuple(others))


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredHook:
    """
    One registered hook.

    @ivar hook: the object itself.
    @ivar name: its name, for people.
    @ivar server: its methods for a server, or L{None} if it has no interest.
    @ivar client: the same for a client.
    @ivar tunnel: the same for a tunnel.
    @ivar stream: the same for a stream.
    @ivar data_received: its method for bytes from visitors, or L{None}.
    @ivar data_sent: its method for bytes to visitors, or L{None}.
    @ivar error: its method for failures, or L{None}.
    """

    hook: object
    name: str
    server: PairedCalls | None
    client: PairedCalls | None
    tunnel: PairedCalls | None
    stream: PairedCalls | None
    data_received: Notification | None
    data_sent: Notification | None
    error: Notification | None


def verify_hook(hook: object) -> None:
    """
    Check that an object can be a hook: it provides at least one hook interface,
    and each of those it provides with the right signatures.

    @raise InvalidHook: if it cannot.
    """
    provided = [face for face in HOOK_INTERFACES if face.providedBy(hook)]
    if not provided:
        raise InvalidHook(_nothing_provided(hook))
    for interface in provided:
        try:
            verifyObject(interface, hook)
        except Invalid as error:
            raise InvalidHook(" ".join(str(error).split())) from error
        for event in interface.names():
            _verify_kind(hook, event)


def inspect_hook(hook: object, name: str) -> RegisteredHook:
    """
    Find the methods of a hook that has been verified.

    @param name: its name, for people.
    """

    def pair(interface: type[Interface], opens: str, closes: str) -> PairedCalls | None:
        if not interface.providedBy(hook):
            return None
        if _inherited(hook, opens) and _inherited(hook, closes):
            return None
        return PairedCalls(name, getattr(hook, opens), getattr(hook, closes))

    def single(interface: type[Interface], event: str) -> Notification | None:
        if not interface.providedBy(hook) or _inherited(hook, event):
            return None
        return Notification(name, event, getattr(hook, event))

    return RegisteredHook(
        hook=hook,
        name=name,
        server=pair(IServerHook, "on_server_start", "on_server_stop"),
        client=pair(IClientHook, "on_client_connect", "on_client_disconnect"),
        tunnel=pair(ITunnelHook, "on_tunnel_open", "on_tunnel_close"),
        stream=pair(IStreamHook, "on_stream_open", "on_stream_close"),
        data_received=single(IDataHook, "on_data_received"),
        data_sent=single(IDataHook, "on_data_sent"),
        error=single(IErrorHook, "on_error"),
    )


def misuse(event: str, returned: object) -> TypeError | None:
    """
    Find out whether a notification returned something to wait for, although
    nobody will. A coroutine is closed before it runs. A Deferred is left to
    itself; its failure is not logged, because the mistake is.

    @param event: the method's name.
    @param returned: what it returned.
    @return: the mistake, or L{None} if the value does no harm.
    """
    if iscoroutine(returned):
        returned.close()
    elif isinstance(returned, Deferred):
        returned.addErrback(lambda failure: None)
    elif not isinstance(returned, Awaitable):
        return None
    return TypeError(
        f"{event} returned a {type(returned).__name__}, and nobody waits for it"
    )


def _nothing_provided(hook: object) -> str:
    if isinstance(hook, type):
        return f"{hook.__name__} is a class: register an instance of it"
    known = ", ".join(interface.__name__ for interface in HOOK_INTERFACES)
    return (
        f"{type(hook).__name__} provides no hook interface: derive it from "
        f"BaseHook, or declare with @implementer which it provides of {known}"
    )


def _verify_kind(hook: object, event: str) -> None:
    method: Any = getattr(hook, event)
    where = f"{type(hook).__name__}.{event}"
    if isasyncgenfunction(method):
        raise InvalidHook(f"{where} is an asynchronous generator")
    if event not in _DECISIONS and iscoroutinefunction(method):
        raise InvalidHook(f"{where} is a coroutine, and nobody waits for it")


def _inherited(hook: object, event: str) -> bool:
    # BaseHook's methods do nothing: not to call them is what makes them free.
    method: Any = getattr(hook, event)
    return getattr(method, "__func__", None) is getattr(BaseHook, event)
