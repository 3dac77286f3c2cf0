"""Votes: what a verifier says of an audit, bound to the work that only a replay does.

The trace covers, for each audited segment, the state before the segment's last step. No leaf names
that state, so it comes out of a replay alone; and because audit and round are hashed with it, what
was revealed in one is of no use in the next. The contract computes the trace of which every state
is zero, and refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.values.digest import Digest, tagged
from fitchain.pod.values.ids import AuditId

__all__ = ["TRACE_TAG", "Outcome", "commitment", "trace_digest"]

TRACE_TAG = "fitchain/trace/v2"


def trace_digest(audit: AuditId, round: int, states: Sequence[Digest]) -> Digest:
    """Digest what a replay came to.

    Args:
        audit: the audit's id, of agreement and ordinal.
        round: of the audit, from 0.
        states: for each audited segment in order, the digest of the state before its last step (of
            a segment of one step, the state that it starts from; where the training ends inside,
            before the step that failed); zero where it could not be replayed. At least one is not
            zero: who could replay nothing votes Withheld.

    Returns:
        `tagged("fitchain/trace/v2", audit id, round, count, states...)`.
    """
    return tagged(TRACE_TAG, audit, round, len(states), *states)


# Many parameters: they are the words that are hashed.
def commitment(audit: AuditId, round: int, voter: str, outcome: Outcome, trace: Digest, salt: Digest) -> Digest:
    """What a verifier commits to before it reveals: keccak256(abi.encode(audit id, round, voter,
    outcome, trace, salt)).

    Args:
        audit: the audit's id, of agreement and ordinal.
        round: of the audit, from 0.
        voter: the verifier's address, so that a copied commitment cannot be revealed.
        outcome: its vote.
        trace: `trace_digest` for Match and Mismatch; zero for the other two.
        salt: 32 bytes that nobody else knows.
    """
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

    types = ["bytes32", "uint8", "address", "uint8", "bytes32", "bytes32"]
    values = [bytes(audit), round, voter, int(outcome), bytes(trace), bytes(salt)]
    return Digest(bytes(keccak(encode(types, values))))
