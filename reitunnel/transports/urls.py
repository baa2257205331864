"""
Reads the addresses of links: URLs and Twisted endpoint descriptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reitunnel.config.urls import URL_FORMS, is_url, parse_url
from reitunnel.transports.plugins import plugin_transports

ENDPOINT: Final = "endpoint"
"""The scheme of an address that is a Twisted endpoint description."""


@dataclass(frozen=True, slots=True)
class LinkURL:
    """
    Where links are made.

    @ivar scheme: in lower case; C{endpoint} for an endpoint description.
    @ivar host: a name in its ASCII form, or an IP address without brackets;
        empty for an endpoint description.
    @ivar port: 0 lets the system choose, when listening.
    @ivar path: with its slash; empty if the scheme has none.
    @ivar text: as it was written: the endpoint description itself.
    """

    scheme: str
    host: str
    port: int
    path: str
    text: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> LinkURL:
        """
        Read an address.

        @param text: a URL such as C{tls://example.com:7000}; without C{://} it
            is taken for a Twisted endpoint description.
        @raise ValueError: if it is neither, or nothing makes links of its scheme; the
            message is for people.
        """
        if not text.strip():
            raise ValueError("the address is empty")
        if not is_url(text):
            return cls(scheme=ENDPOINT, host="", port=0, path="", text=text)
        url = parse_url(text)
        if url.scheme not in URL_FORMS and url.scheme not in plugin_transports():
            raise ValueError(
                f'"{text}": {url.scheme}:// is not known; tcp, tls, ws and wss are, '
                "and what plugins add"
            )
        return cls(
            scheme=url.scheme, host=url.host, port=url.port, path=url.path, text=text
        )
