"""
What logs and trails say of sessions, tunnels and streams, by field.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from reitunnel.interfaces import ISession, IStream, ITunnel


def session_facts(session: ISession) -> dict[str, object]:
    """
    Say which session it is.
    """
    return {
        "client": session.identity,
        "instance": session.instance,
        "session": session.id,
    }


def tunnel_facts(tunnel: ITunnel) -> dict[str, object]:
    """
    Say which tunnel it is, and whose.
    """
    return {**session_facts(tunnel.session), "tunnel": tunnel.id}


def stream_facts(stream: IStream) -> dict[str, object]:
    """
    Say which stream it is, of which tunnel, and who the visitor is.
    """
    return {
        **tunnel_facts(stream.tunnel),
        "stream": stream.id,
        "visitor": shown(stream.visitor),
    }


def shown(address: IAddress) -> str:
    """
    Write an address for people.
    """
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, UNIXAddress):
        name = address.name
        return f"unix:{name.decode(errors='replace')}" if name else "unix"
    return str(address)
