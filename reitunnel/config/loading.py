"""
Loads the configuration of a server or a client from a TOML file, flags and the
environment.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from reitunnel.config.checks import Finding, check_client, check_server
from reitunnel.config.origin import Origin, is_within
from reitunnel.config.presets import resolve
from reitunnel.config.reading import Reader
from reitunnel.config.settings import ClientConfig, ServerConfig
from reitunnel.config.values import Secret
from reitunnel.errors import ConfigError, ConfigMistake

TOKEN_VARIABLE = "REITUNNEL_TOKEN"
"""The environment variable that holds a client's token."""

MAX_FILE_SIZE = 4 * 1024 * 1024
"""The largest configuration file that is read, in bytes."""

StrPath = str | os.PathLike[str]

_TOKEN_KEYS = ("token", "token_file")
_MAX_TOKEN_SIZE = 4096
_POSITION = re.compile(r" \(at line (?P<line>[0-9]+), column [0-9]+\)\Z")


def _no_others(config: object) -> Iterable[ConfigMistake]:
    """
    The default of C{others}.
    """
    return ()


def load_server_config(
    path: StrPath | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    directory: StrPath | None = None,
    others: Callable[[ServerConfig], Iterable[ConfigMistake]] = _no_others,
) -> ServerConfig:
    """
    Load the configuration of a server.

    @param path: the TOML file, if there is one.
    @param overrides: what flags say, by the key's path (C{"limits.max_conns"}).
        They win over the file; text stands for a number or boolean where one is
        expected; L{None} is no value. Messages name the flag: C{--max-conns}.
    @param directory: what relative paths in C{path} and C{overrides} are relative
        to; the working directory if L{None}.
    @param others: if there is a mistake, tells those that are not for this to find:
        given what could be read, with defaults for what could not.
    @raise ConfigError: with every mistake found.
    """
    table, flags, origin = _gather(path, overrides, directory)
    _merge(table, flags)
    reader = Reader(origin)
    config = reader.read(ServerConfig, table, {"listen": ()})
    config = resolve(config, reader.given, origin)
    _raise_any(reader.mistakes, check_server(config), origin, lambda: others(config))
    return config


def load_client_config(
    path: StrPath | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    needs_tunnels: bool = True,
    directory: StrPath | None = None,
    others: Callable[[ClientConfig], Iterable[ConfigMistake]] = _no_others,
) -> ClientConfig:
    """
    Load the configuration of a client.

    The token is the one that a flag says, else that of the environment, else that
    of the file; C{token_file} is read.

    @param path: the TOML file, if there is one.
    @param overrides: what flags say, as for L{load_server_config}. C{"tunnels"} is a
        list of texts that L{reitunnel.config.parse_remote} reads.
    @param environ: where L{TOKEN_VARIABLE} may be.
    @param needs_tunnels: whether a client without tunnels is a mistake. Say
        L{False} if the program opens them itself.
    @param directory: as for L{load_server_config}.
    @param others: the same.
    @raise ConfigError: with every mistake found.
    """
    table, flags, origin = _gather(path, overrides, directory)
    token_from_flag = not flags.keys().isdisjoint(_TOKEN_KEYS)
    token = None if token_from_flag else environ.get(TOKEN_VARIABLE, "").strip()
    mistakes = []
    if token_from_flag or token:
        for key in _TOKEN_KEYS:
            table.pop(key, None)
    elif "token" in table and path is not None:
        if "token_file" in table:
            mistakes.append(ConfigMistake("token", "contradicts token_file"))
        if message := _open_to_others(_file(path, directory)):
            mistakes.append(ConfigMistake("token", message))
    _merge(table, flags)
    reader = Reader(origin)
    config = reader.read(ClientConfig, table, {"server": ""})
    config = resolve(config, reader.given, origin)
    if token:
        config = msgspec.structs.replace(config, token=Secret(token))
    elif config.token_file is not None and config.token is None:
        try:
            secret = _read_token(config.token_file)
            config = msgspec.structs.replace(config, token=secret)
        except ValueError as error:
            mistakes.append(ConfigMistake("token_file", str(error)))
    findings = check_client(config, needs_tunnels=needs_tunnels)
    wrong = [*reader.mistakes, *mistakes]
    _raise_any(wrong, findings, origin, lambda: others(config))
    return config


def _gather(
    path: StrPath | None,
    overrides: Mapping[str, Any] | None,
    directory: StrPath | None,
) -> tuple[dict[str, Any], dict[str, Any], Origin]:
    """
    The file's table, the flags that were given, and where things come from.
    """
    flags = {key: each for key, each in (overrides or {}).items() if each is not None}
    here, names = _base(directory), frozenset(flags)
    if path is None:
        return {}, flags, Origin(here, here, names)
    file = _file(path, directory)
    return read_toml(file), flags, Origin(file.absolute().parent, here, names)


def _file(path: StrPath, directory: StrPath | None) -> Path:
    """
    The configuration file: as it was given, where that is the same, because messages
    show it.
    """
    return Path(path) if directory is None else Path(directory) / path


def _base(directory: StrPath | None) -> Path:
    """
    What relative paths are relative to.
    """
    return Path.cwd() if directory is None else Path(directory)


def _merge(table: dict[str, Any], flags: Mapping[str, Any]) -> None:
    """
    Put what flags say into the file's table.
    """
    for path, value in flags.items():
        *parents, key = path.split(".")
        place: Any = table
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                # The file is wrong here, which its reader will say.
                break
        else:
            place[key] = list(value) if isinstance(value, tuple) else value


def _raise_any(
    mistakes: Iterable[ConfigMistake],
    findings: Iterable[Finding],
    origin: Origin,
    others: Callable[[], Iterable[ConfigMistake]],
) -> None:
    """
    @param others: tells what else is wrong.
    @raise ConfigError: if anything was found.
    """
    wrong = list(mistakes)
    paths = [mistake.path for mistake in wrong]
    for finding in findings:
        if not any(_explains(path, finding) for path in paths):
            wrong.append(ConfigMistake(finding.path, finding.message))
    if wrong:
        # What is wrong in a list was left out of it: the others have other numbers.
        known = {_first_key(mistake.path) for mistake in wrong}
        wrong += [each for each in others() if _first_key(each.path) not in known]
        raise ConfigError([origin.name(mistake) for mistake in wrong])


def _first_key(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _explains(path: str, finding: Finding) -> bool:
    """
    Whether a mistake at C{path} leaves nothing to say of a combination.
    """
    return is_within(finding.path, path) or any(
        is_within(key, path) or is_within(path, key) for key in finding.depends
    )


def read_toml(file: Path) -> dict[str, Any]:
    """
    Read a TOML file that may be anything.

    @raise ConfigError: if the file cannot be read or is not TOML.
    """
    where, message = str(file), ""
    try:
        # tomllib is recursive, and its time grows with the size of the text.
        return tomllib.loads(_read_text(file, MAX_FILE_SIZE))
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        if position := _POSITION.search(message):
            where += f", line {position['line']}"
            message = message[: position.start()]
        message = f"not TOML: {message[:1].lower()}{message[1:]}"
    except ValueError as error:
        message = str(error)
    except RecursionError:
        message = "not TOML that can be read: nested too deeply"
    raise ConfigError([ConfigMistake(where, message)])


def _read_token(file: Path) -> Secret:
    """
    @raise ValueError: if the file cannot be used; the message is for people.
    """
    try:
        text = _read_text(file, _MAX_TOKEN_SIZE).strip()
    except ValueError as error:
        raise ValueError(f"{error}: {file}") from None
    if not text:
        raise ValueError(f"holds no token: {file}")
    if message := _open_to_others(file):
        raise ValueError(message)
    return Secret(text)


def _read_text(file: Path, limit: int) -> str:
    """
    @raise ValueError: if the file cannot be read, is larger than C{limit} bytes or
        not text; the message is for people.
    """
    try:
        with open(file, "rb", opener=_open) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ValueError("not a file")
            content = stream.read(limit + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise ValueError(f"larger than {limit} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text at byte {error.start}") from None


def _open(path: str, flags: int) -> int:
    # Without O_NONBLOCK a FIFO that nobody writes to would block for ever.
    return os.open(path, flags | os.O_NONBLOCK)


def _open_to_others(file: Path) -> str | None:
    """
    What is wrong with the mode of a file that holds a secret, if anything is.
    """
    mode = stat.S_IMODE(file.stat().st_mode)
    if not mode & stat.S_IRWXO:
        return None
    return f"open to others (mode {mode:04o}) and holds a secret: chmod 600 {file}"
