"""
Which part of Reitunnel may import which, and the finding of imports that may not be.

Imports are read from the source, wherever they stand: in functions and under
C{TYPE_CHECKING} too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BOTTOM = frozenset({"errors", "interfaces", "config", "prompt", "waiters"})
MIDDLE = frozenset({"transports", "auth", "relay", "hooks"})
ENDS = BOTTOM | MIDDLE | {"wire"}

ALLOWED: Mapping[str, frozenset[str]] = {
    "errors": frozenset(),
    "interfaces": frozenset({"errors"}),
    "config": frozenset({"errors"}),
    "prompt": frozenset(),
    "waiters": frozenset(),
    # Not interfaces: they import Twisted, and the wire knows nothing of it.
    "wire": frozenset({"errors", "config"}),
    "transports": BOTTOM | {"wire"},
    "auth": BOTTOM | {"wire"},
    "relay": BOTTOM | {"wire"},
    "hooks": BOTTOM | {"wire"},
    "server": ENDS,
    "client": ENDS,
    # Of server and client it knows what it is given.
    "monitoring": BOTTOM | {"hooks", "relay"},
    "service": ENDS | {"server", "client", "monitoring"},
    # For tests, of users too. Nothing imports it.
    "testing": ENDS | {"server", "client"},
    # reitunnel/__init__.py, the public API, and python -m reitunnel.
    "__init__": ENDS | {"server", "client"},
    "__main__": frozenset({"service"}),
}
"""The parts of the package, and the other parts that each may import."""

NETWORKING = frozenset({"twisted", "autobahn", "OpenSSL", "asyncio", "socket"})
CLOCKS = frozenset({"time", "datetime", "random", "secrets", "threading"})

FORBIDDEN: Mapping[str, frozenset[str]] = {
    "errors": NETWORKING,
    "config": NETWORKING,
    "wire": NETWORKING | CLOCKS,
}
"""Outside packages that a part must not import."""

REACTOR = "twisted.internet.reactor"
MAY_IMPORT_THE_REACTOR = frozenset({"service"})


@dataclass(frozen=True)
class Violation:
    """
    An import that points the wrong way.
    """

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def part_of(module: str) -> str:
    """
    The part that a module of the package belongs to.

    @param module: a dotted name, C{reitunnel} or below it.
    """
    return module.split(".")[1] if "." in module else "__init__"


def violations(root: Path) -> list[Violation]:
    """
    Every import inside C{root/reitunnel} that points the wrong way.
    """
    package = root / "reitunnel"
    modules = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in sorted(package.rglob("*.py"))
    }
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    found = []
    for module, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        is_package = path.name == "__init__.py"
        imports = _imports(tree, module, is_package, frozenset(modules))
        for line, target in sorted(set(imports)):
            message = _judge(module, target)
            if message is not None:
                relative = str(path.relative_to(root))
                found.append(Violation(relative, line, message))
        if part_of(module) not in ALLOWED:
            found.append(
                Violation(
                    str(path.relative_to(root)), 1, f"{module} belongs to no known part"
                )
            )
    return found


def _imports(
    tree: ast.Module, module: str, is_package: bool, modules: frozenset[str]
) -> Iterator[tuple[int, str]]:
    """
    The line and the absolute dotted name of everything that a module imports.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package)
            for alias in node.names:
                # "from reitunnel import server" imports a module, and so does
                # "from twisted.internet import reactor".
                name = f"{base}.{alias.name}"
                yield node.lineno, name if name in modules | {REACTOR} else base
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            argument = node.args[0]
            if called in {
                "import_module",
                "__import__",
                "namedAny",
                "namedModule",
            } and (
                isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            ):
                yield node.lineno, argument.value


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _judge(module: str, target: str) -> str | None:
    """
    What is wrong with an import, if anything is.
    """
    part = part_of(module)
    if target == REACTOR and part not in MAY_IMPORT_THE_REACTOR:
        return f"{part} imports the global reactor"
    top = target.partition(".")[0]
    if top in FORBIDDEN.get(part, frozenset()):
        return f"{part} imports {top}"
    if top != "reitunnel":
        return None
    other = part_of(target)
    if other == part or other in ALLOWED.get(part, frozenset()):
        return None
    if other == "__init__":
        return f"{part} imports the package itself, not a part"
    return f"{part} imports {other}"
