"""
C{reitunnel check}: what is wrong with a configuration, and what is a risk.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, TextIO

from msgspec.structs import fields
from twisted.python.usage import UsageError

from reitunnel.config import (
    ClientConfig,
    ServerConfig,
    load_client_config,
    load_server_config,
)
from reitunnel.errors import ReitunnelError
from reitunnel.service.building import build_client, build_server
from reitunnel.service.exits import MISTAKEN, STOPPED, explain
from reitunnel.service.options import CommandOptions
from reitunnel.service.risks import client_risks, server_risks

Side = Literal["server", "client"]

_SERVER_KEYS = frozenset(field.name for field in fields(ServerConfig))
_CLIENT_KEYS = frozenset(field.name for field in fields(ClientConfig))


class CheckOptions(CommandOptions):
    """
    C{reitunnel check}.
    """

    synopsis = "reitunnel check [options] FILE"
    longdesc = (
        "Checks the configuration in FILE as a start would, without starting anything. "
        "Prints a line for each mistake, with the key's path, and one for each risk. "
        "The exit code is 2 if there is a mistake, else 0."
    )
    optFlags: ClassVar = [
        ["server", None, "FILE is a server's; without it, its keys tell"],
        ["client", None, "FILE is a client's; without it, its keys tell"],
    ]

    def parseArgs(self, *files: str) -> None:
        """
        Take the file.
        """
        if len(files) != 1:
            raise UsageError("give one file")
        self["file"] = files[0]

    def postOptions(self) -> None:
        """
        See that the flags make sense.
        """
        if self["server"] and self["client"]:
            raise UsageError("--server and --client contradict each other")

    @property
    def side(self) -> Side | None:
        """
        Whose configuration it is, if a flag says so.
        """
        if self["server"]:
            return "server"
        return "client" if self["client"] else None


def check_file(options: CheckOptions, out: TextIO, reactor: Any) -> int:
    """
    Check a configuration.

    @param reactor: what hooks are built with. It is not run.
    """
    path = Path(options["file"])
    try:
        side = options.side or side_of(path)
        risks = _check(path, side, reactor)
    except ReitunnelError as error:
        lines, _ = explain(error)
        out.writelines(f"{line}\n" for line in lines)
        return MISTAKEN
    out.writelines(f"warning: {risk}\n" for risk in risks)
    out.write(f"{path}: a {side}'s configuration without mistakes\n")
    return STOPPED


def side_of(path: Path) -> Side:
    """
    Tell from its keys whose configuration a file is.

    @raise ReitunnelError: if they do not tell.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        # What is wrong is for the loader to say, whichever it is.
        table = {}
    server = _count(table, _SERVER_KEYS - _CLIENT_KEYS)
    client = _count(table, _CLIENT_KEYS - _SERVER_KEYS)
    if table and server == client:
        raise ReitunnelError(
            f"{path}: is it a server's or a client's? Say --server or --client"
        )
    return "client" if client > server else "server"


def _count(table: Mapping[str, Any], keys: frozenset[str]) -> int:
    return len(keys & table.keys())


def _check(path: Path, side: Side, reactor: Any) -> list[str]:
    """
    @return: the risks.
    @raise ReitunnelError: for the mistakes.
    """
    now = datetime.now(UTC)
    if side == "server":
        server = load_server_config(path)
        build_server(reactor, server)
        return list(server_risks(server, now))
    client = load_client_config(path)
    build_client(reactor, client)
    return list(client_risks(client, now))
