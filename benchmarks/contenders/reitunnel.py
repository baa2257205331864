"""
Reitunnel: its server and its client, as users run them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

from benchmarks.contenders.base import Opened, Site, Via, straight
from benchmarks.errors import Unavailable
from benchmarks.load.starting import start_module
from benchmarks.running.ports import LOOPBACK
from benchmarks.running.programs import Program
from reitunnel.auth import new_token

TRANSPORTS = ("tcp", "tls", "ws", "wss")
CARRIERS = ("mux", "direct", "auto")

_PROGRAM = Path(sys.executable).parent / "reitunnel"
_LOAD = "import reitunnel; reitunnel.load_client_config(None, {keys!r}, environ={{}})"
_RUN = "import sys; from reitunnel.service.command import main; sys.exit(main())"
_PATH = {"ws": "/tunnel", "wss": "/tunnel"}
_SECURE = ("tls", "wss")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Reitunnel:
    """
    One transport and one carrier.

    @ivar server_keys: what the server's configuration has besides the usual, by the
        key's path.
    @ivar client_keys: the same for the client.
    @ivar other: the checkout that it is run from, if not this one.
    @ivar variant: what that is called.
    @ivar module: what it is run by, if not by its own program: a module of this
        checkout that takes the same arguments.
    """

    transport: str
    carrier: str
    server_keys: Mapping[str, Any] = field(default_factory=dict)
    client_keys: Mapping[str, Any] = field(default_factory=dict)
    other: Path | None = None
    variant: str = ""
    module: str = ""

    @property
    def kind(self) -> str:
        """
        The transport and the carrier.
        """
        return f"{self.transport} {self.carrier}"

    @property
    def name(self) -> str:
        """
        The same, and the variant.
        """
        return variant_name(self.kind, self.variant)

    @property
    def encrypted(self) -> bool:
        """
        Whether it uses TLS.
        """
        return self.transport in _SECURE

    def varied(
        self,
        variant: str,
        server_keys: Mapping[str, Any],
        client_keys: Mapping[str, Any],
    ) -> Self:
        """
        Give the same with other keys.

        @param variant: what that is called.
        @param server_keys: the server's, besides those that it has.
        @param client_keys: the client's.
        """
        return replace(
            self,
            variant=variant,
            server_keys={**self.server_keys, **server_keys},
            client_keys={**self.client_keys, **client_keys},
        )

    def check(self) -> None:
        """
        @raise Unavailable: if this version does not have the carrier.
        """
        if not takes_carrier(self.carrier, self.other):
            raise Unavailable(f"the client takes no carrier {self.carrier!r} yet")
        if self.carrier == "auto" and not takes_carrier("direct", self.other):
            raise Unavailable("auto is the mux until there is a direct carrier")

    def open(self, site: Site, targets: Sequence[int], via: Via = straight) -> Opened:
        """
        Start a server and a client.
        """
        directory = site.new_directory()
        server, port = self.start_server(site, directory)
        client = self.start_client(site, directory, via(port), targets)
        found = client.lines_like(r" is open: \S+:(\d+) -> \S+:(\d+)", len(targets))
        # In the order of the answers, which need not be that of the questions.
        public = {int(match[2]): int(match[1]) for _, match in found}
        return Opened([public[target] for target in targets], (server, client))

    def start_server(self, site: Site, directory: Path) -> tuple[Program, int]:
        """
        Start a server.

        @param directory: for its files; the client's token comes there too.
        @return: the program, and the port that it listens on for links.
        """
        token, verifier = new_token("bench")
        site.write(directory, "token", token)
        keys: dict[str, Any] = {
            "listen": [self._url(0)],
            "auth.tokens": str(site.write(directory, "tokens.toml", verifier)),
        }
        if self.encrypted:
            keys["pem"] = str(site.pem)
        config = site.write(
            directory, "server.toml", toml({**keys, **self.server_keys})
        )
        server = self._start(site, "server", config)
        ((_, match),) = server.lines_like(r"listening on \S+:(\d+)")
        return server, int(match[1])

    def start_client(
        self, site: Site, directory: Path, port: int, targets: Sequence[int]
    ) -> Program:
        """
        Start a client.

        @param directory: that of the server.
        @param port: of the server.
        @param targets: their ports. The server chooses the public ones.
        """
        keys: dict[str, Any] = {
            "server": self._url(port),
            "token_file": str(directory / "token"),
            "carrier": self.carrier,
        }
        if self.encrypted:
            keys["ca"] = str(site.ca)
        tunnels = [
            f'[[tunnels]]\nport = 0\ntarget = "{LOOPBACK}:{target}"\n'
            for target in targets
        ]
        text = toml({**keys, **self.client_keys}) + "".join(tunnels)
        config = site.write(directory, "client.toml", text)
        return self._start(site, "client", config)

    def _start(self, site: Site, command: str, config: Path) -> Program:
        """
        Run a command of Reitunnel's.
        """
        name = f"reitunnel {command} ({self.name})"
        arguments = (command, "--config", str(config))
        if self.module:
            return start_module(site.programs, name, self.module, *arguments)
        if self.other is None:
            return site.programs.start(name, _PROGRAM, *arguments)
        return site.programs.start(
            name,
            *(sys.executable, "-P", "-c", _RUN),
            *arguments,
            environ=_environ(self.other),
        )

    def _url(self, port: int) -> str:
        path = _PATH.get(self.transport, "")
        return f"{self.transport}://{LOOPBACK}:{port}{path}"


def variant_name(kind: str, variant: str) -> str:
    """
    Give the name of a contender.

    @param variant: empty if it is none.
    """
    return f"{kind} ({variant})" if variant else kind


def kind_of(name: str) -> str:
    """
    Give a contender's name without its variant.
    """
    return name.partition(" (")[0]


def variant_of(name: str) -> str:
    """
    Give the variant in a contender's name; empty if there is none.
    """
    _, _, variant = name.partition(" (")
    return variant.removesuffix(")")


def toml(keys: Mapping[str, Any]) -> str:
    """
    Write keys as TOML, one a line.

    @param keys: texts, numbers, truth values, lists and tables, by the key's path.
    """
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in keys.items())


def toml_value(value: Any) -> str:
    """
    Write a value as TOML, on one line.
    """
    if isinstance(value, Mapping):
        pairs = (f"{_toml_key(key)} = {toml_value(value[key])}" for key in value)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    # Texts, numbers and truth values are as in JSON.
    return json.dumps(value)


def _toml_key(key: str) -> str:
    """
    Write a key of a table: a name, and no path.
    """
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key)


@cache
def takes_carrier(carrier: str, other: Path | None) -> bool:
    """
    Whether a client's configuration may name a carrier.

    @param other: the checkout that is asked, if not this one.
    """
    keys = {
        "server": f"tcp://{LOOPBACK}:1",
        "carrier": carrier,
        "tunnels": [f"0:{LOOPBACK}:1"],
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", _LOAD.format(keys=keys)],
        env={**os.environ, **_environ(other)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    errors = done.stderr.decode(errors="replace").strip()
    if done.returncode and "carrier: " not in errors:
        raise Unavailable(f"reitunnel: {errors.splitlines()[-1]}")
    return not done.returncode


def _environ(other: Path | None) -> dict[str, str]:
    """
    What runs Reitunnel from a checkout.
    """
    return {} if other is None else {"PYTHONPATH": str(other)}
