"""
Finds the real programs that tests run, and runs them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from unittest import SkipTest

# Where daemons live, and Debian's PostgreSQL: a user's PATH often leaves these out.
SYSTEM_DIRECTORIES = (
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    *sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True),
)


class MissingProgram(Exception):
    """
    A program is missing where it must not be.
    """


def require_program(name: str) -> str:
    """
    The path of a program.

    @param name: what a shell would be told, such as C{nginx}.
    @raise SkipTest: if it is not installed.
    @raise MissingProgram: if it is not installed and the environment says
        C{CI=true}: there a test that cannot run is a failure.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_DIRECTORIES))
    found = shutil.which(name, path=path)
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        raise MissingProgram(f"{name} is not installed; .ci/run must install it")
    raise SkipTest(f"{name} is not installed")


def run_program(
    command: Sequence[str | Path],
    *,
    timeout: float,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """
    Run a program to its end.

    @param timeout: how long it may take, in seconds.
    @param directory: where it runs; here if L{None}.
    @param environment: what it runs with; what this process has if L{None}.
    @return: its exit code, and all that it printed, in C{stdout}.
    @raise TimeoutExpired: if it runs for longer.
    """
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
