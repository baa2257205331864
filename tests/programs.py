"""
Finds the real programs that integration tests run.
"""

from __future__ import annotations

import os
import shutil
from glob import glob
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
