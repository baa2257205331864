"""
The C{reitunnel} command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from getopt import GetoptError, getopt
from typing import Any, ClassVar, TextIO, TypeVar

from twisted.python.usage import UsageError
from twisted.scripts import twistd

from reitunnel.errors import ReitunnelError, hide_tokens
from reitunnel.service.audit import AuditOptions, verify_trail
from reitunnel.service.check import CheckOptions, check_file
from reitunnel.service.demo import DemoOptions, run_demo
from reitunnel.service.exits import (
    FAILED,
    MISTAKEN,
    STOPPED,
    UNREAD,
    NotStarted,
    explain,
    process_exit,
)
from reitunnel.service.hook_list import HooksOptions, list_hooks
from reitunnel.service.options import ClientOptions, CommandOptions, ServerOptions
from reitunnel.service.status import StatusOptions, show_status
from reitunnel.service.tokens import TokenOptions, make_token

_Options = TypeVar("_Options", bound=CommandOptions)


class ReitunnelOptions(CommandOptions):
    """
    The command as a whole, for its help.
    """

    synopsis = "reitunnel [options] command ..."
    longdesc = (
        "server and client run in the foreground, and twistd runs them: its options "
        "may stand before the command, such as --logfile=FILE and --pidfile=FILE (see "
        'twistd --help). For a daemon say "twistd reitunnel server ...". Each command '
        "has a --help of its own."
    )
    subCommands: ClassVar = [
        ["server", None, ServerOptions, "Take clients and open their tunnels"],
        ["client", None, ClientOptions, "Connect services here to a server"],
        ["demo", None, DemoOptions, "See a tunnel work, on this machine alone"],
        ["token", None, TokenOptions, "Make a token for a client"],
        ["check", None, CheckOptions, "Check a configuration file"],
        ["audit", None, AuditOptions, "Verify an audit trail"],
        ["hooks", None, HooksOptions, "List the hooks that are installed"],
        ["status", None, StatusOptions, "See what a running process does"],
    ]


class CommandLineError(Exception):
    """
    A mistake in the command line; its text is one line for people.
    """

    def __init__(self, command: str, error: object) -> None:
        """
        @param command: the command whose help is of use.
        """
        super().__init__(hide_tokens(f"{command}: {error} (see {command} --help)"))


def main(
    arguments: Sequence[str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """
    Run the command.

    @param arguments: those of the command line if L{None}.
    @param out: where results go; standard output if L{None}.
    @param err: where mistakes go; standard error if L{None}.
    @return: the exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    out = sys.stdout if out is None else out
    err = sys.stderr if err is None else err
    try:
        code = _run_or_explain(given, out, err)
        out.flush()
        err.flush()
    except BrokenPipeError:
        # Whoever reads it has enough, as in "reitunnel hooks | head -1".
        _discard(out, err)
        return UNREAD
    return code


def _discard(*streams: TextIO) -> None:
    """
    Let nothing that is still to be written fail.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        # It may be none of the system's.
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _run_or_explain(given: list[str], out: TextIO, err: TextIO) -> int:
    try:
        # For what Twisted prints.
        with redirect_stdout(out), redirect_stderr(err):
            return _run(given, out, err)
    except CommandLineError as error:
        err.write(f"{error}\n")
        return MISTAKEN
    except ReitunnelError as error:
        lines, code = explain(error)
        err.writelines(f"{line}\n" for line in lines)
        return code
    except SystemExit as left:
        # That is how Options and twistd end after they have said something; with
        # a text they leave that to others.
        if isinstance(left.code, str):
            err.write(f"{left.code}\n")
            return FAILED
        return int(left.code or STOPPED)


def _run(given: list[str], out: TextIO, err: TextIO) -> int:
    before, names, rest = _split(given)
    if names & {"--help", "--version"}:
        # It prints and exits.
        ReitunnelOptions().parseOptions(sorted(names & {"--help", "--version"}))
    if not rest:
        raise CommandLineError("reitunnel", "a command is missing")
    command, *arguments = rest
    if command in ("server", "client"):
        return _run_twistd(before, command, arguments)
    if before:
        raise CommandLineError("reitunnel", f"{before[0]} is for server and client")
    if command == "token":
        return make_token(_parsed(TokenOptions(), command, arguments), out)
    if command == "check":
        check = _parsed(CheckOptions(), command, arguments)
        return check_file(check, out, _reactor())
    if command == "audit":
        return verify_trail(_parsed(AuditOptions(), command, arguments), out)
    if command == "hooks":
        return list_hooks(_parsed(HooksOptions(), command, arguments), out)
    if command == "status":
        return show_status(_parsed(StatusOptions(), command, arguments), out)
    if command == "demo":
        demo = _parsed(DemoOptions(), command, arguments)
        return run_demo(demo, out, err, _reactor())
    raise CommandLineError("reitunnel", f"unknown command: {command}")


def _split(given: list[str]) -> tuple[list[str], set[str], list[str]]:
    """
    Take the options before the command, which are those of C{twistd}, apart from
    the rest.

    @return: these options as they were given, their names, and the rest.
    """
    options = _twistd_options()
    try:
        pairs, rest = getopt(given, options.shortOpt, options.longOpt)
    except GetoptError as error:
        raise CommandLineError("reitunnel", error) from None
    return given[: len(given) - len(rest)], {name for name, _ in pairs}, rest


def _twistd_options() -> Any:
    # twistd has it for those who run it, but does not list it.
    return twistd.ServerOptions()  # type: ignore[attr-defined,no-untyped-call]


def _parsed(options: _Options, command: str, arguments: list[str]) -> _Options:
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        raise CommandLineError(f"reitunnel {command}", error) from None
    return options


def _run_twistd(before: list[str], command: str, arguments: list[str]) -> int:
    """
    Do what C{twistd -n reitunnel} does. Without a pid file: C{twistd} would write
    it to the working directory, where there may be another client.
    """
    options = _twistd_options()
    try:
        options.parseOptions(
            ["--nodaemon", "--pidfile=", *before, "reitunnel", command, *arguments]
        )
    except UsageError as error:
        raise CommandLineError("reitunnel", error) from None
    try:
        twistd.runApp(options)
    except NotStarted:
        return FAILED
    return process_exit.value


def _reactor() -> Any:
    from twisted.internet import reactor  # noqa: PLC0415  # installed when needed

    return reactor
