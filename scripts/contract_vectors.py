"""Write the vectors by which contracts and pods are held to one another:
`python -m scripts.contract_vectors`.

The forge tests read tests/contracts/vectors.json (trees, leaves, traces, chains; entry i of a tree
is SHA-256 of i as 32 bytes big-endian) and payouts.json (who gets what); tests/test_contracts.py
makes the texts again and compares, so that neither side can move alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from eth_utils.crypto import keccak

from fitchain.pod.values.digest import ZERO, Digest, peaks, published_root, sha256, tagged, tree_root

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "contracts"
PATH = FOLDER / "vectors.json"
PAYOUTS = FOLDER / "payouts.json"
LARGEST = 300
TRACES = 40
LINKS = 5
LINK_BYTES = 26


def vectors() -> str:
    """Trees of 1 to 300 entries, a leaf, empty traces and a hash chain, as JSON text."""
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


def payouts() -> str:
    """Who gets what, for amounts that leave odd halves, as JSON text.

    A row is: situation, kind, outcome, P, B, f, m, v, p, C, whether C returns; to owner, scientist,
    seats, burned. The numbers of kinds and outcomes are the contracts'.
    """
    rows = [row for amounts in AMOUNTS for row in _rows(*amounts)]
    flat = [number for row in rows for number in row]
    return json.dumps({"situations": SITUATIONS, "width": len(rows[0]), "rows": flat})


SITUATIONS = ["given back", "deadline missed", "settled", "never released", "verdict", "release over", "asked again"]
AMOUNTS = [(1001, 2001, 30, 3, 51), (0, 91, 30, 3, 0), (7, 1000, 1, 5, 8), (5, 15, 1, 15, 3)]
MISMATCH, WITHHELD, INCONCLUSIVE = 2, 3, 4


def _rows(price: int, bond: int, fee: int, seats: int, counter_bond: int) -> list[list[int]]:
    """The table's rows for one set of amounts: P, B, f, m, C."""
    fees, half = fee * seats, bond // 2
    quorum = seats // 2 + 1

    def row(situation: int, kind: int, outcome: int, counted: tuple[int, int], returned: int, *to: int) -> list[int]:
        counter = 0 if kind == 0 and situation == 4 else counter_bond
        return [situation, kind, outcome, price, bond, fee, seats, *counted, counter, returned, *to]

    rows = [
        row(0, 0, 0, (0, 0), 0, 0, price + fees, 0, 0),
        row(1, 0, 0, (0, 0), 0, 0, price + fees + counter_bond + half, 0, bond - half),
        row(2, 0, 0, (0, 0), 0, price + bond, 0, 0, 0),
        row(3, 0, 0, (0, 0), 0, 0, price + half, 0, bond - half),
        row(4, 0, INCONCLUSIVE, (0, 0), 0, bond, price + fees, 0, 0),
        row(4, 1, INCONCLUSIVE, (0, 0), 0, bond + price // 2, price - price // 2 + fees + counter_bond, 0, 0),
    ]
    for kind, counter in ((0, 0), (1, counter_bond)):
        rows.append(row(4, kind, WITHHELD, (0, 0), 0, 0, price + fees + counter + half, 0, bond - half))
        for paid in range(quorum, seats + 1):
            rest = bond - paid * fee
            to_scientist = price + fees + counter + rest // 2
            rows.append(row(4, kind, MISMATCH, (paid, paid), 0, 0, to_scientist, paid * fee, rest - rest // 2))
    for matching in range(quorum, seats + 1):
        for paid in range(matching + 1):
            back, lost = (seats - matching) * fee, (matching - paid) * fee
            to_owner = counter_bond // 2
            burned = lost + counter_bond - to_owner
            rows.append(row(5, 1, 1, (matching, paid), 0, to_owner, back, paid * fee, burned))
            rows.append(row(5, 1, 1, (matching, paid), 1, 0, back + counter_bond, paid * fee, lost))
    rows += [row(6, 2, 1, (p, p), 0, 0, (seats - p) * fee, p * fee, 0) for p in range(seats + 1)]
    return rows


def main() -> int:
    """Write the vectors."""
    PATH.write_text(vectors() + "\n")
    PAYOUTS.write_text(payouts() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
