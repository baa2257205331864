"""
C{python -m reitunnel} is the C{reitunnel} command.
"""

from __future__ import annotations

import sys

from reitunnel.service.command import main

sys.exit(main())
