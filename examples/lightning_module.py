"""A scientist's own LightningModule: benign or malignant from 30 measurements of a cell nucleus.

    pip install '.[lightning]'
    fitchain model publish examples/lightning_module.py:Nuclei --dataset ID
    fitchain model publish examples/lightning_module.py:layers --dataset ID

It is published as it is: what travels is what `forward` computes. How it is trained (the steps, the
optimizer, the metrics) is for a trainer of one's own; in a job the recipe says it.
"""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import BinaryAccuracy


class Nuclei(lightning.LightningModule):
    """A perceptron, and how it would be trained at home."""

    def __init__(self, hidden: int = 32, learning_rate: float = 2e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Linear(30, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 2))
        self.accuracy = BinaryAccuracy()

    def forward(self, x_BF: Tensor) -> Tensor:
        logits_BC: Tensor = self.model(x_BF)
        self.log("largest logit", logits_BC.max())  # heard by a trainer alone
        return logits_BC

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The loss of a batch."""
        x_BF, diagnosis_B = batch
        logits_BC = self(x_BF)
        self.log("accuracy", self.accuracy(logits_BC.argmax(1), diagnosis_B))
        return F.cross_entropy(logits_BC, diagnosis_B)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """What moves the parameters."""
        return torch.optim.AdamW(self.parameters(), self.hparams.learning_rate)


def layers() -> nn.Module:
    """The module inside of it, which is published without anything of Lightning's."""
    return Nuclei().model
