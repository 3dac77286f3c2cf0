"""A scientist's own module: which digit is on an image of 8 x 8 pixels.

    fitchain model publish examples/digits.py:Classifier --dataset ID

Shapes: B records of a batch, one channel, H rows, W columns, C classes.
"""

from __future__ import annotations

from torch import Tensor, nn


class Classifier(nn.Module):
    """Two convolutions with batch norm, dropout, one linear layer."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),  # 8 x 8 -> 4 x 4
        )
        self.head = nn.Sequential(nn.Dropout(0.25), nn.Flatten(), nn.Linear(32 * 4 * 4, classes))

    def forward(self, image_B1HW: Tensor) -> Tensor:
        logits_BC: Tensor = self.head(self.features(image_B1HW))
        return logits_BC
