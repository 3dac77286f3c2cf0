"""A scientist's own module: benign or malignant from 30 measurements of a cell nucleus.

    fitchain model publish examples/breast_cancer.py:Classifier --dataset ID

It is ordinary PyTorch. Shapes: B records of a batch, F features, C classes.
"""

from __future__ import annotations

from torch import Tensor, nn


class Classifier(nn.Module):
    """A perceptron with one hidden layer."""

    def __init__(self, features: int = 30, hidden: int = 32, classes: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

    def forward(self, x_BF: Tensor) -> Tensor:
        logits_BC: Tensor = self.layers(x_BF)
        return logits_BC
