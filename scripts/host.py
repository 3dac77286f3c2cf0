"""The machine that a figure or a comparison was made on."""

from __future__ import annotations

import re
from pathlib import Path


def processor() -> str:
    """What /proc/cpuinfo calls the first processor."""
    match = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else "an unnamed processor"
