"""Which rows are held out, and batch order: a keyed permutation of the other rows for every epoch.

The order is a function of the order seed alone, so a verifier, another host or another language
finds the same batches; `torch.randperm` would tie it to one library. Byte by byte, for the rows low
to high, of which r_0 < r_1 < ... < r_(n-1) are trained on, and batch size B:

1. Epoch e has the key K = H("fitchain/epoch/v2", order seed, e), 32 bytes.
2. Its stream of draws: for c = 0, 1, 2, ... the 32 bytes SHA-256(K || uint64 big-endian c) are four
   draws, each uint64 big-endian.
3. p = [0, 1, ..., n-1]. For i = n-1, n-2, ..., 1: take draws until one, x, is below 2**64 - (2**64
   mod (i+1)) (so that no place is likelier than another), let j = x mod (i+1), and swap p[i] and
   p[j] (Fisher and Yates; Durstenfeld, 1964).
4. Batch b of the epoch holds the records r_p[b*B], ..., r_p[b*B + B-1], for b < floor(n/B); the
   rest of the epoch is dropped.
5. Step s (counted from 0) trains on batch s mod floor(n/B) of epoch s div floor(n/B).

Where a recipe holds a share of the rows out, they are h = ceil(share * (high - low)): the last h
places of the permutation of all high - low rows that steps 2 and 3 give with the key
H("fitchain/held-out/v2", order seed); the order seed of the job whose rows are kept, where the
recipe names one, so that of the same rows a smaller share is a part of a larger. All others are
trained on. Where units of privacy have several rows, units are held out and drawn instead, each
with all its rows.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from fitchain.pod.compute.dataset.rows import slabs
from fitchain.pod.compute.dataset.units import rows_of
from fitchain.pod.values.digest import Digest, tagged
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy.sampling import sampled
from fitchain.pod.values.recipe import Recipe

EPOCH_TAG = "fitchain/epoch/v2"
HELD_OUT_TAG = "fitchain/held-out/v2"
DRAWS_PER_BLOCK = 4

Indices = npt.NDArray[np.uint64]
Draws = Callable[[int, int], Indices]  # (first draw, how many) -> draws


def held_out_rows(recipe: Recipe, seed: Digest) -> Indices:
    """The rows that a recipe holds out: no batch has one of them.

    Args:
        recipe: rows, and the share of them that is held out.
        seed: the order seed.

    Returns:
        uint64 record indices, rising: all rows of `held_out_count` units of privacy.
    """
    return rows_of(_held_out_units(recipe, seed), recipe.unit_records) + np.uint64(recipe.rows[0])


def _held_out_units(recipe: Recipe, seed: Digest) -> Indices:
    draws = keyed_draws(tagged(HELD_OUT_TAG, recipe.held_out_seed(seed)))
    units = permutation_end(recipe.unit_count, recipe.held_out_count, draws)
    units.sort()
    return units


class TrainedUnits:
    """The units of privacy that a recipe trains on (records, where these are the unit), numbered
    from 0 as they rise.

    Held are those that are held out, and not the others, of which a large table has many: the unit
    of a number is that number and as many more as are held out below it.

    Args:
        recipe, seed: as of `held_out_rows`.
    """

    def __init__(self, recipe: Recipe, seed: Digest) -> None:
        self.count, self.unit_records, self.first = recipe.training_count, recipe.unit_records, recipe.rows[0]
        held_out = _held_out_units(recipe, seed)
        self._below = held_out - np.arange(len(held_out), dtype=np.uint64)  # units trained on below each held-out one

    def rows(self, numbers: npt.NDArray[Any]) -> Indices:
        """The rows of units, uint64 `[n K]`: all of each, in their order.

        Args:
            numbers: `[n]`, of units.
        """
        units = numbers.astype(np.uint64)
        units += np.searchsorted(self._below, units, "right").view(np.uint64)
        return rows_of(units, self.unit_records) + np.uint64(self.first)


def training_rows(recipe: Recipe, seed: Digest) -> Indices:
    """The rows that a recipe trains on: those that it does not hold out.

    Args:
        recipe, seed: as of `held_out_rows`.

    Returns:
        uint64 record indices, rising: all rows of `training_count` units of privacy.
    """
    units = TrainedUnits(recipe, seed)
    return units.rows(np.arange(units.count))


def batches(recipe: Recipe, seed: Digest, start_step: int = 0) -> Iterator[Indices]:
    """The record indices of every step's batch.

    Of many records one epoch's order is held, four bytes for each.

    Args:
        recipe: rows (low, high exclusive), the share that is held out, batch size, steps; without
            terms of privacy, so that a record is a unit.
        seed: the order seed.
        start_step: how many steps are already done.

    Yields:
        `[batch_size]` uint64 record indices for the steps start_step, ..., steps-1.

    Raises:
        InputRefused: the batch is larger than the rows.
    """
    units, size = TrainedUnits(recipe, seed), recipe.batch_size
    per_epoch = batches_per_epoch(units.count, size)
    epoch, order = -1, np.empty(0, np.uint32)
    for step in range(start_step, recipe.steps):
        if step // per_epoch != epoch:
            epoch, order = step // per_epoch, np.empty(0, np.uint32)  # the last one goes before the next comes
            order = _shuffled(units.count, 1, epoch_draws(seed, epoch))
        first = step % per_epoch * size
        yield units.rows(order[first : first + size])


def drawn_batches(recipe: Recipe, seed: Digest, key: Callable[[int], bytes], start_step: int = 0) -> Iterator[Indices]:
    """The record indices of every step of a private training: each unit of privacy that is trained
    on with the same chance, in secret, and all its rows.

    Args:
        recipe: with terms of privacy.
        seed: the order seed.
        key: of a segment, 32 secret bytes.
        start_step: how many steps are already done.

    Yields:
        uint64 record indices, rising, for the steps start_step, ..., steps-1; `[n]` with n a number
        of its own each time, 0 too.
    """
    units, rate = TrainedUnits(recipe, seed), Fraction(recipe.sampling_rate)
    for step in range(start_step, recipe.steps):
        yield units.rows(sampled(key(step // recipe.segment_steps), seed.value, step, units.count, rate))


def batches_per_epoch(count: int, batch_size: int) -> int:
    """floor(count / batch_size).

    Raises:
        InputRefused: it is 0, or a number is not positive.
    """
    if batch_size < 1 or count < batch_size:
        raise InputRefused(f"a batch of {batch_size} cannot be taken from {count} rows", "choose a smaller batch size")
    return count // batch_size


def epoch_draws(seed: Digest, epoch: int) -> Draws:
    """An epoch's stream of uniform 64-bit draws (steps 1 and 2 above)."""
    return keyed_draws(tagged(EPOCH_TAG, seed, epoch))


def keyed_draws(stream_key: Digest) -> Draws:
    """A key's stream of uniform 64-bit draws (step 2 above)."""
    key = stream_key.value

    def draws(first: int, count: int) -> Indices:
        blocks = range(first // DRAWS_PER_BLOCK, -(-(first + count) // DRAWS_PER_BLOCK))
        stream = b"".join([hashlib.sha256(key + block.to_bytes(8, "big")).digest() for block in blocks])
        skip = first % DRAWS_PER_BLOCK
        return np.frombuffer(stream, ">u8")[skip : skip + count].astype(np.uint64)

    return draws


def permutation(count: int, draws: Draws) -> Indices:
    """Shuffle 0, ..., count-1 (step 3 above).

    Args:
        count: how many.
        draws: the stream, by first draw and number of draws.

    Returns:
        `[count]` uint64.
    """
    return _shuffled(count, 1, draws).astype(np.uint64)


def permutation_end(count: int, wanted: int, draws: Draws) -> Indices:
    """The last places of `permutation(count, draws)`: the shuffle begins there. Where few are
    wanted it takes time and memory of these alone.

    Args:
        count: how many are shuffled.
        wanted: how many places; at most `count`.
        draws: the stream.

    Returns:
        `[wanted]` uint64.
    """
    lowest = count - wanted
    if wanted * FEW > count:
        return _shuffled(count, max(lowest, 1), draws)[lowest:].astype(np.uint64)
    end, moved, last = array("Q", range(lowest, count)), dict[int, int](), wanted
    for places in _swaps(count, lowest, draws):
        for j in places:
            last -= 1
            if j >= lowest:
                end[last], end[j - lowest] = end[j - lowest], end[last]
            else:
                end[last], moved[j] = moved.get(j, j), end[last]
    return np.frombuffer(end, np.uint64) if end else np.empty(0, np.uint64)


def _shuffled(count: int, lowest: int, draws: Draws) -> npt.NDArray[Any]:
    """The shuffle of 0, ..., count-1 down to the place `lowest`, in four bytes a number where they
    do: Python's own numbers would take forty. Nothing of that size is held beside it."""
    dtype = np.dtype(np.uint32 if count <= 1 << 32 else np.uint64)
    order, i = array(dtype.char, bytes(dtype.itemsize)) * count, count
    numbers = np.frombuffer(order, dtype)
    for part in slabs(count):
        numbers[part] = np.arange(part.start, part.stop)
    for places in _swaps(count, lowest, draws):
        for j in places:
            i -= 1
            order[i], order[j] = order[j], order[i]
    return numbers


FEW = 64
"""One number of so many: the memory of a shuffle that notes what it moved, over that of one that
holds all."""
DRAWN_AT_ONCE = 1 << 16


def _swaps(count: int, lowest: int, draws: Draws) -> Iterator[list[int]]:
    """The places j with which i = count-1 down to `lowest` are swapped, some at a time."""
    used = 0
    for high in range(count, lowest, -DRAWN_AT_ONCE):
        bounds = np.arange(high, max(high - DRAWN_AT_ONCE, lowest), -1, dtype=np.uint64)  # i + 1
        taken, used = _accepted(bounds, draws, used)
        yield (taken % bounds).tolist()


def _accepted(bounds: Indices, draws: Draws, used: int) -> tuple[Indices, int]:
    """For each bound the first draw, in order, that is not rejected, of those that were not used;
    and how many are now.

    A rejection is rarer than n in 2**64, so many are drawn at once and the stream is shifted by one
    where one is due.
    """
    most = np.uint64(2**64 - 1)
    # the largest accepted draw, 2**64 - (2**64 mod bound) - 1; 2**64 mod bound = ((2**64 - 1) mod
    # bound + 1) mod bound
    largest = most - (most % bounds + np.uint64(1)) % bounds
    taken, used = draws(used, len(bounds)), used + len(bounds)
    while (rejected := np.flatnonzero(taken > largest)).size:
        first = rejected[0]
        taken = np.concatenate([taken[:first], taken[first + 1 :], draws(used, 1)])
        used += 1
    return taken, used
