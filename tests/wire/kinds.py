"""
Which kinds of frame carry a message, and which message.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from reitunnel.wire.frames import FrameKind
from reitunnel.wire.messages import (
    Attach,
    Attached,
    Challenge,
    Ended,
    Hello,
    Response,
    Resume,
    Resumed,
    StreamOpen,
    TunnelEnded,
    TunnelOpen,
    TunnelOpened,
    Welcome,
)

MESSAGES: Final[dict[FrameKind, type[Struct]]] = {
    FrameKind.HELLO: Hello,
    FrameKind.CHALLENGE: Challenge,
    FrameKind.RESPONSE: Response,
    FrameKind.WELCOME: Welcome,
    FrameKind.REFUSED: Ended,
    FrameKind.RESUME: Resume,
    FrameKind.RESUMED: Resumed,
    FrameKind.ATTACH: Attach,
    FrameKind.ATTACHED: Attached,
    FrameKind.TUNNEL_OPEN: TunnelOpen,
    FrameKind.TUNNEL_OPENED: TunnelOpened,
    FrameKind.TUNNEL_REFUSED: TunnelEnded,
    FrameKind.TUNNEL_CLOSE: TunnelEnded,
    FrameKind.STREAM_OPEN: StreamOpen,
    FrameKind.STREAM_RESET: Ended,
    FrameKind.GOAWAY: Ended,
}
