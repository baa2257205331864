"""
Reads the part of YAML that docs/monitoring/alerts.yml is written in, and says where it
is something else: mappings, lists of mappings, plain and quoted text, and C{>-}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_TABLES = {"groups", "rules", "labels", "annotations"}
"""The keys whose values are lists or mappings."""
_LINE = re.compile(r"( *)((?:- )*)(\w+):(?: (\S.*))?")
_PLAIN = re.compile(r"[\w/(][^#\"']*(?:\"[^\"]*\"[^#\"']*)*")


class NotUnderstood(Exception):
    """
    A line is not of this part of YAML.
    """


@dataclass(frozen=True)
class Rule:
    """
    A rule for an alert.
    """

    group: str
    alert: str
    expression: str
    keys: dict[str, str]
    """The others, such as C{for} and C{labels.severity}."""


def read_rules(text: str) -> list[Rule]:
    """
    Read a file of rules.

    @raise NotUnderstood: with the number of the line.
    """
    group = ""
    found: list[dict[str, str]] = []
    groups: list[str] = []
    for path, value, begins in _entries(text.splitlines()):
        match path:
            case ("groups", "name") if begins:
                group = value
            case ("groups", "rules", "alert") if begins:
                found.append({"alert": value})
                groups.append(group)
            case ("groups", "rules", *rest) if found and not begins:
                key = ".".join(rest)
                if key in found[-1]:
                    raise NotUnderstood(f"{found[-1]['alert']}: {key} is there twice")
                found[-1][key] = value
            case _:
                raise NotUnderstood(".".join(path))
    return [
        Rule(group, keys.pop("alert"), keys.pop("expr", ""), keys)
        for group, keys in zip(groups, found, strict=True)
    ]


def _entries(lines: list[str]) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """
    Each key with those that it is inside of, its value, and whether it begins an
    entry of a list.
    """
    above: list[tuple[int, str]] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise NotUnderstood(f"line {number}: {line.strip()}")
        indent = len(match[1]) + len(match[2])
        while above and above[-1][0] >= indent:
            above.pop()
        path = (*(name for _, name in above), match[3])
        value = match[4] or ""
        if value == ">-":
            folded = []
            while number < len(lines) and _indent(lines[number]) > indent:
                folded.append(lines[number].strip())
                number += 1
            if not folded:
                raise NotUnderstood(f"line {number}: nothing is folded")
            value = " ".join(folded)
        elif value:
            value = _text(value, number)
        elif match[3] in _TABLES and not match[2]:
            above.append((indent, match[3]))
            continue
        else:
            raise NotUnderstood(f"line {number}: {match[3]} has no value")
        yield path, value, bool(match[2])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0


def _text(value: str, number: int) -> str:
    if value.startswith('"'):
        try:
            text = json.loads(value)
        except ValueError:
            raise NotUnderstood(f"line {number}: {value}") from None
        return str(text)
    if ": " in value or value.endswith(":") or not _PLAIN.fullmatch(value):
        raise NotUnderstood(f"line {number}: {value}")
    return value
