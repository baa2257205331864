"""
What is installed from a wheel: the package with its types, the command, and the
twistd plugin.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import sysconfig
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

from twisted.trial.unittest import SynchronousTestCase

from tests.programs import run_program

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
PACKAGES = ("reitunnel", "twisted")

_PATH = "PYTHONPATH"

PLUGINS = """
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

import reitunnel

print(reitunnel.__file__)
names = [each.tapname for each in getPlugins(IServiceMaker)]
print(names.count("reitunnel"))
"""


DISTRIBUTIONS = {
    "OpenSSL": "pyopenssl",
    "prometheus_client": "prometheus-client",
    "service_identity": "service-identity",
    "zope": "zope.interface",
}
"""What installs a package that has another name."""


def imported() -> set[str]:
    """
    What the package imports that is neither its own nor Python's.
    """
    found = set()
    for path in (ROOT / "reitunnel").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module or "")
    packages = {name.partition(".")[0] for name in found}
    return packages - sys.stdlib_module_names - {"reitunnel"}


class RequirementTests(SynchronousTestCase):
    def test_what_is_imported_is_required(self) -> None:
        """
        And nothing else is.
        """
        metadata = ConfigParser()
        metadata.read(ROOT / "setup.cfg")
        required = {
            re.split(r"[\[<>=~!; ]", line)[0]
            for lines in (
                metadata["options"]["install_requires"],
                # What is imported only when it is needed.
                metadata["options.extras_require"]["metrics"],
            )
            for line in lines.split("\n")
            if line
        }
        self.assertEqual(
            {DISTRIBUTIONS.get(package, package) for package in imported()}, required
        )


def run(*command: str | Path, directory: Path) -> str:
    """
    Run a command.

    @return: what it printed.
    @raise AssertionError: if it failed.
    """
    # Trial puts this checkout on the path of the processes that it divides tests over.
    environment = {key: value for key, value in os.environ.items() if key != _PATH}
    done = run_program(
        command, timeout=120, directory=directory, environment=environment
    )
    if done.returncode:
        raise AssertionError(f"{command} exited with {done.returncode}\n{done.stdout}")
    return done.stdout


class WheelTests(SynchronousTestCase):
    def build(self) -> Path:
        """
        Build a wheel from a copy of the sources.
        """
        self.directory = Path(self.mktemp()).absolute()
        source = self.directory / "source"
        source.mkdir(parents=True)
        for name in SOURCES:
            shutil.copy(ROOT / name, source)
        ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
        for name in PACKAGES:
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
        run(sys.executable, "-m", "pip", "wheel", *options, ".", directory=source)
        (wheel,) = source.glob("*.whl")
        return wheel

    def test_wheel(self) -> None:
        wheel = self.build()
        self.assert_contents(wheel)
        self.assert_installed(wheel)

    def assert_contents(self, wheel: Path) -> None:
        """
        The wheel has every module, the types' marker, the plugin and the license,
        and makes no package of C{twisted}.
        """
        names = set(ZipFile(wheel).namelist())
        modules = {
            str(path.relative_to(ROOT)) for path in (ROOT / "reitunnel").rglob("*.py")
        }
        expected = modules | {
            "reitunnel/py.typed",
            "twisted/plugins/reitunnel_dropin.py",
        }
        packed = {name for name in names if ".dist-info/" not in name}
        self.assertEqual(expected, packed)
        self.assertTrue([name for name in names if name.endswith("LICENSE")])

    def assert_installed(self, wheel: Path) -> None:
        """
        In a new environment the command runs and twistd finds the plugin.
        """
        environment = self.directory / "environment"
        venv = [sys.executable, "-m", "venv", "--without-pip"]
        run(*venv, environment, directory=self.directory)
        python = environment / "bin" / "python"
        options = ["--no-deps", "--no-index", "--quiet"]
        pip = [sys.executable, "-m", "pip", "--python", str(python)]
        run(*pip, "install", *options, wheel, directory=self.directory)
        # The requirements are those of this environment. A line in a .pth file does
        # not bring in what that environment's own .pth files name, such as this
        # checkout.
        (site,) = (environment / "lib").glob("python*/site-packages")
        (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
        where, plugins = run(
            python, "-c", PLUGINS, directory=self.directory
        ).splitlines()
        self.assertTrue(Path(where).is_relative_to(environment), where)
        self.assertEqual("1", plugins)
        command = environment / "bin" / "reitunnel"
        self.assertIn("server", run(command, "--help", directory=self.directory))
