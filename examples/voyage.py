"""A model of two inputs for a table of mixed columns: numbers, categories and whether a cell is
missing as `x`, and places in two tables of categories as `codes`. docs/tables.md publishes it."""

import torch
from torch import Tensor, nn

NUMBERS, CODES, LARGEST_TABLE = 9, 2, 7


class Survival(nn.Module):
    """Numbers and codes to two classes.

    Shapes: x [B, 9] float32, codes [B, 2] int64 below 7; output [B, 2].
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.look_up = nn.Embedding(LARGEST_TABLE, 3)
        self.layers = nn.Sequential(nn.Linear(NUMBERS + 3 * CODES, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Class scores of a batch."""
        scores: Tensor = self.layers(torch.cat([x, self.look_up(codes).flatten(1)], dim=1))
        return scores
