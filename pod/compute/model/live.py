"""Live values: how much memory the values of a dry run take at once (torch).

Torch lets go of a value when nobody reads it again: the plan after its last use, autograd once the
gradient that needs it is computed. On the meta device it does the same with memories that have no
bytes, so that what lives is seen rather than guessed: each new memory is counted until torch gives
it back. Views share one.

A memory that is let go while a kernel runs counts until the next one begins; so the peak does not
depend on when an interpreter drops the names of a call that is over.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable

from torch import Tensor

from fitchain.pod.compute.operators.guards import storage_of


class LiveBytes:
    """Counts the memories of tensors for as long as they live.

    Args:
        held: tensors that are there whatever is computed, and do not count. They are kept here:
            a memory that is made once they are gone may lie where they lay.

    Attributes:
        now: bytes of those that live.
        peak: the most that there were at once.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        self.now = self.peak = 0
        self._held = {storage_of(tensor): tensor for tensor in held}
        self._living: dict[int, weakref.ref[object]] = {}

    def take(self, tensor: Tensor) -> None:
        """Count the memory of a tensor that a kernel made, if it is new."""
        key = storage_of(tensor)
        if key in self._held or key in self._living:
            return
        storage = tensor.untyped_storage()
        size = storage.nbytes()

        def forget(_: object) -> None:
            del self._living[key]
            self.now -= size

        self._living[key] = weakref.ref(storage, forget)
        self.now += size
        self.peak = max(self.peak, self.now)

    def beside(self, size_bytes: int) -> None:
        """Count what is there for a moment beside all that lives."""
        self.peak = max(self.peak, self.now + size_bytes)
