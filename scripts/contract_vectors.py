"""Write the vectors by which contracts and pods are held to one another:
`python -m scripts.contract_vectors`.

The forge tests read tests/contracts/vectors.json (trees, leaves, traces, chains, lanes; entry i of
a tree is SHA-256 of i as 32 bytes big-endian) and payouts.json (who gets what);
tests/test_contracts.py makes the texts again and compares, so that neither side can move alone.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

from eth_utils.crypto import keccak

from fitchain.pod.ports.agreement import AuditKind, Outcome
from fitchain.pod.proof.audit.payouts import (
    AGAIN,
    ANSWERED,
    DEADLINE_MISSED,
    DISPUTED,
    GIVEN_BACK,
    KEY_WITHHELD,
    UNDISPUTED,
    Amounts,
    Escrow,
)
from fitchain.pod.proof.audit.payouts import payouts as payout_rows
from fitchain.pod.values.digest import ZERO, Digest, peaks, published_root, sha256, tagged, tree_root
from fitchain.pod.values.privacy.ledger import FULL, OPENED, add, budget, lanes, within, word

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "contracts"
PATH = FOLDER / "vectors.json"
PAYOUTS = FOLDER / "payouts.json"
LARGEST = 300
TRACES = 40
LINKS = 5
LINK_BYTES = 26
WORDS = 40


def vectors() -> str:
    """Trees of 1 to 300 entries, a leaf, empty traces, a hash chain and sums of lanes, as JSON
    text."""
    entries = [sha256(i.to_bytes(32, "big")) for i in range(LARGEST)]
    trees = [entries[:count] for count in range(1, LARGEST + 1)]
    words = ("model", "optimizer", "records", "metrics", "held-out", "previous", "ctx", "seed")
    model, optimizer, records, metrics, held_out, previous, ctx, seed = (sha256(word.encode()) for word in words)
    state = tagged("fitchain/state/v2", model, optimizer)
    audit = sha256(b"audit")
    return json.dumps(
        {
            "roots": [str(tree_root(tree)) for tree in trees],
            "peaks": [str(sha256(b"".join(root.value for root, _ in peaks(tree)))) for tree in trees],
            "transcripts": [str(published_root("fitchain/transcript/v2", tree)) for tree in trees],
            "state": str(state),
            "leaf": str(tagged("fitchain/leaf/v2", ctx, seed, 7, 14, state, records, metrics, held_out, previous)),
            "empty_traces": [str(tagged("fitchain/trace/v2", audit, 2, n, *[ZERO] * n)) for n in range(TRACES)],
            "links": chain(sha256(b"end of a chain"), LINKS),
            "lanes": lane_rows(),
        },
        indent=1,
    )


def chain(end: Digest, count: int) -> list[str]:
    """A verifier's hash chain backwards: each link is the first 26 bytes of the keccak256 of the
    one after it.

    Args:
        end: its first 26 bytes are the last link.
        count: how many links.

    Returns:
        the links, zeros behind them up to 32 bytes.
    """
    links = [end.value[:LINK_BYTES]]
    while len(links) < count:
        links.append(bytes(keccak(links[-1]))[:LINK_BYTES])
    return ["0x" + link.hex() + "00" * (32 - LINK_BYTES) for link in links]


def lane_rows() -> list[str]:
    """Words of eight lanes added and compared, four a row: a, b, their sum, whether a is within b.

    In every other pair the lanes lie one beside another, in half of these all above; every fifth
    has a full lane, and a zero one.
    """
    rows: list[int] = []
    for i in range(WORDS):
        a, b = (int.from_bytes(sha256(f"lanes {i} {side}".encode()).value, "big") for side in "ab")
        if i % 2 == 0:
            b = word([max(0, lane - 1 + (i % 4 == 0 and k == i % 8)) for k, lane in enumerate(lanes(a))])
        if i % 5 == 0:
            a, b = a | (FULL << 32 * (i % 8)), b & ~(FULL << 32 * (i % 7))
        rows += [a, b, add(a, b), within(a, b)]
    for a, b in ((OPENED, budget(3.0, 1e-5)), (OPENED, 0), (2**256 - 1, 2**256 - 1), (OPENED, OPENED), (0, OPENED)):
        rows += [a, b, add(a, b), within(a, b)]
    return [f"0x{row:064x}" for row in rows]


def payouts() -> str:
    """Who gets what by the pods' table, for amounts that leave odd halves, as JSON text.

    A row is: situation, kind, outcome, P, B, f, m, v, p, C, whether C returns; to owner, scientist,
    seats, burned. The numbers of kinds and outcomes are the contracts'.
    """
    rows = [row for escrow in ESCROWS for row in _rows(escrow)]
    flat = [number for row in rows for number in row]
    return json.dumps({"situations": [one.name for one in Situation], "width": len(rows[0]), "rows": flat})


class Situation(IntEnum):
    """A function of contracts/libraries/Payouts.sol."""

    GIVEN_BACK = 0
    DEADLINE_MISSED = 1
    SETTLED = 2
    NEVER_RELEASED = 3
    VERDICT = 4
    RELEASE_OVER = 5
    ASKED_AGAIN = 6


ESCROWS = [
    Escrow(price=1001, bond=2001, seats=3, fee=30, counter_bond=51),
    Escrow(price=0, bond=91, seats=3, fee=30, counter_bond=0),
    Escrow(price=7, bond=1000, seats=5, fee=1, counter_bond=8),
    Escrow(price=5, bond=15, seats=15, fee=1, counter_bond=3),
]


def _rows(escrow: Escrow) -> list[list[int]]:
    """The table's rows for one set of amounts."""
    quorum, seats = escrow.seats // 2 + 1, escrow.seats
    price_and_bond = replace(escrow, seats=0, fee=0, counter_bond=0)
    fees_alone = replace(escrow, price=0, bond=0)
    unheld, none = replace(escrow, bond=0, counter_bond=0), Outcome.NONE

    def row(situation: Situation, kind: AuditKind, outcome: Outcome, to: Amounts, *counted: int) -> list[int]:
        voted, paid, returned = counted or (0, 0, 0)
        first = situation is Situation.VERDICT and kind is AuditKind.FIRST
        counter = 0 if first else escrow.counter_bond
        said = [situation, kind, outcome, escrow.price, escrow.bond, escrow.fee, seats, voted, paid, counter, returned]
        return [*map(int, said), to.owner, to.scientist, to.verifiers, to.burned]

    rows = [
        row(Situation.GIVEN_BACK, AuditKind.FIRST, none, GIVEN_BACK.amounts(unheld)),
        row(Situation.DEADLINE_MISSED, AuditKind.FIRST, none, DEADLINE_MISSED.amounts(escrow)),
        row(Situation.SETTLED, AuditKind.FIRST, none, UNDISPUTED.amounts(price_and_bond)),
        row(Situation.NEVER_RELEASED, AuditKind.FIRST, none, KEY_WITHHELD.amounts(price_and_bond)),
    ]
    for kind in (AuditKind.FIRST, AuditKind.DISPUTE):
        held = escrow if kind is AuditKind.DISPUTE else replace(escrow, counter_bond=0)
        table = payout_rows(kind)
        rows += [
            row(Situation.VERDICT, kind, outcome, table[outcome].amounts(held))
            for outcome in (Outcome.WITHHELD, Outcome.INCONCLUSIVE)
        ]
        for paid in range(quorum, seats + 1):
            to = table[Outcome.MISMATCH].amounts(held, paid)
            rows.append(row(Situation.VERDICT, kind, Outcome.MISMATCH, to, paid, paid, 0))
    for voted in range(quorum, seats + 1):
        for paid in range(voted + 1):
            for returned, payout in enumerate((DISPUTED[Outcome.MATCH], ANSWERED)):
                to = payout.amounts(fees_alone, paid, voted)
                rows.append(row(Situation.RELEASE_OVER, AuditKind.DISPUTE, Outcome.MATCH, to, voted, paid, returned))
    asked = replace(fees_alone, counter_bond=0)
    for paid in range(seats + 1):
        to = AGAIN[Outcome.MATCH].amounts(asked, paid)
        rows.append(row(Situation.ASKED_AGAIN, AuditKind.AGAIN, Outcome.MATCH, to, paid, paid, 0))
    return rows


def main() -> int:
    """Write the vectors."""
    PATH.write_text(vectors() + "\n")
    PAYOUTS.write_text(payouts() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
