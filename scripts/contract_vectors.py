"""Write what holds the contracts to the pods: `python -m scripts.contract_vectors`.

The forge tests read tests/contracts/vectors.json (trees) and tests/contracts/payouts.json (who gets
what by a verdict); tests/test_contracts.py makes the texts again and compares, so that neither side
can move alone. Entry i of the trees is SHA-256 of i as 32 bytes big-endian.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from fitchain.pod.ports.agreement import AuditTerms, Outcome, Terms
from fitchain.pod.ports.agreement.audits import NOBODY
from fitchain.pod.proof.audit.payouts import AUDITED, DISPUTED, EVIDENCE_WITHHELD, KEY_WITHHELD, Payout, fee_per_seat
from fitchain.pod.values.digest import ZERO, Root, peaks, published_root, sha256, tree_root
from fitchain.pod.values.ids import DatasetId, ModelId
from fitchain.pod.values.leaf import Leaf

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "contracts"
PATH, PAYOUTS = FOLDER / "vectors.json", FOLDER / "payouts.json"
LARGEST = 300

FIT = 10**18
AUDIT = AuditTerms(segments=2, verifiers=3, fee=90 * FIT + 2, counter_bond=50 * FIT + 1)
TERMS = Terms(NOBODY, DatasetId(ZERO), ModelId(ZERO), ZERO, 11, 2, 4, 1001 * FIT, 301 * FIT + 1, 0, 0, 0, AUDIT)
"""The amounts of tests/contracts/Fixture.sol and AuditFixture.sol, odd ones so that halves do not
come out even."""

MATCH, MISMATCH, WITHHELD, INCONCLUSIVE = Outcome.MATCH, Outcome.MISMATCH, Outcome.WITHHELD, Outcome.INCONCLUSIVE
VOTES = (
    (MATCH, (MATCH, MATCH, MATCH)),
    (MATCH, (MATCH, MISMATCH, MATCH)),
    (MATCH, (WITHHELD, MATCH, MATCH)),
    (MISMATCH, (MISMATCH, MISMATCH, MISMATCH)),
    (MISMATCH, (MISMATCH, MISMATCH, MATCH)),
    (WITHHELD, (WITHHELD, MATCH, WITHHELD)),
    (WITHHELD, (MISMATCH, WITHHELD, MATCH)),
    (INCONCLUSIVE, (MATCH, MISMATCH, INCONCLUSIVE)),
    (INCONCLUSIVE, (INCONCLUSIVE, INCONCLUSIVE, MATCH)),
)
"""Verdicts, and votes of three seats that come to them."""


def vectors() -> str:
    """Trees of 1 to 300 entries, a leaf and a transcript, as JSON text."""
    entries = [sha256(i.to_bytes(32, "big")) for i in range(LARGEST)]
    trees = [entries[:count] for count in range(1, LARGEST + 1)]
    model, optimizer, records, metrics, previous, ctx, seed = (
        sha256(word.encode()) for word in ("model", "optimizer", "records", "metrics", "previous", "ctx", "seed")
    )
    leaf = Leaf(7, 14, Root(model), Root(optimizer), records, metrics, previous)
    return json.dumps(
        {
            "roots": [str(tree_root(tree)) for tree in trees],
            "peaks": [str(sha256(b"".join(root.value for root, _ in peaks(tree)))) for tree in trees],
            "transcripts": [str(published_root("fitchain/transcript/v1", tree)) for tree in trees],
            "state": str(leaf.state),
            "leaf": str(leaf.digest(ctx, seed)),
        },
        indent=1,
    )


def payouts() -> str:
    """Votes, and what everybody has then, as JSON text; amounts in base units as text, for JSON
    ends at 2**53."""
    cases = [_case(AUDITED[verdict], False, True, verdict, votes) for verdict, votes in VOTES]
    cases += [_case(KEY_WITHHELD, False, False, WITHHELD, votes) for verdict, votes in VOTES if verdict == MATCH]
    cases += [_case(EVIDENCE_WITHHELD, disputed, False, WITHHELD, (Outcome.NONE,) * 3) for disputed in (False, True)]
    cases += [_case(DISPUTED[verdict], True, False, verdict, votes) for verdict, votes in VOTES]
    amounts = {"price": TERMS.price, "bond": TERMS.bond, "fee": AUDIT.fee, "counterBond": AUDIT.counter_bond}
    return json.dumps(
        {name: str(value) for name, value in amounts.items()} | {"count": len(cases), "cases": cases}, indent=1
    )


def _case(
    payout: Payout, disputed: bool, released: bool, verdict: Outcome, votes: tuple[Outcome, ...]
) -> dict[str, Any]:
    """An audit's votes; whether it was a dispute and the key was released; and what follows."""
    audit = replace(AUDIT, verifiers=0, dispute_verifiers=3) if disputed else AUDIT
    paid = [vote in payout.paid for vote in votes]
    amounts = payout.amounts(replace(TERMS, audit=audit), TERMS.steps, sum(paid))
    return {
        "disputed": int(disputed),
        "released": int(released),
        "votes": votes,
        "verdict": verdict,
        "owner": str(amounts.owner),
        "scientist": str(amounts.scientist),
        "burned": str(amounts.burned),
        "earned": [str(fee_per_seat(audit) * seat) for seat in paid],
        "slashed": [int(vote in payout.slashed) for vote in votes],
    }


def main() -> int:
    """Write the files."""
    PATH.write_text(vectors() + "\n")
    PAYOUTS.write_text(payouts() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
