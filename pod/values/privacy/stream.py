"""One keyed stream of bytes for each use of a key: BLAKE3 in its keyed mode, read at any length.

The key is that of a segment, known to its owner and to who was drawn to check it. What is hashed is
the order seed (32 bytes), the step (8 bytes, big-endian) and the use (1 byte), so that no two uses,
steps or runs share a byte. A stream has regions of 2^56 bytes, each read from its beginning.

Source: O'Connor, Aumasson, Neves and Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere",
sections 2.3 (keyed) and 2.6 (extendable output).
"""

from __future__ import annotations

import blake3

from fitchain.pod.values.errors import InputRefused

KEY_BYTES = 32
SEED_BYTES = 32
SAMPLING = 255
"""The use of a key that draws a step's units; all others are the caller's."""

REGION_BITS = 56


class Stream:
    """A stream of bytes that key, seed, step and use decide.

    Args:
        key: 32 bytes, secret.
        seed: 32 bytes, the order seed.
        step: from 0, below 2^64.
        use: 0 to 255.

    Raises:
        InputRefused: for a key or seed of another length, a step or use out of its range.
    """

    def __init__(self, key: bytes, seed: bytes, step: int, use: int) -> None:
        if len(key) != KEY_BYTES or len(seed) != SEED_BYTES:
            raise InputRefused(f"key and seed have {KEY_BYTES} bytes, not {len(key)} and {len(seed)}")
        if not (0 <= step < 2**64 and 0 <= use < 2**8):
            raise InputRefused(f"there is no step {step} or no use {use} of a key")
        self._hasher = blake3.blake3(seed + step.to_bytes(8, "big") + bytes([use]), key=key)

    def region(self, number: int) -> Region:
        """A part of the stream, from its beginning.

        Args:
            number: 0 to 255.
        """
        return Region(self._hasher, number << REGION_BITS)


class Region:
    """Reads a part of a stream, one piece after the other."""

    def __init__(self, hasher: blake3.blake3, start: int) -> None:
        self._hasher, self._position = hasher, start

    def read(self, count: int) -> bytes:
        """The next bytes."""
        piece: bytes = self._hasher.digest(length=count, seek=self._position)
        self._position += count
        return piece
