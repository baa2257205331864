"""
Channel binding: what a server offers and takes on a link, and what a client chooses.

The rules are those of SCRAM (RFC 5802, section 6), and hold for tokens and for data
links alike: of two mechanisms that differ in this alone, the name of the one that
binds ends with C{-PLUS}; and a client that could bind and is not offered it says so,
so that nobody can take it out of the offer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args

from reitunnel.auth.scram import BINDING_NOT_OFFERED, NO_BINDING, Header
from reitunnel.config.values import ChannelBinding
from reitunnel.errors import AuthenticationFailed
from reitunnel.interfaces import ILinkFacts

PLUS: Final = "-PLUS"
"""How the names of the mechanisms end that bind to the channel."""


class ServerBinding:
    """
    The server's side.
    """

    def __init__(self, policy: ChannelBinding) -> None:
        """
        @param policy: C{require} takes nothing on a link without TLS, C{prefer}
            binds where there is a channel, C{never} does not bind.
        @raise ValueError: when it is none of these.
        """
        if policy not in get_args(ChannelBinding):
            raise ValueError(f"channel_binding is {policy!r}")
        self._policy = policy

    def offered(self, mechanism: str, facts: ILinkFacts) -> list[str]:
        """
        Name the forms of a mechanism for a link, the best first.
        """
        offered: list[str] = []
        if self._bound(facts) is not None:
            offered.append(mechanism + PLUS)
        if self._policy != "require":
            offered.append(mechanism)
        return offered

    def accepted(self, mechanism: str, facts: ILinkFacts) -> list[Header]:
        """
        What a client may say of channel binding, with a mechanism that was offered.
        """
        bound = self._bound(facts)
        if bound is None:
            return [NO_BINDING, BINDING_NOT_OFFERED]
        # A client that could bind has seen the offer, unless someone took it out.
        return [bound] if mechanism.endswith(PLUS) else [NO_BINDING]

    def _bound(self, facts: ILinkFacts) -> Header | None:
        if self._policy == "never" or not facts.channel_binding:
            return None
        return Header.bound(facts.channel_binding)


def choose_binding(
    policy: ChannelBinding, mechanism: str, offered: Sequence[str], facts: ILinkFacts
) -> tuple[str, Header]:
    """
    Choose between the forms of a mechanism, for a client.

    @param offered: what the server offers: one of the two forms at least.
    @return: the name of the form, and what to say.
    @raise AuthenticationFailed: when C{policy} allows neither; the reason is for
        people.
    """
    channel = facts.channel_binding
    if policy == "require" and not channel:
        raise AuthenticationFailed(
            "channel binding is required, and this link has no channel to bind to: it "
            "has no TLS"
        )
    if policy == "require" and mechanism + PLUS not in offered:
        raise AuthenticationFailed(
            "channel binding is required, and the server does not offer it: a proxy "
            "may end TLS before it"
        )
    if policy == "never" or not channel:
        header = NO_BINDING
    elif mechanism + PLUS in offered:
        return mechanism + PLUS, Header.bound(channel)
    else:
        header = BINDING_NOT_OFFERED
    if mechanism not in offered:
        raise AuthenticationFailed(
            "the server requires channel binding, and "
            + (
                "channel_binding is never"
                if policy == "never"
                else "this link has no channel to bind to: it has no TLS"
            )
        )
    return mechanism, header
