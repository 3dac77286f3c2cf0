"""Dataflow: how each tensor of a call was computed, operator by operator.

Equal numbers do not say that two calls compute the same: a gradient that a hook clips at 100,000 is
the same one until it is larger. So beside its numbers each tensor has a digest of what it was
computed by: operators, their arguments, and parameters and inputs by name. Two calls of one
dataflow compute the same for all numbers, as long as neither looks at them; and where one looks is
noted, too.

What depends on constants alone is told by its numbers, however it was made.

Source: operators and their tags as torch's dispatcher gives them (`TorchDispatchMode`,
`torch.Tag`).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from blake3 import blake3
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from fitchain.pod.compute.model.torch_output import module_place

_ATEN = torch.ops.aten
_MASKS = (torch.bool, torch.uint8)
_OF_MASKS = frozenset(
    {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default, _ATEN._index_put_impl_.default}
)
"""Operators whose sizes depend on values where an index is a mask."""
_NEW_MEMORY = frozenset(
    {
        _ATEN.empty.memory_format,
        _ATEN.empty_like.default,
        _ATEN.empty_strided.default,
        _ATEN.new_empty.default,
        _ATEN.new_empty_strided.default,
    }
)
"""Operators that leave memory as it is; a graph has zeros there."""
_OF_SHAPES = frozenset(
    {
        *(_ATEN.zeros_like.default, _ATEN.ones_like.default, _ATEN.full_like.default),
        *(_ATEN.new_zeros.default, _ATEN.new_ones.default, _ATEN.new_full.default),
    }
)
"""Operators that take a tensor for its shape alone."""
_ADDING = frozenset({_ATEN.add.Tensor, _ATEN.add_.Tensor})
_COMMUTING = frozenset({_ATEN.mul.Tensor, _ATEN.add.Tensor})
"""Operators of two terms, whose order no bit depends on."""


_CHOOSING = frozenset(
    {
        *("clamp", "clamp_min", "clamp_max", "clip", "minimum", "maximum", "fmin", "fmax", "nan_to_num"),
        *("relu", "relu6", "hardtanh", "hardtanh_backward", "threshold", "threshold_backward", "hardshrink"),
    }
)
"""Operators that change some numbers and leave others, which need not be among those tried."""
_CHOOSING_BY: Mapping[str, int] = {"where": 0, "masked_fill": 1, "index": 1, "index_put": 1, "_index_put_impl": 1}
"""Those that do so by a mask, and which argument that is: one that is a constant leaves nothing
open. What is picked and written by masks is written down as `masked_fill` and `where`, as many."""
_MASK = "mask"


@dataclass(frozen=True, slots=True)
class Step:
    """An operator that was run.

    Args:
        operator: its name.
        sources: digests of the tensors that it took.
        line: of the module, or of a hook, that ran it: file and number.
        choice: how it changes some numbers only, by what they are; empty where it does not.
    """

    operator: str
    sources: tuple[bytes, ...]
    line: tuple[str, int] | None
    choice: str


class Dataflow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the tensors of a call, forward and backward: `steps` are the operators that it ran,
    `origins` those that gave each tensor, `reads` the places where Python learnt a value by one.

    Args:
        named: what the call depends on: parameters, inputs, and buffers that steps write. Any other
            tensor that is there before is a constant.
    """

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps = dict[bytes, Step]()
        self.reads = list[tuple[str, int] | None]()
        self.origins = dict[bytes, bytes]()
        self._digests = dict[int, tuple[bytes, bytes]]()  # of storages and of what made them, by address
        self._kept = dict[int, StorageWeakRef]()  # so that no address is used again
        self._blank = set[int]()  # addresses of new memory
        for name, tensor in named.items():
            self._know(tensor, blake3(name.encode()).digest(), b"")

    def digest(self, tensor: Tensor) -> bytes:
        """How a tensor was computed; of a constant, its numbers."""
        if (origin := self._digests.get(_address(tensor))) is None:
            is_blank = _address(tensor) in self._blank
            return content(torch.zeros(tensor.shape, dtype=tensor.dtype) if is_blank else tensor)
        whole, step = origin
        view = f"{tensor.storage_offset()} {tuple(tensor.shape)} {tensor.stride()} {tensor.dtype}"
        digest = blake3(whole + view.encode()).digest()
        self.origins[digest] = step
        return digest

    def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        with torch._C.DisableTorchFunction():
            return self._follow(operator, arguments, options)

    def _follow(self, operator: Any, arguments: Any, options: Any) -> Any:
        tensors = list(_tensors([*arguments, *options.values()]))
        if any(tensor.is_meta for tensor in tensors) or torch.device(options.get("device") or "cpu").type != "cpu":
            return operator(*arguments, **options)  # shapes are being checked
        depends = any(_address(tensor) in self._digests for tensor in tensors)
        if depends and _is_read(operator, arguments):
            self.reads.append(module_place())
        depends = depends or torch.Tag.nondeterministic_seeded in operator.tags
        if operator in _NEW_MEMORY or operator in _OF_SHAPES or not depends:
            return self._constant(operator, arguments, options)
        sources = tuple(self.digest(tensor) for tensor in tensors)
        step = self._step(operator, arguments, options, sources)
        self.steps[step] = Step(str(operator), sources, module_place(), self._choice(operator, arguments))
        output = operator(*arguments, **options)
        if operator in _ADDING and (same := self._unchanged(arguments, options, output)) is not None:
            self._know(output, *self._digests[_address(same)])
        if operator is _ATEN.copy_.default and _layout(arguments[0]) == _layout(arguments[1]):
            self._copy(*arguments[:2])
            return output
        for index, tensor in enumerate(_written(operator, arguments, options)):
            self._know(tensor, blake3(step + b"writes %d" % index).digest(), step)
        # A result that was not asked for is None, and leaves the others their numbers.
        for index, result in enumerate(output if isinstance(output, list | tuple) else [output]):
            for number, tensor in enumerate(_tensors([result])):
                if _address(tensor) not in self._digests:
                    self._know(tensor, blake3(step + b"gives %d %d" % (index, number)).digest(), step)
        return output

    def _constant(self, operator: Any, arguments: Any, options: Any) -> Any:
        """Run an operator on constants."""
        output = operator(*arguments, **options)
        for tensor in _written(operator, arguments, options):
            self._blank.discard(_address(tensor))
        if operator in _NEW_MEMORY:
            self._blank.add(self._hold(output))
        return output

    def _step(self, operator: Any, arguments: Any, options: Any, sources: Sequence[bytes]) -> bytes:
        """Digest of an operator with all that it takes."""
        # Which gradients a kernel gives at once, a mask says: each is the same without the others.
        asked = [argument.name != "output_mask" for argument in operator._schema.arguments]
        plain = _plain([*itertools.compress(arguments, asked), *sorted(options.items())])
        # A draw follows from the generator's state: one that is repeated from the same is the same.
        is_draw = torch.Tag.nondeterministic_seeded in operator.tags
        drawn = content(torch.get_rng_state()).hex() if is_draw else ""
        ordered = sorted(sources) if operator in _COMMUTING and not options else sources
        return blake3(f"{operator} {plain} {drawn} ".encode() + b"".join(ordered)).digest()

    def _choice(self, operator: Any, arguments: Sequence[Any]) -> str:
        name = operator._schema.name.removeprefix("aten::").removesuffix("_")
        if name not in _CHOOSING_BY:
            return name if name in _CHOOSING else ""
        masks = [each for each in _tensors([arguments[_CHOOSING_BY[name]]]) if each.dtype in _MASKS]
        return _MASK if any(map(self.depends, masks)) else ""

    def _unchanged(self, arguments: Sequence[Any], options: Any, output: Tensor) -> Tensor | None:
        """The term to which a constant of zeros is added: a mask that masks nothing."""
        terms = [each for each in arguments if isinstance(each, Tensor)]
        for term, other in itertools.permutations(terms) if len(terms) == 2 and not options else ():
            if self.depends(term) and _layout(term) == _layout(output) and not self.depends(other) and not other.any():
                return term
        return None

    def _copy(self, to: Tensor, source: Tensor) -> None:
        """A buffer that is assigned anew is a copy in a graph."""
        if self.depends(source):
            self._know(to, *self._digests[_address(source)])
        else:
            self._digests.pop(_address(to), None)

    def _know(self, tensor: Tensor, digest: bytes, step: bytes) -> None:
        self._digests[self._hold(tensor)] = digest, step

    def _hold(self, tensor: Tensor) -> int:
        """The address of a tensor's storage, which no other gets from now on."""
        storage = tensor.untyped_storage()
        self._kept.setdefault(storage._cdata, StorageWeakRef(storage))  # type: ignore[no-untyped-call]
        return int(storage._cdata)

    def depends(self, tensor: Tensor) -> bool:
        """Whether a tensor is no constant."""
        return tensor.layout is torch.strided and _address(tensor) in self._digests


def content(tensor: Tensor) -> bytes:
    """Digest of a tensor's numbers, shape and dtype."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if plain.is_floating_point():  # what NaN's other bits are no operator says
        plain = plain.masked_fill(plain.isnan(), torch.nan)
    hasher = blake3(f"{plain.dtype} {tuple(plain.shape)} ".encode())
    hasher.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.digest()


def _layout(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype


def _address(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor) and value.layout is torch.strided:
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _plain(value: Any) -> str:
    """What an operator is told beside tensors."""
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return "generator" if isinstance(value, torch.Generator) else repr(value)


def _is_read(operator: Any, arguments: Sequence[Any]) -> bool:
    """Whether Python learns a value by an operator, or a size that depends on values."""
    if operator in _OF_MASKS:
        return any(tensor.dtype in _MASKS for tensor in _tensors([arguments[1]]))
    return torch.Tag.data_dependent_output in operator.tags or torch.Tag.dynamic_output_shape in operator.tags


def _written(operator: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Iterator[Tensor]:
    """Tensors that an operator changes."""
    for index, argument in enumerate(operator._schema.arguments):
        if argument.is_write:
            value = arguments[index] if index < len(arguments) else options.get(argument.name)
            yield from _tensors([value])


@dataclass(frozen=True)
class Flow:
    """How the results of one call were computed.

    Args:
        digests: by result; None where there is none.
        steps: operators, by digest.
        origins: digests of the operators that gave tensors, by the tensors' own.
    """

    digests: Mapping[str, bytes | None]
    steps: Mapping[bytes, Step]
    origins: Mapping[bytes, bytes]

    def difference(self, other: Flow, result: str) -> Step | None:
        """The first operator on the way to a result that another call has not run."""
        first: Step | None = None
        ahead = [self.digests[result]]
        while ahead:
            step = self.origins.get(ahead.pop() or b"", b"")
            if step in self.steps and step not in other.steps:
                first = self.steps[step]
                ahead = list(first.sources)
        return first

    def choices(self, result: str) -> Counter[str]:
        """How often each choice was made on the way to a result."""
        counts, seen, ahead = Counter[str](), set[bytes](), [self.digests[result]]
        while ahead:
            step = self.origins.get(ahead.pop() or b"", b"")
            if step in self.steps and step not in seen:
                seen.add(step)
                counts[self.steps[step].choice] += 1
                ahead += self.steps[step].sources
        del counts[""]
        return counts
