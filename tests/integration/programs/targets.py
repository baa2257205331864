"""
Real services to be made public: nginx, sshd, PostgreSQL, Redis. Each is private
to one test: its own files, its own port on loopback, no privileges needed.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from unittest import SkipTest

from tests.integration.programs.cases import ProgramTestCase
from tests.integration.programs.ports import free_port
from tests.programs import require_program


async def start_nginx(case: ProgramTestCase, servers: str) -> None:
    """
    Start an nginx.

    @param servers: its C{server} blocks.
    """
    directory = case.directory / "nginx"
    directory.mkdir()
    temporary = "".join(
        f"  {kind}_temp_path {directory / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off;\nworker_processes 1;\npid {directory / 'pid'};\n{user}"
        "error_log stderr notice;\nevents { worker_connections 1024; }\n"
        f"http {{\n  access_log off;\n{temporary}{servers}\n}}\n"
    )
    nginx = case.start("nginx", "-e", "stderr", "-p", directory, "-c", config)
    await nginx.wait_for("start worker process [0-9]+")


async def start_web_site(case: ProgramTestCase, root: Path) -> int:
    """
    Start an nginx that serves files, and takes files by C{PUT}.

    @param root: where the files are.
    @return: its port.
    """
    port = free_port()
    await start_nginx(
        case,
        f"server {{ listen 127.0.0.1:{port}; root {root}; dav_methods PUT; "
        "client_max_body_size 0; sendfile on; }",
    )
    return port


@dataclass(frozen=True)
class SecureShell:
    """
    An sshd, and how to reach it.

    @ivar port: its port.
    @ivar options: what C{ssh} and C{scp} need to be told.
    @ivar login: the user to log in as.
    """

    port: int
    options: tuple[str, ...]
    login: str


async def start_sshd(case: ProgramTestCase, inside: Sequence[str] = ()) -> SecureShell:
    """
    Start an sshd that lets in whoever runs the tests, by a key of its own.

    @param inside: a command that runs it somewhere else.
    """
    directory = case.directory / "sshd"
    directory.mkdir()
    directory.chmod(0o700)
    for name in ("host_key", "user_key"):
        await case.run_program(
            "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name
        )
    authorized = directory / "authorized_keys"
    authorized.write_bytes((directory / "user_key.pub").read_bytes())
    known = directory / "known_hosts"
    known.write_text(f"target {(directory / 'host_key.pub').read_text()}")
    _make_sshd_directory()
    port = free_port()
    config = directory / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {directory / 'host_key'}\n"
        f"AuthorizedKeysFile {authorized}\nStrictModes no\nUsePAM no\nPidFile none\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nPrintMotd no\nPrintLastLog no\n"
        "UseDNS no\nSubsystem sftp internal-sftp\n"
    )
    sshd = case.start(*inside, require_program("sshd"), "-D", "-e", "-f", config)
    await sshd.wait_for("Server listening on")
    options = (
        ("IdentityFile", str(directory / "user_key")),
        ("IdentitiesOnly", "yes"),
        ("UserKnownHostsFile", str(known)),
        ("HostKeyAlias", "target"),
        ("StrictHostKeyChecking", "yes"),
        ("BatchMode", "yes"),
    )
    return SecureShell(
        port,
        ("-F", "none", *(part for each in options for part in ("-o", "=".join(each)))),
        pwd.getpwuid(os.geteuid()).pw_name,
    )


def require_terminals() -> None:
    """
    @raise SkipTest: if an sshd of this user cannot give its sessions a terminal:
        it insists on the group C{tty} for them, which only root can set where new
        terminals do not have it anyway.
    """
    ends = os.openpty()
    has_group = os.fstat(ends[1]).st_gid == grp.getgrnam("tty").gr_gid
    for end in ends:
        os.close(end)
    if os.geteuid() != 0 and not has_group:
        raise SkipTest("new terminals are not of the group tty, and this is not root")


def _make_sshd_directory() -> None:
    """
    Make the empty directory that an sshd of root must have. Debian makes it when
    the service starts, which here it never does.
    """
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


PASSWORD = "correct horse"
"""The password of the database."""


async def start_postgresql(case: ProgramTestCase) -> str:
    """
    Start a PostgreSQL of its own that listens on a Unix socket.

    @return: the target.
    """
    directory = case.directory / "postgresql"
    directory.mkdir()
    password = directory / "password"
    password.write_text(PASSWORD)
    user = unprivileged_user()
    if user is not None:
        for path in (directory, password):
            os.chown(path, *user)
    programs = postgresql_programs()
    data = directory / "data"
    await case.run_program(
        str(programs / "initdb"),
        *("--pgdata", data, "--username", "postgres", "--encoding", "UTF8"),
        *("--auth", "scram-sha-256", "--pwfile", password, "--no-sync"),
        user=user,
    )
    postgres = case.start(
        str(programs / "postgres"),
        *("-D", data, "-k", directory, "-c", "listen_addresses=", "-F"),
        user=user,
        # What its manual calls a fast shutdown.
        last_signal=Signals.SIGINT,
    )
    await postgres.wait_for("database system is ready to accept connections")
    return f"unix:{directory}/.s.PGSQL.5432"


def postgresql_programs() -> Path:
    """
    Where PostgreSQL's own programs are. Debian keeps those of each version apart,
    outside of every path.
    """
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, default=None, key=_version)
    return Path(newest or require_program("initdb")).resolve().parent


def _version(initdb: Path) -> int:
    number = re.match("[0-9]+", initdb.parent.parent.name)
    return int(number[0]) if number else 0


def unprivileged_user() -> tuple[int, int] | None:
    """
    The user and group for a program that refuses to run as root; L{None} if this
    process is not root anyway.
    """
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


async def start_redis(case: ProgramTestCase) -> int:
    """
    Start a Redis that keeps nothing.

    @return: its port.
    """
    port = free_port()
    redis = case.start(
        "redis-server",
        *("--bind", "127.0.0.1", "--port", str(port), "--save", ""),
        *("--daemonize", "no", "--appendonly", "no"),
    )
    await redis.wait_for("Ready to accept connections")
    return port


async def start_socat(case: ProgramTestCase, command: str) -> int:
    """
    Start a socat that runs a command for each connection. It waits for the
    command's answer after the visitor has ended its direction.

    @return: its port.
    """
    socat = case.start(
        "socat",
        *("-d", "-d", "-t", "30"),
        "TCP-LISTEN:0,bind=127.0.0.1,fork",
        f"EXEC:{shlex.quote(command)}",
    )
    listening = await socat.wait_for(r"listening on AF=2 127\.0\.0\.1:(\d+)")
    return int(listening[1])


async def checksum(case: ProgramTestCase, file: Path) -> str:
    """
    The SHA-256 of a file, in hex.
    """
    finished = await case.run_program("sha256sum", file)
    return finished.out.split()[0]


async def write_random_file(case: ProgramTestCase, file: Path, size: int) -> None:
    """
    Write a file with no byte that repeats itself, soon: a key stream.
    """
    await case.run_shell(
        'head -c "$1" /dev/zero | openssl enc -aes-128-ctr -K "$2" -iv 00 >"$3"',
        str(size),
        os.urandom(16).hex(),
        file,
    )
