"""A small fine-tuning: published weights that are frozen, and two small matrices beside them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn


def pretrained() -> nn.Sequential:
    """Four numbers to two classes, as somebody published it."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 2))


class Adapted(nn.Module):
    """The same, frozen, and what is trained beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.base = pretrained().requires_grad_(False)
        torch.manual_seed(5)
        self.down, self.up = nn.Linear(4, 2, bias=False), nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # [B, 4] -> [B, 2]
        output_BC: Tensor = self.base(x) + self.up(self.down(x))
        return output_BC


class Other(nn.Module):
    """A module that shares no tensor with it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:  # [B, 4] -> [B, 2]
        output_BC: Tensor = self.layer(x)
        return output_BC


def base_file(folder: Path) -> Path:
    """The published weights, as any program writes them."""
    save_file(pretrained().state_dict(), path := folder / "pretrained.safetensors")
    return path
