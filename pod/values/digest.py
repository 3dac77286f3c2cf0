"""Digests: canonical JSON, BLAKE3 of bulk bytes, tagged SHA-256 hashes, RFC 6962 trees.

It knows bytes and nothing of what they mean. Three rules:

- bulk bytes (tensors, files, records) are digested with BLAKE3-256, `blake3_digest`;
- a structure is `tagged(tag, word, ...)`: SHA-256 over the SHA-256 of its version tag followed by
  32-byte words, so that the EVM computes the same as `sha256(abi.encode(TAG, ...))` through its
  precompile;
- a list is a Merkle tree in the sense of RFC 6962 section 2.1 over SHA-256, and a published root is
  `tagged(tag, count, tree)`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NewType

import blake3
import rfc8785

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import ANSWER, JSON, JsonLimits
from fitchain.pod.values.reading import encoding_fault

Buffer = bytes | bytearray | memoryview
Json = dict[str, Any] | list[Any] | str | int | float | bool | None

DIGEST_BYTES = 32

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_MARKS = bytes(set(range(256)) - set(b"[]{},"))


@dataclass(frozen=True, order=True, slots=True)
class Digest:
    """A 32-byte digest, root or identifier; its text form is 0x and 64 lower-case hex digits."""

    value: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.value, bytes) or len(self.value) != DIGEST_BYTES:
            raise InputRefused(f"a digest has {DIGEST_BYTES} bytes, not {self.value!r:.80}")

    def __str__(self) -> str:
        return "0x" + self.value.hex()

    def __repr__(self) -> str:
        return f"Digest({self})"

    def __bytes__(self) -> bytes:
        return self.value

    @property
    def short(self) -> str:
        """The first eight hex digits, for people."""
        return str(self)[:10]

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read the text form.

        Args:
            text: 0x and 64 hex digits.

        Raises:
            InputRefused: it is anything else.
        """
        try:
            if not text.startswith("0x") or len(text) != 2 + 2 * DIGEST_BYTES:
                raise ValueError
            return cls(bytes.fromhex(text[2:]))
        except (ValueError, AttributeError, TypeError):
            raise InputRefused(f"a digest is 0x and 64 hex digits, not {text!r:.80}") from None


Root = NewType("Root", Digest)
"""The digest by which a whole is published: a dataset, a model, an optimizer's state, a transcript.
"""

ZERO = Digest(bytes(DIGEST_BYTES))
Word = Digest | int


def sha256(data: Buffer) -> Digest:
    """SHA-256 of the bytes (FIPS 180-4)."""
    return Digest(hashlib.sha256(data).digest())


def blake3_digest(data: Buffer, threads: int = 1) -> Digest:
    """BLAKE3-256 of bulk bytes; releases the interpreter lock.

    Args:
        data: any contiguous buffer of bytes.
        threads: how many threads may hash; the digest does not depend on it.
    """
    return Digest(blake3.blake3(data, max_threads=threads).digest())


def sha256_file(path: Path) -> Digest:
    """SHA-256 of a file, read in bounded memory."""
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").digest())


def tagged(tag: str, *words: Word) -> Digest:
    """Hash a structure of 32-byte words under its version tag.

    Args:
        tag: `fitchain/<what>/v2`.
        words: digests, or unsigned integers written as 32 bytes big-endian.

    Returns:
        SHA-256(SHA-256(tag) || word || ...); in Solidity `sha256(abi.encode(sha256(tag), ...))`.
    """
    hasher = hashlib.sha256(hashlib.sha256(tag.encode()).digest())
    for word in words:
        hasher.update(word.value if isinstance(word, Digest) else word.to_bytes(DIGEST_BYTES, "big"))
    return Digest(hasher.digest())


def canonical_json(value: Json) -> bytes:
    """Encode a JSON value canonically (RFC 8785).

    Raises:
        InputRefused: the value has no canonical form: a NaN, an infinity, an integer beyond 2**53,
            a type JSON lacks, a text with half of a surrogate pair.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise InputRefused(f"the value has no canonical JSON form: {error}") from None


def parse_json(data: bytes, limits: JsonLimits = JSON) -> Any:
    """Read JSON, refusing what two readers could understand differently.

    Args:
        data: UTF-8 text.
        limits: what it may be at most; compared before anything is built.

    Raises:
        InputRefused: too large, not UTF-8, not JSON, of too many values, nested too deeply, a
            duplicate key, a number that is not finite, or half of a surrogate pair, which no UTF-8
            has (RFC 7493, section 2.1).
    """
    if len(data) > limits.text_bytes:
        raise InputRefused(f"the JSON has {len(data)} bytes and the limit is {limits.text_bytes}")
    if data and (fault := encoding_fault(data)):
        raise InputRefused(f"the text is not JSON: it {fault}", "save it as UTF-8 without a mark of byte order")
    try:
        _refuse_size(_STRING.sub(b"", data).translate(None, _NO_MARKS), limits)
        value = json.loads(
            data.decode(), object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite
        )
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise InputRefused(f"the text is not JSON: {error}") from None


def parse_answer(data: bytes, limits: JsonLimits = ANSWER) -> Any:
    """Read the JSON of another program's answer, which nobody hashes: keys may stand twice.

    Args:
        data: UTF-8 text.
        limits: what it may be at most.

    Raises:
        ValueError: it is no JSON, or beyond a limit.
    """
    if len(data) > limits.text_bytes:
        raise ValueError(f"it has {len(data)} bytes and the limit is {limits.text_bytes}")
    _refuse_size(_STRING.sub(b"", data).translate(None, _NO_MARKS), limits)
    return json.loads(data)


def _refuse_size(marks: bytes, limits: JsonLimits) -> None:
    """Refuse many values before memory is taken for them, of which an empty list takes thirty times
    its text, and deep nesting before the parser recurses into it.

    The parser's own guard is Python's recursion limit, which belongs to the process: py_ecc, under
    eth-account, raises it beyond what the C stack holds, and 100,000 brackets from a stranger would
    then end the pod.
    """
    # Before each value there is a comma, the bracket that opens what it is the first of, or
    # nothing.
    if (items := 1 + marks.count(b",") + marks.count(b"[") + marks.count(b"{")) > limits.items:
        raise ValueError(f"it has up to {items} values and the limit is {limits.items}")
    depth = 0
    for mark in marks.translate(None, b","):
        depth += 1 if mark in b"[{" else -1
        if depth > limits.depth:
            raise ValueError(f"it is nested deeper than {limits.depth} levels")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise ValueError(f"the key {key!r:.80} stands twice in one object")
        members[key] = value
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is beyond a double")
    return number


def leaf_hash(entry: Digest) -> Digest:
    """Hash of a tree's leaf: SHA-256(0x00 || entry) (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + entry.value)


def node_hash(left: Digest, right: Digest) -> Digest:
    """Hash of a tree's inner node: SHA-256(0x01 || left || right) (RFC 6962 section 2.1)."""
    return sha256(b"\x01" + left.value + right.value)


def tree_root(entries: Sequence[Digest]) -> Digest:
    """Merkle tree hash of the entries (RFC 6962 section 2.1); of no entries, SHA-256 of nothing."""
    if not entries:
        return sha256(b"")
    return bag([root for root, _ in peaks(entries)])


def peaks(entries: Sequence[Digest]) -> list[tuple[Digest, int]]:
    """The perfect subtrees that make up the tree, left to right.

    Returns:
        (root, number of entries below it), the sizes being the powers of two in the count, falling.
    """
    sha = hashlib.sha256
    subtrees, start = [], 0
    for level in reversed(range(len(entries).bit_length())):
        size = 1 << level
        if not len(entries) & size:
            continue
        row = [sha(b"\x00" + entry.value).digest() for entry in entries[start : start + size]]
        while len(row) > 1:
            row = [sha(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
        subtrees.append((Digest(row[0]), size))
        start += size
    return subtrees


def bag(roots: Sequence[Digest]) -> Digest:
    """Bag peaks from right to left into the tree's root.

    Raises:
        InputRefused: there is no peak.
    """
    if not roots:
        raise InputRefused("a tree without peaks has no root to bag")
    root = roots[-1]
    for left in reversed(roots[:-1]):
        root = node_hash(left, root)
    return root


def published_root(tag: str, entries: Sequence[Digest]) -> Root:
    """The root as it is published: `tagged(tag, count, tree)`."""
    return Root(tagged(tag, len(entries), tree_root(entries)))


def inclusion_path(entries: Sequence[Digest], index: int) -> list[Digest]:
    """Audit path of an entry, from the leaf upwards (RFC 6962 section 2.1.1).

    Raises:
        InputRefused: there is no entry of that index.
    """
    if not 0 <= index < len(entries):
        raise InputRefused(f"the tree has {len(entries)} entries and none of index {index}")
    path: list[Digest] = []
    low, high = 0, len(entries)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(tree_root(entries[middle:high]))
            high = middle
        else:
            path.append(tree_root(entries[low:middle]))
            low = middle
    return path[::-1]


def tree_levels(entries: Sequence[bytes]) -> list[list[bytes]]:
    """All levels of the RFC 6962 tree over entries of 32 bytes, leaf hashes first; a node without a
    sibling moves up as it is.

    The same tree as `tree_root`'s, kept so that many paths cost one building.
    """
    sha = hashlib.sha256
    levels = [[sha(b"\x00" + entry).digest() for entry in entries]]
    while len(levels[-1]) > 1:
        row = levels[-1]
        above = [sha(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)]
        levels.append(above + row[len(above) * 2 :])
    return levels


def path_in(levels: Sequence[Sequence[bytes]], index: int) -> tuple[Digest, ...]:
    """Audit path of an entry, as `inclusion_path` gives it, out of `tree_levels`."""
    path = []
    for row in levels[:-1]:
        if index ^ 1 < len(row):
            path.append(Digest(row[index ^ 1]))
        index >>= 1
    return tuple(path)


def root_from_path(entry: Digest, index: int, count: int, path: Sequence[Digest]) -> Digest:
    """Recompute a tree's root from one entry and its audit path (RFC 6962 section 2.1.1, RFC 9162
    section 2.1.3.2).

    Raises:
        InputRefused: index, count and path length do not fit together.
    """
    if not 0 <= index < count:
        raise InputRefused(f"a tree of {count} entries has none of index {index}")
    node, position, last = leaf_hash(entry), index, count - 1
    for sibling in path:
        if last == 0:
            raise InputRefused(f"the path has {len(path)} nodes, more than a tree of {count} entries is high")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise InputRefused(f"the path has {len(path)} nodes, fewer than a tree of {count} entries needs")
    return node


def _split(count: int) -> int:
    """The largest power of two below count (RFC 6962's k)."""
    return 1 << ((count - 1).bit_length() - 1)
