"""
C{reitunnel check}: what is wrong with a configuration, what is a risk, and what could
be faster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TextIO

from msgspec.structs import fields
from twisted.python.usage import CompleteFiles, CompleteList, Completions, UsageError

from reitunnel.client import Client
from reitunnel.config import (
    ClientConfig,
    ServerConfig,
    load_client_config,
    load_server_config,
)
from reitunnel.config.loading import read_toml
from reitunnel.errors import (
    CertificateError,
    ConfigError,
    ConfigMistake,
    ReitunnelError,
)
from reitunnel.hooks import find_hook_plugins
from reitunnel.server import Server
from reitunnel.service.advice import Advice, Severity, risk
from reitunnel.service.exits import FAILED, MISTAKEN, STOPPED
from reitunnel.service.machine import Machine, client_fits, server_fits, this_machine
from reitunnel.service.mistakes import client_mistakes, server_mistakes
from reitunnel.service.options import CommandOptions
from reitunnel.service.risks import client_risks, server_risks
from reitunnel.service.speed import client_hints, server_hints

Side = Literal["server", "client"]

_FORMATS: Final = ("text", "json")
_CODES: Final = {
    Severity.WRONG: MISTAKEN,
    Severity.RISK: FAILED,
    Severity.HINT: STOPPED,
}
_SERVER_KEYS = frozenset(field.name for field in fields(ServerConfig))
_CLIENT_KEYS = frozenset(field.name for field in fields(ClientConfig))


class CheckOptions(CommandOptions):
    """
    C{reitunnel check}.
    """

    synopsis = "reitunnel check [options] FILE"
    longdesc = (
        "Checks the configuration in FILE as a start would, without starting anything. "
        "Prints a line for each mistake, or, if there is none, for each risk and for "
        "what could be faster, with the key to change. The exit code is 2 if something "
        "is wrong, 1 if there is a risk, else 0."
    )
    optParameters: ClassVar = [["format", None, "text", "text or json"]]
    optFlags: ClassVar = [
        ["server", None, "FILE is a server's; without it, its keys tell"],
        ["client", None, "FILE is a client's; without it, its keys tell"],
    ]

    compData = Completions(
        optActions={"format": CompleteList(_FORMATS)},
        extraActions=[CompleteFiles("*.toml")],
    )

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
        if self["format"] not in _FORMATS:
            raise UsageError("--format is text or json")
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


def check_file(
    options: CheckOptions,
    out: TextIO,
    reactor: Any,
    machine: Machine | None = None,
) -> int:
    """
    Check a configuration.

    @param reactor: what hooks are built with. It is not run.
    @param machine: what it is to run on; this one if L{None}.
    @return: the exit code.
    """
    path = Path(options["file"])
    side: Side | None = None
    try:
        side = options.side or side_of(path)
        found = _check(path, side, reactor, machine or this_machine())
    except ReitunnelError as error:
        found = _mistakes(error)
        if any(each.key.startswith("hooks") for each in found):
            found += _left_out()
    code = max((_CODES[each.severity] for each in found), default=STOPPED)
    if options["format"] == "json":
        out.write(json.dumps(_as_json(path, side, found, code), indent=2) + "\n")
        return code
    out.writelines(f"{each}\n" for each in found)
    if code != MISTAKEN:
        out.write(f"{path}: a {side}'s configuration without mistakes\n")
    return code


def _as_json(
    path: Path, side: Side | None, found: Sequence[Advice], code: int
) -> dict[str, object]:
    return {
        "file": str(path),
        "side": side,
        "exit_code": code,
        "findings": [
            {
                "severity": each.severity.value,
                "key": each.key,
                "message": each.message,
            }
            for each in found
        ],
    }


def _mistakes(error: ReitunnelError) -> list[Advice]:
    if isinstance(error, ConfigError):
        return [
            Advice(Severity.WRONG, mistake.path, mistake.message)
            for mistake in error.mistakes
        ]
    return [Advice(Severity.WRONG, "", str(error))]


def side_of(path: Path) -> Side:
    """
    Tell from its keys whose configuration a file is.

    @raise ReitunnelError: if they do not tell.
    """
    try:
        table = read_toml(path)
    except ConfigError:
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


def _check(path: Path, side: Side, reactor: Any, machine: Machine) -> list[Advice]:
    """
    @return: what there is to say of a configuration without mistakes.
    @raise ReitunnelError: for the mistakes.
    """
    now = datetime.now(UTC)
    if side == "server":
        server = load_server_config(path, others=server_mistakes)
        files = {"pem": server.pem, "auth.client_ca": server.auth.client_ca}
        with _blaming(files):
            hooks = Server(reactor, server).hooks
        return [
            *server_risks(server, now),
            *(_left_out() if server.hooks else ()),
            *server_fits(server, machine),
            *server_hints(server, hooks, machine),
        ]
    client = load_client_config(path, others=client_mistakes)
    with _blaming({"pem": client.pem, "ca": client.ca}):
        hooks = Client(reactor, client).hooks
    return [
        *client_risks(client, now),
        *(_left_out() if client.hooks else ()),
        *client_fits(client, machine),
        *client_hints(client, hooks, machine),
    ]


def _left_out() -> Iterator[Advice]:
    for broken in find_hook_plugins().broken:
        yield risk("hooks", f"plugin {broken.plugin} is left out: {broken.reason}")


@contextmanager
def _blaming(files: Mapping[str, Path | None]) -> Iterator[None]:
    """
    Name the key whose file cannot be used.

    @param files: the files by key.
    """
    try:
        yield
    except CertificateError as error:
        keys = [key for key, file in files.items() if file and str(file) in str(error)]
        raise ConfigError(
            [ConfigMistake(keys[0] if keys else "", str(error))]
        ) from None
