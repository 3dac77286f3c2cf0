"""State: named tensors as bytes, their safetensors file, and the roots that name them.

It knows tensors as (kind, dtype, shape, bytes) and neither torch nor what they mean. Digests are
taken over memory views, so a state is never copied to be hashed. Byte order is little-endian
throughout.

A file written here is canonical: the same tensors and metadata always give the same bytes. A file
read here may come from any safetensors writer, but its header must describe its bytes exactly: no
gap, no overlap, no byte too many.

Source: the safetensors format, https://huggingface.co/docs/safetensors (version 0.8 of the
reference reader).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from itertools import chain, combinations, islice
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

from fitchain.pod.values.digest import (
    Buffer,
    Digest,
    Root,
    blake3_digest,
    canonical_json,
    parse_json,
    published_root,
    sha256,
    tagged,
)
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.limits import (
    MOST_RANK,
    MOST_TENSOR_NAME,
    MOST_TENSORS,
    TENSORS_BYTES,
    TENSORS_HEADER,
    TENSORS_KINDS,
)

Kind = Literal["parameter", "buffer", "optimizer"]
KINDS: tuple[Kind, ...] = ("parameter", "buffer", "optimizer")

ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes per item of each dtype that a state may hold, under its safetensors name."""

TENSOR_TAG = "fitchain/tensor/v2"
MODEL_TAG = "fitchain/model/v2"
OPTIMIZER_TAG = "fitchain/optimizer/v2"
STATE_TAG = "fitchain/state/v2"
KINDS_KEY = "fitchain"
"""The metadata key under which the kinds of all tensors that are not parameters travel."""

MOST_TRIED = 1 << 18
"""Entries of trees that are computed to find the kinds of tensors: about half a second."""

_OF_BATCH_NORM = frozenset({"running_mean", "running_var", "num_batches_tracked"})
_LENGTH_BYTES = 8
_ALIGNMENT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file of tensors may hold at most, checked before anything is allocated for its
    tensors."""

    header_bytes: int = TENSORS_HEADER.text_bytes
    tensors: int = MOST_TENSORS
    rank: int = MOST_RANK
    name_length: int = MOST_TENSOR_NAME
    total_bytes: int = TENSORS_BYTES


@dataclass(frozen=True)
class TensorBytes:
    """One tensor: its little-endian bytes in row-major order, and what they mean.

    Args:
        kind: parameter, buffer or optimizer.
        dtype: a key of `ITEM_BYTES`.
        shape: non-negative sizes; empty for a scalar.
        data: a contiguous view of exactly as many bytes as dtype and shape need.

    Raises:
        InputRefused: one of these does not hold.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputRefused(f"a tensor is of kind parameter, buffer or optimizer, not {self.kind!r}")
        expected = byte_count(self.dtype, self.shape)
        if not self.data.contiguous or self.data.nbytes != expected:
            raise InputRefused(
                f"{self.dtype}{list(self.shape)} needs {expected} bytes in a row, not {self.data.nbytes}"
            )
        object.__setattr__(self, "data", self.data.cast("B") if expected else memoryview(b""))


Tensors = Mapping[str, TensorBytes]


def byte_count(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes that a tensor takes.

    Raises:
        InputRefused: the dtype is unknown, or a size is not a non-negative integer.
    """
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise InputRefused(f"the dtype {dtype!r} is not one of {', '.join(ITEM_BYTES)}")
    if any(type(size) is not int or size < 0 for size in shape):
        raise InputRefused(f"a shape is made of non-negative integers, not {shape!r}")
    return ITEM_BYTES[dtype] * prod(shape)


def tensor_entry(name: str, tensor: TensorBytes, data_digest: Digest | None = None) -> Digest:
    """Digest one tensor as an entry of a root.

    Args:
        name: the tensor's name.
        tensor: what it is.
        data_digest: BLAKE3 of its bytes where the caller knows it already (a frozen tensor); else
            it is taken here.

    Returns:
        tagged("fitchain/tensor/v2", sha256(canonical [kind, name, dtype, shape]), blake3(data)).
    """
    return described_entry(name, tensor.kind, tensor.dtype, tensor.shape, data_digest or blake3_digest(tensor.data))


def described_entry(name: str, kind: str, dtype: str, shape: tuple[int, ...], data_digest: Digest) -> Digest:
    """The entry of a tensor of which only the digest of its bytes is at hand, as `tensor_entry`
    gives it."""
    return tagged(TENSOR_TAG, sha256(canonical_json([kind, name, dtype, list(shape)])), data_digest)


def model_root(tensors: Tensors, data_digests: Mapping[str, Digest] | None = None) -> Root:
    """Name a model: the root over all its parameters and buffers, sorted by name.

    Args:
        tensors: parameters and buffers; nothing else.
        data_digests: BLAKE3 of the bytes of tensors that have not changed since it was taken.

    Raises:
        InputRefused: a tensor belongs to an optimizer.
    """
    return _root(MODEL_TAG, ("parameter", "buffer"), tensors, data_digests or {})


def with_kinds_of(tensors: Tensors, root: Root) -> Tensors | None:
    """The tensors of a file that says nothing of kinds, with the kinds under which they have a
    root: programs that write a model anew drop the metadata in which its buffers are named.

    Tensors whose names end alike (`running_mean`) are taken for one kind, and of all such choices
    as many are tried as are cheap: few buffers before many, after those of batch norm. Whatever is
    found has the root, so that no guess can be wrong.

    Returns:
        None where no choice that was tried has it, or the file names kinds itself.
    """
    if any(tensor.kind != "parameter" for tensor in tensors.values()):
        return None
    names = sorted(tensors)
    datas = {name: blake3_digest(tensors[name].data) for name in names}
    kinds: tuple[Kind, Kind] = ("parameter", "buffer")
    as_kind = {kind: {name: replace(tensors[name], kind=kind) for name in names} for kind in kinds}
    entries = {kind: {name: tensor_entry(name, as_kind[kind][name], datas[name]) for name in names} for kind in kinds}
    for endings in _choices(names):
        kind_of = {name: kinds[name.rpartition(".")[2] in endings] for name in names}
        if published_root(MODEL_TAG, [entries[kind_of[name]][name] for name in names]) == root:
            return {name: as_kind[kind_of[name]][name] for name in names}
    return None


def _choices(names: Sequence[str]) -> Iterator[frozenset[str]]:
    """Endings of names under which tensors may be buffers, the likeliest first and so many that no
    more than `MOST_TRIED` entries are put into a tree."""
    endings = sorted({name.rpartition(".")[2] for name in names})
    yield _OF_BATCH_NORM & frozenset(endings)
    choices = chain.from_iterable(combinations(endings, count) for count in range(len(endings) + 1))
    yield from map(frozenset, islice(choices, MOST_TRIED // max(1, len(names))))


def optimizer_root(tensors: Tensors, data_digests: Mapping[str, Digest] | None = None) -> Root:
    """Name an optimizer's state: the root over all its tensors and scalars, sorted by name; it may
    be empty.

    Raises:
        InputRefused: a tensor belongs to a model.
    """
    return _root(OPTIMIZER_TAG, ("optimizer",), tensors, data_digests or {})


def state_digest(model: Root, optimizer: Root) -> Digest:
    """Name a whole state by its model root and its optimizer root."""
    return tagged(STATE_TAG, model, optimizer)


def _root(tag: str, kinds: tuple[Kind, ...], tensors: Tensors, data_digests: Mapping[str, Digest]) -> Root:
    for name, tensor in tensors.items():
        if tensor.kind not in kinds:
            raise InputRefused(
                f"the tensor {name!r} is of kind {tensor.kind}, and this root covers {' and '.join(kinds)}"
            )
    return published_root(tag, [tensor_entry(name, tensors[name], data_digests.get(name)) for name in sorted(tensors)])


def write_safetensors(path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as one file, atomically: it is there whole and on disk, or not at all.

    Args:
        path: where; an older file of that name is replaced.
        tensors: what; their kinds travel in the metadata.
        metadata: further text for the header.

    Raises:
        InputRefused: the metadata uses the key that the kinds need.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            for piece in safetensors_pieces(tensors, metadata):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def safetensors_pieces(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> Iterator[Buffer]:
    """Yield the bytes of the canonical file, without copying a tensor.

    Tensors stand by falling item size, then by name, so that each begins at a multiple of its item
    size; the header is canonical JSON, filled with spaces to a multiple of 8 bytes.

    Yields:
        The header with its length, then each tensor's bytes.

    Raises:
        InputRefused: the metadata uses the key that the kinds need, or a tensor has the name of the
            metadata.
    """
    order = sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name].dtype], name))
    header: dict[str, Any] = {"__metadata__": _metadata(tensors, metadata or {})}
    start = 0
    for name in order:
        if name == "__metadata__":
            raise InputRefused("a tensor cannot be named __metadata__: the file's header uses that name")
        tensor = tensors[name]
        stop = start + tensor.data.nbytes
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    text = canonical_json(header)
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    yield len(text).to_bytes(_LENGTH_BYTES, "little") + text
    for name in order:
        yield tensors[name].data


def _metadata(tensors: Tensors, metadata: Mapping[str, str]) -> dict[str, str]:
    if KINDS_KEY in metadata:
        raise InputRefused(f"the metadata key {KINDS_KEY!r} is taken: the kinds of tensors stand there")
    kinds = {name: tensor.kind for name, tensor in tensors.items() if tensor.kind != "parameter"}
    return {**metadata, KINDS_KEY: canonical_json(kinds).decode()}


def sync_folder(path: Path) -> None:
    """Make sure that the names in a folder are on disk: of files that were made or renamed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_safetensors(source: Path | Buffer, limits: Limits = Limits()) -> tuple[dict[str, TensorBytes], dict[str, str]]:
    """Read a file of tensors, refusing whatever its header does not describe exactly.

    The header is read first and compared with how many bytes there are, so that a file that is
    refused takes no more memory than a header.

    Args:
        source: a path, read whole into memory so that nobody can change it afterwards; or the
            bytes, of which views are kept.
        limits: what the file may hold at most.

    Returns:
        The tensors by name, as views of one block of memory, in the order of the file; and the rest
        of the metadata.

    Raises:
        InputRefused: the header is not a header, or does not describe the bytes: a gap, an overlap,
            bytes missing or left over.
        NotFound: there is no such file.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return _read_tensors(file, os.fstat(file.fileno()).st_size, limits)
        except FileNotFoundError:
            raise NotFound(f"there is no file {source}") from None
        except IsADirectoryError:
            raise InputRefused(f"{source} is a folder and no file of tensors") from None
    data = memoryview(source).cast("B")
    return _read_tensors(_Held(data), len(data), limits)


class _Held:
    """Bytes that are in memory, read as a file is, but that no byte is copied."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def read(self, count: int) -> memoryview:
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece


def _read_tensors(
    file: BufferedReader | _Held, size: int, limits: Limits
) -> tuple[dict[str, TensorBytes], dict[str, str]]:
    """Read a file of so many bytes: its header, and its body where the header describes it."""
    if size > limits.total_bytes + limits.header_bytes:
        raise InputRefused(f"the file has {size} bytes and the limit is {limits.total_bytes}")
    header, body_bytes = _read_header(file, size, limits)
    metadata = _parse_metadata(header.pop("__metadata__", {}))
    if len(header) > limits.tensors:
        raise InputRefused(f"the file holds {len(header)} tensors and the limit is {limits.tensors}")
    kinds = _parse_kinds(metadata.pop(KINDS_KEY, "{}"), set(header))
    entries = [_Entry.parse(name, value, limits) for name, value in header.items()]
    entries.sort(key=lambda entry: (entry.start, entry.stop))  # an empty tensor shares its start with the next
    _check_contiguous(entries, body_bytes)
    body = _read_body(file, body_bytes)
    return {entry.name: entry.read(body, kinds.get(entry.name, "parameter")) for entry in entries}, metadata


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the header: where a tensor stands in the file's body."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @classmethod
    def parse(cls, name: str, value: Any, limits: Limits) -> _Entry:
        if not name or len(name) > limits.name_length or not name.isprintable():
            raise InputRefused(f"a tensor's name is 1 to {limits.name_length} printable characters, not {name!r:.80}")
        if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
            raise InputRefused(f"the header of {name!r} has dtype, shape and data_offsets, not {value!r:.80}")
        shape, offsets = value["shape"], value["data_offsets"]
        if not _is_counts(shape) or len(shape) > limits.rank:
            raise InputRefused(
                f"the shape of {name!r} is at most {limits.rank} non-negative integers, not {shape!r:.80}"
            )
        if not _is_counts(offsets) or len(offsets) != 2:
            raise InputRefused(f"the data_offsets of {name!r} are two non-negative integers, not {offsets!r:.80}")
        entry = cls(name, value["dtype"], tuple(shape), *offsets)
        expected = byte_count(entry.dtype, entry.shape)
        if entry.stop - entry.start != expected:
            raise InputRefused(
                f"the tensor bytes do not match the header: {name!r} is {entry.dtype}{shape}, "
                f"which is {expected} bytes, but its offsets span {entry.stop - entry.start}"
            )
        return entry

    def read(self, body: memoryview, kind: Kind) -> TensorBytes:
        data = body[self.start : self.stop]
        if self.dtype == "BOOL" and bytes(data).strip(b"\x00\x01"):
            raise InputRefused(f"a BOOL tensor is made of the bytes 0 and 1, and {self.name!r} holds others")
        return TensorBytes(kind, self.dtype, self.shape, data)


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value)


def _read_header(file: BufferedReader | _Held, size: int, limits: Limits) -> tuple[dict[str, Any], int]:
    """The header's JSON object, and how many bytes come after it.

    What the file announces is compared with what it has before it is read.
    """
    length, rest = int.from_bytes(file.read(_LENGTH_BYTES), "little"), size - _LENGTH_BYTES
    if rest < 0 or length > rest:
        raise InputRefused(f"the file has {size} bytes, fewer than the header it announces ({length})")
    if length > limits.header_bytes:
        raise InputRefused(f"the header has {length} bytes and the limit is {limits.header_bytes}")
    body_bytes = rest - length
    if body_bytes > limits.total_bytes:
        raise InputRefused(f"the tensors have {body_bytes} bytes and the limit is {limits.total_bytes}")
    header = parse_json(bytes(file.read(length)), replace(TENSORS_HEADER, text_bytes=limits.header_bytes))
    if not isinstance(header, dict):
        raise InputRefused("the header of a safetensors file is a JSON object, and this one is not")
    return header, body_bytes


def _read_body(file: BufferedReader | _Held, body_bytes: int) -> memoryview:
    """The bytes after the header, in one block of memory that nobody else changes."""
    if isinstance(file, _Held):
        return file.read(body_bytes)
    body = bytearray(body_bytes)
    if (read := file.readinto(body)) != body_bytes:
        raise InputRefused(f"the file shrank by {body_bytes - read} bytes while it was read")
    return memoryview(body)


def _parse_metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InputRefused(f"the metadata of a safetensors file maps text to text, and this is {value!r:.80}")
    return dict(value)


def _parse_kinds(text: str, names: set[str]) -> dict[str, Kind]:
    kinds = parse_json(text.encode(errors="replace"), TENSORS_KINDS)
    if not isinstance(kinds, dict):
        raise InputRefused(f"the kinds of tensors are a JSON object, not {text!r:.80}")
    for name, kind in kinds.items():
        if kind not in KINDS or name not in names:
            raise InputRefused(f"the metadata says that {name!r} is a {kind!r}, and there is no such tensor or kind")
    return cast("dict[str, Kind]", kinds)


def _check_contiguous(entries: list[_Entry], body_bytes: int) -> None:
    end = 0
    for entry in entries:
        if entry.start != end:
            raise InputRefused(
                f"the tensor bytes do not match the header: {entry.name!r} begins at {entry.start}, and the bytes"
                f" described before it end at {end}"
            )
        end = entry.stop
    if end != body_bytes:
        raise InputRefused(
            f"the tensor bytes do not match the header: it describes {end} bytes, and the file holds {body_bytes}"
        )
