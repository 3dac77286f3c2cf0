"""Jobs that end on a real node with a certificate: nothing is trained, the transcript is made up
and fits the recipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset import Card, Table, batches, register
from fitchain.pod.ports.agreement import Agreements, AuditTerms, Terms, commit_nonce
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.unixfs import add_file, chunks
from fitchain.pod.proof.certificate import issue
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import ZERO, Digest, Root, sha256
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId
from fitchain.pod.values.leaf import Leaf, metrics_digest, records_digest
from fitchain.pod.values.recipe import Audit, Recipe, draft
from fitchain.pod.values.state import TensorBytes, Tensors, model_root, optimizer_root, write_safetensors
from tests.chain_fixtures import Account

FIT = 10**18
NONCE = sha256(b"nonce")
SOMETHING = Cid.of(0x55, bytes(32))
NO_AUDIT = AuditTerms()


def tensors(after: int) -> Tensors:
    """A model's tensors after so many steps; no training, but a different model at each."""
    weight = np.arange(6, dtype=np.float32) + after
    return {
        "layer.weight": TensorBytes("parameter", "F32", (2, 3), memoryview(weight.tobytes())),
        "layer.seen": TensorBytes("buffer", "I64", (), memoryview(np.int64(after).tobytes())),
    }


@dataclass(frozen=True)
class Parties:
    """Owner and scientist with what they registered."""

    owner: Account
    scientist: Account
    card: Card
    recipe: Recipe
    dataset: DatasetId
    model: ModelId

    def request(
        self,
        salt: bytes,
        recipe: Recipe | None = None,
        model: ModelId | None = None,
        audit: AuditTerms = NO_AUDIT,
    ) -> AgreementId:
        agreed = recipe or self.recipe
        terms = Terms(
            owner=self.owner.address,
            dataset=self.dataset,
            model=model or self.model,
            recipe=agreed.digest,
            steps=agreed.steps,
            segment_steps=agreed.segment_steps,
            group_leaves=agreed.group_leaves,
            price=5 * FIT,
            bond=max(2 * FIT, audit.fee),
            acceptance_window=600,
            training_window=6000,
            dispute_window=600,
            audit=audit,
        )
        return Agreements(self.scientist.chain).request(sha256(salt), terms, SOMETHING)

    def begin(self, id: AgreementId) -> tuple[Digest, Digest]:
        calls = Agreements(self.owner.chain)
        calls.accept(id, commit_nonce(NONCE))
        calls.begin(id, NONCE)
        proof = calls.run_record(id)
        return proof.ctx, proof.seed


def leaves_of(recipe: Recipe, ctx: Digest, seed: Digest, upto: int) -> Transcript:
    """A transcript as an honest owner's recorder writes it, up to a leaf."""
    leaves: list[Leaf] = []
    previous, stream = ZERO, batches(recipe, seed)
    for index in range(upto):
        step = recipe.step_of(index)
        used = list(islice(stream, step - (leaves[-1].step if leaves else 0)))
        records = records_digest(np.concatenate(used) if used else np.empty(0, np.uint64))
        salted = metrics_digest({"loss": 1 / (1 + step)} if step else {}, sha256(b"salt %d" % index))
        root = recipe.initial_model if index == 0 else model_root(tensors(step))
        optimizer = optimizer_root({}) if index == 0 else Root(sha256(b"optimizer %d" % index))
        leaves.append(Leaf(index, step, root, optimizer, records, salted, previous))
        previous = leaves[-1].digest(ctx, seed)
    return Transcript(ctx, seed, tuple(leaves))


@dataclass(frozen=True)
class Job:
    """A job whose run has ended on chain, with what was delivered."""

    parties: Parties
    id: AgreementId
    transcript: Transcript
    recipe: Recipe
    model: Path
    certificate: bytes

    @property
    def statement(self) -> dict[str, Any]:
        return dict(json.loads(unseal(self.certificate)[0]))

    @property
    def keys(self) -> Keys:
        return self.parties.owner.keys

    def issue(self, **changes: Any) -> bytes:
        given: dict[str, Any] = {
            "recipe": self.recipe,
            "card": self.parties.card,
            "transcript": self.transcript,
            "model": self.model,
        }
        return issue(self.parties.owner.chain, self.keys, self.id, **(given | changes))


def registered(owner: Account, scientist: Account, source: Path) -> Parties:
    generator = np.random.default_rng(0)
    np.savez(source, size=generator.normal(size=50), kind=np.arange(50) % 2)
    card = register(Table.read(source, target="kind"), bytes(32), "A table", price=FIT).card
    shape = {"steps": 20, "segment": 2, "group": 4, "batch_size": 8}
    recipe = draft(sha256(b"graph"), model_root(tensors(0)), card.json(), "2.13.0+cpu", shape)
    cid = stored_cid(card)
    dataset = Registry(owner.chain).register_dataset(card.root, card.count, cid)
    model = Registry(scientist.chain).register_model(recipe.graph, recipe.initial_model)
    return Parties(owner, scientist, card, recipe, dataset, model)


def stored_cid(card: Card) -> Cid:
    return add_file(chunks(BytesIO(card.encode())), lambda cid, block: None).cid


def played(
    parties: Parties,
    path: Path,
    salt: bytes,
    upto: int | None = None,
    bend: Callable[[Transcript], Transcript] | None = None,
    recipe: Recipe | None = None,
    model: ModelId | None = None,
    audit: AuditTerms = NO_AUDIT,
) -> Job:
    """Play a job up to its end, its model in a file."""
    panel = None if audit.panel == ZERO else audit.panel
    agreed = Audit(audit.segments, audit.verifiers, audit.mode, panel)
    recipe = replace(recipe or parties.recipe, audit=agreed)
    id = parties.request(salt, recipe, model, audit)
    ctx, seed = parties.begin(id)
    transcript = leaves_of(recipe, ctx, seed, upto or recipe.leaf_count)
    transcript = bend(transcript) if bend else transcript
    calls = Agreements(parties.owner.chain)
    for group in transcript.groups(recipe.group_leaves):
        calls.chain.wait(calls.submit_anchor(id, group.peaks, group.root, None))
    ending = transcript.ending(recipe.group_leaves, SOMETHING, None if audit.verifiers else SOMETHING)
    (calls.diverge if upto else calls.finish)(id, ending)
    write_safetensors(path, tensors(transcript.leaves[-1].step))
    job = Job(parties, id, transcript, recipe, path, b"")
    return replace(job, certificate=b"" if bend else job.issue())
