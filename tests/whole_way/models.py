"""The scientist's modules. `python models.py` trains two of them beforehand, on other tasks, and
writes `vit.safetensors` and `text.safetensors` beside this file, as anybody publishes weights.

Shapes: B records of a batch, C channels or classes, H rows, W columns, T tokens, D width, R rank.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORDS, LENGTH, MISSING = 400, 24, 0
"""Rows of the embedding of words, tokens of a text, and the token that fills up."""
FOLDER = Path(__file__).parent


# An image and the part of it that is asked for


def twice(channels: int, wider: int) -> nn.Sequential:
    """Two convolutions that keep rows and columns."""
    first, second = nn.Conv2d(channels, wider, 3, padding=1), nn.Conv2d(wider, wider, 3, padding=1)
    return nn.Sequential(first, nn.BatchNorm2d(wider), nn.ReLU(), second, nn.BatchNorm2d(wider), nn.ReLU())


class UNet(nn.Module):
    """Two steps down, two up, and at each height what was there on the way down.

    Source: Ronneberger, Fischer & Brox, U-Net (2015).
    """

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.top, self.middle, self.bottom = twice(1, width), twice(width, 2 * width), twice(2 * width, 4 * width)
        self.widen = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.right_middle, self.right_top = twice(4 * width, 2 * width), twice(3 * width, width)
        self.mask = nn.Conv2d(width, 1, 1)

    def forward(self, image_B1HW: Tensor) -> Tensor:  # [B, 1, H, W] -> [B, 1, H, W]
        top = self.top(image_B1HW)
        middle = self.middle(F.max_pool2d(top, 2))
        bottom = self.bottom(F.max_pool2d(middle, 2))
        middle = self.right_middle(torch.cat([middle, self.widen(bottom)], 1))
        higher = F.interpolate(middle, scale_factor=2.0, mode="bilinear", align_corners=False)
        logits_B1HW: Tensor = self.mask(self.right_top(torch.cat([top, higher], 1)))
        return logits_B1HW


# Two transformers, and what is trained beside their frozen layers


class Block(nn.Module):
    """Attention and a small network, each beside what enters it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.network = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        normed = self.first(x_BTD)
        split = (
            each(normed).unflatten(2, (self.heads, -1)).transpose(1, 2) for each in (self.query, self.key, self.value)
        )
        x_BTD = x_BTD + self.out(F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))
        added_BTD: Tensor = x_BTD + self.network(self.second(x_BTD))
        return added_BTD


class VisionTransformer(nn.Module):
    """Grey images of 8 x 8 pixels as sixteen patches.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words (2021).
    """

    def __init__(self, classes: int = 10, width: int = 48) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.places = nn.Parameter(torch.randn(1, 16, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, 4) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:  # [B, 1, 8, 8] -> [B, classes]
        x_BTD = self.patches(image).flatten(2).transpose(1, 2) + self.places
        logits_BC: Tensor = self.head(self.norm(self.blocks(x_BTD)).mean(1))
        return logits_BC


class TextTransformer(nn.Module):
    """Tokens of a text; those that fill it up count in nothing but the attention."""

    def __init__(self, classes: int = 2, width: int = 48) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.words, self.places = nn.Embedding(WORDS, width), nn.Parameter(torch.randn(1, LENGTH, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, 4) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:  # [B, T] -> [B, classes]
        is_word_BT1 = (tokens != MISSING).unsqueeze(2).float()
        x_BTD = self.norm(self.blocks(self.words(tokens) + self.places)) * is_word_BT1
        logits_BC: Tensor = self.head(x_BTD.sum(1) / is_word_BT1.sum(1).clamp(min=1))
        return logits_BC


class Lora(nn.Module):
    """A frozen layer and a product of two thin matrices beside it, which begins as zero.

    Source: Hu et al., LoRA (2021).
    """

    def __init__(self, layer: nn.Linear, rank: int = 4, alpha: float = 8.0) -> None:
        super().__init__()
        self.layer, self.scale = layer, alpha / rank
        self.dropout = nn.Dropout(0.1)
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x_BTD: Tensor) -> Tensor:
        added_BTD: Tensor = self.layer(x_BTD) + self.dropout(x_BTD) @ self.down.T @ self.up.T * self.scale
        return added_BTD


def with_lora(model: VisionTransformer | TextTransformer, weights: Path, classes: int) -> nn.Module:
    """A model with published weights that stay as they are, LoRA at each query and value, and a
    head of its own."""
    from safetensors.torch import load_file

    model.load_state_dict(load_file(weights))
    model.requires_grad_(False)
    torch.manual_seed(4)
    for block in model.blocks:
        assert isinstance(block, Block)
        for name in ("query", "value"):
            setattr(block, name, Lora(getattr(block, name)))
    model.head = nn.Linear(model.head.in_features, classes)
    return model


def vit() -> nn.Module:
    """The vision transformer, fine-tuned to ten digits."""
    return with_lora(VisionTransformer(), FOLDER / "vit.safetensors", 10)


def text() -> nn.Module:
    """The transformer of texts, fine-tuned to two kinds of texts."""
    return with_lora(TextTransformer(), FOLDER / "text.safetensors", 2)


def trained_before(model: nn.Module, x: Tensor, classes_B: Tensor, steps: int = 60) -> dict[str, Tensor]:
    """Weights of a model after some steps on a task of somebody else's."""
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for step in range(steps):
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(step))[:64]
        loss = F.cross_entropy(model(x[rows]), classes_B[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}


if __name__ == "__main__":
    from safetensors.torch import save_file
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
    turned, quarters = torch.cat([torch.rot90(images, turn, (2, 3)) for turn in range(4)]), torch.arange(4)
    save_file(
        trained_before(VisionTransformer(), turned, quarters.repeat_interleave(len(images))), FOLDER / "vit.safetensors"
    )
    drawn = torch.randint(1, WORDS, (2000, LENGTH), generator=torch.Generator().manual_seed(5))
    first_half = (drawn < WORDS // 2).sum(1) > LENGTH // 2
    save_file(trained_before(TextTransformer(), drawn, first_half.long()), FOLDER / "text.safetensors")
    print(f"wrote vit.safetensors and text.safetensors with torch {torch.__version__}", file=sys.stderr)
