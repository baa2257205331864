"""
Who a client certificate stands for, and which ones are welcome.

The chain is verified by TLS before; here are only names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reitunnel.interfaces import ICertificate

MAX_NAME: Final = 200
"""The longest name that an identity is made of, in characters."""


@dataclass(frozen=True, slots=True)
class CertificatePolicy:
    """
    Which verified client certificates a server takes.

    @ivar names: the certificate must have one of these, as its common name or
        as a subject alternative name. L{None} takes every certificate.
    """

    names: frozenset[str] | None = None

    def objection(self, certificate: ICertificate | None) -> str:
        """
        Say why a certificate is not accepted.

        @param certificate: that of the link, if it has one.
        @return: one line for the log; empty if nothing is wrong with it.
        """
        if certificate is None:
            return "the link has no client certificate"
        if self.names is not None and self.names.isdisjoint(all_names(certificate)):
            return (
                f"the certificate {certificate.subject!r} is not one of those allowed"
            )
        return ""


def all_names(certificate: ICertificate) -> frozenset[str]:
    """
    Give the common name and the subject alternative names.
    """
    return frozenset((certificate.common_name, *certificate.names)) - {""}


def certificate_name(certificate: ICertificate) -> str:
    """
    Name the owner of a certificate: by its common name, else by its whole
    subject, else (the subject may be empty) by its first alternative name.

    @raise ValueError: if there is no name that can be shown and sent.
    """
    name = next(
        filter(
            None, (certificate.common_name, certificate.subject, *certificate.names)
        ),
        "",
    )
    if not name:
        raise ValueError("the certificate has no name")
    if len(name) > MAX_NAME or not name.isprintable():
        raise ValueError("the certificate's name is too long or cannot be printed")
    return name
