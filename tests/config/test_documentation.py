"""
docs/configuration.md and the example files say of every key what the code does.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect
from twisted.trial.unittest import SynchronousTestCase

from reitunnel.config import (
    TIMEOUT_PRESETS,
    TUNING_PRESETS,
    ClientConfig,
    PortRange,
    ServerConfig,
    flag_name,
    load_client_config,
    load_server_config,
)

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "configuration.md"
EXAMPLES = {
    "server": ROOT / "examples" / "server.toml",
    "client": ROOT / "examples" / "client.toml",
}
SIDES: Mapping[str, type[msgspec.Struct]] = {
    "Server": ServerConfig,
    "Client": ClientConfig,
}
TOP = "Top of the file"

# What is not a table of one Struct: hooks take keys of their own.
FREE_KEYS = {("[[hooks]]", "options"), ("[[hooks]]", "directory")}


@dataclass(frozen=True)
class Row:
    """
    What is said of a key.
    """

    key: str
    type: str
    default: str
    unit: str
    meaning: str


def fields_of(kind: type) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def tables_of(kind: type, path: str = "") -> Iterator[tuple[str, type]]:
    """
    The heading and the Struct of each table of a configuration.
    """
    yield (f"[{path}]" if path else TOP), kind
    for field in fields_of(kind):
        here = f"{path}.{field.name}" if path else field.name
        match field.type:
            case inspect.StructType(cls=inner):
                yield from tables_of(inner, here)
            case inspect.VarTupleType(item_type=inspect.StructType(cls=inner)):
                yield f"[[{here}]]", inner
            case inspect.DictType(value_type=inspect.StructType(cls=inner)):
                yield f'[{here}."PATTERN"]', inner


def is_table(kind: inspect.Type) -> bool:
    match kind:
        case inspect.StructType():
            return True
        case inspect.VarTupleType(item_type=inspect.StructType()):
            return True
        case inspect.DictType(value_type=inspect.StructType()):
            return True
    return False


def type_text(kind: inspect.Type) -> str:
    """
    A key's type and bounds, as the document says it.
    """
    match kind:
        case inspect.Metadata():
            return type_text(kind.type)
        case inspect.UnionType():
            (inner,) = (t for t in kind.types if not isinstance(t, inspect.NoneType))
            return type_text(inner)
        case inspect.IntType() | inspect.FloatType():
            name = "integer" if isinstance(kind, inspect.IntType) else "number"
            if kind.gt is not None:
                return f"{name}, above {kind.gt}, at most {kind.le}"
            return f"{name}, {kind.ge} to {kind.le}"
        case inspect.BoolType():
            return "boolean"
        case inspect.LiteralType():
            return ", ".join(f"`{json.dumps(value)}`" for value in kind.values)
        case inspect.CustomType(cls=cls) if cls is Path:
            return "path"
        case inspect.VarTupleType(item_type=item):
            return f"list of {type_text(item)}"
        case inspect.DictType():
            return "table of text"
        case inspect.DataclassType(cls=cls) if cls is PortRange:
            return "ports"
        case inspect.StrType(max_length=most) if most:
            return f"text, at most {most} characters"
    return "text"


def default_text(field: inspect.Field) -> str:
    """
    A key's default, as the document says it.
    """
    if field.required:
        return "required"
    if field.default is None:
        return "none"
    if field.default is msgspec.NODEFAULT:
        return "`{}`"
    value = field.default
    if isinstance(value, tuple):
        value = [str(item) for item in value]
    return f"`{json.dumps(value)}`"


def documented() -> dict[tuple[str, str], dict[str, Row]]:
    """
    The rows of the document: by section, heading and key.
    """
    found: dict[tuple[str, str], dict[str, Row]] = {}
    section = heading = ""
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            section, heading = line.removeprefix("## "), ""
        elif line.startswith("### "):
            heading = line.removeprefix("### ").strip("`")
        elif line.startswith("| `") and section in (*SIDES, "Both"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if len(cells) != len(fields(Row)):
                # A row of another table: a key that is hidden so is missed.
                continue
            row = Row(cells[0].strip("`"), *cells[1:])
            rows = found.setdefault((section, heading), {})
            assert row.key not in rows, f"{row.key} is there twice"
            rows[row.key] = row
    return found


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rows = documented()

    def place(self, side: str, heading: str) -> tuple[str, str]:
        """
        Where a table is documented: with its side, or for both.
        """
        places = [(name, heading) for name in (side, "Both")]
        (place,) = (place for place in places if place in self.rows)
        return place

    def test_every_key(self) -> None:
        """
        Each key has one row, with its type and bounds, its default, a unit if it
        is a number, and what it does.
        """
        for side, kind in SIDES.items():
            for heading, table in tables_of(kind):
                rows = self.rows[self.place(side, heading)]
                for field in fields_of(table):
                    if (heading, field.name) in FREE_KEYS or is_table(field.type):
                        continue
                    where = f"{side} {heading} {field.name}"
                    self.assertIn(field.name, rows, where)
                    row = rows[field.name]
                    self.assertEqual(type_text(field.type), row.type, where)
                    self.assertEqual(default_text(field), row.default, where)
                    is_number = row.type.startswith(("integer", "number"))
                    self.assertEqual(is_number, bool(row.unit), where)
                    self.assertTrue(len(row.meaning) > 10, where)

    def test_no_other_key(self) -> None:
        """
        The document has no key that the code has not.
        """
        real: dict[tuple[str, str], set[str]] = {}
        for side, kind in SIDES.items():
            for heading, table in tables_of(kind):
                names = {field.name for field in fields_of(table)}
                real.setdefault(self.place(side, heading), set()).update(names)
        self.assertEqual(set(real), set(self.rows))
        for place, rows in self.rows.items():
            self.assertEqual(set(), set(rows) - real[place], place)

    def test_presets(self) -> None:
        for preset, values in TUNING_PRESETS.items():
            cells = " | ".join(str(value) for value in values.values())
            self.assertIn(f"| `{preset}` | {cells} |", DOCUMENT.read_text())
        names = " | ".join(f"`{name}`" for name in TUNING_PRESETS["balanced"])
        self.assertIn(f"| preset | {names} |", DOCUMENT.read_text())

    def test_timeout_presets(self) -> None:
        for preset, values in TIMEOUT_PRESETS.items():
            cells = " | ".join(f"{value:g}" for value in values.values())
            self.assertIn(f"| `{preset}` | {cells} |", DOCUMENT.read_text())
        names = " | ".join(f"`{name}`" for name in TIMEOUT_PRESETS["lan"])
        self.assertIn(f"| time-out preset | {names} |", DOCUMENT.read_text())

    def test_flags(self) -> None:
        """
        The flags that the document says are those that messages name.
        """
        pattern = r"^\| `(-[-\w]+)` \| `([\w.]+)` \|"
        flags = re.findall(pattern, DOCUMENT.read_text(), re.MULTILINE)
        self.assertTrue(len(flags) > 10, flags)
        for flag, key in flags:
            self.assertEqual(flag, flag_name(key))


class ExampleTests(SynchronousTestCase):
    """
    The example files load, mention every key, and show the defaults.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        for name in ("server.pem", "tokens.toml", "clients-ca.pem"):
            (self.directory / name).write_text("")
        for name in ("ca.pem", "client.pem", "token"):
            (self.directory / name).write_text("x")
            (self.directory / name).chmod(0o600)

    def load(self, side: str, path: Path) -> ServerConfig | ClientConfig:
        if side == "server":
            return load_server_config(path)
        return load_client_config(path, environ={})

    def test_as_they_are(self) -> None:
        for side, example in EXAMPLES.items():
            path = self.directory / example.name
            shutil.copy(example, path)
            self.load(side, path)

    def test_with_every_key(self) -> None:
        """
        With the keys that are left out put back they load too, except the token,
        which would be there twice; no key of the settings is missing.
        """
        for side, example in EXAMPLES.items():
            text = uncommented(example.read_text())
            text = text.replace('\ntoken_file = "token"\n', "\n", 1)
            path = self.directory / example.name
            path.write_text(text)
            path.chmod(0o600)
            self.load(side, path)
            table = tomllib.loads(uncommented(example.read_text()))
            kind = SIDES[side.title()]
            self.assertEqual(set(), missing_keys(kind, table))

    def test_defaults(self) -> None:
        """
        What is left out is shown with its default.
        """
        for side, example in EXAMPLES.items():
            text = example.read_text()
            real, shown = tomllib.loads(text), tomllib.loads(uncommented(text))
            defaults = defaults_of(SIDES[side.title()])
            for path, value in flat(shown).items():
                if path not in flat(real) and defaults.get(path) is not None:
                    self.assertEqual(defaults[path], value, path)


def uncommented(text: str) -> str:
    """
    An example with the keys that were left out.
    """
    return re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE)


def missing_keys(kind: type, table: Mapping[str, Any], path: str = "") -> set[str]:
    """
    The keys of a Struct that a table does not have.
    """
    missing = set()
    for field in fields_of(kind):
        here = f"{path}{field.name}"
        value = table.get(field.name)
        match field.type:
            case inspect.StructType(cls=inner):
                missing |= missing_keys(inner, value or {}, f"{here}.")
            case inspect.VarTupleType(item_type=inspect.StructType(cls=inner)):
                # Between them, the tables of a list have every key.
                every = {key: each[key] for each in value or () for key in each}
                missing |= missing_keys(inner, every, f"{here}.")
            case inspect.DictType(value_type=inspect.StructType(cls=inner)):
                for each in (value or {"": {}}).values():
                    missing |= missing_keys(inner, each, f"{here}.")
            case _ if value is None:
                missing.add(here)
    return missing - {"hooks.options", "hooks.directory"}


def flat(table: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """
    The keys of a table and its tables, by their paths.
    """
    found = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found.update(flat(value, f"{path}{key}."))
        else:
            found[f"{path}{key}"] = value
    return found


def defaults_of(kind: type, path: str = "") -> dict[str, Any]:
    """
    The defaults of a Struct and its tables, as TOML has them.
    """
    found: dict[str, Any] = {}
    for field in fields_of(kind):
        here = f"{path}{field.name}"
        if isinstance(field.type, inspect.StructType):
            found.update(defaults_of(field.type.cls, f"{here}."))
        elif isinstance(field.default, tuple):
            found[here] = [str(item) for item in field.default]
        elif field.default is not msgspec.NODEFAULT:
            found[here] = field.default
    return found
