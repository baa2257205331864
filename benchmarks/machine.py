"""
Describes the machine and the programs that a benchmark ran with.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from OpenSSL import SSL

from benchmarks.errors import Unavailable
from benchmarks.running.procfs import PROC
from benchmarks.running.programs import find_program

_PACKAGES = ("Twisted", "pyOpenSSL", "cryptography", "autobahn", "msgspec")
_PEERS = (
    ("socat", "-V", r"socat version (\S+)"),
    ("stunnel4", "-version", r"stunnel (\S+)"),
    ("haproxy", "-v", r"version (\S+)"),
    ("ssh", "-V", r"OpenSSH_(\S+?),? "),
)


def describe(root: Path) -> dict[str, str]:
    """
    Describe this machine.

    @param root: the checkout.
    """
    facts = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "OpenSSL": SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode(),
    }
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            facts[package] = version(package)
    facts["Reitunnel"] = f"{version('reitunnel')}{_commit(root)}"
    for name, flag, pattern in _PEERS:
        facts[name] = _peer(name, flag, pattern)
    facts["load before"] = f"{os.getloadavg()[0]:.2f}"
    return facts


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", _read("cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory() -> str:
    found = re.search(r"^MemTotal:\s*(\d+) kB$", _read("meminfo"), re.MULTILINE)
    return f"{int(found[1]) / (1 << 20):.1f} GiB" if found else "unknown"


def _read(name: str) -> str:
    return (PROC / name).read_text()


def _peer(name: str, flag: str, pattern: str) -> str:
    """
    Ask a program for its version.
    """
    try:
        printed = _printed([find_program(name), flag])
    except Unavailable:
        return "not installed"
    found = re.search(pattern, printed)
    return found[1] if found else "of unknown version"


def _commit(root: Path) -> str:
    """
    Say which commit this is, if git knows.
    """
    try:
        git = [find_program("git"), "-C", str(root)]
    except Unavailable:
        return ""
    commit = _printed([*git, "rev-parse", "--short", "HEAD"]).strip()
    if not re.fullmatch(r"[0-9a-f]+", commit):
        return ""
    changed = _printed([*git, "status", "--porcelain", "--", "reitunnel"]).strip()
    return f" at {commit}" + (" with changes" if changed else "")


def _printed(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=10,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.decode(errors="replace")
