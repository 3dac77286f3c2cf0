"""Write the vectors by which the contracts' trees are held to the pods': `python -m scripts.contract_vectors`.

The forge tests read tests/contracts/vectors.json; tests/test_contracts.py makes the text again and compares, so that neither
side can move alone. Entry i of the trees is SHA-256 of i as 32 bytes big-endian.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from eth_utils.crypto import keccak

from fitchain.pod.values.digest import ZERO, Digest, peaks, published_root, sha256, tagged, tree_root

PATH = Path(__file__).resolve().parent.parent / "tests" / "contracts" / "vectors.json"
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
            "leaf": str(
                tagged("fitchain/leaf/v2", ctx, seed, 7, 14, state, records, metrics, held_out, previous)
            ),
            "empty_traces": [str(tagged("fitchain/trace/v2", audit, 2, n, *[ZERO] * n)) for n in range(TRACES)],
            "links": chain(sha256(b"end of a chain"), LINKS),
        },
        indent=1,
    )


def chain(end: Digest, count: int) -> list[str]:
    """A verifier's hash chain backwards: each link is the first 26 bytes of the keccak256 of the one after it.

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


def main() -> int:
    """Write the vectors."""
    PATH.write_text(vectors() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
