"""
The server's side of authentication: what is offered on a link, and the judgement.
"""

from __future__ import annotations

import os
from functools import partial
from typing import get_args

from reitunnel.auth.binding import ServerBinding
from reitunnel.auth.certificates import (
    CertificatePolicy,
    all_names,
    certificate_name,
)
from reitunnel.auth.exchange import (
    ANONYMOUS,
    EXTERNAL,
    HMAC,
    SCRAM,
    Accepted,
    Challenge,
    Grounds,
    Outcome,
    ServerExchange,
    refused,
)
from reitunnel.auth.scram import Header, ScramError, ServerFirst, Verifier
from reitunnel.auth.token_store import TokenStore
from reitunnel.config.values import ChannelBinding, Requirement
from reitunnel.interfaces import ILinkFacts


class ServerAuthenticator:
    """
    Decides how clients prove who they are.
    """

    def __init__(
        self,
        *,
        tokens: TokenStore | None = None,
        certificates: CertificatePolicy | None = None,
        require: Requirement = "all",
        channel_binding: ChannelBinding = "prefer",
        anonymous: bool = False,
    ) -> None:
        """
        @param tokens: the tokens that are taken.
        @param certificates: the client certificates that are taken.
        @param require: with tokens and certificates, whether a client needs
            both or either.
        @param channel_binding: whether tokens, and the proofs of data links, are
            bound to the TLS channel. C{require} takes none on a link without TLS,
            C{prefer} binds where there is a channel, C{never} does not bind.
        @param anonymous: let everybody in, unasked.
        @raise ValueError: if it is to take nobody, or to ask for something and
            let everybody in.
        """
        asks = tokens is not None or certificates is not None
        if asks == anonymous:
            raise ValueError("give tokens, certificates or both, or anonymous=True")
        if require not in get_args(Requirement):
            raise ValueError(f"require is {require!r}")
        self._tokens = tokens
        self._certificates = certificates
        self._both = (
            require == "all" and tokens is not None and certificates is not None
        )
        self._binding = ServerBinding(channel_binding)
        self._anonymous = anonymous

    def pass_over(self, tokens: str | os.PathLike[str] | None) -> None:
        """
        Do not read a token file as it is now: what is wrong with it has been said. See
        L{TokenStore.pass_over}.
        """
        if self._tokens is not None and tokens is not None:
            self._tokens.pass_over(tokens)

    def offered(self, facts: ILinkFacts) -> tuple[str, ...]:
        """
        Name the mechanisms for a link, the best first. It depends on nothing
        but the link, and is empty if nobody can authenticate on it.
        """
        if self._anonymous:
            return (ANONYMOUS,)
        offered: list[str] = []
        if self._tokens is not None and (facts.secure or not self._both):
            offered += self._binding.offered(SCRAM, facts)
        if self._certificates is not None and facts.secure and not self._both:
            offered.append(EXTERNAL)
        return tuple(offered)

    def begin(self, mechanism: str, facts: ILinkFacts) -> ServerExchange:
        """
        Begin an attempt with the mechanism that the client chose.

        @raise AuthenticationFailed: if it is not one of those offered.
        """
        if mechanism in self.offered(facts):
            if mechanism == ANONYMOUS:
                return _AnonymousExchange()
            if mechanism == EXTERNAL and self._certificates is not None:
                return _CertificateExchange(self._certificates, facts)
            if self._tokens is not None:
                accepted = self._binding.accepted(mechanism, facts)
                needed = self._certificates if self._both else None
                return _TokenExchange(mechanism, accepted, self._tokens, needed, facts)
        raise refused(f"the mechanism {mechanism[:40]!r} is not offered")

    def offered_for_data_link(self, facts: ILinkFacts) -> tuple[str, ...]:
        """
        Name the mechanisms for a data link, the best first. It depends on nothing
        but the link, and is empty if no session can have such a data link.
        """
        return tuple(self._binding.offered(HMAC, facts))

    def bindings(self, mechanism: str, facts: ILinkFacts) -> list[bytes]:
        """
        What a client may have bound the proof for a data link to.

        @raise AuthenticationFailed: if the mechanism is not one of those offered.
        """
        if mechanism not in self.offered_for_data_link(facts):
            raise refused(f"the mechanism {mechanism[:40]!r} is not offered")
        return [header.input for header in self._binding.accepted(mechanism, facts)]

    def objection(self, grounds: Grounds, facts: ILinkFacts) -> str:
        """
        Say why a client that was let in before is not let in any more: its token or
        certificate is not taken now, or not on such a link.

        @param grounds: on what it was let in.
        @param facts: those of its new link.
        @return: one line for the log; empty if nothing is wrong.
        """
        if self._anonymous:
            return ""
        certificate = facts.certificate
        if grounds.verifier is not None:
            return self._token_objection(grounds.token, grounds.verifier, facts)
        if not grounds.certificate:
            return "clients without credentials are not let in any more"
        if self._certificates is None or self._both:
            return "a certificate alone is not enough any more"
        objection = self._certificates.objection(certificate)
        if certificate is None or objection:
            return objection
        try:
            name = certificate_name(certificate)
        except ValueError as error:
            return str(error)
        if name != grounds.certificate:
            return f"the certificate {certificate.subject!r} is another client's"
        return ""

    def _token_objection(self, name: str, verifier: Verifier, facts: ILinkFacts) -> str:
        tokens, certificate = self._tokens, facts.certificate
        if tokens is None:
            return "tokens are not taken any more"
        # Looks whether the file has changed.
        tokens.verifier(name)
        names = frozenset() if certificate is None else all_names(certificate)
        objection = tokens.objection(name, verifier, names)
        if not objection and self._both and self._certificates is not None:
            objection = self._certificates.objection(certificate)
        return objection


class _TokenExchange(ServerExchange):
    """
    SCRAM, with whatever else the token or the server asks of the link.
    """

    def __init__(
        self,
        mechanism: str,
        accepted: list[Header],
        tokens: TokenStore,
        certificates: CertificatePolicy | None,
        facts: ILinkFacts,
    ) -> None:
        super().__init__(mechanism)
        self._accepted = accepted
        self._tokens = tokens
        self._certificates = certificates
        self._facts = facts

    def _begin(self, data: bytes) -> Outcome:
        first = ServerFirst.read(data, self._accepted, self._tokens.verifier)
        self._move = partial(self._judge, first)
        return Challenge(first.message)

    def _judge(self, first: ServerFirst, data: bytes) -> Outcome:
        """
        Judge the proof and all else, in the same order and time whatever fails.
        """
        certificate = self._facts.certificate
        objection = self._tokens.objection(
            first.name,
            first.verifier,
            frozenset() if certificate is None else all_names(certificate),
        )
        try:
            server_final = first.answer(data)
        except ScramError as error:
            raise refused(objection or f"the token {first.name!r}: {error}") from None
        if not objection and self._certificates is not None:
            objection = self._certificates.objection(certificate)
        if objection:
            raise refused(objection)
        grounds = Grounds(token=first.name, verifier=first.verifier)
        return Accepted(f"token:{first.name}", server_final, grounds)


class _CertificateExchange(ServerExchange):
    """
    EXTERNAL (RFC 4422, appendix A): TLS has said who the client is.
    """

    def __init__(self, certificates: CertificatePolicy, facts: ILinkFacts) -> None:
        super().__init__(EXTERNAL)
        self._certificates = certificates
        self._certificate = facts.certificate

    def _begin(self, data: bytes) -> Outcome:
        if data:
            raise refused("the client asks to act as another, which is not allowed")
        objection = self._certificates.objection(self._certificate)
        if self._certificate is None or objection:
            raise refused(objection)
        try:
            name = certificate_name(self._certificate)
        except ValueError as error:
            raise refused(str(error)) from None
        return Accepted(f"certificate:{name}", grounds=Grounds(certificate=name))


class _AnonymousExchange(ServerExchange):
    """
    ANONYMOUS (RFC 4505), without trace information.
    """

    def __init__(self) -> None:
        super().__init__(ANONYMOUS)

    def _begin(self, data: bytes) -> Outcome:
        if data:
            raise refused("trace information is not taken")
        return Accepted("anonymous")
