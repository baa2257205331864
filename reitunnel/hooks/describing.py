"""
Says for people which options a hook has: their types, their defaults and what they
mean.
"""

from __future__ import annotations

import inspect as python_inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import inspect

from reitunnel.config.wording import expected, shown

_DEEPEST: Final = 4
_FIELD: Final = re.compile(r"@ivar\s+(\w+):\s*(.*?)(?=\n\s*@|\n\s*\n|\Z)", re.DOTALL)
_MARKUP: Final = re.compile(r"[A-Z]\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class OptionDescription:
    """
    One option.

    @ivar name: its key; of an option in a table below, the path (C{allow[].tokens}).
    @ivar type: what its value may be.
    @ivar default: its default as one writes it in the file; C{required} or C{none}.
    @ivar meaning: what it does, or an empty string if its author does not say.
    """

    name: str
    type: str
    default: str
    meaning: str


def describe_options(kind: type[msgspec.Struct]) -> tuple[OptionDescription, ...]:
    """
    Describe the options in a Struct, and in Structs inside it.

    What an option means is the C{description} in its C{msgspec.Meta}, or else its
    C{@ivar} in the docstring of the Struct.
    """
    return tuple(_described(kind, "", 0))


def _described(kind: type, prefix: str, depth: int) -> Iterator[OptionDescription]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    meanings = _meanings(kind)
    for field in info.fields:
        bare, description = _bare(field.type)
        yield OptionDescription(
            name=prefix + field.encode_name,
            type=_type_text(bare),
            default=_default_text(field),
            meaning=description or meanings.get(field.name, ""),
        )
        steps = prefix + field.encode_name
        while isinstance(bare, inspect.CollectionType):
            bare, _ = _bare(bare.item_type)
            steps += "[]"
        if isinstance(bare, inspect.StructType) and depth < _DEEPEST:
            yield from _described(bare.cls, f"{steps}.", depth + 1)


def _bare(kind: inspect.Type) -> tuple[inspect.Type, str]:
    """
    A type without what C{msgspec.Meta} adds and without C{| None}, and its
    description.
    """
    description = ""
    while True:
        if isinstance(kind, inspect.Metadata):
            schema: dict[str, Any] = kind.extra_json_schema or {}
            description = description or schema.get("description", "")
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            types = [each for each in kind.types if not isinstance(each, _NONE)]
            if len(types) != 1:
                return kind, description
            (kind,) = types
        else:
            return kind, description


_NONE: Final = inspect.NoneType


def _type_text(kind: inspect.Type, many: bool = False) -> str:
    match kind:
        case inspect.CollectionType():
            item, _ = _bare(kind.item_type)
            return f"a list of {_type_text(item, many=True)}"
        case inspect.StructType():
            return "tables" if many else "a table"
        case inspect.UnionType():
            return " or ".join(_type_text(_bare(each)[0]) for each in kind.types)
        case inspect.AnyType():
            return "anything"
    return expected(kind)


def _default_text(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default_factory is not msgspec.NODEFAULT:
        return _value_text(field.default_factory())
    return _value_text(field.default)


def _value_text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return shown(value)


def _meanings(kind: type) -> dict[str, str]:
    found = {}
    for base in reversed(kind.__mro__):
        text = python_inspect.cleandoc(base.__dict__.get("__doc__") or "")
        for name, meaning in _FIELD.findall(text):
            plain = _MARKUP.sub(r"\1", " ".join(meaning.split()))
            found[name] = plain
    return found
