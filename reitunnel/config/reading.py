"""
Turns the tables of a configuration into settings, and finds every mistake in them
on the way.

The Structs of L{reitunnel.config.settings} say what is allowed: their types, their
bounds, and the parsers that their annotations name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from reitunnel.config.origin import Origin, flag_name
from reitunnel.config.remotes import parse_remote
from reitunnel.config.settings import HookSettings, TunnelSettings
from reitunnel.config.values import PortRange, Secret
from reitunnel.config.wording import expected, join, kind_of, shown
from reitunnel.errors import ConfigMistake

T = TypeVar("T", bound=msgspec.Struct)

_FAILED: Final = object()
"""Stands for a value that was wrong; what is wrong with it has been noted."""

_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?\Z")
_BOOLEANS = {"true": True, "false": False}


class Reader:
    """
    Reads one configuration.

    @ivar mistakes: what was found, in the order of the file.
    @ivar given: the paths of the keys that were read, whether good or bad.
    """

    def __init__(self, origin: Origin) -> None:
        self.mistakes: list[ConfigMistake] = []
        self.given: set[str] = set()
        self._origin = origin
        self._known: dict[str, str] = {}

    def read(
        self, kind: type[T], table: Mapping[str, Any], stand_ins: Mapping[str, Any]
    ) -> T:
        """
        Read a whole configuration.

        Keys that are wrong are left at their defaults, so that the rest can be
        checked too.

        @param stand_ins: for each required key, what stands for it if it is
            missing or wrong.
        """
        self._known = _places(kind)
        return kind(**{**stand_ins, **self._keys(kind, table, "")})

    def _note(self, path: str, message: str) -> object:
        self.mistakes.append(ConfigMistake(path, message))
        return _FAILED

    def _value(self, kind: inspect.Type, value: Any, path: str) -> Any:
        """
        Read a value.

        @return: what the settings hold, or L{_FAILED}.
        """
        match kind:
            case inspect.Metadata():
                return self._parsed(kind, value, path)
            case inspect.UnionType():
                # The only unions are with None, which TOML cannot say.
                return self._value(_not_none(kind), value, path)
            case inspect.StructType():
                return self._table(kind, value, path)
            case inspect.VarTupleType():
                return self._list(kind, value, path)
            case inspect.DictType():
                return self._mapping(kind, value, path)
            case inspect.CustomType() | inspect.DataclassType():
                return self._custom(kind.cls, value, path)
        return self._plain(kind, value, path)

    def _plain(self, kind: inspect.Type, value: Any, path: str) -> Any:
        """
        Read a number, a boolean, text or one of a few words.
        """
        if isinstance(value, str) and self._origin.is_flag(path):
            value = _from_text(kind, value)
        if _fits(kind, value):
            return float(value) if isinstance(kind, inspect.FloatType) else value
        return self._note(path, f"expected {expected(kind)}, got {shown(value)}")

    def _parsed(self, kind: inspect.Metadata, value: Any, path: str) -> Any:
        value = self._value(kind.type, value, path)
        parse = (kind.extra or {}).get("parse")
        if value is _FAILED or parse is None:
            return value
        try:
            return parse(value)
        except ValueError as error:
            return self._note(path, str(error))

    def _custom(self, kind: type, value: Any, path: str) -> Any:
        if kind is Secret:
            # What was given instead may be the secret all the same: not shown.
            if isinstance(value, str) and value.strip():
                return Secret(value.strip())
            return self._note(path, f"expected text, got {kind_of(value)}")
        if kind is Path:
            if isinstance(value, str) and value and "\0" not in value:
                try:
                    return self._origin.directory_of(path) / Path(value).expanduser()
                except RuntimeError:
                    return self._note(path, f"no home directory for {shown(value)}")
            return self._note(path, f"expected a path, got {shown(value)}")
        if kind is not PortRange:
            raise TypeError(f"settings cannot hold {kind}")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            return self._note(path, f"expected a port or a range, got {shown(value)}")
        try:
            return PortRange.parse(value)
        except ValueError as error:
            return self._note(path, str(error))

    def _list(self, kind: inspect.VarTupleType, value: Any, path: str) -> Any:
        if not isinstance(value, list):
            return self._note(path, f"expected a list, got {shown(value)}")
        if kind.min_length and len(value) < kind.min_length:
            return self._note(path, "expected at least one")
        items = [
            self._value(kind.item_type, item, f"{path}[{index}]")
            for index, item in enumerate(value)
        ]
        return tuple(item for item in items if item is not _FAILED)

    def _mapping(self, kind: inspect.DictType, value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            return self._note(path, f"expected a table, got {shown(value)}")
        if kind.max_length is not None and len(value) > kind.max_length:
            return self._note(path, f"expected at most {kind.max_length} keys")
        result = {}
        for key, item in value.items():
            here = join(path, key)
            if self._plain(kind.key_type, key, here) is _FAILED:
                continue
            read = self._value(kind.value_type, item, here)
            if read is not _FAILED:
                result[key] = read
        return result

    def _table(self, kind: inspect.StructType, value: Any, path: str) -> Any:
        from_flag = self._origin.is_flag(path)
        if kind.cls is TunnelSettings and isinstance(value, str) and from_flag:
            try:
                return parse_remote(value)
            except ValueError as error:
                return self._note(path, str(error))
        if not isinstance(value, Mapping):
            return self._note(path, f"expected a table, got {shown(value)}")
        if kind.cls is HookSettings:
            # The other keys are for the hook's factory to judge.
            named = {key: value[key] for key in value if key == "name"}
            options = {key: value[key] for key in value if key != "name"}
            hook = self._struct(kind.cls, named, path)
            if isinstance(hook, HookSettings):
                return msgspec.structs.replace(
                    hook, options=options, directory=self._origin.directory_of(path)
                )
            return hook
        return self._struct(kind.cls, value, path)

    def _struct(self, kind: type, table: Mapping[str, Any], path: str) -> Any:
        values = self._keys(kind, table, path)
        required = {name for name, field in _fields(kind).items() if field.required}
        return kind(**values) if required <= set(values) else _FAILED

    def _keys(self, kind: type, table: Mapping[str, Any], path: str) -> dict[str, Any]:
        """
        The keys of a table that are there and right.
        """
        fields = _fields(kind)
        values = {}
        for key, value in table.items():
            here = join(path, key)
            self.given.add(here)
            if key in fields:
                values[key] = self._value(fields[key].type, value, here)
            else:
                self._note(here, self._unknown(key, fields))
        for name, field in fields.items():
            if field.required and name not in table:
                hint = "" if path else f" ({flag_name(name)})"
                self._note(join(path, name), "missing" + hint)
        return {key: value for key, value in values.items() if value is not _FAILED}

    def _unknown(self, key: str, fields: Mapping[str, inspect.Field]) -> str:
        close = get_close_matches(key, fields, n=1)
        # A key of another table, right or nearly so.
        elsewhere = get_close_matches(key, self._known, n=1, cutoff=0.85)
        if key in self._known:
            meant = self._known[key]
        elif close:
            meant = close[0]
        elif elsewhere:
            meant = self._known[elsewhere[0]]
        else:
            return "unknown key"
        return f'unknown key; did you mean "{meant}"?'


@cache
def _fields(kind: type) -> dict[str, inspect.Field]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return {field.name: field for field in info.fields}


def _places(kind: type, path: str = "") -> dict[str, str]:
    """
    The path of each key in a Struct and its tables, by the key's name. Keys in
    more than one table are left out.
    """
    found: dict[str, list[str]] = {}
    for name, field in _fields(kind).items():
        here = join(path, name)
        found.setdefault(name, []).append(here)
        if isinstance(field.type, inspect.StructType):
            for inner, place in _places(field.type.cls, here).items():
                found.setdefault(inner, []).append(place)
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}


def _not_none(kind: inspect.UnionType) -> inspect.Type:
    (only,) = (each for each in kind.types if not isinstance(each, inspect.NoneType))
    return only


def _from_text(kind: inspect.Type, text: str) -> Any:
    """
    A flag's text as a number or boolean, where it is one.
    """
    if isinstance(kind, inspect.IntType) and _INTEGER.match(text):
        return int(text)
    if isinstance(kind, inspect.FloatType) and _NUMBER.match(text):
        return float(text)
    if isinstance(kind, inspect.BoolType):
        return _BOOLEANS.get(text, text)
    return text


def _fits(kind: inspect.Type, value: object) -> bool:
    match kind:
        case inspect.LiteralType():
            return isinstance(value, str) and value in kind.values
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.StrType():
            return (
                isinstance(value, str)
                and len(value) >= (kind.min_length or 0)
                and (kind.max_length is None or len(value) <= kind.max_length)
            )
        case inspect.IntType() | inspect.FloatType():
            types = int if isinstance(kind, inspect.IntType) else (int, float)
            return (
                isinstance(value, types)
                and not isinstance(value, bool)
                # Written so that NaN does not fit.
                and (kind.ge is None or value >= kind.ge)
                and (kind.gt is None or value > kind.gt)
                and (kind.le is None or value <= kind.le)
            )
    raise TypeError(f"settings cannot hold {kind}")
