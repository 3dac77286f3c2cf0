"""Fine-tuning: a published network stays as it is, and two small matrices are trained beside it.

    python examples/fine_tuning.py weights.safetensors
    fitchain model publish examples/fine_tuning.py:Adapted --dataset ID --base weights.safetensors

The first line writes the weights that the second takes as the base: whatever jobs train over it,
these weights travel once. It is ordinary PyTorch. Shapes: B records of a batch, F features, C
classes.
"""

from __future__ import annotations

import sys

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

FEATURES, HIDDEN, CLASSES, RANK = 30, 512, 2, 4


def pretrained() -> nn.Sequential:
    """Stands for a network that somebody published: in a file of your own, load its weights
    here."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)
    )


class Adapted(nn.Module):
    """A low-rank adapter (LoRA, https://arxiv.org/abs/2106.09685) beside a frozen network."""

    def __init__(self) -> None:
        super().__init__()
        self.base = pretrained().requires_grad_(False)
        self.down, self.up = nn.Linear(FEATURES, RANK, bias=False), nn.Linear(RANK, CLASSES, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x_BF: Tensor) -> Tensor:
        logits_BC: Tensor = self.base(x_BF) + self.up(self.down(x_BF))
        return logits_BC


if __name__ == "__main__":
    save_file(pretrained().state_dict(), sys.argv[1])
