"""
The C{auth} hook: which of the clients that have proved who they are may connect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct
from twisted.internet.interfaces import IReactorCore
from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

from reitunnel.errors import Code, Refused
from reitunnel.hooks.client_rules import ClientGroup, ClientRules
from reitunnel.interfaces import (
    Decision,
    IClientHook,
    IRestrictedHookFactory,
    ISession,
)

Validator = Callable[[ISession], Decision]
"""
Decides on a client as C{on_client_connect} does: it allows with L{None}, refuses by
raising, and may be a coroutine function or return a Deferred.
"""


class AuthOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The options of the C{auth} hook. One of them is needed.

    @ivar allow: a client that matches none of these rules is refused; without
        it, every client is allowed that is not denied.
    @ivar deny: a client that matches one of these rules is refused.
    @ivar validator: the dotted name of a function that is asked about each client
        that the rules let through, C{package.module.function}.
    """

    allow: ClientRules | None = None
    deny: ClientRules | None = None
    validator: Annotated[str, Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        if not self.allow and not self.deny and not self.validator:
            raise ValueError("needs one or more of allow, deny, validator")


@implementer(IClientHook)
class AuthHook:
    """
    Refuses clients by their token, certificate or instance, or by what a function
    says of them.

    It decides on what a client has proved already; it does not authenticate.
    """

    def __init__(
        self, options: AuthOptions | None = None, *, validator: Validator | None = None
    ) -> None:
        """
        @param options: which clients to allow and to deny. Without it, all are left
            to the validator.
        @param validator: asked about each client that the rules let through; the one
            that the options name if L{None}.
        @raise ValueError: if there is neither, or the options name no function.
        """
        if options is None and validator is None:
            raise ValueError("needs options or a validator")
        allow = deny = name = None
        if options is not None:
            allow, deny, name = options.allow, options.deny, options.validator
        self._allow = None if allow is None else ClientGroup(allow)
        self._deny = ClientGroup(deny or ())
        if validator is None and name is not None:
            validator = _load_validator(name)
        self._validator = validator

    def on_client_connect(self, client: ISession) -> Decision:
        """
        See L{IClientHook.on_client_connect}.

        @raise Refused: if the client is denied, or not among the allowed.
        """
        who = f"client {client.identity} ({client.instance})"
        if client in self._deny:
            raise Refused(f"{who} is denied")
        if self._allow is not None and client not in self._allow:
            raise Refused(f"{who} is not among the allowed clients")
        return None if self._validator is None else self._validator(client)

    def on_client_disconnect(self, client: ISession, code: Code, reason: str) -> None:
        """
        See L{IClientHook.on_client_disconnect}.
        """


@implementer(IPlugin, IRestrictedHookFactory)
class AuthHookFactory:
    """
    Builds the C{auth} hook from a configuration file.
    """

    name = "auth"
    description = "Allows or denies clients by token, certificate or instance."
    options = AuthOptions
    side = "server"
    written = ()

    def build(self, options: AuthOptions, reactor: IReactorCore) -> AuthHook:
        """
        See L{IHookFactory.build}.
        """
        return AuthHook(options)


def _load_validator(name: str) -> Validator:
    """
    Find a function by its dotted name.

    @raise ValueError: if there is none.
    """
    if "." not in name:
        raise ValueError(
            f'validator: expected a dotted name such as "package.module.function", '
            f'got "{name}"'
        )
    try:
        found = namedAny(name)
    except Exception as error:
        raise ValueError(
            f'validator: cannot load "{name}": {type(error).__name__}: {error}'
        ) from error
    if not callable(found):
        raise ValueError(f'validator: "{name}" is not a function')
    validator: Validator = found
    return validator
