"""Keys of a private training: what its sampling and noise follow from, a key for each segment.

The owner commits to all of them when it accepts, before anyone knows the order seed, so it cannot
choose its noise; a verifier is given those of the audited segments, and can compute neither another
segment's noise nor the secret that they come from.

    k_j   = HMAC-SHA256(secret, uint64 big-endian j)          of segment j (RFC 2104)
    entry = tagged("fitchain/noise-key/v2", k_j)
    root  = tagged("fitchain/noise/v2", count, tree of the entries)
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fitchain.pod.values.digest import Digest, Root, path_in, published_root, root_from_path, tagged, tree_levels
from fitchain.pod.values.errors import DigestMismatch, InputRefused
from fitchain.pod.values.limits import MOST_PATH

NOISE_TAG = "fitchain/noise/v2"
KEY_BYTES = 32
NO_SECRET = bytes(KEY_BYTES)
"""Where nothing is kept secret: a training without noise, and a rehearsal on mock data."""
MOST_KEYS = 1 << 20
"""Segments of a private training: their tree is built before its owner accepts."""


def segment_key(secret: bytes, segment: int) -> bytes:
    """The key of a segment, 32 bytes.

    Args:
        secret: the owner's, for this job.
        segment: its number.
    """
    return hmac.digest(secret, segment.to_bytes(8, "big"), "sha256")


def records_salt(key: bytes) -> Digest:
    """The salt under which a leaf names the records of its segment, which are secret."""
    return tagged("fitchain/records-salt/v2", Digest(key))


def noise_root(secret: bytes, segments: int) -> Root:
    """What the owner commits to: the root over the keys of a job's segments.

    Raises:
        InputRefused: they are too many.
    """
    return published_root(NOISE_TAG, _entries(secret, segments))


def opened_keys(secret: bytes, segments: int, wanted: tuple[int, ...]) -> dict[int, OpenedKey]:
    """The keys of some of a job's segments, with what proves that they were committed to."""
    levels = tree_levels([bytes(entry) for entry in _entries(secret, segments)])
    return {segment: OpenedKey(segment_key(secret, segment), path_in(levels, segment)) for segment in wanted}


def _entries(secret: bytes, segments: int) -> list[Digest]:
    if segments > MOST_KEYS:
        raise InputRefused(
            f"a private training of {segments} segments has more than {MOST_KEYS}", "make segment_steps larger"
        )
    return [_entry(segment_key(secret, segment)) for segment in range(segments)]


def _entry(key: bytes) -> Digest:
    return tagged("fitchain/noise-key/v2", Digest(key))


@dataclass(frozen=True)
class OpenedKey:
    """A segment's key with its path to the root that the owner committed to."""

    key: bytes = field(repr=False)
    path: tuple[Digest, ...]

    def verify(self, segment: int, segments: int, root: Digest) -> None:
        """Check that the owner committed to it.

        Raises:
            DigestMismatch: it did not.
        """
        try:
            tree = root_from_path(_entry(self.key), segment, segments, self.path)
        except InputRefused as error:
            raise DigestMismatch(
                f"the noise key of segment {segment} has no place in the tree: {error.message}"
            ) from None
        if (computed := tagged(NOISE_TAG, segments, tree)) != root:
            raise DigestMismatch(
                f"the noise key of segment {segment} leads to the root {computed}, and the owner committed to {root}"
            )

    def to_json(self) -> dict[str, Any]:
        """The form that stands in evidence."""
        return {"key": self.key.hex(), "path": [str(node) for node in self.path]}

    @classmethod
    def from_json(cls, value: Any) -> OpenedKey:
        """Read the JSON form.

        Raises:
            InputRefused: it is none.
        """
        if not isinstance(value, Mapping) or value.keys() != {"key", "path"} or not isinstance(value["path"], list):
            raise InputRefused("a noise key is an object of key and path")
        if len(value["path"]) > MOST_PATH:
            raise InputRefused(f"the path of a noise key has {len(value['path'])} nodes, more than any tree is high")
        try:
            key = bytes.fromhex(value["key"])
        except (TypeError, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise InputRefused(f"a noise key is {2 * KEY_BYTES} hex digits")
        return cls(key, tuple(Digest.parse(node) for node in value["path"]))
