"""Deliveries without a chain: a table is registered, a module trained on it in this process, and
what comes of it delivered in a folder, under a certificate that no chain knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import Card, ReadingTerms, Table, held_out_rows, register
from fitchain.pod.compute.dataset.preprocessing import preprocessing_metadata, preprocessing_of
from fitchain.pod.compute.environment import installed_torch
from fitchain.pod.compute.model.export import export
from fitchain.pod.jobs.worker import Context
from fitchain.pod.jobs.worker.task import Train
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.ports.keys import Keys
from fitchain.pod.proof.certificate import HeldOutClaim, Statement
from fitchain.pod.proof.certificate.envelope import seal
from fitchain.pod.proof.certificate.statement import NAMED_CONTRACTS, Ancestor, PrivacyClaim
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.best import delivered_leaf
from fitchain.pod.values.digest import ZERO, Digest, sha256, sha256_file
from fitchain.pod.values.graph import Input
from fitchain.pod.values.held_out import HeldOut
from fitchain.pod.values.ids import NO_MODEL, AgreementId, DatasetId, ModelId
from fitchain.pod.values.job_folder import JobFolder
from fitchain.pod.values.leaf import Indices
from fitchain.pod.values.recipe import Recipe, draft
from fitchain.pod.values.state import model_root, read_safetensors, write_safetensors
from tests.audits import work_here
from tests.training_jobs import CTX, NOISE, SALT_KEYS, SEED

OWNER = Keys("owner", bytes(range(1, 33)), bytes(range(32)))
TERMS: Mapping[str, Any] = {"steps": 12, "segment_steps": 4, "group_leaves": 4, "batch_size": 8, "held_out": 0.25}


@dataclass(frozen=True)
class DeliveredModel:
    """What somebody has who fetched a job's delivery, and what its owner had.

    Args:
        folder: of the delivery.
        card, recipe: of the job.
        result: on the held-out records, as the certificate says it.
        rows: the held-out records, by their places in the owner's file.
    """

    folder: Path
    card: Card
    recipe: Recipe
    result: HeldOut
    rows: Indices


# Many parameters: a table, a module that fits it, and what is asked.
def deliver(
    folder: Path,
    source: Path,
    terms: ReadingTerms,
    module: nn.Module,
    asked: Mapping[str, Any],
    inputs: Sequence[Input] | None = None,
    **registration: Any,
) -> DeliveredModel:
    """Train a module on an owner's file, and deliver it; without `inputs` it takes as many numbers
    as its layer `last` does."""
    table = Table.read(source, terms)
    card = register(table, bytes(32), "A table", **registration).card
    graph, weights = export(module, inputs or (Input("x", "F32", (module.get_parameter("last.weight").shape[1],)),))
    recipe = draft(graph.digest, model_root(weights), card.json(), installed_torch(), {**TERMS, **asked})
    job = JobFolder(folder / "job").create()
    job.recipe.write_bytes(recipe.encode())
    job.graph.write_bytes(graph.encode())
    write_safetensors(job.initial, weights)
    table.write_for_worker(job.records)
    context = Context(CTX, SEED, NOISE) if recipe.privacy is not None else Context(CTX, SEED)
    work_here(job.path, Train(context, SALT_KEYS, 1))
    preprocessing = preprocessing_of(recipe, card, graph.inputs)
    delivery = JobFolder(folder / "result").create()
    delivery.graph.write_bytes(graph.encode())
    delivery.preprocessing.write_bytes(preprocessing)
    write_safetensors(delivery.model, read_safetensors(job.final)[0], preprocessing_metadata(preprocessing))
    if terms.tokenizing is not None:
        delivery.tokenizer.write_bytes(terms.tokenizing.file)
    statement = _statement(job, recipe, card, sha256_file(delivery.model))
    delivery.certificate.write_bytes(seal(statement.encode(), OWNER))
    assert statement.held_out is not None
    return DeliveredModel(delivery.path, card, recipe, statement.held_out.result, _held_out(recipe))


def _held_out(recipe: Recipe) -> Indices:
    return np.asarray(held_out_rows(recipe, SEED))


def _statement(job: JobFolder, recipe: Recipe, card: Card, subject: Digest) -> Statement:
    checkpoints = read_leaves(job.path)
    last = len(checkpoints) - 1
    delivered = delivered_leaf(recipe, {each.leaf.index: each.held_out for each in checkpoints}, last)
    transcript = Transcript(CTX, SEED, tuple(each.leaf for each in checkpoints))
    model = ModelId(sha256(b"model"))
    return Statement(
        subject=subject,
        agreement=AgreementId(sha256(b"agreement")),
        chain_id=31337,
        contracts=dict.fromkeys(NAMED_CONTRACTS, OWNER.address),
        owner=OWNER.address,
        scientist=OWNER.address,
        initial_model=recipe.initial_model,
        final_model=checkpoints[delivered].model,
        last_model=checkpoints[last].model,
        base=None,
        lineage=(Ancestor(model, recipe.graph, recipe.initial_model, NO_MODEL, (), ZERO),),
        recipe=recipe,
        environment=recipe.environment,
        dataset=DatasetId(sha256(b"dataset")),
        dataset_root=card.root,
        ledger=0,
        card=card,
        privacy=PrivacyClaim.of(recipe, card),
        risk=None,
        held_out=HeldOutClaim.of(recipe, card, checkpoints[delivered]),
        evaluations=HeldOutClaim.of_each(recipe, card, checkpoints),
        ended=None,
        audit=AuditTerms(),
        ctx=CTX,
        seed=SEED,
        transcript_root=transcript.root,
        count=transcript.count,
        steps=checkpoints[last].leaf.step,
        delivered=delivered,
        states={index: checkpoints[index].roots for index in sorted({0, delivered, last})},
        leaves=transcript.leaves,
    )
