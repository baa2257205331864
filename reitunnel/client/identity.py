"""
The default client id: stable over restarts, different between machines.
"""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Final

from reitunnel.config import ClientConfig

MACHINE_IDS: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
"""Where the machine's id may stand. In a fresh image the file is empty."""


def default_client_id(config: ClientConfig) -> str:
    """
    Make a client id of the machine, the user, the server and the tunnels that
    are configured: two clients with different tunnels may run side by side, and
    the same one started again takes over. Without configured tunnels nothing
    tells clients apart, and the id is a new one each time.
    """
    host = "".join(c for c in socket.gethostname() if c.isalnum() or c in "-.")[:64]
    if not config.tunnels:
        return f"{host}-{token_hex(5)}"
    tunnels = sorted((t.bind, t.port, t.target) for t in config.tunnels)
    told = repr((host, _machine(), _user(), config.server, tunnels))
    return f"{host}-{sha256(told.encode()).hexdigest()[:10]}"


def _machine() -> str:
    for path in MACHINE_IDS:
        with suppress(OSError, UnicodeDecodeError):
            known = path.read_text().strip()
            if known:
                return known
    return str(uuid.getnode())


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
