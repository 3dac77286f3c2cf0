"""Terms of differential privacy: what a recipe says of clipping, noise and arithmetic.

The noised sum of clipped gradients is DP-SGD (Abadi et al., Deep Learning with Differential
Privacy, 2016) in integers: the gradient of a unit of privacy (a record, or all records of a person)
is clipped to `clip`, which is `grid` units of length, and cut to whole ones; what is added is a
discrete Gaussian of standard deviation `sigma * grid` (Canonne, Kamath & Steinke, 2020). Sums of
integers are exact in any order, and have no floating-point side channel (Mironov, 2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fitchain.pod.values.digest import Json
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.fields import Fields

LEAST_GRID, MOST_GRID = 1 << 8, 1 << 24
"""A clipped gradient's numbers are whole in float32 up to 2^24."""
LEAST_SIGMA, MOST_SIGMA = 0.25, 1000.0
MOST_UNIT_RECORDS = 1 << 12
FILLED = "slot filled"
"""The column of a dataset with units of several rows that says of each row whether a record fills
it; no feature."""
DEFAULT_CLIP, DEFAULT_GRID = 1.0, 1 << 20
"""The grid serves models of up to 16 million parameters."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """How a training is made private.

    Args:
        sigma: standard deviation of the noise, in clips: the noise multiplier.
        clip: the most that a unit's gradient may be long, in the Euclidean norm.
        grid: whole units in a clip; a power of two. At least 2^8 sqrt(d) for d parameters, else
            cutting to whole units takes most of a gradient away.
        unit_records: how many rows of the dataset each unit of privacy has, as its card says; None
            where a record is the unit.
    """

    sigma: float
    clip: float
    grid: int
    unit_records: int | None = None

    @classmethod
    def parse(cls, value: Any) -> Privacy:
        """Read the form that stands in a recipe.

        Raises:
            InputRefused: a field is missing, unknown or out of bounds.
        """
        fields = Fields("the terms of privacy", value, ("sigma", "clip", "grid", "unit_records"))
        grid = fields.integer("grid", LEAST_GRID, MOST_GRID)
        if grid & (grid - 1):
            raise InputRefused(f"the terms of privacy: grid is a power of two, not {grid}")
        sigma, clip = fields.real("sigma", LEAST_SIGMA, MOST_SIGMA), fields.real("clip", 1e-9, 1e9)
        of_unit = None if value["unit_records"] is None else fields.integer("unit_records", 1, MOST_UNIT_RECORDS)
        return cls(sigma, clip, grid, of_unit)

    def json(self) -> dict[str, Json]:
        """The form that stands in a recipe."""
        return {"sigma": self.sigma, "clip": self.clip, "grid": self.grid, "unit_records": self.unit_records}

    @property
    def noise_units(self) -> Fraction:
        """The noise's standard deviation in units of the grid, exact."""
        return Fraction(self.sigma) * self.grid


def sampling_rate(batch_size: int, units: int) -> float:
    """The chance with which a step of private training draws a unit, so that a batch has its size
    on average: a multiple of 2^-32, rounded up, which a double and the draws have exactly."""
    return -(-(batch_size << 32) // units) / (1 << 32)
