"""How long a test waits for something that must come: it ends what hangs, and asks nothing of how
fast a machine is."""

from __future__ import annotations

LIMIT_S = 600
