"""Which units a step draws: each by itself, with the same exact probability (Poisson sampling).

A unit is drawn where a uniform number of 64 bits, its own in the keyed stream, is below the rate
times 2^64. Only the first 8 bits are read of most: of one unit in 256 they are those of the rate
itself, and 56 more are read. So a step costs a byte of BLAKE3 a unit, measured half a millisecond a
million on one core. Skipping from one drawn unit to the next would cost as much as the batch alone,
and take exact tables of a geometric distribution for each rate: not worth it below 10^8 units.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.privacy.stream import SAMPLING, Stream

BITS = 64
FIRST = 8
BLOCK = 2**16
"""Units at a time, so that what is looked at stays in the cache."""


def sampled(key: bytes, seed: bytes, step: int, units: int, rate: Fraction) -> npt.NDArray[np.uint64]:
    """Draw the units of a step.

    Args:
        key: the segment's, 32 bytes, secret.
        seed: the order seed, 32 bytes.
        step: from 0.
        units: how many there are.
        rate: the probability of each, a whole multiple of 2^-64 from 0 to 1.

    Returns:
        [drawn] numbers of units from 0, ascending; none may be drawn.

    Raises:
        InputRefused: for a key or seed of another length, a step or rate out of its range.
    """
    scaled = rate * 2**BITS
    if not (scaled.denominator == 1 and 0 <= scaled <= 2**BITS):
        raise InputRefused(f"a sampling rate is a multiple of 2^-{BITS} from 0 to 1, not {rate}")
    if units < 0:
        raise InputRefused(f"there are at least 0 units, not {units}")
    first, further = divmod(int(scaled), 2 ** (BITS - FIRST))
    stream = Stream(key, seed, step, SAMPLING)
    of_first, of_further = stream.region(0), stream.region(1)
    drawn = [np.zeros(0, np.uint64)]
    for start in range(0, units, BLOCK):
        bits = np.frombuffer(of_first.read(min(BLOCK, units - start)), np.uint8)
        below = bits < first
        tied = np.flatnonzero(bits == first)
        below[tied] = np.frombuffer(of_further.read(8 * tied.size), "<u8") >> np.uint64(FIRST) < np.uint64(further)
        drawn.append(np.flatnonzero(below).astype(np.uint64) + np.uint64(start))
    return np.concatenate(drawn)
