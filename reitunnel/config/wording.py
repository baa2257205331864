"""
Says for people what a key may be, and what was given instead.
"""

from __future__ import annotations

import json
import re
from datetime import date, time
from pathlib import Path

from msgspec import inspect

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_SHOWN = 60


def join(path: str, key: str) -> str:
    """
    The path of a key in the table at C{path}.
    """
    if not _BARE_KEY.match(key):
        key = json.dumps(key, ensure_ascii=False)
    return f"{path}.{key}" if path else key


def shown(value: object) -> str:
    """
    A value as a person would write it in the file, shortened; of tables and
    lists only that they are.
    """
    if isinstance(value, str):
        if len(value) > _SHOWN:
            value = value[:_SHOWN] + "..."
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return kind_of(value)


def kind_of(value: object) -> str:
    """
    What sort of value it is, without the value.
    """
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return type(value).__name__


# bool before int, of which it is a subclass.
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "text"),
    (bool, "a boolean"),
    ((int, float), "a number"),
    (dict, "a table"),
    (list, "a list"),
    ((date, time), "a date or time"),
)


def expected(kind: inspect.Type) -> str:
    """
    What a value of a type is, with its bounds.
    """
    match kind:
        case inspect.IntType():
            return "an integer" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return "one of " + ", ".join(shown(value) for value in kind.values)
        case inspect.StrType():
            return "text" + _lengths(kind.min_length, kind.max_length)
        case inspect.VarTupleType():
            return "a list"
        case inspect.StructType() | inspect.DictType():
            return "a table"
        case inspect.CustomType(cls) if cls is Path:
            return "a path"
    return "text"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {number(kind.ge)} to {number(kind.le)}"
    words = []
    if kind.ge is not None:
        words.append(f" of at least {number(kind.ge)}")
    if kind.gt is not None:
        words.append(f" above {number(kind.gt)}")
    if kind.le is not None:
        words.append(f" at most {number(kind.le)}")
    return " and".join(words)


def number(value: float) -> str:
    """
    A number without needless digits: C{10}, C{0.5}.
    """
    return str(int(value)) if value == int(value) else str(value)


def _lengths(least: int | None, most: int | None) -> str:
    if least and most:
        return f" of {least} to {most} characters"
    if most:
        return f" of at most {most} characters"
    return " that is not empty" if least else ""
