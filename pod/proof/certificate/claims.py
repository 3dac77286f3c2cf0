"""The comparisons: each function takes one part of what a certificate claims and says where it is false.

Part of `certificate`. What the chain says comes from a `AgreementHistory` that the checker read itself. A false claim raises ClaimMismatch; what
cannot be compared (another deployment, a run that has not ended) raises an Unusable instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset import batches
from fitchain.pod.ports.agreement import AgreementHistory, Outcome, State, Terms
from fitchain.pod.ports.chain.base import Deployment
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.unixfs import add_file, chunks
from fitchain.pod.proof.certificate.statement import Ancestor, Outline, Statement
from fitchain.pod.proof.transcript import Transcript, check_anchors, grow
from fitchain.pod.values.digest import ZERO, Digest, bag, leaf_hash, node_hash, sha256_file, tagged
from fitchain.pod.values.errors import (
    ChainUnusable,
    ClaimMismatch,
    DigestMismatch,
    InputRefused,
    NotFound,
    SignatureMismatch,
)
from fitchain.pod.values.ids import ModelId
from fitchain.pod.values.leaf import Leaf, records_digest
from fitchain.pod.values.state import model_root, optimizer_root, read_safetensors

REFUTING = {
    Outcome.MISMATCH: "drawn segments, trained again by drawn verifiers, do not give the states that the owner claims",
    Outcome.WITHHELD: "the owner did not show in time what it must, or not so that it could be opened",
}
"""Verdicts that refute a certificate, in words."""

MOST_DRAWS = 5_000_000
"""Places of epochs that are drawn anew to check the order of records: a few seconds."""


def check_deployment(statement: Statement, deployment: Deployment) -> None:
    """Check that the certificate is of the checker's own deployment.

    Raises:
        NotFound: it is of another; nothing can be said of it here.
    """
    if statement.chain_id != deployment.chain_id:
        raise NotFound(
            f"the certificate is of chain {statement.chain_id}, and the settings' node is on chain {deployment.chain_id}",
            "choose a node of that chain with --rpc",
        )
    for name, address in statement.contracts.items():
        if address != deployment.addresses[name]:
            raise NotFound(
                f"the certificate is of a deployment whose {name} is {address}, and the settings know {deployment.addresses[name]}",
                "copy that deployment's file into the home, if you trust it",
            )


def check_ended(story: AgreementHistory) -> None:
    """Check that the run has an ending on chain.

    Raises:
        ClaimMismatch: the agreement ended without one.
        NotFound: it has none yet.
    """
    state = story.agreement.state
    if story.proof.end_block is not None:
        return
    if state in (State.CANCELLED, State.FORFEITED):
        raise ClaimMismatch(
            f"the agreement {story.agreement.id} ended as {state.name.lower()}, without a trained model"
        )
    raise NotFound(
        f"the agreement {story.agreement.id} has no result on chain yet: its state is {state.name.lower()}",
        "check again when the run has ended",
    )


def check_verdict(story: AgreementHistory) -> None:
    """Check that no audit has found against the training.

    Raises:
        ClaimMismatch: one concluded with Mismatch or Withheld.
    """
    audit, concluded = story.audit, story.concluded
    if audit is None or concluded is None or audit.verdict not in REFUTING:
        return
    raise ClaimMismatch(
        f"the audit of the agreement {story.agreement.id} concluded {audit.verdict.name.capitalize()} in block {concluded.block}: "
        f"{REFUTING[audit.verdict]}",
        f"see `fitchain proof show {story.agreement.id.short}`",
    )


def check_agreement(statement: Statement, story: AgreementHistory, signer: str, recomputed: Digest) -> None:
    """Compare the parties, the signature and what was agreed with the chain.

    Args:
        statement: what is claimed.
        story: what the chain says.
        signer: who signed the certificate.
        recomputed: the context of the chain's terms with the claimed dataset and initial model.

    Raises:
        SignatureMismatch: another account than the owner's signed.
        ClaimMismatch: something else is false.
    """
    agreement, terms = story.agreement, story.agreement.terms
    _same("the owner", statement.owner, terms.owner)
    if signer != terms.owner:
        raise SignatureMismatch(f"the certificate is signed by {signer}, and the agreement's owner is {terms.owner}")
    _same("the scientist", statement.scientist, agreement.scientist)
    _same("the dataset", statement.dataset, terms.dataset)
    _same("the recipe's digest", statement.recipe.digest, terms.recipe)
    for field in fields(terms.audit):
        _same(f"the audit's {field.name}", getattr(statement.audit, field.name), getattr(terms.audit, field.name))
    _same("the context", statement.ctx, story.proof.ctx)
    _same("the context of what was agreed", story.proof.ctx, recomputed, "and the terms give", who="the chain")
    _same("the order seed", statement.seed, story.proof.seed)


def check_registered(statement: Statement, story: AgreementHistory) -> None:
    """Compare dataset, card and initial model with the registry."""
    _same("the dataset's root", statement.dataset_root, story.dataset_root)
    _same("the number of records", statement.card.count, story.dataset_count)
    _same("the card's CID", card_cid(statement), Cid.decode(story.dataset_card))
    _same("the graph", statement.recipe.graph, story.model_graph)
    _same("the initial model", statement.initial_model, story.initial_model_root)


def check_recipe(statement: Statement, terms: Terms) -> None:
    """Compare the recipe with the terms, the card and what the certificate repeats of it."""
    recipe, card = statement.recipe, statement.card
    found = "and its recipe says"
    _same("the steps", terms.steps, recipe.steps, found, who="the agreement")
    _same("the segment length", terms.segment, recipe.segment, found, who="the agreement")
    _same("the anchor group", terms.group, recipe.group, found, who="the agreement")
    _same("the initial model", statement.initial_model, recipe.initial_model, found)
    _same("the dataset's root", statement.dataset_root, recipe.dataset, found)
    _same("the environment", statement.environment, recipe.environment, found)
    audit = statement.audit
    _same("the audited segments", audit.segments, recipe.audit.segments, found)
    _same("the verifiers", audit.verifiers, recipe.audit.verifiers, found)
    _same("the disclosure mode", audit.mode, recipe.audit.mode, found)
    _same("the panel", audit.panel, recipe.audit.panel or ZERO, found)
    _same("the card's root", card.root, statement.dataset_root, "and its dataset has the root")
    try:
        card.check_recipe(recipe)
    except InputRefused as error:
        raise ClaimMismatch(f"the recipe does not fit the dataset's card: {error.message}") from None


def check_lineage(statement: Statement, ancestors: Sequence[Ancestor], model: ModelId) -> None:
    """Compare the line of registered models with the registry's, which begins with the agreement's model."""
    _same("the line's first model", statement.lineage[0].id, model)
    for generation, (own, found) in enumerate(zip(statement.lineage, ancestors, strict=False)):
        _same(f"the lineage's model {generation}", own, found)
    _same("the length of the lineage", len(statement.lineage), len(ancestors))


def ancestors_of(registry: Registry, model: ModelId, most: int) -> tuple[Ancestor, ...]:
    """The registered model, the one it descends from, and so on.

    Raises:
        InputRefused: the line is longer than `most`.
    """
    found: list[Ancestor] = []
    while model != ZERO:
        if len(found) == most:
            raise InputRefused(f"the model {found[0].id} has more than {most} ancestors")
        entry = registry.model(model)
        found.append(Ancestor(entry.id, entry.graph, entry.initial_root))
        model = entry.parent
    return tuple(found)


def check_leaves(statement: Statement) -> None:
    """Check that the leaves add up to what the certificate says of them: chain, root, first state, last state."""
    last = statement.last
    if isinstance(statement.leaves, Outline):
        tree = _outlined_tree(statement, statement.leaves)
        root = tagged("fitchain/transcript/v1", statement.count, tree)
    else:
        transcript = transcript_of(statement, statement.leaves)
        transcript.verify(statement.recipe.steps, statement.recipe.segment)
        _same("the number of leaves", statement.count, transcript.count, "and it lists")
        _check_first(statement, transcript.leaves[0])
        root = transcript.root
    _same("the transcript's root", statement.transcript_root, root, "and its leaves have")
    _same("the number of steps", statement.steps, last.step, "and its last leaf stands after step")
    _same("the final model", statement.final_model, last.model, "and its last leaf has")


def transcript_of(statement: Statement, leaves: tuple[Leaf, ...]) -> Transcript:
    """The transcript of the leaves, within the job that the certificate names."""
    return Transcript(statement.ctx, statement.seed, leaves)


def check_orders(statement: Statement, most_draws: int = MOST_DRAWS) -> int:
    """Check that each segment took the records that the order seed gives.

    Args:
        statement: what is claimed.
        most_draws: how many places of epochs are drawn at most; what lies beyond is left unchecked.

    Returns:
        how many leaves were checked.
    """
    if isinstance(statement.leaves, Outline):
        return 0
    recipe = statement.recipe
    rows = recipe.rows[1] - recipe.rows[0]
    reach = most_draws // rows * (rows // recipe.batch_size)
    stream, done = batches(recipe, statement.seed), 0
    for leaf in statement.leaves:
        if leaf.step > reach:
            return leaf.index
        used = list(islice(stream, leaf.step - done))
        expected = records_digest(np.concatenate(used) if used else np.empty(0, np.uint64))
        _same(f"the records of leaf {leaf.index}", leaf.records, expected, "and the order seed gives")
        done = leaf.step
    return len(statement.leaves)


def check_transcript(statement: Statement, story: AgreementHistory) -> None:
    """Compare the transcript with what the contract recorded while the training ran and when it ended."""
    proof, group = story.proof, statement.recipe.group
    _same("the number of leaves", statement.count, proof.count)
    _same("the number of steps", statement.steps, proof.step)
    _same("the transcript's root", statement.transcript_root, proof.transcript_root)
    _same("the final model", statement.final_model, proof.model_root)
    if len(proof.anchors) != statement.count // group:
        raise ChainUnusable(
            f"the node gave {len(proof.anchors)} anchors, and {statement.count} leaves by {group} have {statement.count // group}",
            "ask a node that keeps the whole history",
        )
    if isinstance(statement.leaves, Outline):
        for index, (own, anchor) in enumerate(zip(statement.leaves.groups, proof.anchors, strict=True)):
            _same(f"the root of group {index}", own, anchor.root)
    else:
        check_anchors(transcript_of(statement, statement.leaves), proof.anchors, group)


def check_file(statement: Statement, path: Path) -> None:
    """Compare the model's file with the final model root and with the digest that the certificate names.

    Raises:
        DigestMismatch: the file is another, or only its bytes are.
        NotFound: there is no such file.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    found, other = sha256_file(path), "it is not the model that this certificate is about"
    try:
        root = model_root(read_safetensors(path)[0])
    except InputRefused as error:
        raise DigestMismatch(f"the file {path} is not the certified one: {error.message}", other) from None
    if root != statement.final_model:
        raise DigestMismatch(
            f"the model in {path} has the root {root}, and the certificate says {statement.final_model}", other
        )
    if found != statement.subject:
        raise DigestMismatch(
            f"the tensors in {path} are the certified ones and only the file's bytes differ: its SHA-256 is "
            f"{found.value.hex()}, and the certificate says {statement.subject.value.hex()}",
            "the file was written anew by another program; the delivered file itself verifies",
        )


def card_cid(statement: Statement) -> Cid:
    """The CID of the card that the certificate holds."""
    return add_file(chunks(BytesIO(statement.card.encode())), lambda cid, block: None).cid


def _check_first(statement: Statement, first: Leaf) -> None:
    _same("the initial model", statement.initial_model, first.model, "and its first leaf has")
    _same("the first leaf's optimizer", first.optimizer, optimizer_root({}), "and a fresh one has")


def _outlined_tree(statement: Statement, outline: Outline) -> Digest:
    """The tree's root from its outline, as the contract bags it."""
    group, standing = statement.recipe.group, list[Digest]()
    _same("the number of groups", statement.count // group, len(outline.groups), "and it lists")
    for index, root in enumerate(outline.groups):
        standing = grow(standing, root, index)
    rest = statement.count % group
    _same("the number of subtrees after the last group", len(outline.tail), rest.bit_count(), "and the count gives")
    roots = [*standing, *outline.tail]
    smallest = statement.count & -statement.count
    _same("the length of the last leaf's path", len(outline.path), smallest.bit_length() - 1, "and the count gives")
    _same("the number of the last leaf", outline.last.index, statement.count - 1, "and the count gives")
    node = leaf_hash(outline.last.digest(statement.ctx, statement.seed))
    for sibling in outline.path:
        node = node_hash(sibling, node)
    _same("the last subtree", roots[-1], node, "and its last leaf gives")
    return bag(roots)


def _same(
    what: str, claimed: Any, found: Any, source: str = "and the chain says", who: str = "the certificate"
) -> None:
    if claimed != found:
        raise ClaimMismatch(f"{what}: {who} says {claimed}, {source} {found}")
