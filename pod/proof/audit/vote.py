"""Votes: what a verifier says of an audit, bound to the work that only a replay does.

The trace covers, for each audited segment, the state before the segment's last step. No leaf names
that state, so it comes out of a replay alone; and because the round is hashed with it, what was
revealed in one round is of no use in the next.
"""

from __future__ import annotations

from collections.abc import Sequence

from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.values.digest import Digest, tagged
from fitchain.pod.values.ids import AgreementId

__all__ = ["TRACE_TAG", "Outcome", "commitment", "trace_digest"]

TRACE_TAG = "fitchain/trace/v2"


def trace_digest(ctx: Digest, challenge: Digest, round: int, states: Sequence[Digest]) -> Digest:
    """Digest what a replay came to.

    Args:
        ctx: the agreement's context.
        challenge: the challenge seed.
        round: of the audit, from 0.
        states: for each audited segment in order, the digest of the state before its last step (of
            a segment of one step, the state that it starts from; where the training ends inside,
            before the step that failed); zero where it could not be replayed.

    Returns:
        `tagged("fitchain/trace/v2", ctx, challenge, round, count, states...)`.
    """
    return tagged(TRACE_TAG, ctx, challenge, round, len(states), *states)


def commitment(id: AgreementId, round: int, voter: str, outcome: Outcome, trace: Digest, salt: Digest) -> Digest:
    """What a verifier commits to before it reveals: keccak256(abi.encode(id, round, voter, outcome,
    trace, salt)).

    Args:
        id: the agreement.
        round: of the audit, from 0.
        voter: the verifier's address, so that a copied commitment cannot be revealed.
        outcome: its vote.
        trace: `trace_digest` for Match and Mismatch; zero for the other two.
        salt: 32 bytes that nobody else knows.
    """
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

    types = ["bytes32", "uint8", "address", "uint8", "bytes32", "bytes32"]
    values = [bytes(id), round, voter, int(outcome), bytes(trace), bytes(salt)]
    return Digest(bytes(keccak(encode(types, values))))
