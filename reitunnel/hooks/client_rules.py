"""
Which clients are meant: rules that match clients by token, certificate or instance.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Annotated

from msgspec import Meta, Struct

from reitunnel.interfaces import ICertificate, ISession

Patterns = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
"""Shell-style patterns: C{*}, C{?}, C{[abc]}."""

_FINGERPRINT = re.compile("[0-9a-f]{64}")
_TOKEN = "token:"


class ClientRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Describes clients. A client matches if, for every list that is given, one of
    its patterns matches. All but L{names} and L{fingerprints} care for case.

    @ivar identities: who it has proved to be: C{token:NAME}, C{certificate:NAME} or
        C{anonymous}.
    @ivar tokens: the name of the token that the client proved to have.
    @ivar instances: the client id that the client chose.
    @ivar subjects: the whole subject of its certificate, as RFC 4514 writes it.
    @ivar common_names: the subject's common name.
    @ivar organizations: the subject's organization.
    @ivar names: any of the certificate's subject alternative names.
    @ivar fingerprints: SHA-256 of the certificate, 64 hexadecimal digits, which
        colons may separate; no patterns.
    """

    identities: Patterns | None = None
    tokens: Patterns | None = None
    instances: Patterns | None = None
    subjects: Patterns | None = None
    common_names: Patterns | None = None
    organizations: Patterns | None = None
    names: Patterns | None = None
    fingerprints: Patterns | None = None

    def __post_init__(self) -> None:
        lists = [getattr(self, name) for name in self.__struct_fields__]
        if all(patterns is None for patterns in lists):
            known = ", ".join(self.__struct_fields__)
            raise ValueError(f"a rule needs one or more of {known}")
        if any(patterns is not None and not patterns for patterns in lists):
            raise ValueError("a list in a rule is empty")
        for fingerprint in self.fingerprints or ():
            if not _FINGERPRINT.fullmatch(_plain_fingerprint(fingerprint)):
                raise ValueError(
                    f'"{fingerprint}" is not a SHA-256 fingerprint: expected 64 '
                    "hexadecimal digits"
                )


ClientRules = Annotated[tuple[ClientRule, ...], Meta(min_length=1)]
"""Clients that match one of the rules."""


class ClientGroup:
    """
    Clients that match one of some rules.
    """

    def __init__(self, rules: Iterable[ClientRule]) -> None:
        """
        @param rules: the rules; without any, the group is empty.
        """
        self._rules = [_RuleMatch(rule) for rule in rules]

    def __contains__(self, client: ISession) -> bool:
        return any(rule.matches(client) for rule in self._rules)


class _RuleMatch:
    """
    A L{ClientRule} that is ready to be matched.
    """

    def __init__(self, rule: ClientRule) -> None:
        self._tests: list[Callable[[ISession], bool]] = []
        self._add(rule.identities, lambda client: (client.identity,))
        self._add(rule.tokens, _token_names)
        self._add(rule.instances, lambda client: (client.instance,))
        self._add_certificate(rule.subjects, lambda own: (own.subject,))
        self._add_certificate(rule.common_names, lambda own: (own.common_name,))
        self._add_certificate(rule.organizations, lambda own: (own.organization,))
        # Host names and the domains of e-mail addresses know no case.
        names = rule.names and tuple(pattern.lower() for pattern in rule.names)
        self._add_certificate(names, lambda own: map(str.lower, own.names))
        self._add_certificate(
            rule.fingerprints and tuple(map(_plain_fingerprint, rule.fingerprints)),
            lambda own: (own.fingerprint,),
        )

    def matches(self, client: ISession) -> bool:
        """
        Whether every list of the rule matches the client.
        """
        return all(test(client) for test in self._tests)

    def _add(
        self,
        patterns: Iterable[str] | None,
        values: Callable[[ISession], Iterable[str]],
    ) -> None:
        if patterns is None:
            return
        matchers = [re.compile(translate(pattern)).match for pattern in patterns]
        self._tests.append(
            lambda client: any(
                matcher(value) for value in values(client) for matcher in matchers
            )
        )

    def _add_certificate(
        self,
        patterns: Iterable[str] | None,
        values: Callable[[ICertificate], Iterable[str]],
    ) -> None:
        def of_client(client: ISession) -> Iterable[str]:
            certificate = client.facts.certificate
            return () if certificate is None else values(certificate)

        self._add(patterns, of_client)


def _token_names(client: ISession) -> tuple[str, ...]:
    if client.identity.startswith(_TOKEN):
        return (client.identity.removeprefix(_TOKEN),)
    return ()


def _plain_fingerprint(text: str) -> str:
    return text.replace(":", "").lower()
