"""
Every target, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.fuzz.data_link_target import fuzz_data_links
from tests.fuzz.handshake_target import fuzz_handshake
from tests.fuzz.text_targets import (
    fuzz_addresses,
    fuzz_config,
    fuzz_remote,
    fuzz_tokens,
)
from tests.fuzz.websocket_target import fuzz_websocket
from tests.fuzz.wire_targets import fuzz_frames, fuzz_session

CORPUS: Final = Path(__file__).parent / "corpus"
"""A directory for each target, with a file for each input."""

TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {
        "frames": fuzz_frames,
        "handshake": fuzz_handshake,
        "session": fuzz_session,
        "datalinks": fuzz_data_links,
        "websocket": fuzz_websocket,
        "addresses": fuzz_addresses,
        "remote": fuzz_remote,
        "config": fuzz_config,
        "tokens": fuzz_tokens,
    }
)


def corpus(target: str) -> list[Path]:
    """
    The inputs in the tree of a target.
    """
    return sorted(each for each in (CORPUS / target).iterdir() if each.is_file())
