"""
Addresses of visitors and public ports: as text, and from text.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress


def host_and_port(address: object) -> tuple[str, int]:
    """
    Take an Internet address apart; any other has no host and port 0.
    """
    if isinstance(address, IPv4Address | IPv6Address):
        return address.host, address.port
    return "", 0


def internet_address(host: str, port: int) -> IAddress:
    """
    Make an address of a TCP connection or port.
    """
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, port)


def shown(address: object) -> str:
    """
    Write an address for people.
    """
    host, port = host_and_port(address)
    return joined(host, port) if host else str(address)


def joined(host: str, port: int) -> str:
    """
    Write a host and a port for people.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
