"""A layer of long short-term memory, of products and elementwise operators alone.

The whole sequence is one node of the gradient's graph: what enters is multiplied in one product,
and so are the gradients of all weights, where torch's own cells take a product a step. Where a
gradient of second order is asked for, and where a tensor is not simply one (under `vmap`, or
without memory, or beside its tangent), the same is composed of torch's operators, step by step.

Source: Hochreiter & Schmidhuber, Long Short-Term Memory (1997), with the forget gate of Gers et al.
(2000), in torch's order of gates: input, forget, cell, output.

Legend: T time, B batch, I entering, H hidden, G = 4 H gates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from fitchain.pod.compute.operators.products import product, step_products
from fitchain.pod.compute.operators.recurrent import weight_shapes

Compute = Callable[..., tuple[Tensor, ...]]

PADDING = 16
"""Elements after each row of what is multiplied by its columns."""

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input._op
_tanh_backward = torch.ops.aten.tanh_backward.grad_input._op


def takes(
    x: Tensor, hidden: list[Tensor], weights: list[Tensor], biases: bool, layers: int, both: bool, batch_first: bool
) -> bool:
    """Whether `lstm` computes a call: floats or doubles of one dtype, in sizes that fit, without
    projections."""
    if x.dim() != 3 or len(hidden) != 2 or layers < 1:
        return False
    if x.dtype not in (torch.float32, torch.float64) or any(each.dtype is not x.dtype for each in (*hidden, *weights)):
        return False
    (batch, time), size = x.shape[:2] if batch_first else x.shape[1::-1], hidden[0].shape[-1]
    directions = 2 if both else 1
    if 0 in (batch, time, size) or any(each.shape != (layers * directions, batch, size) for each in hidden):
        return False
    return [tuple(each.shape) for each in weights] == weight_shapes(4, x.shape[2], size, biases, layers, directions)


# Many parameters: they are the operator's own, in its order.
def lstm(
    x: Tensor,
    hidden: list[Tensor],
    weights: list[Tensor],
    biases: bool,
    layers: int,
    dropout: float,
    training: bool,
    both: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Layers of long short-term memory, as `aten.lstm.input` stacks them; a call that it `takes`.

    Args:
        x: `[T, B, I]`, or `[B, T, I]` if `batch_first`.
        hidden: the first state and memory, `[layers * directions, B, H]` each.
        weights: of each layer and direction `[G, I]`, `[G, H]` and, with `biases`, `[G]` twice.
        biases, layers, dropout, training, both, batch_first: as torch's layer has them.

    Returns:
        The last layer's states in the order of `x`, and each layer's and direction's last state
        and memory.
    """
    run: Compute = _Pass.apply if _plain((x, *hidden, *weights)) else _composed
    x_TBI = x.transpose(0, 1) if batch_first else x
    directions, per_cell = (2 if both else 1), (4 if biases else 2)
    cells = [weights[start : start + per_cell] for start in range(0, len(weights), per_cell)]
    ends: list[tuple[Tensor, Tensor]] = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            first = hidden[0][index], hidden[1][index]
            cell = cells[index] if biases else [*cells[index], None, None]
            states, *end = run(x_TBI, *first, *cell, bool(direction))
            outputs.append(states)
            ends.append((end[0], end[1]))
        x_TBI = torch.cat(outputs, 2) if both else outputs[0]
        if dropout and training and layer < layers - 1:
            x_TBI = torch.dropout(x_TBI, dropout, training)
    last_states, last_memories = (torch.stack(each) for each in zip(*ends, strict=True))
    return (x_TBI.transpose(0, 1) if batch_first else x_TBI), last_states, last_memories


class _Pass(torch.autograd.Function):
    """One direction of one layer over the whole sequence."""

    # Many parameters: what the layer is a function of, and the way it goes.
    @staticmethod
    def forward(
        ctx: Any,
        x_TBI: Tensor,
        h_BH: Tensor,
        c_BH: Tensor,
        w_GI: Tensor,
        w_GH: Tensor,
        b_G: Tensor | None,
        c_G: Tensor | None,
        backwards: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """States `[T, B, H]`, the last state and the last memory `[B, H]`."""
        (time, batch, entering), size = x_TBI.shape, w_GH.shape[1]
        x_SI = x_TBI.reshape(time * batch, entering)  # S = T B
        biases = None if b_G is None or c_G is None else b_G + c_G
        gates_TBG = product(x_SI, w_GI.t(), start=biases).view(time, batch, 4 * size)
        _, after = _before_and_after(backwards)
        h_UBH, c_UBH = (torch.empty((time + 1, batch, size), dtype=x_TBI.dtype) for _ in range(2))  # U = T + 1
        t_TBH = torch.empty((time, batch, size), dtype=x_TBI.dtype)
        first, last = (time, 0) if backwards else (0, time)
        h_UBH[first], c_UBH[first] = h_BH, c_BH
        # A copy, whose rows are read faster at each step than the weights' columns.
        add_product = step_products(h_UBH, w_GH.t().contiguous(), gates_TBG)
        quarters, memory = torch.chunk(gates_TBG, 4, 2), c_UBH[first]
        views = *quarters, gates_TBG[..., : 2 * size], t_TBH, h_UBH[after], c_UBH[after]
        for step, each in _steps(*views, backwards=backwards):
            enter, forget, cell, out, input_and_forget, t, h, c = each
            add_product(step + backwards, step)
            input_and_forget.sigmoid_()
            cell.tanh_()
            out.sigmoid_()
            memory = torch.mul(forget, memory, out=c).addcmul_(enter, cell)
            torch.mul(out, torch.tanh(memory, out=t), out=h)
        ctx.backwards, ctx.biases = backwards, biases is not None
        ctx.save_for_backward(x_TBI, h_BH, c_BH, w_GI, w_GH, b_G, c_G, gates_TBG, h_UBH, c_UBH, t_TBH)
        # Detached, since autograd would take a view for no result of this function.
        return h_UBH[after].detach(), h_UBH[last].clone(), c_UBH[last].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all but the way: first of what each gate is worth to its state or memory,
        for all steps at once, then from the last step to the first."""
        saved = ctx.saved_tensors  # once: a checkpoint computes them anew at each look
        inputs, (gates_TBG, h_UBH, c_UBH, t_TBH) = saved[:7], saved[7:]
        if torch.is_grad_enabled() or not _plain(gradients):  # they will be differentiated, or are several at once
            return *_composed_gradients(inputs, gradients, ctx.backwards), None
        x_TBI, _, _, w_GI, w_GH, _, _ = inputs
        (time, batch, size), backwards, wanted = t_TBH.shape, ctx.backwards, ctx.needs_input_grad
        before, after = _before_and_after(backwards)
        enter, forget, cell, out = torch.chunk(gates_TBG, 4, 2)
        # Rows whose distance is a power of two would meet in the same lines of the cache.
        d_TBG = torch.empty((time, batch, 4 * size + PADDING), dtype=gates_TBG.dtype)[..., : 4 * size]
        d_enter, d_forget, d_cell, d_out = torch.chunk(d_TBG, 4, 2)
        _sigmoid_backward(cell, enter, grad_input=d_enter)
        _sigmoid_backward(c_UBH[before], forget, grad_input=d_forget)
        _tanh_backward(enter, cell, grad_input=d_cell)
        _sigmoid_backward(t_TBH, out, grad_input=d_out)
        memory_TBH = torch.ops.aten.tanh_backward(out, t_TBH)
        three_TB3H = torch.unflatten(d_TBG[..., : 3 * size], 2, (3, size))
        first, last = (time, 0) if backwards else (0, time)
        dh_UBH, dc_BH = torch.empty_like(h_UBH), gradients[2].clone()
        dh_UBH[after], dh_UBH[first] = gradients[0], 0
        dh_UBH[last] += gradients[1]
        add_product, dc_B1H = step_products(d_TBG, w_GH, dh_UBH), dc_BH[:, None]
        for step, each in _steps(three_TB3H, d_out, memory_TBH, forget, dh_UBH[after], backwards=not backwards):
            d_three, d_last, memory, kept, dh = each
            dc_BH.addcmul_(dh, memory)
            d_three.mul_(dc_B1H)
            d_last.mul_(dh)
            dc_BH.mul_(kept)
            if step + backwards != first or wanted[1]:
                add_product(step, step + backwards)
        d_SG, x_SI = d_TBG.view(-1, 4 * size), x_TBI.reshape(time * batch, -1)
        dx_TBI = product(d_SG, w_GI).view(time, batch, -1) if wanted[0] else None
        dw_GI = product(d_SG.t(), x_SI) if wanted[3] else None
        dw_GH = product(d_SG.t(), h_UBH[before].view(-1, size)) if wanted[4] else None
        db_G = d_SG.sum(0) if ctx.biases and (wanted[5] or wanted[6]) else None
        return dx_TBI, dh_UBH[first] if wanted[1] else None, dc_BH, dw_GI, dw_GH, db_G, db_G, None


# Many parameters: as `_Pass`.
def _composed(
    x_TBI: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    w_GI: Tensor,
    w_GH: Tensor,
    b_G: Tensor | None,
    c_G: Tensor | None,
    backwards: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What `_Pass` computes, of operators that torch differentiates."""
    gates_TBG = F.linear(x_TBI, w_GI, None if b_G is None or c_G is None else b_G + c_G)
    states: list[Tensor] = []
    for _, (entering,) in _steps(gates_TBG, backwards=backwards):
        enter, forget, cell, out = (entering + h_BH @ w_GH.t()).chunk(4, 1)
        c_BH = forget.sigmoid() * c_BH + enter.sigmoid() * cell.tanh()
        h_BH = out.sigmoid() * c_BH.tanh()
        states.append(h_BH)
    return torch.stack(states[::-1] if backwards else states), h_BH, c_BH


def _composed_gradients(
    inputs: tuple[Tensor | None, ...], gradients: tuple[Tensor, ...], backwards: bool
) -> list[Tensor | None]:
    """Gradients that can be differentiated again, by way of `_composed`."""
    compute: Compute = _composed
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views: of tensors that are one another, or made of one another, this gradient would hold
        # the others' parts, which are added outside.
        views = [None if each is None else each.view_as(each) for each in inputs]
        learnt = [each for each in views if each is not None and each.requires_grad]
        computed = iter(torch.autograd.grad(compute(*views, backwards), learnt, gradients, create_graph=again))
    return [next(computed) if each is not None and each.requires_grad else None for each in inputs]


def _plain(tensors: tuple[Tensor, ...]) -> bool:
    """Whether tensors are numbers in this process's memory, as they stand there, and nobody follows
    what is done to them."""
    return (
        all(type(each) in (Tensor, nn.Parameter) and each.is_cpu and _stands_in_memory(each) for each in tensors)
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and forward_ad._current_level < 0
    )


def _stands_in_memory(tensor: Tensor) -> bool:
    is_batch = torch._C._functorch.is_batchedtensor(tensor) or torch._C._functorch.is_legacy_batchedtensor(tensor)
    return not (is_batch or tensor.is_neg() or torch._is_zerotensor(tensor))


def _steps(*of_all: Tensor, backwards: bool) -> Iterable[tuple[int, tuple[Tensor, ...]]]:
    """Each step's number and views, in their order or against it."""
    steps = list(enumerate(zip(*(tensor.unbind() for tensor in of_all), strict=True)))
    return reversed(steps) if backwards else steps


def _before_and_after(backwards: bool) -> tuple[slice, slice]:
    """Which of T + 1 states stand before the steps, and which after."""
    earlier, later = slice(None, -1), slice(1, None)
    return (later, earlier) if backwards else (earlier, later)
