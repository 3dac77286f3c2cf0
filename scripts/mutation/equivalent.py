"""Changes of the contracts that no test can notice, with the reason."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {}
"""File below `contracts/`, a line, what it becomes (empty: left out), and why that is the same."""
