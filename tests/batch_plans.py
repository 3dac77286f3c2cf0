"""Recipes of which order and assembling alone read something."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fitchain.pod.values.digest import Digest
from fitchain.pod.values.recipe import Choice
from fitchain.pod.values.recipe.terms import held_out_count

CROSS_ENTROPY = Choice("cross_entropy", {})


@dataclass(frozen=True)
class Plan:
    """What the order and assembling read of a recipe."""

    rows: tuple[int, int] = (0, 10)
    batch_size: int = 3
    steps: int = 9
    inputs: tuple[tuple[str, ...], ...] = (("a", "b"),)
    target: str = "y"
    transform: dict[str, Any] = field(default_factory=dict)
    loss: Choice = CROSS_ENTROPY
    privacy: None = None
    held_out: float | None = None
    unit_records: int = 1

    def held_out_seed(self, seed: Digest) -> Digest:
        return seed

    @property
    def row_count(self) -> int:
        return self.rows[1] - self.rows[0]

    @property
    def unit_count(self) -> int:
        return self.row_count // self.unit_records

    @property
    def held_out_count(self) -> int:
        return held_out_count(self.held_out, self.unit_count)

    @property
    def training_count(self) -> int:
        return self.unit_count - self.held_out_count
