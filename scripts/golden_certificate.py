"""Write tests/golden/v2/certificate: a certificate and its model, as bytes.

    python -m scripts.golden_certificate

Nothing here was trained or is on any chain: the golden file fixes forms (envelope, statement,
recipe, card, leaves, tree, tensors), and the tests check everything of it that needs no chain.
`python -m tests.golden.make` writes it together with all others. From the first public release on a
difference is a broken promise and no reason to run it again.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np

from fitchain.pod.compute.dataset import Card, batches
from fitchain.pod.compute.dataset.columns import Column
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.ports.keys import Keys
from fitchain.pod.proof.certificate.envelope import seal
from fitchain.pod.proof.certificate.statement import Ancestor, Statement
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import ZERO, Digest, Root, sha256, sha256_file
from fitchain.pod.values.ids import NO_MODEL, AgreementId, DatasetId, ModelId
from fitchain.pod.values.leaf import Leaf, StateRoots, metrics_digest, records_digest, state_word
from fitchain.pod.values.recipe import Recipe, draft
from fitchain.pod.values.state import TensorBytes, Tensors, model_root, optimizer_root, write_safetensors

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden" / "v2" / "certificate"
CONTRACTS = {
    "FitCoin": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
    "Registry": "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512",
    "Verifiers": "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
    "Agreements": "0xCf7Ed3AccA5a467e9e704C703E8D87F634fB0Fc9",
    "ProofOfTrain": "0xDc64a140Aa3E981100a9becA4E685f962f0cF6C9",
    "Audits": "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707",
    "Directory": "0x0165878A594ca255338adfa4d48449f69242Eb8F",
}


def main() -> int:
    """Write the two files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    recipe, card = recipe_and_card()
    transcript = transcript_of(recipe)
    states = {index: roots_at(recipe.step_of(index)) for index in (0, recipe.leaf_count - 1)}
    model = FOLDER / "model.safetensors"
    write_safetensors(model, tensors(recipe.steps))
    statement = Statement(
        subject=sha256_file(model),
        agreement=AgreementId(sha256(b"agreement")),
        chain_id=31337,
        contracts=CONTRACTS,
        owner=signer().address,
        scientist="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        initial_model=recipe.initial_model,
        final_model=states[recipe.leaf_count - 1].model,
        last_model=states[recipe.leaf_count - 1].model,
        lineage=(Ancestor(ModelId(sha256(b"model")), recipe.graph, recipe.initial_model, NO_MODEL, (), ZERO),),
        recipe=recipe,
        environment=recipe.environment,
        dataset=DatasetId(sha256(b"dataset")),
        dataset_root=card.root,
        ledger=0,
        card=card,
        audit=AuditTerms(),
        ctx=transcript.ctx,
        seed=transcript.seed,
        transcript_root=transcript.root,
        count=transcript.count,
        steps=transcript.leaves[-1].step,
        delivered=recipe.leaf_count - 1,
        states=states,
        leaves=transcript.leaves,
    )
    (FOLDER / "certificate.json").write_bytes(seal(statement.encode(), signer()))
    return 0


def signer() -> Keys:
    """An account that everyone has: its key is 32 times the byte 1."""
    return Keys("golden", bytes([1]) * 32, bytes([2]) * 32)


def recipe_and_card() -> tuple[Recipe, Card]:
    """What was agreed, over a dataset that is only a root."""
    columns = (Column("size", "float64", (), "mm"), Column("kind", "int64", (), ""))
    transform = {"size": {"mean": 0.1, "scale": 2.5}, "kind": {"categories": ["benign", "malignant"]}}
    card = Card("Golden", columns, "kind", 50, Root(sha256(b"records")), transform, "A card.", "CC-BY-4.0", 10**18)
    shape = {"steps": 20, "segment_steps": 3, "group_leaves": 4, "batch_size": 8}
    return draft(sha256(b"graph"), model_root(tensors(0)), card.json(), "2.13.0+cpu", shape), card


def tensors(after: int) -> Tensors:
    """A model's tensors after so many steps."""
    weight = (np.arange(6, dtype="<f4") + after).tobytes()
    seen = np.array(after, "<i8").tobytes()
    return {
        "layer.weight": TensorBytes("parameter", "F32", (2, 3), memoryview(weight)),
        "layer.seen": TensorBytes("buffer", "I64", (), memoryview(seen)),
    }


def transcript_of(recipe: Recipe) -> Transcript:
    """Leaves over the records that the order seed gives."""
    ctx, seed = sha256(b"context"), sha256(b"order seed")
    leaves: list[Leaf] = []
    previous, stream, done = ZERO, batches(recipe, seed), 0
    for index in range(recipe.leaf_count):
        step = recipe.step_of(index)
        used = np.concatenate([np.empty(0, np.uint64), *islice(stream, step - done)])
        ends = index in (0, recipe.leaf_count - 1)
        state = state_word(roots_at(step).digest, None if ends else sha256(b"state salt %d" % step))
        leaves.append(Leaf(index, step, state, records_digest(used), salted(step), ZERO, previous))
        previous, done = leaves[-1].digest(ctx, seed), step
    return Transcript(ctx, seed, tuple(leaves))


def roots_at(step: int) -> StateRoots:
    """The roots of the state after so many steps."""
    optimizer = Root(sha256(b"optimizer %d" % step)) if step else optimizer_root({})
    return StateRoots(model_root(tensors(step)), optimizer)


def salted(step: int) -> Digest:
    """The digest of a segment's metrics."""
    return metrics_digest({"loss": 1 / (1 + step)} if step else {}, sha256(b"salt %d" % step))


if __name__ == "__main__":
    sys.exit(main())
