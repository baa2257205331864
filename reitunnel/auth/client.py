"""
The client's side of authentication: which mechanism to choose, and its exchange.

The rules of choice keep a client from giving way. One that has a token
authenticates with it or not at all, because that is how it knows the server; and
one that can bind the channel says so, so that nobody can take it out of the offer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

from reitunnel.auth.binding import PLUS, choose_binding
from reitunnel.auth.exchange import (
    ANONYMOUS,
    EXTERNAL,
    HMAC,
    MAX_MESSAGE,
    SCRAM,
    SCRAM_PLUS,
    ClientExchange,
)
from reitunnel.auth.scram import (
    ClientFinal,
    ClientFirst,
    Header,
    ScramError,
)
from reitunnel.auth.tokens import Token
from reitunnel.config.values import ChannelBinding
from reitunnel.errors import AuthenticationFailed, LocalProtocolError
from reitunnel.interfaces import ILinkFacts


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """
    What a client has to prove who it is.

    @ivar token: the token's text, if it has one.
    @ivar channel_binding: whether the token is bound to the TLS channel:
        C{require} it, C{prefer} it where there is a channel and the server does
        it too, or C{never}.
    @ivar certificate: whether the client shows a certificate on TLS links.
    @raise ValueError: if the token is none; the message is for people and shows
        nothing of it.
    """

    token: str | None = field(default=None, repr=False)
    channel_binding: ChannelBinding = "prefer"
    certificate: bool = False

    def __post_init__(self) -> None:
        if self.token is not None:
            Token.parse(self.token)
        if self.channel_binding not in get_args(ChannelBinding):
            raise ValueError(f"channel_binding is {self.channel_binding!r}")


class ClientAuthenticator:
    """
    Proves to servers who the client is, and has them prove that they know it.
    """

    def __init__(self, credentials: ClientCredentials) -> None:
        text = credentials.token
        self._token = None if text is None else Token.parse(text)
        self._channel_binding = credentials.channel_binding
        self._certificate = credentials.certificate

    def choose(self, offered: Sequence[str], facts: ILinkFacts) -> ClientExchange:
        """
        Choose a mechanism and begin.

        @param offered: the mechanisms that the server offers.
        @raise AuthenticationFailed: if none of them will do; the reason is for
            people.
        """
        if not offered:
            raise AuthenticationFailed(
                "the server lets nobody authenticate on this link: it may want TLS"
            )
        if self._token is not None:
            return self._with_token(self._token, offered, facts)
        if EXTERNAL in offered and self._certificate and facts.secure:
            return _WordlessExchange(EXTERNAL)
        if ANONYMOUS in offered:
            if self._channel_binding == "require":
                raise AuthenticationFailed(
                    "channel binding is required, and the server asks for no "
                    "credentials"
                )
            return _WordlessExchange(ANONYMOUS)
        raise AuthenticationFailed(self._what_is_missing(offered, facts))

    def _with_token(
        self, token: Token, offered: Sequence[str], facts: ILinkFacts
    ) -> ClientExchange:
        if SCRAM not in offered and SCRAM_PLUS not in offered:
            raise AuthenticationFailed(
                "a token is given, and the server does not ask for one: it may not "
                "be the right server"
            )
        mechanism, header = choose_binding(self._channel_binding, SCRAM, offered, facts)
        return _TokenExchange(mechanism, token, header)

    def choose_for_data_link(
        self, offered: Sequence[str], facts: ILinkFacts
    ) -> tuple[str, bytes]:
        """
        Choose a mechanism for a data link.

        @param offered: the mechanisms that the server offers.
        @return: the mechanism, and what to bind the proof to.
        @raise AuthenticationFailed: if none of them will do; the reason is for
            people.
        """
        if HMAC not in offered and HMAC + PLUS not in offered:
            raise AuthenticationFailed("the server takes no data links on such a link")
        policy = self._channel_binding
        mechanism, header = choose_binding(policy, HMAC, offered, facts)
        return mechanism, header.input

    def _what_is_missing(self, offered: Sequence[str], facts: ILinkFacts) -> str:
        """
        Say why a client without a token cannot go on.
        """
        wants_token = SCRAM in offered or SCRAM_PLUS in offered
        if EXTERNAL in offered and not wants_token:
            if self._certificate:
                return "the server wants a client certificate, and this link has no TLS"
            return "the server wants a client certificate, and none is given"
        if EXTERNAL in offered:
            return "the server wants a token or a client certificate; none is given"
        if wants_token:
            return "the server wants a token, and none is given"
        return "the server offers no way to authenticate that is known here"


class _TokenExchange(ClientExchange):
    """
    SCRAM. The states are the objects of L{reitunnel.auth.scram}: each is made
    from the one before.
    """

    def __init__(self, mechanism: str, token: Token, header: Header) -> None:
        super().__init__(mechanism)
        self._begun: ClientFirst | None = ClientFirst(token.name, token.secret, header)
        self._final: ClientFinal | None = None

    def first(self) -> bytes:
        if self._begun is None:
            raise LocalProtocolError("the exchange is under way")
        return self._begun.message

    def respond(self, challenge: bytes) -> bytes:
        begun, self._begun = self._begun, None
        if begun is None:
            raise _failed("a challenge came out of turn")
        _check_size(challenge)
        try:
            self._final = begun.answer(challenge)
        except ScramError as error:
            raise _failed(str(error)) from None
        return self._final.message

    def finish(self, data: bytes) -> None:
        final, self._final = self._final, None
        self._begun = None
        if final is None:
            raise _failed("the welcome came before the proof")
        _check_size(data)
        try:
            final.verify(data)
        except ScramError as error:
            raise _failed(str(error)) from None


class _WordlessExchange(ClientExchange):
    """
    EXTERNAL and ANONYMOUS: there is nothing to say.
    """

    def first(self) -> bytes:
        return b""

    def respond(self, challenge: bytes) -> bytes:
        raise _failed("a challenge came out of turn")

    def finish(self, data: bytes) -> None:
        if data:
            raise _failed("the welcome has a proof that nobody asked for")


def _check_size(message: bytes) -> None:
    if len(message) > MAX_MESSAGE:
        raise _failed(f"a message has {len(message)} bytes")


def _failed(detail: str) -> AuthenticationFailed:
    return AuthenticationFailed(
        "the server did not prove that it knows this client: it may not be the right "
        "server",
        detail,
    )
