"""
Finds the fenced code blocks of a Markdown document.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")


@dataclass(frozen=True)
class Block:
    """
    A fenced code block.

    @ivar line: the number of the line with the opening fence.
    @ivar words: the words after the opening fence: the language comes first.
    """

    line: int
    words: tuple[str, ...]
    source: str

    @property
    def language(self) -> str:
        """
        The language, or an empty string.
        """
        return self.words[0] if self.words else ""

    @property
    def file(self) -> str:
        """
        The name of the file that the block is, in a document that is made of files
        (C{```python file=NAME}), or an empty string.
        """
        named = [word for word in self.words if word.startswith("file=")]
        return named[0].removeprefix("file=") if named else ""


def fenced_blocks(text: str) -> list[Block]:
    """
    Every fenced block of a document, in order.

    @raise ValueError: if a fence is never closed.
    """
    blocks = []
    opening: tuple[int, re.Match[str]] | None = None
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line)
        if opening is None:
            if match is not None:
                opening, lines = (number, match), []
        elif match is not None and _closes(match, opening[1]):
            source = "".join(f"{each}\n" for each in lines)
            words = tuple(opening[1]["info"].split())
            blocks.append(Block(opening[0], words, source))
            opening = None
        else:
            # A block inside a list is indented with it.
            lines.append(line.removeprefix(opening[1]["indent"]))
    if opening is not None:
        raise ValueError(f"the fence in line {opening[0]} is never closed")
    return blocks


def _closes(match: re.Match[str], opening: re.Match[str]) -> bool:
    return not match["info"].strip() and match["fence"].startswith(opening["fence"])
