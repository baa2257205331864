"""
The hooks that docs/hooks.md shows in configuration files can be built.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from twisted.internet.interfaces import IReactorCore
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from reitunnel.errors import ConfigError
from reitunnel.hooks import build_hooks, load_hook_factories
from reitunnel.interfaces import IHookFactory
from tests.hooks.fakes import RecordingHook
from tests.quality.fences import fenced_blocks

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "hooks.md"


@implementer(IHookFactory)
class StandIn:
    """
    Has the options of a factory, and builds a hook that only writes down what it is
    told: files that the options name need not be there.
    """

    def __init__(self, factory: IHookFactory) -> None:
        self.name = factory.name
        self.description = factory.description
        self.options = factory.options

    def build(self, options: object, reactor: IReactorCore) -> RecordingHook:
        return RecordingHook()


class DocumentedHookTests(SynchronousTestCase):
    def test_tables(self) -> None:
        """
        The options of each table are as its hook wants them.
        """
        factories = {
            name: StandIn(factory) for name, factory in load_hook_factories().items()
        }
        shown: set[str] = set()
        wrong = []
        for block in fenced_blocks(DOCUMENT.read_text()):
            if block.language != "toml":
                continue
            tables = tomllib.loads(block.source).get("hooks", [])
            shown.update(table["name"] for table in tables)
            try:
                build_hooks(tables, MemoryReactorClock(), factories=factories)
            except ConfigError as error:
                wrong.append(f"line {block.line}: {error}")
        self.assertEqual("", "\n".join(wrong))
        self.assertEqual(set(), factories.keys() - shown, "hooks without an example")
