"""A model's file: all of its tensors, or a delta, which holds only those that its base does not
have.

A base is a model that everybody who takes part fetches once. A delta says in its metadata what the
base holds, tensor by tensor (the inventory), and which tensors of the whole those are. So one file
says all: the root of the whole, and that of the base, follow from it without the base, and only who
needs the shared values needs the base's file, of which each tensor that is used is checked.

Sharing goes by type, shape and bytes and never by a name alone: what wraps a module renames its
tensors, and ties repeat them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from fitchain.pod.values.digest import (
    Buffer,
    Digest,
    Root,
    blake3_digest,
    canonical_json,
    parse_json,
    published_root,
    tagged,
)
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.limits import DELTA, MOST_RANK, MOST_TENSOR_NAME
from fitchain.pod.values.state import (
    MODEL_TAG,
    Limits,
    TensorBytes,
    Tensors,
    byte_count,
    described_entry,
    model_root,
    read_safetensors,
    tensor_entry,
    write_safetensors,
)

DELTA_KEY = "fitchain-delta"
"""The metadata key under which a delta says what its base holds."""
VERSION = "fitchain/delta/v2"
WEIGHTS = tagged("fitchain/weights/v2")
"""Stands in the registry as the graph of a base that is weights alone."""
OF_A_MODEL = ("parameter", "buffer")
USUAL_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class TensorDigest:
    """A tensor of a base without its bytes.

    Args:
        kind: parameter or buffer.
        dtype, shape: as `TensorBytes` has them.
        data: BLAKE3 of its bytes.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...]
    data: Digest

    @classmethod
    def of(cls, tensor: TensorBytes) -> TensorDigest:
        """That of a tensor that is at hand."""
        return cls(tensor.kind, tensor.dtype, tensor.shape, blake3_digest(tensor.data))


Inventory = Mapping[str, TensorDigest]
"""What a base holds, by name."""


def inventory_of(base: Tensors) -> dict[str, TensorDigest]:
    """What a base holds.

    Args:
        base: its parameters and buffers.
    """
    return {name: TensorDigest.of(base[name]) for name in sorted(base)}


@dataclass(frozen=True, slots=True)
class Shared:
    """A tensor of the whole that is the base's: under which name there, and of which kind here."""

    kind: str
    name: str


@dataclass(frozen=True)
class ModelFile:
    """The content of a model's file.

    Args:
        own: the tensors that the file holds.
        inventory: what the base holds; empty for a file that holds the whole.
        shared: by their names in the whole the tensors that are the base's.
        metadata: further text of the header.
    """

    own: Tensors
    inventory: Inventory = field(default_factory=dict)
    shared: Mapping[str, Shared] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def over(cls, whole: Tensors, inventory: Inventory) -> ModelFile:
        """A model as a delta, the same for the same tensors: what stands in the base under several
        names is shared under the first.

        Args:
            whole: the model's parameters and buffers.
            inventory: what the base holds; empty leaves the model whole.
        """
        holders = {(each.dtype, each.shape, each.data): name for name, each in sorted(inventory.items(), reverse=True)}
        layouts = {(dtype, shape) for dtype, shape, _ in holders}
        own, shared = dict[str, TensorBytes](), dict[str, Shared]()
        for name in sorted(whole):
            tensor = whole[name]
            layout = (tensor.dtype, tensor.shape)
            holder = holders.get((*layout, blake3_digest(tensor.data))) if layout in layouts else None
            if holder is None:
                own[name] = tensor
            else:
                shared[name] = Shared(tensor.kind, holder)
        return cls(own, inventory, shared)

    @classmethod
    def read(cls, source: Path | Buffer, limits: Limits = USUAL_LIMITS) -> ModelFile:
        """Read a model's file; nothing of a base is needed.

        Args:
            source, limits: as `read_safetensors` takes them; the limit of bytes holds for the whole
                that a delta describes, too.

        Raises:
            InputRefused: it is no file of tensors, or what it says of its base is malformed or
                beyond a limit.
            NotFound: there is no such file.
        """
        own, metadata = read_safetensors(source, limits)
        if (text := metadata.pop(DELTA_KEY, None)) is None:
            return cls(own, metadata=metadata)
        inventory, shared = parse_document(text.encode(errors="replace"))
        if repeated := sorted(own.keys() & shared.keys()):
            raise InputRefused(f"the delta holds the tensor {repeated[0]!r} and says that it is its base's")
        if len(own) + len(shared) > limits.tensors:
            raise InputRefused(f"the model has {len(own) + len(shared)} tensors and the limit is {limits.tensors}")
        file = cls(own, inventory, shared, metadata)
        if (size := file.whole_bytes) > limits.total_bytes:
            raise InputRefused(f"the tensors of the whole have {size} bytes and the limit is {limits.total_bytes}")
        return file

    @property
    def is_whole(self) -> bool:
        """Whether it has no base."""
        return not self.inventory

    @cached_property
    def base(self) -> Root | None:
        """The base's model root; None for a file that holds the whole."""
        if self.is_whole:
            return None
        return published_root(MODEL_TAG, [_entry(name, each) for name, each in sorted(self.inventory.items())])

    @cached_property
    def root(self) -> Root:
        """The model root: that of the whole.

        Raises:
            InputRefused: a tensor belongs to an optimizer.
        """
        if self.is_whole:
            return model_root(self.own)
        model_root(self.own)  # refuses what is no model's
        entries = {name: tensor_entry(name, tensor) for name, tensor in self.own.items()}
        for name, shared in self.shared.items():
            entries[name] = _entry(name, replace(self.inventory[shared.name], kind=shared.kind))
        return published_root(MODEL_TAG, [entries[name] for name in sorted(entries)])

    @property
    def own_bytes(self) -> int:
        """Bytes of the tensors that the file holds."""
        return sum(tensor.data.nbytes for tensor in self.own.values())

    @property
    def shared_bytes(self) -> int:
        """Bytes of the tensors that are the base's."""
        shared = (self.inventory[each.name] for each in self.shared.values())
        return sum(byte_count(each.dtype, each.shape) for each in shared)

    @property
    def inventory_bytes(self) -> int:
        """Bytes of all tensors of the base."""
        return sum(byte_count(each.dtype, each.shape) for each in self.inventory.values())

    @property
    def whole_bytes(self) -> int:
        """Bytes of all tensors of the whole."""
        return self.own_bytes + self.shared_bytes

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the parameters of the whole."""
        own = sum(tensor.data.nbytes for tensor in self.own.values() if tensor.kind == "parameter")
        shared = (self.inventory[each.name] for each in self.shared.values() if each.kind == "parameter")
        return own + sum(byte_count(each.dtype, each.shape) for each in shared)

    def whole(self, base: Tensors) -> dict[str, TensorBytes]:
        """All tensors of the model.

        Args:
            base: the tensors of the base's file; of a file that holds the whole none is needed.

        Returns:
            the tensors, of which the shared ones are views of the base's bytes.

        Raises:
            DigestMismatch: a tensor that the model shares with its base is missing there, or is
                another.
        """
        tensors, checked = dict(self.own), set[str]()
        for name, shared in self.shared.items():
            if shared.name not in checked:
                self._check_base(shared.name, base.get(shared.name))
                checked.add(shared.name)
            tensors[name] = replace(base[shared.name], kind=shared.kind)
        return tensors

    def _check_base(self, name: str, tensor: TensorBytes | None) -> None:
        """Compare a tensor of the base's file with what is said of it."""
        expected, hint = self.inventory[name], f"the base that the model shares it with has the model root {self.base}"
        if tensor is None:
            raise DigestMismatch(f"the base has no tensor {name!r}, which the model shares with it", hint)
        if (tensor.dtype, tensor.shape) != (expected.dtype, expected.shape):
            own, said = f"{tensor.dtype}{list(tensor.shape)}", f"{expected.dtype}{list(expected.shape)}"
            raise DigestMismatch(f"the base's tensor {name!r} is {own}, and the model shares {said} with it", hint)
        if (data := blake3_digest(tensor.data)) != expected.data:
            raise DigestMismatch(
                f"the base's tensor {name!r} has the digest {data}, and the model shares {expected.data} with it", hint
            )

    def write(self, path: Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write the file, atomically; the same content always gives the same bytes.

        Args:
            path: where; an older file of that name is replaced.
            metadata: further text for the header, beside what was read.
        """
        text = dict(self.metadata) | dict(metadata or {})
        if not self.is_whole:
            text[DELTA_KEY] = canonical_json(self._document()).decode()
        write_safetensors(path, self.own, text)

    def _document(self) -> dict[str, Any]:
        """What the metadata says of the base."""
        held = sorted(self.inventory.items())
        return {
            "version": VERSION,
            "inventory": [[name, each.kind, each.dtype, list(each.shape), str(each.data)] for name, each in held],
            "shared": {name: [each.kind, each.name] for name, each in self.shared.items()},
        }


def _entry(name: str, tensor: TensorDigest) -> Digest:
    return described_entry(name, tensor.kind, tensor.dtype, tensor.shape, tensor.data)


def parse_document(data: bytes) -> tuple[dict[str, TensorDigest], dict[str, Shared]]:
    """Read what a delta's metadata says of its base.

    Args:
        data: canonical JSON.

    Returns:
        the base's inventory, and what of the whole is the base's.

    Raises:
        InputRefused: it has another form, or is beyond a limit.
    """
    value = parse_json(data, DELTA)
    if not isinstance(value, dict) or value.keys() != {"version", "inventory", "shared"}:
        raise InputRefused("what a delta says of its base has version, inventory and shared")
    if value["version"] != VERSION:
        raise InputRefused(f"the delta is of the version {value['version']!r:.80}, and {VERSION} is read here")
    inventory, shared = _parse_inventory(value["inventory"]), _parse_shared(value["shared"])
    for name, each in shared.items():
        if each.name not in inventory:
            raise InputRefused(f"the delta shares {name!r} with {each.name!r:.80}, which its base does not have")
    if canonical_json(value) != data:
        raise InputRefused("what a delta says of its base is not canonical JSON (RFC 8785)")
    return inventory, shared


def _parse_inventory(value: Any) -> dict[str, TensorDigest]:
    if not isinstance(value, list) or not value or not all(isinstance(row, list) and len(row) == 5 for row in value):
        raise InputRefused("a base's inventory is a list of tensors, each with name, kind, dtype, shape and digest")
    inventory = {}
    for name, kind, dtype, shape, data in value:
        _check_named(name, kind)
        if not isinstance(shape, list) or len(shape) > MOST_RANK:
            raise InputRefused(f"the shape of {name!r} is at most {MOST_RANK} sizes, not {shape!r:.80}")
        byte_count(dtype, tuple(shape))
        inventory[name] = TensorDigest(kind, dtype, tuple(shape), Digest.parse(data))
    names = [row[0] for row in value]
    if any(name >= following for name, following in pairwise(names)):
        raise InputRefused("a base's inventory lists its tensors by name, each once")
    return inventory


def _parse_shared(value: Any) -> dict[str, Shared]:
    if not isinstance(value, dict) or not all(isinstance(each, list) and len(each) == 2 for each in value.values()):
        raise InputRefused("what a delta shares is named with its kind and its name in the base")
    for name, (kind, held_as) in value.items():
        _check_named(name, kind)
        _check_named(held_as, kind)
    return {name: Shared(*each) for name, each in value.items()}


def _check_named(name: Any, kind: Any) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MOST_TENSOR_NAME or not name.isprintable():
        raise InputRefused(f"a tensor's name is 1 to {MOST_TENSOR_NAME} printable characters, not {name!r:.80}")
    if kind not in OF_A_MODEL:
        raise InputRefused(f"a tensor of a model is a parameter or a buffer, and {name!r:.80} is {kind!r:.80}")
