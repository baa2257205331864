"""
Tests of L{tests.quality.fences}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.quality.fences import Block, fenced_blocks


class FencedBlockTests(SynchronousTestCase):
    def test_blocks(self) -> None:
        text = "a\n```python\nx = 1\n\ny\n```\nb\n```toml server\nk = 2\n```\n"
        self.assertEqual(
            [
                Block(2, ("python",), "x = 1\n\ny\n"),
                Block(8, ("toml", "server"), "k = 2\n"),
            ],
            fenced_blocks(text),
        )

    def test_language(self) -> None:
        with_language, without = fenced_blocks("```toml client\n```\n```\n```\n")
        self.assertEqual(("toml", ""), (with_language.language, without.language))

    def test_file(self) -> None:
        named, without = fenced_blocks(
            "```python file=a/b.py\n```\n```toml client\n```\n"
        )
        self.assertEqual(("a/b.py", ""), (named.file, without.file))

    def test_indented(self) -> None:
        text = "- item\n\n  ```python\n  if x:\n      y\n  ```\n"
        self.assertEqual([Block(3, ("python",), "if x:\n    y\n")], fenced_blocks(text))

    def test_longer_fence_holds_shorter(self) -> None:
        text = "````markdown\n```python\nx\n```\n````\n"
        self.assertEqual(
            [Block(1, ("markdown",), "```python\nx\n```\n")], fenced_blocks(text)
        )

    def test_tildes(self) -> None:
        self.assertEqual([Block(1, (), "```\n")], fenced_blocks("~~~\n```\n~~~\n"))

    def test_unclosed(self) -> None:
        error = self.assertRaises(ValueError, fenced_blocks, "\n```python\nx\n")
        self.assertEqual("the fence in line 2 is never closed", str(error))
