"""
Turns a C{[[hooks]]} table into the options of a hook, and says for people what is
wrong with it.

msgspec converts, so that an option can be of any type that it knows, and stops at
the first mistake in each value. What it says is put in the words of the rest of
the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import inspect

from reitunnel.config.wording import expected, join, shown
from reitunnel.errors import ConfigMistake

_PLACE = re.compile(r"\A(?P<message>.*) - at `\$(?P<place>.*)`\Z", re.DOTALL)
# msgspec writes [...] for a key of a table whose keys are free.
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>[0-9]+)\]|\[\.{3}\]")
_FIELD = re.compile(r"(?P<what>unknown|missing required) field `(?P<key>.*)`\Z")


_PATH: Final = "path"
_OWN: Final = "own"

FilePath = Annotated[str, msgspec.Meta(min_length=1, extra={_PATH: True})]
"""
The type of an option that is the path of a file: as elsewhere in the configuration, it
is relative to the directory of the file that it stands in, and C{~} is the home
directory. The options of a hook have it as an absolute path.
"""

OwnFilePath = Annotated[
    str, msgspec.Meta(min_length=1, extra={_PATH: True, _OWN: True})
]
"""
The same, of a file that the hook writes: no other hook of the configuration may have
it.
"""


def own_files(options: msgspec.Struct) -> Iterator[tuple[str, str]]:
    """
    Find the options that are an L{OwnFilePath}.

    @return: the key and the path of each.
    """
    info = inspect.type_info(type(options))
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        kinds = getattr(field.type, "types", (field.type,))
        value = getattr(options, field.name)
        if isinstance(value, str) and any(
            (getattr(kind, "extra", None) or {}).get(_OWN) for kind in kinds
        ):
            yield field.encode_name, value


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
    @param directory: what each L{FilePath} is relative to; the working directory if
        L{None}.
    @return: the options, or L{None} if there is a mistake.
    """
    table = _with_paths(inspect.type_info(kind), table, directory or Path.cwd())
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    before = len(mistakes)
    for key, value in table.items():
        here = join(path, key)
        if key not in fields:
            mistakes.append(ConfigMistake(here, _unknown(fields)))
            continue
        try:
            msgspec.convert(value, fields[key].type)
        except msgspec.ValidationError as error:
            type_info = inspect.type_info(fields[key].type)
            mistakes.append(_mistake(error, type_info, value, here))
    for key, field in fields.items():
        if field.required and key not in table:
            mistakes.append(ConfigMistake(join(path, key), "missing"))
    if len(mistakes) > before:
        return None
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        # Each key is right by itself: it is the Struct's own check that fails.
        mistakes.append(_mistake(error, inspect.type_info(kind), table, path))
        return None


def _with_paths(kind: inspect.Type, value: Any, directory: Path) -> Any:
    """
    Make each L{FilePath} in a value absolute. What is of another type than it should be
    is left as it is.
    """
    match kind:
        case inspect.Metadata():
            if isinstance(value, str) and value and (kind.extra or {}).get(_PATH):
                return str(directory / Path(value).expanduser())
            return _with_paths(kind.type, value, directory)
        case inspect.UnionType():
            for each in kind.types:
                value = _with_paths(each, value, directory)
        case inspect.StructType() if isinstance(value, Mapping):
            types = {field.encode_name: field.type for field in kind.fields}
            return {
                key: _with_paths(types[key], item, directory) if key in types else item
                for key, item in value.items()
            }
        case inspect.CollectionType() if isinstance(value, list | tuple):
            return [_with_paths(kind.item_type, item, directory) for item in value]
    return value


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
