"""
What every wrapper of a hook has in common: it provides what the hook provides, and
hands on what it does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from twisted.logger import Logger
from zope.interface import Interface, directlyProvides

from reitunnel.hooks.base import BaseHook
from reitunnel.hooks.calls import HOOK_INTERFACES, fault, misuse, verify_hook, wants
from reitunnel.interfaces import Decision, IBackgroundHook, IHookHost

Rewrap = Callable[[object], object]
"""Makes a hook of a hook."""

_IDLE = BaseHook()


class HookWrapper:
    """
    A hook that stands before another one. To derive from.

    It provides the interfaces that the other provides. What it does not change are the
    other's own bound methods, so that they cost nothing more, and the methods of
    L{BaseHook} that the other has not overridden stay free.

    @ivar wrapped_hook: the other hook.
    @ivar host: whom to report to, once it is registered.
    """

    _log = Logger()

    def __init__(
        self,
        hook: object,
        *,
        changes: Iterable[str] = (),
        also: Iterable[type[Interface]] = (),
    ) -> None:
        """
        @param changes: the events for which this class has methods of its own.
        @param also: interfaces to provide even if the other hook does not.
        @raise InvalidHook: if C{hook} is none.
        """
        verify_hook(hook)
        self.wrapped_hook = hook
        self.host: IHookHost | None = None
        provided: list[type[Interface]] = [IBackgroundHook]
        own, extra = frozenset(changes), frozenset(also)
        for interface in HOOK_INTERFACES:
            events = interface.names()
            if interface in extra or interface.providedBy(hook):
                provided.append(interface)
                for event in set(events) - own:
                    setattr(self, event, method_of(hook, event))
        directlyProvides(self, *provided)

    def attach(self, host: IHookHost) -> None:
        """
        See L{IBackgroundHook.attach}.
        """
        self.host = host
        if IBackgroundHook.providedBy(self.wrapped_hook):
            self.wrapped_hook.attach(host)

    def finish(self) -> Decision:
        """
        See L{IBackgroundHook.finish}.
        """
        if not IBackgroundHook.providedBy(self.wrapped_hook):
            return None
        finished: Decision = self.wrapped_hook.finish()
        return finished

    @property
    def parts(self) -> Sequence[object]:
        """
        The hooks that it stands before.
        """
        return (self.wrapped_hook,)

    def around(self, change: Rewrap) -> HookWrapper:
        """
        Make the same wrapper around another hook.

        @param change: makes that hook of the wrapped one.
        """
        raise NotImplementedError(f"{type(self).__name__}.around")

    def tell(
        self, method: Callable[..., object], event: str, *arguments: object
    ) -> None:
        """
        Call a hook's method for an event that has no answer. What goes wrong is
        reported, and stops nothing.
        """
        try:
            mistake = misuse(event, method(*arguments))
        except BaseException as error:
            self._failed(event, fault(error))
        else:
            if mistake is not None:
                self._failed(event, mistake)

    def _failed(self, event: str, error: BaseException) -> None:
        if self.host is not None:
            self.host.failed(event, error)
        else:
            self._log.error(
                "a hook failed in {event}: {error!r}", event=event, error=error
            )


def innermost(hooks: Iterable[object]) -> Iterator[object]:
    """
    Give the hooks that are inside of wrappers, and those without one.
    """
    for hook in hooks:
        if isinstance(hook, HookWrapper):
            yield from innermost(hook.parts)
        else:
            yield hook


def method_of(hook: object, event: str) -> Callable[..., object]:
    """
    A hook's method for an event, or one that does nothing if it does not want it.
    """
    method: Callable[..., object] = getattr(
        hook if wants(hook, event) else _IDLE, event
    )
    return method
