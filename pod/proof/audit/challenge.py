"""The challenge: which segments of a training are audited, as a function of a block's hash alone.

Segment j leads from leaf j to leaf j+1; a training of N segments has N+1 leaves. Byte by byte:

1. challenge seed = keccak256(abi.encode(agreement id, hash of the challenge block)), as the
   contract computes it.
2. K = H("fitchain/challenge/v2", challenge seed), and its draws and the shuffle of n = N-2 are
   those of the batch order.
3. Audited are segment 0, segment N-1 and, of the shuffled [0, 1, ..., n-1], the last min(q, n),
   each plus 1.
4. A run that diverged has one more: segment N, which leads from its last leaf to no other.
"""

from __future__ import annotations

from fitchain.pod.compute.dataset.order import keyed_draws, permutation_end
from fitchain.pod.values.digest import Digest, tagged

CHALLENGE_TAG = "fitchain/challenge/v2"


def challenged_segments(seed: Digest, segments: int, count: int) -> tuple[int, ...]:
    """The segments between two leaves that are audited.

    Args:
        seed: the challenge seed.
        segments: N, one less than there are leaves.
        count: q, how many inner segments are drawn; all where there are no more.

    Returns:
        The first, the last and the drawn ones, rising; none where there is no segment.
    """
    inner = max(segments - 2, 0)
    drawn = permutation_end(inner, min(count, inner), keyed_draws(tagged(CHALLENGE_TAG, seed)))
    ends = {0, segments - 1} if segments > 0 else set()
    return tuple(sorted(ends | {segment + 1 for segment in drawn}))


def audited_segments(seed: Digest, segments: int, count: int, diverged: bool) -> tuple[int, ...]:
    """All segments that are audited: those drawn and, of a run that diverged, the one after its
    last leaf."""
    return challenged_segments(seed, segments, count) + ((segments,) if diverged else ())
