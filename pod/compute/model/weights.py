"""Weights: tensors that somebody saved, loaded into a module before it is exported.

Beside `export`, in the scientist's own process. Tensors go by name. Programs save a part of a model
under shorter names, or a whole one under longer: one prefix of the file's names may stand for one
of the module's. What has several names in a module (tied weights) may have any of them in a file.
Nothing is loaded half: what fits is planned first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from fitchain.pod.compute.model.tensors import DTYPE_NAMES, new_tensor, require_plain
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.state import TensorBytes, Tensors

FLOATS = ("F64", "F32", "F16", "BF16")
"""Numbers that are converted into one another."""
MOST_PREFIXES = 16
"""Prefixes of each side that are tried, the most common."""
MOST_NAMED = 8
"""Names in a message."""


@dataclass(frozen=True)
class Loaded:
    """What became of a module's tensors and of those of a file, each by its first name there.

    Args:
        taken: the module's that were loaded.
        new: the module's that are its own still: the file has none of these names.
        unused: the file's that the module has no place for.
        differing: the module's whose name the file has with another shape or dtype, with both.
        converted: how many were converted, by `BF16 -> F32` say.
        prefixes: with which prefix names begin in the file, and with which in the module; both
            empty where they are the same.
    """

    taken: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    differing: tuple[str, ...]
    converted: Mapping[str, int]
    prefixes: tuple[str, str] = ("", "")

    @property
    def is_whole(self) -> bool:
        """Whether the file has every tensor of the module and no other."""
        return not (self.new or self.unused or self.differing)

    @property
    def sentences(self) -> list[str]:
        """What does not fit, for people."""
        return [
            f"{what}: {_listed(names)}"
            for what, names in (
                ("missing in it", self.new),
                ("of another shape or type", self.differing),
                ("in it and not in the module", self.unused),
            )
            if names
        ]


def load_weights(
    module: nn.Module,
    tensors: Tensors,
    source: str,
    *,
    is_partial: bool = False,
    may_differ: bool = True,
) -> Loaded:
    """Load tensors into a module by their names; it keeps its own where there are none.

    Args:
        module: on the CPU; its parameters and buffers are written to.
        tensors: by name.
        source: what they are, for errors: a file, say.
        is_partial: load what fits although something does not.
        may_differ: find out which prefix of theirs stands for which of the module's, and take other
            floating-point numbers than the module has.

    Raises:
        InputRefused: nothing fits; or not everything does, and that was not asked for; or the names
            fit in several ways, or what is one tensor in the module is two different ones there.
    """
    own = _own(module)
    every = [alias for _, aliases, _ in own.values() for alias in aliases]
    prefixes = _prefixes(every, tensors, source) if may_differ else ("", "")
    begin, begin_here = prefixes
    names = {begin_here + name[len(begin) :]: name for name in tensors if name.startswith(begin)}
    new, differing, converted = list[str](), list[str](), Counter[str]()
    sources: dict[str, str] = {}
    used = set[str]()
    for first, (tensor, aliases, is_needed) in own.items():
        candidates = [names[alias] for alias in aliases if alias in names]
        used.update(candidates)
        if not candidates:
            new += [first] if is_needed else []
            continue
        _require_one(first, candidates, tensors, source)
        saved, dtype = tensors[candidates[0]], DTYPE_NAMES[tensor.dtype]
        if saved.shape != tuple(tensor.shape) or not _fits(saved.dtype, dtype, may_differ):
            have = f"{dtype}{list(tensor.shape)}"
            differing.append(f"{first} ({saved.dtype}{list(saved.shape)} there, {have} in the module)")
            continue
        sources[first] = candidates[0]
        if saved.dtype != dtype:
            converted[f"{saved.dtype} -> {dtype}"] += 1
    unused = tuple(name for name in tensors if name not in used)
    loaded = Loaded(tuple(sources), tuple(new), unused, tuple(differing), dict(converted), prefixes)
    _require_enough(loaded, source, is_partial)
    with torch.no_grad():
        for first, name in sources.items():
            own[first][0].copy_(new_tensor(tensors[name]))
    return loaded


def _own(module: nn.Module) -> dict[str, tuple[Tensor, tuple[str, ...], bool]]:
    """A module's tensors by their first name: each with all its names, and whether a program that
    saves the module writes it (buffers may be left out)."""
    kept_back = {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in module.named_modules(remove_duplicate=False)
        for name in part._non_persistent_buffers_set
    }
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    aliases: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    for name, tensor in named:
        require_plain(name, tensor)
        if any(size > 1 and not stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
            raise InputRefused(
                f"the tensor {name!r} repeats numbers without holding them", "replace it by its .contiguous()"
            )
        tensors[id(tensor)] = tensor
        aliases.setdefault(id(tensor), []).append(name)
    return {
        names[0]: (tensors[key].detach(), tuple(names), any(name not in kept_back for name in names))
        for key, names in aliases.items()
    }


def _fits(saved: str, dtype: str, may_differ: bool) -> bool:
    return saved == dtype or (may_differ and saved in FLOATS and dtype in FLOATS)


def _require_one(first: str, candidates: Sequence[str], tensors: Tensors, source: str) -> None:
    """Refuse to choose between different numbers for one tensor."""
    kept = tensors[candidates[0]]
    for name in candidates[1:]:
        if not _is_equal(kept, tensors[name]):
            raise InputRefused(
                f"the module has one tensor under the names {_listed(candidates)}, and {source} different ones",
                "untie them in the module, or leave one of them out of the file",
            )


def _is_equal(tensor: TensorBytes, other: TensorBytes) -> bool:
    return (tensor.dtype, tensor.shape, tensor.data) == (other.dtype, other.shape, other.data)


def _require_enough(loaded: Loaded, source: str, is_partial: bool) -> None:
    if not loaded.taken:
        said = "; ".join(loaded.sentences)
        raise InputRefused(f"{source} and the module have no tensor in common: {said}", "is it of this module?")
    if not is_partial and not loaded.is_whole:
        said = "; ".join(loaded.sentences)
        raise InputRefused(
            f"{source} is not of this module, tensor by tensor: {said}",
            f"to load the {len(loaded.taken)} that fit and keep the module's own for the rest: --partial",
        )


def _prefixes(own: Iterable[str], tensors: Tensors, source: str) -> tuple[str, str]:
    """The prefix of a file's names and that of a module's which let most names agree; none where
    as many agree as they are."""
    modules, files = set(own), set(tensors)
    most, best = len(modules & files), {frozenset[tuple[str, str]](): ("", "")}
    for begin, begin_here in product(_common_prefixes(files), _common_prefixes(modules)):
        endings = {name[len(begin) :] for name in files if name.startswith(begin)}
        rest = {name[len(begin_here) :] for name in modules if name.startswith(begin_here)} & endings
        if len(rest) < most or not rest or begin == begin_here:
            continue
        pairs = frozenset((begin + name, begin_here + name) for name in rest)
        if len(rest) > most:
            most, best = len(rest), {}
        best.setdefault(pairs, (begin, begin_here))
    if ("", "") in best.values():
        return "", ""
    if len(best) > 1:
        ways = " or ".join(f"{begin!r} for {own!r}" for begin, own in list(best.values())[:3])
        raise InputRefused(
            f"the names of {source} fit the module's in {len(best)} ways: {ways}",
            "name its tensors as the module does",
        )
    return next(iter(best.values()))


def _common_prefixes(names: Iterable[str]) -> list[str]:
    """The most common beginnings of names, whole words up to a dot, shorter ones first; that
    without any first of all."""
    counts: Counter[str] = Counter()
    for name in names:
        counts.update(name[: at + 1] for at, letter in enumerate(name) if letter == ".")
    common = sorted(
        (prefix for prefix, _ in counts.most_common(MOST_PREFIXES)), key=lambda prefix: (len(prefix), prefix)
    )
    return ["", *common]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join([*names[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
