"""
What is known of one registered hook: its name and its bound methods, found and
checked once, at registration.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutine, iscoroutinefunction
from typing import Any, NewType

from twisted.internet.defer import Deferred
from zope.interface import Interface, Invalid
from zope.interface.verify import verifyObject

from reitunnel.errors import InvalidHook
from reitunnel.hooks.base import BaseHook
from reitunnel.hooks.statistics import Tallies, Tally
from reitunnel.interfaces import (
    IBackgroundHook,
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
"""Every interface of events that a hook can provide."""

PAIRS: Mapping[str, str] = {
    "on_server_start": "on_server_stop",
    "on_client_connect": "on_client_disconnect",
    "on_tunnel_open": "on_tunnel_close",
    "on_stream_open": "on_stream_close",
}
"""The events that a hook may refuse, and the closes that answer them."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedCalls:
    """
    One hook's methods for an open and the close that answers it.

    @ivar hook: the hook's name, for people.
    @ivar owner: the hook itself. A wrapper's methods may be those of another one.
    @ivar opens: asked to allow the open.
    @ivar closes: told of the close.
    @ivar opens_tally: counts the opens.
    @ivar closes_tally: counts the closes.
    """

    hook: str
    owner: object
    opens: Callable[..., object]
    closes: Callable[..., object]
    opens_tally: Tally
    closes_tally: Tally


@dataclass(frozen=True, slots=True, eq=False)
class Notification:
    """
    One hook's method for an event that has no answer.

    @ivar hook: the hook's name, for people.
    @ivar event: the method's name.
    @ivar method: the bound method.
    @ivar tally: counts the calls.
    """

    hook: str
    event: str
    method: Callable[..., object]
    tally: Tally


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
        (theirs if id(calls.owner) in ids else others).append(calls)
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
    @ivar tallies: what is counted of it.
    """

    hook: object
    name: str
    tallies: Tallies
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
    if IBackgroundHook.providedBy(hook):
        provided.append(IBackgroundHook)
    for interface in provided:
        try:
            verifyObject(interface, hook)
        except Invalid as error:
            raise InvalidHook(" ".join(str(error).split())) from error
        if interface is not IBackgroundHook:
            for event in interface.names():
                _verify_kind(hook, event)


def wants(hook: object, event: str) -> bool:
    """
    Whether a hook is interested in an event: it provides the event's interface, and
    its method is not one of L{BaseHook}, which do nothing.
    """
    for interface in HOOK_INTERFACES:
        if event in interface.names():
            return bool(interface.providedBy(hook)) and not _inherited(hook, event)
    return False


def inspect_hook(hook: object, tallies: Tallies) -> RegisteredHook:
    """
    Find the methods of a hook that has been verified.

    @param tallies: counts its calls, and has its name.
    """
    name = tallies.hook

    def pair(opens: str, closes: str) -> PairedCalls | None:
        if not wants(hook, opens) and not wants(hook, closes):
            return None
        return PairedCalls(
            hook=name,
            owner=hook,
            opens=getattr(hook, opens),
            closes=getattr(hook, closes),
            opens_tally=tallies.of(opens),
            closes_tally=tallies.of(closes),
        )

    def single(event: str) -> Notification | None:
        if not wants(hook, event):
            return None
        return Notification(name, event, getattr(hook, event), tallies.of(event))

    return RegisteredHook(
        hook=hook,
        name=name,
        tallies=tallies,
        server=pair("on_server_start", "on_server_stop"),
        client=pair("on_client_connect", "on_client_disconnect"),
        tunnel=pair("on_tunnel_open", "on_tunnel_close"),
        stream=pair("on_stream_open", "on_stream_close"),
        data_received=single("on_data_received"),
        data_sent=single("on_data_sent"),
        error=single("on_error"),
    )


def name_of_hook(hook: object) -> str:
    """
    What to call a hook that nobody has named: its class, unless it has a
    C{hook_name}; of a wrapper, the same of the C{wrapped_hook}.
    """
    while (wrapped := getattr(hook, "wrapped_hook", None)) is not None:
        hook = wrapped
    name = getattr(hook, "hook_name", None)
    return name if isinstance(name, str) else type(hook).__name__


def misuse(event: str, returned: object) -> TypeError | None:
    """
    Find out whether a notification returned something, although it has no answer.

    @param event: the method's name.
    @param returned: what it returned. See L{unawaited}, too.
    @return: the mistake, or L{None}.
    """
    if returned is None:
        return None
    return unawaited(event, returned) or TypeError(
        f"{event} returned a {type(returned).__name__}, and has no answer: it changes "
        "nothing"
    )


def unawaited(event: str, returned: object) -> TypeError | None:
    """
    Find out whether a method returned something to wait for, although nobody will. A
    coroutine is closed before it runs. A Deferred is left to itself; its failure is not
    logged, because the mistake is.

    @param event: the method's name.
    @param returned: what it returned.
    @return: the mistake, or L{None}.
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


def fault(error: BaseException) -> BaseException:
    """
    What a hook has raised is its fault, whatever it is: C{SystemExit} and the
    C{CancelledError} of asyncio too.

    @return: the same.
    @raise KeyboardInterrupt: if it is one: that is of whoever runs the process.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
    return error


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
    if event not in PAIRS and iscoroutinefunction(method):
        raise InvalidHook(f"{where} is a coroutine, and nobody waits for it")


def _inherited(hook: object, event: str) -> bool:
    # BaseHook's methods do nothing: not to call them is what makes them free.
    method: Any = getattr(hook, event)
    return getattr(method, "__func__", None) is getattr(BaseHook, event)
