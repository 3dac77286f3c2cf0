"""Masks: writing where a mask is true, said without a shape that depends on how often it is.

`h[mask] = 0` is `masked_fill`, which is what torch itself runs; `h[mask] = row` and
`h[mask] = f(h[mask])` choose between two values with `where`, as long as `f` computes each number
of that one alone. What a mask picks is followed as a whole tensor, of which only the numbers where
the mask is true are ever read. Where it is used otherwise (summed, say, or cut into rows) it
becomes what it is, and no graph holds its shape. That the rest computes the same is tried
(`fidelity`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from fitchain.pod.compute.model.constants import Constants, names

HARMLESS = 0.5
"""What is computed in place of numbers that a mask leaves out: functions and their derivatives are
finite there."""
_OF_EACH = names(
    "neg abs exp expm1 log log1p log2 sqrt rsqrt square reciprocal sin cos tan tanh sigmoid relu gelu silu softplus"
    " leaky_relu elu erf sign floor ceil round trunc clamp clamp_min clamp_max clip add sub mul div true_divide pow"
    " maximum minimum fill zero clone detach contiguous float double long int bool to"
)
_OF_EACH |= {f"{name}_" for name in _OF_EACH}
_OF_EACH |= {f"__{prefix}{name}__" for name in names("add sub mul truediv pow") for prefix in ("", "r", "i")} | names(
    "__neg__ __abs__ rsub"
)
"""Functions that compute each number of that one alone."""
_OF_TYPE = names("is_floating_point is_complex dim element_size")


class _View(NamedTuple):
    """What an index with a mask says.

    Args:
        tensor: what it is of, the mask's dimensions and others whole.
        mask: as it was given.
        first: dimension of the tensor at which the mask's begin.
    """

    tensor: Tensor
    mask: Tensor
    first: int

    @property
    def after(self) -> int:
        """Dimensions behind the mask's."""
        return self.tensor.dim() - self.first - self.mask.dim()

    @property
    def where(self) -> Tensor:
        """The mask, over the tensor's last dimensions."""
        return self.mask.reshape(*self.mask.shape, *[1] * self.after)


class Masks(TorchFunctionMode):
    """Says what is written by a mask without its places.

    Args:
        constants: what is known of masks already; their places are.
    """

    def __init__(self, constants: Constants) -> None:
        super().__init__()
        self.constants = constants
        self.picked: Any = WeakTensorKeyDictionary()  # the view of which a tensor is picked
        self.made: Any = WeakTensorKeyDictionary()  # how a mask was computed

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options, name = options or {}, getattr(function, "__name__", "")
        if name in ("index_put", "index_put_") and len(arguments) == 3 and not options:
            written = arguments[0] if name == "index_put_" else arguments[0].clone()
            self.__torch_function__(Tensor.__setitem__, types, (written, tuple(arguments[1]), arguments[2]))
            return written
        if name in ("__getitem__", "__setitem__") and (view := self._view(*arguments[:2])):
            if name == "__getitem__":
                return self._pick(view)
            if self._write(view, arguments[2]):
                return None
        leaves = tree_leaves((arguments, options))
        views = [self.picked[each] for each in leaves if isinstance(each, Tensor) and each in self.picked]
        if views and not (name in _OF_TYPE or self._is_of_each(name, leaves, views)):
            arguments, options = tree_map(self.counted, (arguments, options))
            views = []
        value = function(*arguments, **options)
        if isinstance(value, Tensor):
            if views:
                self.picked[value] = views[0]
            elif value.dtype is torch.bool and value not in self.made:
                self.made[value] = name, [*map(self._identity, leaves)], leaves
        return value

    def _view(self, tensor: Any, index: Any) -> _View | None:
        """What an index says that has one mask, and nothing else but sizes and places of single
        dimensions; None where it is another."""
        items = list(index) if isinstance(index, tuple) else [index]
        masks = [each for each in items if isinstance(each, Tensor)]
        plain = all(isinstance(each, Tensor | int | slice | torch.SymInt) or each in (None, ...) for each in items)
        if len(masks) != 1 or not plain or masks[0].dtype is not torch.bool or not masks[0].dim():
            return None
        mask, position = masks[0], next(position for position, each in enumerate(items) if isinstance(each, Tensor))
        if tensor in self.picked or mask in self.picked or self.constants.knows(mask):
            return None
        items[position : position + 1] = [slice(None)] * mask.dim()
        behind = items[position + mask.dim() :]
        viewed: Tensor = tensor[tuple(items)] if len(items) > mask.dim() else tensor
        if ... in behind:
            first = sum(not isinstance(each, int | torch.SymInt) for each in items[:position])
        else:
            used = sum(each is not None and each is not ... for each in items)
            rest = 0 if ... in items else tensor.dim() - used
            first = viewed.dim() - rest - mask.dim() - sum(not isinstance(each, int | torch.SymInt) for each in behind)
        return _View(viewed, mask, first)

    def _pick(self, view: _View) -> Tensor:
        """What a mask picks, as a whole tensor, harmless where it is not true."""
        number = HARMLESS if view.tensor.is_floating_point() else 1
        whole = view.tensor.masked_fill(view.where.logical_not(), number)
        self.picked[whole] = view
        return whole

    def _write(self, view: _View, value: Any) -> bool:
        """Write where a mask is true; False where that depends on how often it is."""
        tensor, where = view.tensor, view.where
        if isinstance(value, bool | int | float):
            tensor.masked_fill_(where, value if tensor.is_floating_point() else int(value))
            return True
        if not isinstance(value, Tensor):
            return False
        if value in self.picked:
            of = self.picked[value]
            if (of.first, of.after) != (view.first, view.after) or not self._is_same(of.mask, view.mask):
                return False
        elif value.dim() > view.after:
            behind = value.dim() - view.after
            if value.shape[behind - 1] != 1:
                return False
            value = value.reshape(*value.shape[: behind - 1], *[1] * view.mask.dim(), *value.shape[behind:])
        value = value.to(tensor.dtype)
        if not value.dim() or value.numel() == 1:
            tensor.masked_fill_(where, value.reshape(()))
        else:
            tensor.copy_(torch.where(where, value, tensor))
        return True

    def _is_of_each(self, name: str, values: list[Any], views: list[_View]) -> bool:
        """Whether a function computes each picked number of that one and of what is the same for
        all."""
        return (
            name in _OF_EACH
            and all(self._is_same(views[0].mask, each.mask) for each in views)
            and all(each in self.picked or each.dim() <= views[0].after for each in values if isinstance(each, Tensor))
            and (not name.endswith("_") or name.startswith("__r") or values[0] in self.picked)
        )

    def counted(self, value: Any) -> Any:
        """What a mask picks, of which there are as many as it is true; any other value as given."""
        if not isinstance(value, Tensor) or value not in self.picked:
            return value
        view = self.picked[value]
        return value[(*[slice(None)] * view.first, view.mask)]

    def _is_same(self, mask: Tensor, other: Tensor) -> bool:
        """Whether two masks were computed alike, of values that were not written in between."""
        return mask is other or self._identity(mask) == self._identity(other)

    def _identity(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return repr(value)
        if value in self.made and not value._version:
            name, identities, _ = self.made[value]
            return name, *identities
        return id(value), value._version
