"""What is tried: an architecture, as its library delivers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported late otherwise: importing torch before the class's variables are set would spoil them
    from torch import nn

Shape = tuple[str, tuple[int, ...]]
"""A dtype of a graph's input, and its shape without the batch."""


@dataclass(frozen=True)
class Architecture:
    """One public architecture in its smallest variant.

    Args:
        name: of the library and of the model, such as `timm/resnet10t`.
        family: under which it is counted.
        make: builds it with random weights; nothing is downloaded.
        inputs: its arguments by place.
        output: which tensor out of what it returns is trained; empty where it returns one.
        wrapped: whether `make` puts a module of the zoo's own around the library's, which a
            scientist would have to write, too.
    """

    name: str
    family: str
    make: Callable[[], nn.Module]
    inputs: tuple[Shape, ...]
    output: str = ""
    wrapped: bool = False


def image(size: int = 32, channels: int = 3) -> tuple[Shape, ...]:
    """A square image."""
    return (("F32", (channels, size, size)),)


def volume(size: int = 16, channels: int = 1) -> tuple[Shape, ...]:
    """A cube of voxels."""
    return (("F32", (channels, size, size, size)),)


def tokens(length: int = 8) -> tuple[Shape, ...]:
    """Whole numbers: words, say."""
    return (("I64", (length,)),)


def series(channels: int = 3, length: int = 48) -> tuple[Shape, ...]:
    """Several measurements over time."""
    return (("F32", (channels, length)),)
