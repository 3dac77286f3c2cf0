"""The comparisons: each function takes one part of what a certificate claims and says where it is
false.

What the chain says comes from an `AgreementHistory` that the checker read itself. A false claim
raises ClaimMismatch; what cannot be compared (another deployment, a run that has not ended) raises
an Unusable instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from io import BytesIO
from itertools import islice
from pathlib import Path

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
    require_equal,
)
from fitchain.pod.values.ids import ModelId
from fitchain.pod.values.leaf import Leaf, records_digest
from fitchain.pod.values.state import model_root, optimizer_root, read_safetensors

REFUTING = {
    Outcome.MISMATCH: "a quorum of the drawn verifiers voted that segments do not give the states that the owner names",
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
            f"the certificate is of chain {statement.chain_id},"
            f" and the settings' node is on chain {deployment.chain_id}",
            "choose a node of that chain with --rpc",
        )
    for name, address in statement.contracts.items():
        if address != deployment.addresses[name]:
            raise NotFound(
                f"the certificate is of a deployment whose {name} is {address},"
                f" and the settings know {deployment.addresses[name]}",
                "copy that deployment's file into the home, if you trust it",
            )


def check_ended(history: AgreementHistory) -> None:
    """Check that the run has an ending on chain.

    Raises:
        ClaimMismatch: the agreement ended without one.
        NotFound: it has none yet.
    """
    state = history.agreement.state
    if history.proof.end_block is not None:
        return
    if state in (State.CANCELLED, State.FORFEITED):
        raise ClaimMismatch(
            f"the agreement {history.agreement.id} ended as {state.name.lower()}, without a trained model"
        )
    raise NotFound(
        f"the agreement {history.agreement.id} has no result on chain yet: its state is {state.name.lower()}",
        "check again when the run has ended",
    )


def check_verdict(history: AgreementHistory) -> None:
    """Check that no audit has found against the training.

    Raises:
        ClaimMismatch: one concluded with Mismatch or Withheld.
    """
    audit, concluded = history.audit, history.concluded
    if audit is None or concluded is None or audit.verdict not in REFUTING:
        return
    raise ClaimMismatch(
        f"the audit of the agreement {history.agreement.id} concluded {audit.verdict.name.capitalize()}"
        f" in block {concluded.block}: {REFUTING[audit.verdict]}",
        f"see `fitchain proof show {history.agreement.id.short}`",
    )


def check_agreement(statement: Statement, history: AgreementHistory, signer: str, recomputed: Digest) -> None:
    """Compare the parties, the signature and what was agreed with the chain.

    Args:
        statement: what is claimed.
        history: what the chain says.
        signer: who signed the certificate.
        recomputed: the context of the chain's terms with the claimed dataset and initial model.

    Raises:
        SignatureMismatch: another account than the owner's signed.
        ClaimMismatch: something else is false.
    """
    agreement, terms = history.agreement, history.agreement.terms
    require_equal("the owner: the certificate says", statement.owner, terms.owner)
    if signer != terms.owner:
        raise SignatureMismatch(f"the certificate is signed by {signer}, and the agreement's owner is {terms.owner}")
    require_equal("the scientist: the certificate says", statement.scientist, agreement.scientist)
    require_equal("the dataset: the certificate says", statement.dataset, terms.dataset)
    require_equal("the recipe's digest: the certificate says", statement.recipe.digest, terms.recipe)
    for field in fields(terms.audit):
        require_equal(
            f"the audit's {field.name}: the certificate says",
            getattr(statement.audit, field.name),
            getattr(terms.audit, field.name),
        )
    require_equal("the context: the certificate says", statement.ctx, history.proof.ctx)
    require_equal("the context of what was agreed: the chain says", history.proof.ctx, recomputed, "the terms give")
    require_equal("the order seed: the certificate says", statement.seed, history.proof.seed)


def check_registered(statement: Statement, history: AgreementHistory) -> None:
    """Compare dataset, card and initial model with the registry."""
    require_equal("the dataset's root: the certificate says", statement.dataset_root, history.dataset_root)
    require_equal("the number of records: the certificate says", statement.card.count, history.dataset_count)
    require_equal("the card's CID: the certificate says", card_cid(statement), Cid.decode(history.dataset_card))
    require_equal("the graph: the certificate says", statement.recipe.graph, history.model_graph)
    require_equal("the initial model: the certificate says", statement.initial_model, history.initial_model_root)


def check_recipe(statement: Statement, terms: Terms) -> None:
    """Compare the recipe with the terms, the card and what the certificate repeats of it."""
    recipe, card = statement.recipe, statement.card
    said = "its recipe says"
    require_equal("the steps: the agreement says", terms.steps, recipe.steps, said)
    require_equal("the segment length: the agreement says", terms.segment_steps, recipe.segment_steps, said)
    require_equal("the anchor group: the agreement says", terms.group_leaves, recipe.group_leaves, said)
    require_equal("the initial model: the certificate says", statement.initial_model, recipe.initial_model, said)
    require_equal("the dataset's root: the certificate says", statement.dataset_root, recipe.dataset, said)
    require_equal("the environment: the certificate says", statement.environment, recipe.environment, said)
    audit = statement.audit
    require_equal("the audited segments: the certificate says", audit.segments, recipe.audit.segments, said)
    require_equal("the verifiers: the certificate says", audit.verifiers, recipe.audit.verifiers, said)
    require_equal("the disclosure mode: the certificate says", audit.mode, recipe.audit.mode, said)
    require_equal("the panel: the certificate says", audit.panel, recipe.audit.panel or ZERO, said)
    require_equal(
        "the card's root: the certificate says", card.root, statement.dataset_root, "its dataset has the root"
    )
    try:
        card.check_recipe(recipe)
    except InputRefused as error:
        raise ClaimMismatch(f"the recipe does not fit the dataset's card: {error.message}") from None


def check_lineage(statement: Statement, ancestors: Sequence[Ancestor], model: ModelId) -> None:
    """Compare the line of registered models with the registry's, which begins with the agreement's
    model."""
    require_equal("the line's first model: the certificate says", statement.lineage[0].id, model)
    for generation, (own, registered) in enumerate(zip(statement.lineage, ancestors, strict=False)):
        require_equal(f"the lineage's model {generation}: the certificate says", own, registered)
    require_equal("the length of the lineage: the certificate says", len(statement.lineage), len(ancestors))


def ancestors_of(registry: Registry, model: ModelId, most: int) -> tuple[Ancestor, ...]:
    """The registered model, the one it descends from, and so on.

    Raises:
        InputRefused: the line is longer than `most`.
    """
    ancestors: list[Ancestor] = []
    while model != ZERO:
        if len(ancestors) == most:
            raise InputRefused(f"the model {ancestors[0].id} has more than {most} ancestors")
        entry = registry.model(model)
        ancestors.append(Ancestor(entry.id, entry.graph, entry.initial_root))
        model = entry.parent
    return tuple(ancestors)


def check_leaves(statement: Statement) -> None:
    """Check that the leaves add up to what the certificate says of them: chain, root, first state,
    last state."""
    last = statement.last
    if isinstance(statement.leaves, Outline):
        tree = _outlined_tree(statement, statement.leaves)
        root = tagged("fitchain/transcript/v2", statement.count, tree)
    else:
        transcript = transcript_of(statement, statement.leaves)
        transcript.verify(statement.recipe.steps, statement.recipe.segment_steps)
        require_equal("the number of leaves: the certificate says", statement.count, transcript.count, "it lists")
        _check_first(statement, transcript.leaves[0])
        root = transcript.root
    require_equal("the transcript's root: the certificate says", statement.transcript_root, root, "its leaves have")
    require_equal(
        "the number of steps: the certificate says", statement.steps, last.step, "its last leaf stands after step"
    )
    require_equal("the final model: the certificate says", statement.final_model, last.model, "its last leaf has")


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
        require_equal(
            f"the records of leaf {leaf.index}: the certificate says", leaf.records, expected, "the order seed gives"
        )
        done = leaf.step
    return len(statement.leaves)


def check_transcript(statement: Statement, history: AgreementHistory) -> None:
    """Compare the transcript with what the contract recorded while the training ran and when it
    ended."""
    run, group_leaves = history.proof, statement.recipe.group_leaves
    require_equal("the number of leaves: the certificate says", statement.count, run.count)
    require_equal("the number of steps: the certificate says", statement.steps, run.step)
    require_equal("the transcript's root: the certificate says", statement.transcript_root, run.transcript_root)
    require_equal("the final model: the certificate says", statement.final_model, run.model_root)
    if len(run.anchors) != statement.count // group_leaves:
        raise ChainUnusable(
            f"the node gave {len(run.anchors)} anchors, and {statement.count} leaves by {group_leaves}"
            f" have {statement.count // group_leaves}",
            "ask a node that keeps the whole history",
        )
    if isinstance(statement.leaves, Outline):
        for index, (own, anchor) in enumerate(zip(statement.leaves.groups, run.anchors, strict=True)):
            require_equal(f"the root of group {index}: the certificate says", own, anchor.root)
    else:
        check_anchors(transcript_of(statement, statement.leaves), run.anchors, group_leaves)


def check_file(statement: Statement, path: Path) -> int:
    """Compare the model's file with the final model root and with the digest that the certificate
    names.

    Returns:
        the bytes of its parameters.

    Raises:
        DigestMismatch: the file is another, or only its bytes are.
        NotFound: there is no such file.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    digest, other = sha256_file(path), "it is not the model that this certificate is about"
    try:
        tensors = read_safetensors(path)[0]
        root = model_root(tensors)
    except InputRefused as error:
        raise DigestMismatch(f"the file {path} is not the certified one: {error.message}", other) from None
    if root != statement.final_model:
        raise DigestMismatch(
            f"the model in {path} has the root {root}, and the certificate says {statement.final_model}", other
        )
    if digest != statement.subject:
        raise DigestMismatch(
            f"the tensors in {path} are the certified ones and only the file's bytes differ: its SHA-256 is "
            f"{digest.value.hex()}, and the certificate says {statement.subject.value.hex()}",
            "the file was written anew by another program; the delivered file itself verifies",
        )
    return sum(tensor.data.nbytes for tensor in tensors.values() if tensor.kind == "parameter")


def card_cid(statement: Statement) -> Cid:
    """The CID of the card that the certificate holds."""
    return add_file(chunks(BytesIO(statement.card.encode())), lambda cid, block: None).cid


def _check_first(statement: Statement, first: Leaf) -> None:
    require_equal("the initial model: the certificate says", statement.initial_model, first.model, "its first leaf has")
    require_equal(
        "the first leaf's optimizer: the certificate says", first.optimizer, optimizer_root({}), "a fresh one has"
    )


def _outlined_tree(statement: Statement, outline: Outline) -> Digest:
    """The tree's root from its outline, as the contract bags it."""
    group_leaves, peaks = statement.recipe.group_leaves, list[Digest]()
    require_equal(
        "the number of groups: the certificate says", statement.count // group_leaves, len(outline.groups), "it lists"
    )
    for index, root in enumerate(outline.groups):
        peaks = grow(peaks, root, index)
    rest = statement.count % group_leaves
    require_equal(
        "the number of subtrees after the last group: the certificate says",
        len(outline.tail),
        rest.bit_count(),
        "the count gives",
    )
    roots = [*peaks, *outline.tail]
    smallest = statement.count & -statement.count
    require_equal(
        "the length of the last leaf's path: the certificate says",
        len(outline.path),
        smallest.bit_length() - 1,
        "the count gives",
    )
    require_equal(
        "the number of the last leaf: the certificate says", outline.last.index, statement.count - 1, "the count gives"
    )
    node = leaf_hash(outline.last.digest(statement.ctx, statement.seed))
    for sibling in outline.path:
        node = node_hash(sibling, node)
    require_equal("the last subtree: the certificate says", roots[-1], node, "its last leaf gives")
    return bag(roots)
