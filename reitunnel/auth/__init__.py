"""
Authentication, without I/O: tokens by SCRAM-SHA-256 with channel binding, client
certificates, or nobody asked.

docs/authentication.md says how it works and what it protects from.
"""

from __future__ import annotations

from reitunnel.auth.certificates import CertificatePolicy
from reitunnel.auth.client import ClientAuthenticator, ClientCredentials
from reitunnel.auth.exchange import (
    MAX_MESSAGE,
    Accepted,
    Challenge,
    ClientExchange,
    Grounds,
    ServerExchange,
)
from reitunnel.auth.server import ServerAuthenticator
from reitunnel.auth.token_file import new_token
from reitunnel.auth.token_store import TokenStore
from reitunnel.auth.tokens import Token

__all__ = [
    "MAX_MESSAGE",
    "Accepted",
    "CertificatePolicy",
    "Challenge",
    "ClientAuthenticator",
    "ClientCredentials",
    "ClientExchange",
    "Grounds",
    "ServerAuthenticator",
    "ServerExchange",
    "Token",
    "TokenStore",
    "new_token",
]
