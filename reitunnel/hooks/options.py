"""
Turns a C{[[hooks]]} table into the options of a hook, and says for people what is
wrong with it.

msgspec converts, so that an option can be of any type that it knows, and stops at
the first mistake in each value. What it says is put in the words of the rest of
the configuration. A C{pathlib.Path} is a path as everywhere in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from reitunnel.config.wording import expected, join, shown
from reitunnel.errors import ConfigMistake

_PLACE = re.compile(r"\A(?P<message>.*) - at `\$(?P<place>.*)`\Z", re.DOTALL)
# msgspec writes [...] for a key of a table whose keys are free.
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>[0-9]+)\]|\[\.{3}\]")
# What the author of a Struct says of a key in it: C{allow[0]: ...}.
_KEYED = re.compile(
    r"(?P<key>[\w-]+)(?P<rest>(?:\.[\w-]+|\[[0-9]+\])*): (?P<message>.+)\Z", re.DOTALL
)
_FIELD = re.compile(r"(?P<what>unknown|missing required) field `(?P<key>.*)`\Z")


def read_options(
    kind: type[msgspec.Struct],
    table: Mapping[str, Any],
    path: str,
    mistakes: list[ConfigMistake],
    directory: Path | None = None,
) -> msgspec.Struct | None:
    """
    Read the options of one hook.

    Keys that C{kind} does not have are mistakes, whether it forbids them or not.

    @param kind: what the options are.
    @param table: the keys of the table.
    @param path: the table's path.
    @param mistakes: every mistake found is added here.
    @param directory: what paths are relative to; the working directory if L{None}.
    @return: the options, or L{None} if there is a mistake.
    """
    read_path = _path_reader(Path.cwd() if directory is None else directory)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    before = len(mistakes)
    for key, value in table.items():
        here = join(path, key)
        if key not in fields:
            mistakes.append(ConfigMistake(here, _unknown(fields)))
            continue
        try:
            msgspec.convert(value, fields[key].type, dec_hook=read_path)
        except msgspec.ValidationError as error:
            type_info = inspect.type_info(fields[key].type)
            mistakes.append(_mistake(error, type_info, value, here))
    for key, field in fields.items():
        if field.required and key not in table:
            mistakes.append(ConfigMistake(join(path, key), "missing"))
    if len(mistakes) > before:
        return None
    try:
        return msgspec.convert(table, kind, dec_hook=read_path)
    except msgspec.ValidationError as error:
        # Each key is right by itself: it is the Struct's own check that fails.
        mistakes.append(_mistake(error, inspect.type_info(kind), table, path))
        return None


def mistake_in(kind: type, path: str, message: str) -> ConfigMistake:
    """
    Make a mistake of what the author of a hook says of its options.

    @param kind: what the options are.
    @param path: the table's path.
    @param message: may begin with a key and a colon: it belongs to the path then.
    """
    placed = _KEYED.match(message)
    if placed is not None:
        fields = msgspec.structs.fields(kind)
        if placed["key"] in {field.encode_name for field in fields}:
            path = join(path, placed["key"]) + placed["rest"]
            message = placed["message"]
    return ConfigMistake(path, " ".join(message.split()))


def _path_reader(directory: Path) -> Callable[[type, Any], Any]:
    """
    Make what msgspec calls for a type that it does not know.
    """

    def read(kind: type, value: Any) -> Any:
        if kind is not Path:
            # msgspec says what is wrong with it.
            return value
        if isinstance(value, Path) or (
            isinstance(value, str) and value and "\0" not in value
        ):
            try:
                return directory / Path(value).expanduser()
            except RuntimeError:
                raise ValueError(f"no home directory for {shown(str(value))}") from None
        raise ValueError(f"expected a path, got {shown(value)}")

    return read


def _mistake(
    error: msgspec.ValidationError, kind: inspect.Type, value: object, path: str
) -> ConfigMistake:
    message, place = str(error), ""
    if placed := _PLACE.match(message):
        message, place = placed["message"], placed["place"]
    for step in _STEP.finditer(place):
        if not isinstance(kind, inspect.AnyType):
            kind, value = _descend(_bare(kind), value, step)
        path = join(path, step["key"]) if step["key"] else path + step[0]
    kind = _bare(kind)
    if (field := _FIELD.search(message)) and isinstance(kind, inspect.StructType):
        known = [field.encode_name for field in kind.fields]
        words = _unknown(known) if field["what"] == "unknown" else "missing"
        return ConfigMistake(join(path, field["key"]), words)
    if message.startswith(("Expected ", "Invalid enum value ")):
        message = _reworded(kind, value) or message
    elif isinstance(kind, inspect.StructType):
        return mistake_in(kind.cls, path, message)
    return ConfigMistake(path, " ".join(message.split()))


def _unknown(known: Any) -> str:
    return "unknown key; the known keys are " + (", ".join(known) or "none")


def _bare(kind: inspect.Type) -> inspect.Type:
    """
    A type without what msgspec.Meta adds, and without C{| None}.
    """
    while True:
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            others = [
                each for each in kind.types if not isinstance(each, inspect.NoneType)
            ]
            if len(others) != 1:
                return kind
            [kind] = others
        else:
            return kind


def _descend(
    kind: inspect.Type, value: Any, step: re.Match[str]
) -> tuple[inspect.Type, object]:
    """
    The type and value one step further inside; the type is C{AnyType} if it, or
    the value, cannot be told.
    """
    if step["key"]:
        value = value[step["key"]]
    elif step["index"]:
        value = value[int(step["index"])]
    else:
        return inspect.AnyType(), None
    if isinstance(kind, inspect.StructType):
        types = {field.encode_name: field.type for field in kind.fields}
        return types.get(step["key"], inspect.AnyType()), value
    if isinstance(kind, inspect.CollectionType):
        return kind.item_type, value
    return inspect.AnyType(), value


def _reworded(kind: inspect.Type, value: object) -> str | None:
    """
    What a value should have been; L{None} where msgspec says it better.
    """
    match kind:
        case inspect.CollectionType() if isinstance(value, list | tuple):
            few = kind.min_length == 1 and not value
            return "expected at least one" if few else None
        case inspect.CollectionType():
            wanted = "a list"
        case inspect.StrType() if kind.pattern is not None:
            return None
        case inspect.IntType() | inspect.FloatType() if (
            kind.lt is not None or kind.multiple_of is not None
        ):
            return None
        case (
            inspect.IntType()
            | inspect.FloatType()
            | inspect.BoolType()
            | inspect.StrType()
            | inspect.LiteralType()
            | inspect.StructType()
            | inspect.DictType()
        ):
            wanted = expected(kind)
        case _:
            return None
    return f"expected {wanted}, got {shown(value)}"
