"""Make tests/golden/v2/certificate: a certificate and its model, as bytes that must hold for ever
once version 2 is frozen.

    python -m tests.golden.certificate

Unlike those of the golden job they are the same each time. Nothing here was trained or is on any
chain: the golden file fixes forms (envelope, statement, recipe, card, leaves, tree, tensors; a leaf
that is delivered by a rule and is not the last, a model of two parents), and the tests check
everything of it that needs no chain.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from fitchain.pod.compute.dataset import Card, Task, batches
from fitchain.pod.compute.dataset.columns import Column
from fitchain.pod.compute.dataset.preprocessing import preprocessing_metadata, preprocessing_of
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.ports.keys import Keys
from fitchain.pod.proof.certificate.envelope import seal
from fitchain.pod.proof.certificate.statement import Ancestor, HeldOutClaim, Statement, unsalted_leaves
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.audit_mode import AuditMode
from fitchain.pod.values.digest import ZERO, Digest, Root, sha256, sha256_file
from fitchain.pod.values.graph import Input
from fitchain.pod.values.held_out import Classes, HeldOut, held_out_salt
from fitchain.pod.values.ids import NO_MODEL, AgreementId, DatasetId, ModelId, PanelId
from fitchain.pod.values.leaf import Leaf, StateRoots, metrics_digest, records_digest, state_word
from fitchain.pod.values.recipe import Recipe, draft
from fitchain.pod.values.state import TensorBytes, Tensors, model_root, optimizer_root, write_safetensors

FOLDER = Path(__file__).parent / "v2" / "certificate"
CONTRACTS = {
    "FitCoin": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
    "Registry": "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512",
    "Verifiers": "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707",
    "Agreements": "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0",
    "ProofOfTrain": "0xCf7Ed3AccA5a467e9e704C703E8D87F634fB0Fc9",
    "Audits": "0xDc64a140Aa3E981100a9becA4E685f962f0cF6C9",
    "Directory": "0x0165878A594ca255338adfa4d48449f69242Eb8F",
}
DELIVERED = 5
"""The leaf whose model is delivered."""
AUDIT = AuditTerms(
    drawn_segments=2,
    verifiers=3,
    mode=AuditMode.SAMPLED,
    panel=PanelId(sha256(b"panel")),
    window=3600,
    wait=86400,
    fee_per_seat=10**18,
    seat_stake=20 * 10**18,
)


def main() -> int:
    """Write the two files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    recipe, card = recipe_and_card()
    states = {index: roots_of(recipe, index) for index in range(recipe.leaf_count)}
    transcript = transcript_of(recipe, states)
    model, last = FOLDER / "model.safetensors", transcript.count - 1
    inputs = (Input("x", "F32", (1,)),)
    metadata = preprocessing_metadata(preprocessing_of(recipe, card, inputs))
    write_safetensors(model, tensors(recipe.step_of(DELIVERED)), metadata)
    statement = Statement(
        subject=sha256_file(model),
        agreement=AgreementId(sha256(b"agreement")),
        chain_id=31337,
        contracts=CONTRACTS,
        owner=signer().address,
        scientist="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        initial_model=recipe.initial_model,
        final_model=states[DELIVERED].model,
        last_model=states[last].model,
        base=None,
        lineage=lineage_of(recipe),
        recipe=recipe,
        environment=recipe.environment,
        dataset=DatasetId(sha256(b"dataset")),
        dataset_root=card.root,
        ledger=0,
        card=card,
        privacy=None,
        risk=None,
        held_out=result_of(recipe, DELIVERED),
        evaluations=tuple(result_of(recipe, index) for index in range(1, transcript.count)),
        ended=None,
        audit=AUDIT,
        ctx=transcript.ctx,
        seed=transcript.seed,
        transcript_root=transcript.root,
        count=transcript.count,
        steps=transcript.leaves[-1].step,
        delivered=DELIVERED,
        states={index: states[index] for index in unsalted_leaves(transcript.count, DELIVERED)},
        leaves=transcript.leaves,
    )
    (FOLDER / "certificate.json").write_bytes(seal(statement.encode(), signer()))
    return 0


def lineage_of(recipe: Recipe) -> tuple[Ancestor, ...]:
    """A model that is said to follow from two others."""
    parents = tuple(ModelId(sha256(name)) for name in (b"one parent", b"another parent"))
    made = (ModelId(sha256(b"model")), recipe.graph, recipe.initial_model, NO_MODEL, parents, sha256(b"derivation"))
    others = [Ancestor(id, recipe.graph, Root(sha256(bytes(id))), NO_MODEL, (), ZERO) for id in parents]
    return (Ancestor(*made, AgreementId(sha256(b"the job that made it"))), *others)


def signer() -> Keys:
    """An account that everyone has: its key is 32 times the byte 1."""
    return Keys("golden", bytes([1]) * 32, bytes([2]) * 32)


def recipe_and_card() -> tuple[Recipe, Card]:
    """What was agreed, over a dataset that is only a root."""
    columns = (Column("size", "float64", (), "mm"), Column("kind", "int64", (), ""))
    transform = {"size": {"mean": 0.1, "scale": 2.5}, "kind": {"categories": ["benign", "malignant"]}}
    root = Root(sha256(b"records"))
    card = Card("Golden", columns, "kind", 50, root, transform, Task.CLASSIFICATION, "A card.", "CC-BY-4.0", 10**18)
    audit = {"drawn_segments": AUDIT.drawn_segments, "verifiers": AUDIT.verifiers, "mode": AUDIT.mode.word}
    shape = {"steps": 20, "segment_steps": 3, "group_leaves": 4, "batch_size": 8, "held_out": 0.2, "best": "accuracy"}
    agreed = {"audit": audit | {"panel": str(AUDIT.panel)}}
    return draft(sha256(b"graph"), model_root(tensors(0)), card.json(), "2.13.0+cpu", shape | agreed), card


def tensors(after: int) -> Tensors:
    """A model's tensors after so many steps."""
    weight = (np.arange(6, dtype="<f4") + after).tobytes()
    seen = np.array(after, "<i8").tobytes()
    return {
        "layer.weight": TensorBytes("parameter", "F32", (2, 3), memoryview(weight)),
        "layer.seen": TensorBytes("buffer", "I64", (), memoryview(seen)),
    }


def roots_of(recipe: Recipe, index: int) -> StateRoots:
    """The roots of a leaf's state."""
    step = recipe.step_of(index)
    optimizer = Root(sha256(b"optimizer %d" % step)) if step else optimizer_root({})
    return StateRoots(model_root(tensors(step)), optimizer)


def transcript_of(recipe: Recipe, states: Mapping[int, StateRoots]) -> Transcript:
    """Leaves over the records that the order seed gives."""
    ctx, seed = sha256(b"context"), sha256(b"order seed")
    leaves: list[Leaf] = []
    previous, stream, done = ZERO, batches(recipe, seed), 0
    unsalted = unsalted_leaves(recipe.leaf_count, DELIVERED)
    for index in range(recipe.leaf_count):
        step = recipe.step_of(index)
        used = np.concatenate([np.empty(0, np.uint64), *islice(stream, step - done)])
        salt = None if index in unsalted else sha256(b"state salt %d" % step)
        word = state_word(states[index].digest, salt)
        held_out = result_of(recipe, index).digest if index else ZERO
        leaves.append(Leaf(index, step, word, records_digest(used), salted(step), held_out, previous))
        previous, done = leaves[-1].digest(ctx, seed), step
    return Transcript(ctx, seed, tuple(leaves))


def result_of(recipe: Recipe, index: int) -> HeldOutClaim:
    """A result on the held-out records; the delivered leaf's is the best, with one wrong."""
    wrong, records = 1 if index == DELIVERED else 2, recipe.held_out_count
    right = records - wrong
    outcome = Classes(2, records, right, (right - 4, wrong, 0, 4), 0.25, 8 * (right - 4))
    return HeldOutClaim(HeldOut(records, outcome), held_out_salt(sha256(b"salt %d" % recipe.step_of(index))))


def salted(step: int) -> Digest:
    """The digest of a segment's metrics."""
    return metrics_digest({"loss": 1 / (1 + step)} if step else {}, sha256(b"salt %d" % step))


if __name__ == "__main__":
    sys.exit(main())
