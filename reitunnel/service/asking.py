"""
Asks a running process for its state, over the address of its monitor.
"""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from reitunnel.config import HostTarget, UnixTarget, parse_monitor_address
from reitunnel.errors import ReitunnelError

PATIENCE: Final = 10.0
"""How long an answer may take, in seconds."""
_MOST: Final = 64 * 1024 * 1024
"""The largest answer that is read, in bytes."""


class NotAnswered(ReitunnelError):
    """
    Nobody is there, or it is not a Reitunnel process; the text is one line.
    """


class _UnixConnection(HTTPConnection):
    """
    HTTP over a Unix socket.
    """

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """
        Connect.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_status(address: str, patience: float = PATIENCE) -> dict[str, Any]:
    """
    Ask for C{/status}.

    @param address: C{host:port} or C{unix:/path}, as C{monitoring.listen} says it.
    @param patience: how long it may take, in seconds.
    @raise NotAnswered: if there is no answer, or none that makes sense.
    """
    connection = _connection(parse_monitor_address(address), patience)
    try:
        connection.request("GET", "/status")
        response = connection.getresponse()
        body = response.read(_MOST)
        if response.status != 200:
            raise NotAnswered(f"{address}: answered {response.status}")
        status = json.loads(body)
    except TimeoutError:
        raise NotAnswered(f"{address}: no answer for {patience:g} s") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotAnswered(f"{address}: nobody answers: {reason}") from None
    except (HTTPException, ValueError):
        raise NotAnswered(f"{address}: not a Reitunnel process") from None
    finally:
        connection.close()
    if not isinstance(status, dict) or "side" not in status:
        raise NotAnswered(f"{address}: not a Reitunnel process")
    return status


def _connection(address: HostTarget | UnixTarget, patience: float) -> HTTPConnection:
    if isinstance(address, UnixTarget):
        return _UnixConnection(str(address.path), patience)
    return HTTPConnection(address.host, address.port, timeout=patience)
