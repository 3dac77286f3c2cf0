"""Shapes of a recurrent layer's weights, which its kernels read on trust (no torch)."""

from __future__ import annotations


# Many parameters: all that the shapes depend on.
def weight_shapes(
    gates: int, entering: int, size: int, biases: bool, layers: int, directions: int
) -> list[tuple[int, ...]]:
    """What shapes the weights of a recurrent layer have, in torch's order.

    Args:
        gates: of a cell: 4 of an LSTM, 3 of a GRU, 1 of a plain one.
        entering: features of the first layer's input.
        size: of a state.
        biases: whether cells have any.
        layers, directions: how many cells stand upon and beside one another.

    Returns:
        Of each layer and direction `[gates * size, features]`, `[gates * size, size]` and, with
        biases, `[gates * size]` twice.
    """
    shapes: list[tuple[int, ...]] = []
    for layer in range(layers):
        width = size * directions if layer else entering
        cell = ((gates * size, width), (gates * size, size), (gates * size,), (gates * size,))
        shapes += (cell if biases else cell[:2]) * directions
    return shapes
