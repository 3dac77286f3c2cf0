"""Write the vectors by which the contracts' trees are held to the pods': `python -m scripts.contract_vectors`.

The forge tests read tests/contracts/vectors.json; tests/test_contracts.py makes the text again and compares, so that neither
side can move alone. Entry i of the trees is SHA-256 of i as 32 bytes big-endian.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fitchain.pod.values.digest import Root, peaks, published_root, sha256, tree_root
from fitchain.pod.values.leaf import Leaf

PATH = Path(__file__).resolve().parent.parent / "tests" / "contracts" / "vectors.json"
LARGEST = 300


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


def main() -> int:
    """Write the vectors."""
    PATH.write_text(vectors() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
