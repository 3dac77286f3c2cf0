"""Constants: values that are known while a module is traced, because neither inputs nor what
training moves reaches them.

A trace has no numbers, so it cannot answer `if (mask == causal).all()`. But a mask that is made of
sizes alone, or that lies in a buffer which no call writes, is the same at every step of every
training. So what a module computes of such values is computed beside the trace, too, with their
numbers; and where its Python reads one (a truth, a number, the places of what is true) it is
answered with them. What is made of a batch's size is computed for several sizes, and answered
where all of them say the same.

Not constant are inputs, parameters that training moves, buffers that a call writes, and draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental import symbolic_shapes
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

SIZES = (2, 3, 5, 8, 64, 1000)
"""Batch sizes for which a value that is made of one is computed."""
FEWEST = 3
"""Of these sizes, the smallest, at which it must not be too large."""
MOST_NUMBERS = 1 << 22
"""In a value that is followed: larger ones are tables and weights, which no Python reads."""


def names(words: str) -> frozenset[str]:
    """Names of functions, by which those of `torch` and of `Tensor` are alike."""
    return frozenset(words.split())


_READS = names("__bool__ __int__ __float__ __index__ __contains__ item tolist is_nonzero equal allclose")
"""Functions that give Python a value."""
_PLACES = names("nonzero argwhere where")
"""Functions that, of one argument, give the places where it is true."""
_SIZED = names("view reshape expand repeat zeros ones full arange narrow new_zeros new_ones new_full")
"""Functions that take sizes, of tensors, too."""
_OF_SHAPE = {
    **dict.fromkeys(names("new_zeros new_ones new_full new_empty new_tensor"), 0),
    **dict.fromkeys(names("zeros_like ones_like full_like empty_like"), 0),
    **dict.fromkeys(names("expand_as view_as reshape_as type_as to"), 1),
}
"""Functions to which of one argument, by its place, nothing but shape and dtype matters."""
_UNWRITTEN = names("empty empty_like new_empty empty_strided new_empty_strided empty_permuted")
"""Functions that leave memory as it is, where a graph says zeros."""
_FACTORIES = _UNWRITTEN | names(
    "tensor as_tensor asarray from_numpy scalar_tensor zeros ones full eye arange range linspace logspace div"
    " tril_indices triu_indices hann_window hamming_window bartlett_window blackman_window kaiser_window"
)
"""Functions that make a tensor of none."""
_ASSIGNING = names(
    "__setitem__ __iadd__ __isub__ __imul__ __itruediv__ __ifloordiv__ __imod__ __ipow__ __iand__ __ior__ __ixor__"
    " __ilshift__ __irshift__"
)
"""Functions that change their first argument, beside those whose names end in `_`."""

_transform: Callable[[], object] = vars(torch._C._functorch)["peek_interpreter_stack"]
_is_wrapped: Callable[[Tensor], bool] = vars(torch._C._functorch)["is_functorch_wrapped_tensor"]
_sympy: Any = vars(symbolic_shapes)["sympy"]
_DATA = Tensor.data.__get__  # type: ignore[attr-defined]


class _Unknown(Exception):
    """A value depends on more than constants."""


class _TooLarge(Exception):
    """A value has too many numbers to be followed."""


class Constants(TorchFunctionMode):
    """Computes what depends on constants alone beside a trace, and answers what Python reads of it.

    Args:
        held: constants that a module holds: what stands for each in the trace, and its numbers.
        written: other tensors that a module holds, and that its calls write.

    Attributes:
        transforms: whether a function was called within a transform of torch.func (vmap, grad), or
            a gradient was asked for.
    """

    def __init__(self, held: Iterable[tuple[Tensor, Tensor]], written: Iterable[Tensor]) -> None:
        super().__init__()
        self.written, self.transforms = list(written), False
        # What stands for a value in the trace: its version, and the numbers at each size, one for
        # all where they do not depend on it; `_TooLarge` where they are too many.
        self.values: Any = WeakTensorKeyDictionary()
        for traced, tensor in held:
            if tensor.numel() <= MOST_NUMBERS:
                self.values[traced] = traced._version, (_run(Tensor.clone, [tensor]),)

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        self.transforms = self.transforms or _transform() is not None or function is torch.autograd.grad
        if function == _DATA:  # a tensor without its history, which a trace would lose sight of
            function = Tensor.detach
        name = getattr(function, "__name__", "")
        if name == "__iter__" and self._computed(Tensor.dim, "dim", arguments, {}):
            return iter(self.__torch_function__(Tensor.unbind, types, arguments))
        if name in _SIZED:
            arguments = tree_map(self._size, arguments)
        if name in ("__getitem__", "__setitem__"):
            arguments = (arguments[0], self._by_places(arguments[1]), *arguments[2:])
        if name in _PLACES and len(arguments) == 1 and (places := self._places(arguments[0])):
            with self:
                return places if name == "where" or options.get("as_tuple") else torch.stack(places, 1)
        computed = self._computed(function, name, arguments, options)
        if name in _READS and _is_the_same(computed):
            return computed[0]
        try:
            traced = function(*arguments, **options)
        except Exception:
            if len(computed) != 1:
                raise
            traced = computed[0]  # its shape depends on values, and these are known
        if computed:
            traced = self._noted(traced, computed)
            if _is_writing(name):
                self._wrote(arguments[0])
        elif _is_writing(name):  # a trace writes a stand-in, and not the tensor itself
            self.written += [each for each in tree_leaves(arguments[:1]) if _is_real(each)]
        return traced

    def knows(self, tensor: Tensor) -> bool:
        """Whether a value is known for every batch: at one of them at least it is no other."""
        return len(self._values(tensor)) == 1

    def _size(self, value: Any) -> Any:
        """A whole number that a tensor holds, where it is known; anything else as it is."""
        if isinstance(value, Tensor) and not value.dim() and not value.is_floating_point():
            numbers = self._computed(Tensor.item, "item", (value,), {})
            return numbers[0] if _is_the_same(numbers) else value
        return value

    def _by_places(self, index: Any) -> Any:
        """An index in which constant masks are exchanged for the places where they are true."""
        exchanged = list[Any]()
        for each in index if isinstance(index, tuple) else (index,):
            places = self._places(each) if isinstance(each, Tensor) and each.dtype is torch.bool else ()
            exchanged += places or [each]
        return tuple(exchanged) if isinstance(index, tuple) or len(exchanged) > 1 else exchanged[0]

    def _places(self, mask: Tensor) -> tuple[Tensor, ...]:
        """Where a mask is true, an index for each dimension; nothing where that is not known. In a
        mask that says the same of each record they are those of one, for all records."""
        masks = [each for each in self._values(mask) if each is not _TooLarge]
        if not masks or not mask.dim():
            return ()
        if len(masks) == 1:
            return tuple(self._noted(places, (places,)) for places in _run(torch.where, masks))
        record, records = _run(_of_every_record, [masks]), mask.shape[0]
        if record is None:
            return ()
        row, *columns = _run(torch.where, [record])
        with self:
            rows = torch.arange(records)[:, None].expand(records, len(row))
            return tuple(
                each.expand(records, len(row)).reshape(records * len(row))
                for each in (rows, *(self._noted(column, (column,)) for column in columns))
            )

    def _computed(self, function: Any, name: str, arguments: Any, options: Mapping[str, Any]) -> tuple[Any, ...]:
        """What a function gives for the numbers of its arguments: at each of `SIZES`, or once where
        they do not depend on it; nothing where they are not known."""
        leaves = tree_leaves((arguments, options))
        if _transform() or not (name in _FACTORIES or any(isinstance(each, Tensor) for each in leaves)):
            return ()
        if name not in _OF_SHAPE and any(isinstance(each, Tensor) and not self._values(each) for each in leaves):
            return ()
        varies = any(map(self._varies, leaves))
        computed = list[Any]()
        for position in range(len(SIZES) if varies else 1):
            try:
                computed.append(self._computed_at(position, function, name, arguments, options))
            except _TooLarge:
                if position < FEWEST:
                    return ()
                computed.append(_TooLarge)
            except Exception:  # noqa: BLE001 - what is not known, or wrong, the trace says itself
                return ()
        return tuple(computed)

    def _computed_at(self, position: int, function: Any, name: str, arguments: Any, options: Mapping[str, Any]) -> Any:
        """The same at one of `SIZES`."""
        of_shape = _OF_SHAPE.get(name)
        numbers = [
            tree_map(partial(self._number, position=position, of_shape=index == of_shape), argument)
            for index, argument in enumerate(arguments)
        ]
        value = _run(function, numbers, tree_map(partial(self._number, position=position), dict(options)))
        if name in _UNWRITTEN:
            value = _run(Tensor.zero_, [value])
        if any(isinstance(each, Tensor) and each.numel() > MOST_NUMBERS for each in tree_leaves(value)):
            raise _TooLarge
        return value

    def _number(self, value: Any, position: int, of_shape: bool = False) -> Any:
        """What stands in a trace, at one of `SIZES`; of a mere shape, with any numbers."""
        match value:
            case torch.SymInt() | torch.SymFloat() | torch.SymBool():
                return _at_size(value, SIZES[position])
            case slice():
                return slice(*(self._number(each, position) for each in (value.start, value.stop, value.step)))
            case torch.Generator():
                raise _Unknown
            case Tensor():
                if values := self._values(value):
                    number = values[position if len(values) > 1 else 0]
                    if number is _TooLarge:
                        raise _TooLarge
                    return number
                if not of_shape:
                    raise _Unknown
                shape = [self._number(size, position) for size in value.shape]
                return _run(lambda: torch.zeros((), dtype=value.dtype).expand(shape))
        return value

    def _varies(self, value: Any) -> bool:
        """Whether something depends on the batch's size."""
        if isinstance(value, slice):
            return any(self._varies(each) for each in (value.start, value.stop, value.step))
        if isinstance(value, Tensor):
            values = self._values(value)
            return len(values) > 1 or (not values and any(map(self._varies, value.shape)))
        return isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool)

    def _values(self, tensor: Tensor) -> tuple[Any, ...]:
        """The numbers of what stands in a trace; nothing where they are not known, or no longer."""
        if _is_real(tensor):
            if any(tensor is each for each in self.written) or tensor.numel() > MOST_NUMBERS:
                return ()
            if tensor not in self.values:
                self.values[tensor] = tensor._version, (_run(Tensor.clone, [tensor]),)
        version, values = self.values.get(tensor, (-1, ()))
        return values if version == tensor._version else ()

    def _noted(self, traced: Any, computed: tuple[Any, ...]) -> Any:
        """Keep the numbers of what was traced. What has no shape in a trace, since that depends on
        numbers, becomes a constant of the graph."""
        numbers = [[] if each is _TooLarge else tree_leaves(each) for each in computed]
        places = iter(range(len(tree_leaves(traced))))

        def note(value: Any) -> Any:
            position = next(places)
            values: tuple[Any, ...] = tuple(each[position] if each else _TooLarge for each in numbers)
            if not isinstance(value, Tensor):
                return value
            if len(values) == 1 and (_is_real(value) or any(map(free_unbacked_symbols, value.shape))):
                value = values[0].clone()
            self.values[value] = value._version, values
            return value

        return tree_map(note, traced)

    def _wrote(self, tensor: Tensor) -> None:
        """Go on with the numbers of whatever shares a tensor's memory: they were written with it."""
        _, written = self.values[tensor]
        memory = {each.untyped_storage().data_ptr() for each in written if each is not _TooLarge}
        for other, (_, values) in [*self.values.items()]:
            if any(each.untyped_storage().data_ptr() in memory for each in values if each is not _TooLarge):
                self.values[other] = other._version, values


def _run(function: Any, arguments: Iterable[Any] = (), options: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Compute with numbers, beside the trace.

    Raises:
        _Unknown: it draws.
    """
    with _disable_current_modes(), torch._C.DisableTorchFunction(), torch.no_grad():
        drawn = torch.get_rng_state()
        value = function(*arguments, **options)
        if not torch.equal(torch.get_rng_state(), drawn):
            torch.set_rng_state(drawn)
            raise _Unknown
        return value


def _is_the_same(values: Sequence[Any]) -> bool:
    """Whether a value is known, and the same at each size."""
    return bool(values) and all(each in (values[0], _TooLarge) for each in values)


def _of_every_record(masks: Sequence[Tensor]) -> Tensor | None:
    """What masks of several batches say of each record, `[1, ...]`; None where records differ."""
    record = masks[0][:1]
    is_same = all(each.shape[1:] == record.shape[1:] and bool((each == record).all()) for each in masks)
    return record if is_same else None


def _at_size(value: Any, size: int) -> Any:
    """A symbol of a trace, or what is made of it, for a batch size."""
    expression = value.node.expr
    if free_unbacked_symbols(value):
        raise _Unknown
    return value.node.pytype(expression.xreplace(dict.fromkeys(expression.free_symbols, _sympy.Integer(size))))


def _is_writing(name: str) -> bool:
    """Whether a function changes its first argument, by its name."""
    return name in _ASSIGNING or (name.endswith("_") and not name.endswith("__"))


def _is_real(value: Any) -> bool:
    """Whether a tensor in a trace has numbers of its own, and is no weight."""
    return (
        isinstance(value, Tensor)
        and not isinstance(value, FakeTensor)
        and not value.requires_grad
        and value.device.type == "cpu"
        and not _is_wrapped(value)
    )
