"""The challenge: which segments of a training are audited, as a function of the segment seed alone.

Segment j leads from leaf j to leaf j+1; a training of N segments has N+1 leaves. Byte by byte:

1. segment seed = keccak256(seed || c_0 || ... || c_{m-1}) as the contract computes it: the seed of
   the audit's draw, and of each seat the first 12 bytes of the link of its hash chain that its
   verifier revealed by joining; 12 zero bytes where nobody had joined when joining first closed.
2. Always audited are segment 0, segment N-1 and segment d-1, which ends in the delivered leaf d; of
   a run that diverged also segment N, which leads from its last leaf to no other.
3. K = H("fitchain/challenge/v2", segment seed), and its draws and the shuffle are those of the
   batch order. The other segments, rising, are shuffled, and the last min(q, how many they are) of
   the shuffled list are audited too.
"""

from __future__ import annotations

from collections.abc import Sequence

from fitchain.pod.compute.dataset.order import keyed_draws, permutation_end
from fitchain.pod.values.digest import Digest, tagged
from fitchain.pod.values.errors import InputRefused

CHALLENGE_TAG, REFERENCE_TAG = "fitchain/challenge/v2", "fitchain/reference-challenge/v2"
HASHED_LINK_BYTES = 12
"""How much of a seat's link enters the segment seed."""
NOBODY_JOINED = bytes(HASHED_LINK_BYTES)


def segment_seed(seed: Digest, links: Sequence[bytes]) -> Digest:
    """The segment seed of an audit.

    Args:
        seed: of the draw of the jury.
        links: of each seat, in order, the link that was revealed, of which the first 12 bytes
            count; `NOBODY_JOINED` where nobody was.
    """
    from eth_utils.crypto import keccak

    return Digest(bytes(keccak(bytes(seed) + b"".join(link[:HASHED_LINK_BYTES] for link in links))))


def always_audited(count: int, delivered: int, diverged: bool) -> tuple[int, ...]:
    """The segments that every audit looks at, rising.

    Args:
        count: leaves of the transcript, N+1.
        delivered: index of the delivered leaf, d; the last one's where the run diverged.
        diverged: whether the run ended before its last step.
    """
    segments = count - 1
    always = {0, segments - 1, delivered - 1} if segments else set()
    return tuple(sorted(always | ({segments} if diverged else set())))


def audited_segments(seed: Digest, count: int, delivered: int, diverged: bool, drawn: int) -> tuple[int, ...]:
    """All segments that are audited.

    Args:
        seed: the segment seed.
        count: leaves of the transcript, N+1.
        delivered: index of the delivered leaf, d; the last one's where the run diverged.
        diverged: whether the run ended before its last step.
        drawn: q, how many segments are drawn besides those that are always audited; all where there
            are no more.

    Returns:
        The segments, rising.

    Raises:
        InputRefused: there is no such transcript: it has no leaf, or the delivered leaf is none of
            it.
    """
    if count < 1 or not min(count - 1, 1) <= delivered < count:
        raise InputRefused(f"leaf {delivered} of {count} cannot be the delivered one")
    always = always_audited(count, delivered, diverged)
    inner = [segment for segment in always if segment < count - 1]
    others = count - 1 - len(inner)
    ranks = permutation_end(others, min(drawn, others), keyed_draws(tagged(CHALLENGE_TAG, seed))).tolist()
    return tuple(sorted((*always, *(_unranked(inner, rank) for rank in ranks))))


def drawn_reference(seed: Digest, trainings: int, segments: int) -> tuple[int, int]:
    """The reference training of a risk report, and the segment of it, that is opened: the first two
    draws under a key of their own, each times how many there are, over 2^64, rounded down. Where
    the training ended before that segment, the one in which it ended is.

    Args:
        seed: the segment seed.
        trainings: how many there are.
        segments: of the recipe.
    """
    number, segment = keyed_draws(tagged(REFERENCE_TAG, seed))(0, 2).tolist()
    return number * trainings >> 64, segment * segments >> 64


def _unranked(always: Sequence[int], rank: int) -> int:
    """The segment of a rank among those that are not in `always`, which rises: a training may have
    too many segments to list them."""
    for segment in always:
        if rank >= segment:
            rank += 1
    return rank
