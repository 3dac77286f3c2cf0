"""The demonstration's stranger: somebody who knows neither the parties nor their panel, and has the
job audited again by verifiers of its own.

Its five verifiers are pods in threads of this process, as a notebook would serve them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fitchain.cli.demo.audit import create_panel

if TYPE_CHECKING:
    from fitchain.pod.jobs.home import Home

STRANGER = "stranger"
OWN_VERIFIERS = tuple(f"own-verifier-{number}" for number in range(1, 6))


class Stranger:
    """Somebody who trusts verifiers of its own and nobody else.

    Args:
        home: its own.
        verifiers: homes of those that it trusts.
        run: this run's folder.
    """

    def __init__(self, home: Home, verifiers: Sequence[Home], run: Path) -> None:
        self.home, self.verifiers, self.run = home, verifiers, run
        self.panel = create_panel(home, "my own", [each.keys.address for each in verifiers])
