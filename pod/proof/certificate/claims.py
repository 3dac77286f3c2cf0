"""The comparisons: each function takes one part of what a certificate claims and says where it is
false.

What the chain says comes from an `AgreementHistory` that the checker read itself. A false claim
raises ClaimMismatch; what cannot be compared (another deployment, a run that has not ended) raises
an Unusable instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np

from fitchain.pod.compute.dataset import batches
from fitchain.pod.compute.dataset.preprocessing import METADATA_KEY, check_preprocessing, preprocessing_of
from fitchain.pod.ports.agreement import AgreementHistory, State, Terms
from fitchain.pod.ports.agreement.terms import AUDIT_AMOUNTS
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.unixfs import add_file, chunks
from fitchain.pod.proof.audit.disclosure import opens_reference
from fitchain.pod.proof.certificate.envelope import MODEL, kind_of_file
from fitchain.pod.proof.certificate.results import (
    require_attack_on_same,
    require_attacked,
    require_counted,
    require_same_records,
)
from fitchain.pod.proof.certificate.risk import may_show_summary
from fitchain.pod.proof.certificate.statement import (
    MOST_LEAVES,
    HeldOutClaim,
    Outline,
    PrivacyClaim,
    Statement,
    leaves_with_certificate,
    unsalted_leaves,
)
from fitchain.pod.proof.transcript import Transcript, check_anchors, grow
from fitchain.pod.values.amounts import amount_text
from fitchain.pod.values.best import delivered_leaf
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import ZERO, Digest, bag, root_from_path, sha256, sha256_file, tagged
from fitchain.pod.values.errors import (
    ChainUnusable,
    ClaimMismatch,
    DigestMismatch,
    InputRefused,
    NotFound,
    NotOnChain,
    SignatureMismatch,
    require_equal,
)
from fitchain.pod.values.graph import Graph, Input
from fitchain.pod.values.held_out import OF_UNITS, HeldOut, NoisedClasses, NoisedMean
from fitchain.pod.values.ids import NO_MODEL, WHOLE_POOL
from fitchain.pod.values.job_folder import GRAPH, PREPROCESSING
from fitchain.pod.values.leaf import Leaf, records_digest, results_word
from fitchain.pod.values.limits import GRAPH as GRAPH_LIMITS
from fitchain.pod.values.limits import PREPROCESSING as PREPROCESSING_LIMITS
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import SEGMENT
from fitchain.pod.values.risk.report import findings_digest
from fitchain.pod.values.state import optimizer_root, with_kinds_of
from fitchain.pod.values.weights_file import read_weights

DIGEST_TEXT = re.compile("0x[0-9a-f]{64}")
PEEK_BYTES = 1 << 20
MOST_DRAWS = 5_000_000
"""Places of epochs that are drawn anew to check the order of records: a few seconds."""


def check_deployment(statement: Statement, chain_id: int, contracts: Mapping[str, str]) -> None:
    """Check that the certificate is of the checker's own deployment.

    Args:
        statement: what is claimed.
        chain_id: of the checker's chain.
        contracts: addresses by name, as the checker knows them.

    Raises:
        NotFound: it is of another; nothing can be said of it here.
    """
    if statement.chain_id != chain_id:
        raise NotFound(
            f"the certificate is of chain {statement.chain_id}, and the settings' node is on chain {chain_id}",
            "choose a node of that chain with --rpc",
        )
    for name, address in statement.contracts.items():
        if address != contracts[name]:
            raise NotFound(
                f"the certificate is of a deployment whose {name} is {address},"
                f" and the settings know {contracts[name]}",
                "copy that deployment's file into the home, if you trust it",
            )


def check_ended(history: AgreementHistory) -> None:
    """Check that the run has an ending on chain, and that the agreement was not forfeited with it.

    A verdict against the owner is not for here (`assurance.check_verdicts`).

    Raises:
        ClaimMismatch: the agreement ended without a trained model, or by giving up before anything
            was committed to.
        NotOnChain: it has none yet.
    """
    agreement, state = history.agreement, history.agreement.state
    if history.run.end_block is not None and (state is not State.FORFEITED or history.audit is not None):
        return
    if history.run.end_block is not None:
        raise ClaimMismatch(
            f"the agreement {agreement.id} ended as forfeited: its training was given up before a group of leaves"
            " was anchored, where nobody could dispute it"
        )
    if state in (State.CANCELLED, State.FORFEITED):
        raise ClaimMismatch(f"the agreement {agreement.id} ended as {state.name.lower()}, without a trained model")
    raise NotOnChain(
        f"the agreement {agreement.id} has no result on chain yet: its state is {state.name.lower()}",
        "check again when the run has ended",
    )


def check_agreement(statement: Statement, history: AgreementHistory, signer: str, recomputed: Digest) -> None:
    """Compare the parties, the signature and what was agreed with the chain.

    Args:
        statement: what is claimed.
        history: what the chain says.
        signer: who signed the certificate.
        recomputed: the context of the chain's terms.

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
    require_equal("the agreed dataset's root: the certificate says", statement.dataset_root, terms.dataset_root)
    require_equal("the agreed initial model: the certificate says", statement.initial_model, terms.model_root)
    require_equal("the recipe's digest: the certificate says", statement.recipe.digest, terms.recipe)
    for field in fields(terms.audit):
        said, agreed = getattr(statement.audit, field.name), getattr(terms.audit, field.name)
        if field.name in AUDIT_AMOUNTS and said != agreed:
            said, agreed = f"{amount_text(said)} FIT", f"{amount_text(agreed)} FIT"
        require_equal(f"the audit's {field.name}: the certificate says", said, agreed)
    require_equal("the context: the certificate says", statement.ctx, history.run.ctx)
    require_equal("the context of what was agreed: the chain says", history.run.ctx, recomputed, "the terms give")
    require_equal("the order seed: the certificate says", statement.seed, history.run.seed)


def check_registered(statement: Statement, history: AgreementHistory) -> None:
    """Compare dataset, card and initial model with the registry."""
    dataset, model = history.dataset, history.model
    require_equal("the dataset's root: the certificate says", statement.dataset_root, dataset.root)
    require_equal("the dataset's ledger: the certificate says", statement.ledger, dataset.ledger)
    has_terms, has_ledger = statement.card.privacy is not None, bool(dataset.ledger)
    require_equal("that the card has terms of privacy is", has_terms, has_ledger, "that there is a ledger is")
    require_equal("the number of records: the certificate says", statement.card.count, dataset.count)
    require_equal("the card's CID: the certificate says", card_cid(statement), dataset.card)
    require_equal("the graph: the certificate says", statement.recipe.graph, model.graph)
    require_equal("the initial model: the certificate says", statement.initial_model, model.root)


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
    require_equal("the environment: the agreement says", terms.environment, recipe.environment.digest, said)
    audit, agreed = statement.audit, recipe.audit
    require_equal("the drawn segments: the certificate says", audit.drawn_segments, agreed.drawn_segments, said)
    require_equal("the audit's verifiers: the certificate says", audit.verifiers, agreed.verifiers, said)
    require_equal("the disclosure mode: the certificate says", audit.mode, agreed.mode, said)
    require_equal("the panel: the certificate says", audit.panel, agreed.panel or WHOLE_POOL, said)
    require_equal(
        "the card's root: the certificate says", card.root, statement.dataset_root, "its dataset has the root"
    )
    require_equal("the charge to the privacy ledger: the agreement says", terms.charge, recipe.charge, said)
    privacy = PrivacyClaim.of(recipe, card)
    if statement.privacy != privacy:
        own, wanted = ("no terms" if claim is None else claim.words for claim in (statement.privacy, privacy))
        require_equal("the privacy: the certificate says", own, wanted, said)
    try:
        card.check_recipe(recipe)
    except InputRefused as error:
        raise ClaimMismatch(f"the recipe does not fit the dataset's card: {error.message}") from None


def check_risk(statement: Statement) -> None:
    """Compare the parts of what is said of the privacy-risk report with one another, with the model
    and with what the card asks for and lets out; `check_leaves` compares it with the last leaf.
    That the report is true nobody can check without the records.

    Raises:
        ClaimMismatch: they contradict each other, a report is missing or nobody asked for it, or a
            summary is shown that must not be, or must.
    """
    risk, card, said = statement.risk, statement.card, "the certificate says"
    is_whole = statement.count == statement.recipe.leaf_count
    asked, what = card.policy.risk is not None and is_whole, "a risk report stands in the certificate"
    require_equal(what, risk is not None, asked, "the dataset's policy, and a whole training, say")
    if risk is None:
        return
    made_of = risk.parts(statement.final_model).digest
    require_equal(f"the risk report's digest: {said}", risk.digest, made_of, "the final model and its parts give")
    opens = risk.is_made and opens_reference(statement.audit, statement.recipe, card)
    what = "the risk report binds reference trainings that audits open"
    require_equal(what, risk.references != ZERO, opens, "the dataset's card and the terms say")
    if not risk.is_made and card.privacy is not None:
        raise ClaimMismatch("the certificate says that no risk report could be made, which a privacy budget hides")
    if (risk.summary is None) != (risk.details is None):
        raise ClaimMismatch("the certificate shows one part of a risk report without the other's digest")
    what, leaves = "a risk report's summary stands in the certificate", risk.is_made and may_show_summary(card)
    require_equal(what, risk.summary is not None, leaves, "the dataset's card says")
    if risk.summary is None or risk.details is None:
        return
    findings = findings_digest(risk.summary.digest, risk.details)
    require_equal(f"the risk report's findings: {said}", risk.findings, findings, "its parts give")
    require_equal(f"the risk report's model: {said}", risk.summary.model, statement.final_model, "the final model is")
    recipe, summary = statement.recipe, risk.summary
    require_attacked("members", summary.members, "trains on", recipe.training_count, recipe)
    require_attacked("non-members", summary.non_members, "holds out", recipe.held_out_count, recipe)
    if (claim := statement.held_out) is not None:
        require_attack_on_same(summary.non_members, claim.result, recipe, card.column(recipe.target).shape)


def check_base(statement: Statement) -> None:
    """Compare the base with the recipe, and with the registered model as the lineage has it, which
    `check_lineage` compares with the registry.

    Raises:
        ClaimMismatch: it is another, or no parent of the registered model.
    """
    base, registered, said = statement.base, statement.lineage[0], "the certificate says"
    id, root = (NO_MODEL, None) if base is None else (base.id, base.root)
    require_equal(f"the base: {said}", id, registered.base, "the registered model's is")
    require_equal(f"the base's model root: {said}", root, statement.recipe.base, "its recipe says")
    if base is None:
        return
    roots = {each.id: each.root for each in statement.lineage}
    if base.id not in registered.parents or base.id not in roots:
        raise ClaimMismatch(f"the model is a delta over {base.id}, which is none of its parents")
    require_equal(f"the base's model root: {said}", base.root, roots[base.id], "it is registered with")


def check_leaves(statement: Statement, most_leaves: int = MOST_LEAVES) -> None:
    """Check that the leaves add up to what the certificate says of them: chain, root, the states
    that they name unsalted.

    Args:
        statement: what is claimed.
        most_leaves: how many leaves are listed; beyond so many there is an outline, and only there.
    """
    leaves = statement.leaves
    if isinstance(leaves, Outline):
        if statement.count <= most_leaves:
            raise ClaimMismatch(
                f"the certificate hides {statement.count} leaves behind an outline, and up to {most_leaves} are listed",
                "ask the owner for a certificate that lists its leaves",
            )
        root = tagged("fitchain/transcript/v2", statement.count, _outlined_tree(statement, leaves))
    else:
        transcript = transcript_of(statement, leaves)
        transcript.verify(statement.recipe.steps, statement.recipe.segment_steps)
        require_equal("the number of leaves: the certificate says", statement.count, transcript.count, "it lists")
        root = transcript.root
    require_equal("the transcript's root: the certificate says", statement.transcript_root, root, "its leaves have")
    _check_states(statement)
    _check_held_out(statement, _results_named(statement))
    _check_delivered(statement)


def transcript_of(statement: Statement, leaves: tuple[Leaf, ...]) -> Transcript:
    """The transcript of the leaves, within the job that the certificate names."""
    return Transcript(statement.ctx, statement.seed, leaves)


def check_orders(statement: Statement, most_draws: int = MOST_DRAWS) -> int:
    """Check that each segment whose leaf is shown took the records that the order seed gives.

    Args:
        statement: what is claimed.
        most_draws: how many places of epochs are drawn at most; what lies beyond is left unchecked.

    Returns:
        how many leaves were checked.
    """
    recipe, shown = statement.recipe, statement.shown
    if recipe.privacy is not None:
        return 0  # the order is secret; the seats of an audit have the keys
    rows = recipe.training_count
    reach = most_draws // rows * (rows // recipe.batch_size)
    stream, done = batches(recipe, statement.seed), 0
    for number, leaf in enumerate(shown):
        if leaf.step > reach:
            return number
        begins = recipe.step_of(leaf.index - 1) if leaf.index else 0
        used = list(islice(stream, begins - done, leaf.step - done))
        expected = records_digest(np.concatenate(used) if used else np.empty(0, np.uint64))
        require_equal(
            f"the records of leaf {leaf.index}: the certificate says", leaf.records, expected, "the order seed gives"
        )
        done = leaf.step
    return len(shown)


def check_transcript(statement: Statement, history: AgreementHistory) -> None:
    """Compare the transcript with what the contract recorded while the training ran and when it
    ended."""
    run, group_leaves = history.run, statement.recipe.group_leaves
    require_equal("the number of leaves: the certificate says", statement.count, run.count)
    require_equal("the number of steps: the certificate says", statement.steps, run.step)
    require_equal("the delivered leaf: the certificate says", statement.delivered, run.delivered)
    require_equal("the transcript's root: the certificate says", statement.transcript_root, run.transcript_root)
    require_equal("the final model: the certificate says", statement.final_model, run.model_root)
    require_equal("the last model: the certificate says", statement.last_model, run.last_model_root)
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


def check_file(statement: Statement, path: Path, base: Path | None = None) -> tuple[int, bool]:
    """Compare the model's file with the final model root and with the digest that the certificate
    names.

    Args:
        statement: what is claimed.
        path: of the model's file.
        base: of the base's file, whose tensors are compared, too; None looks at what the model's
            file says of them alone.

    Returns:
        the bytes of the parameters of the whole, and whether its metadata says how records enter
        the model (`check_metadata`).

    Raises:
        DigestMismatch: the file is another, or only its bytes are; or the base's file is.
        ClaimMismatch: what its metadata says of the preprocessing does not follow from the
            certificate's recipe and card.
        InputRefused: the file is no model at all, or is cut off: nothing can be said of it.
        NotFound: there is no such file.
    """
    if not path.is_file():
        raise NotFound(f"{path} is a folder and no model" if path.is_dir() else f"there is no file {path}")
    digest, other = sha256_file(path), "it is not the model that this certificate is about"
    try:
        file = ModelFile.read(path)
        root = file.root
    except InputRefused as error:
        what = kind_of_file(_beginning(path))
        hint = "name the model first, its certificate behind it" if what == "a certificate" else "fetch it again"
        shape = "cut off or malformed" if what == MODEL else what
        raise InputRefused(
            f"the file {path} is not the certified one, nor any model: it is {shape}; "
            f"{error.message}; expected is a safetensors file of SHA-256 {statement.subject.value.hex()}",
            hint,
        ) from None
    if root != statement.final_model and not (
        file.is_whole and with_kinds_of(file.own, statement.final_model) is not None
    ):
        dtypes = ", ".join(sorted({tensor.dtype for tensor in file.own.values()})) or "none"
        raise DigestMismatch(
            f"the model in {path} has the root {root}, and the certificate says {statement.final_model}; of its "
            f"{len(file.own)} tensors ({dtypes}) at least one has another name, type, shape or value",
            other,
        )
    if digest != statement.subject:
        raise DigestMismatch(
            f"the tensors in {path} are the certified ones and only the file's bytes differ: its SHA-256 is "
            f"{digest.value.hex()}, and the certificate says {statement.subject.value.hex()}",
            "it is the whole of what was delivered as a delta, `fitchain model merge` writes it: verify the delivered"
            " file, with --base FILE to compare the base, too"
            if file.is_whole and statement.recipe.base is not None
            else "the file was written anew by another program; the delivered file itself verifies",
        )
    require_equal(f"the model in {path} is a delta over", file.base, statement.recipe.base, "the recipe says")
    if base is not None:
        _check_base_file(file, base)
    return file.parameter_bytes, check_metadata(statement, file.metadata, _inputs_beside(statement, path.parent))


def _inputs_beside(statement: Statement, folder: Path) -> tuple[Input, ...] | None:
    """The inputs of the graph beside a model; None where there is none, or another, which
    `check_beside` says."""
    try:
        return read_graph(folder / GRAPH, statement.recipe).inputs if (folder / GRAPH).is_file() else None
    except (ClaimMismatch, InputRefused):
        return None


def check_metadata(statement: Statement, metadata: Mapping[str, str], inputs: tuple[Input, ...] | None = None) -> bool:
    """Check what the delivered file says of how records enter the model.

    Args:
        statement: what is claimed.
        metadata: of the file.
        inputs: of the recipe's graph, where it is at hand: names and types are the owner's word
            without it.

    Returns:
        whether it does; where that is long it names a digest, of which nothing is said here.

    Raises:
        ClaimMismatch: it says nothing, or what does not follow from the certificate's recipe and
            card.
    """
    text = metadata.get(METADATA_KEY, "")
    if not text:
        raise ClaimMismatch(
            "the model's file says nothing of how records enter the model, which its owner delivers in its metadata",
            "fetch the delivery again",
        )
    with _named_mismatch("the preprocessing in the metadata of the model's file"):
        if DIGEST_TEXT.fullmatch(text):
            if inputs is not None:
                follows = preprocessing_of(statement.recipe, statement.card, inputs)
                require_equal("it is named by the digest", text, str(sha256(follows)), "recipe, card and graph give")
            return False
        check_preprocessing(text.encode(errors="replace"), statement.recipe, statement.card, inputs)
    return True


def check_beside(statement: Statement, folder: Path) -> tuple[str, ...]:
    """Check the other files of a delivery where they lie beside the model: the graph is the agreed
    one, and the preprocessing follows from the certificate's recipe and card and that graph's
    inputs.

    Returns:
        the names of those that are there.

    Raises:
        ClaimMismatch: one of them is another.
    """
    graph: Graph | None = None
    beside = [name for name in (GRAPH, PREPROCESSING) if (folder / name).is_file()]
    for name in beside:
        with _named_mismatch(f"the file {name} beside the model"):
            if name == GRAPH:
                graph = read_graph(folder / GRAPH, statement.recipe)
            else:
                document = read_at_most(folder / PREPROCESSING, PREPROCESSING_LIMITS.text_bytes)
                inputs = None if graph is None else graph.inputs
                check_preprocessing(document, statement.recipe, statement.card, inputs)
    return tuple(beside)


def read_graph(path: Path, recipe: Recipe) -> Graph:
    """Read the graph that a recipe names.

    Raises:
        ClaimMismatch: it is another.
        InputRefused: it is no graph.
        NotFound: there is no such file.
    """
    data = read_at_most(path, GRAPH_LIMITS.text_bytes)
    require_equal("the graph's digest is", sha256(data), recipe.graph, "the certificate's recipe says")
    return Graph.parse(data)


@contextmanager
def _named_mismatch(what: str) -> Iterator[None]:
    """Say of a delivered document that is not what it must be, which it is: the certificate does
    not hold of it then."""
    try:
        yield
    except (InputRefused, ClaimMismatch) as error:
        hint = "fetch the delivery again; a file of that name that is no part of it belongs elsewhere"
        raise ClaimMismatch(f"{what} is not what the certificate says: {error.message}", hint) from None


def _check_base_file(file: ModelFile, path: Path) -> None:
    """Compare the tensors that a model shares with its base with the base's file."""
    if file.base is None:
        raise InputRefused(f"the model is whole, and {path} is named as its base", "leave --base out")
    try:
        file.whole(read_weights(path).own)
    except DigestMismatch as error:
        raise DigestMismatch(f"{path}: {error.message}", error.hint) from None


def _beginning(path: Path) -> bytes:
    """As much of a file as its kind shows by: of a certificate more than its first bytes."""
    with path.open("rb") as file:
        return file.read(PEEK_BYTES)


def card_cid(statement: Statement) -> Cid:
    """The CID of the card that the certificate holds."""
    return add_file(chunks(BytesIO(statement.card.encode())), lambda cid, block: None).cid


def _check_states(statement: Statement) -> None:
    """Check the leaves that name their states unsalted against the roots that stand beside them."""
    indices = unsalted_leaves(statement.count, statement.delivered)
    require_equal(
        "the states: the certificate has those of the leaves",
        tuple(sorted(statement.states)),
        indices,
        "leaf 0, the delivered leaf and the last are",
    )
    shown = {leaf.index: leaf for leaf in statement.shown}
    for index in indices:
        if index not in shown:
            raise ClaimMismatch(f"the certificate does not show leaf {index} of {statement.count}")
        roots = statement.states[index]
        require_equal(f"the state of leaf {index}: it names", shown[index].state, roots.digest, "its roots make up")
    first, delivered, last = (statement.states[index] for index in (0, statement.delivered, statement.count - 1))
    said = "the certificate says"
    require_equal(f"the initial model: {said}", statement.initial_model, first.model, "its first leaf has")
    require_equal(f"the final model: {said}", statement.final_model, delivered.model, "its delivered leaf has")
    require_equal(f"the last model: {said}", statement.last_model, last.model, "its last leaf has")
    fresh = optimizer_root({})
    require_equal(f"the first leaf's optimizer: {said}", first.optimizer, fresh, "a fresh one has")
    step = shown[statement.count - 1].step
    require_equal(f"the number of steps: {said}", statement.steps, step, "its last leaf stands after step")


def check_early_end(statement: Statement) -> None:
    """Check that an early end is told of a training that has one, and lies behind its last leaf.

    Raises:
        ClaimMismatch: it is told of another, or is not where the leaves end.
    """
    ended, recipe, last = statement.ended, statement.recipe, statement.steps
    if (ended is not None) != (last < recipe.steps and recipe.privacy is None):
        says = "tells of no early end" if ended is None else f"tells of an early end {ended.words}"
        raise ClaimMismatch(f"the certificate {says}, and its leaves cover {last} of {recipe.steps} steps")
    if ended is not None and not last <= ended.step <= min(last + recipe.segment_steps, recipe.steps):
        raise ClaimMismatch(f"the certificate's early end is after step {ended.step}, and its last leaf at step {last}")


def _results_named(statement: Statement) -> dict[int, Digest]:
    """What each shown leaf names of the held-out records, zero where it names nothing of them: the
    last may name a risk report, too."""
    named = {leaf.index: leaf.held_out for leaf in statement.shown}
    risk, last = statement.risk, statement.shown[-1]
    if risk is not None:
        word = results_word(risk.held_out, risk.parts(statement.final_model))
        what = f"the results that leaf {last.index} names, with those of the risk report"
        require_equal(f"{what}: it has", last.held_out, word, "what the certificate says of them makes up")
        named[last.index] = risk.held_out
    return named


def _check_held_out(statement: Statement, named: Mapping[int, Digest]) -> None:
    """Check that those leaves name a result on held-out records whose models the recipe evaluates,
    and that the certificate opens what the dataset's policy lets leave: the delivered leaf's, and
    where each has one all of them."""
    recipe = statement.recipe
    for index, word in named.items():
        what = f"of results on held-out records leaf {index} names"
        require_equal(what, _number(word != ZERO), _number(recipe.evaluates_at(index)), "the recipe asks for")
    claim, delivered = statement.held_out, named[statement.delivered]
    leaves, said = leaves_with_certificate(recipe, statement.card), "recipe and policy let out"
    what = "of results on held-out records of the delivered leaf the certificate shows"
    require_equal(what, _number(claim is not None), _number(leaves and delivered != ZERO), said)
    if claim is not None:
        _check_result(statement, claim, statement.delivered, delivered)
    evaluations = statement.evaluations
    what = "of lists of all leaves' results on held-out records the certificate shows"
    require_equal(what, _number(evaluations is not None), _number(leaves and recipe.evaluate == SEGMENT), said)
    if evaluations is not None:
        what = "the number of leaves with a result: the certificate says"
        require_equal(what, len(evaluations), statement.count - 1, "its leaves are")
    for index, evaluation in enumerate(evaluations or (), 1):
        if index in named:  # of so few leaves as are evaluated each is listed
            _check_result(statement, evaluation, index, named[index])
    require_same_records(evaluation.result for evaluation in evaluations or ())


def _check_delivered(statement: Statement) -> None:
    """Check that the delivered leaf is the one that the recipe's rule chooses of the results that
    the certificate opens; where the dataset's policy keeps them with the owner, only a jury can."""
    recipe, last = statement.recipe, statement.count - 1
    is_chosen = recipe.best is not None and statement.steps == recipe.steps
    if is_chosen and statement.evaluations is None:
        return
    results = {index: claim.result for index, claim in enumerate(statement.evaluations or (), 1)}
    chosen, rule = delivered_leaf(recipe, results, last), f"of all results the best {recipe.best} has"
    said = "the delivered leaf: the certificate says"
    require_equal(said, statement.delivered, chosen, rule if is_chosen else "the recipe delivers the last,")


def _check_result(statement: Statement, claim: HeldOutClaim, index: int, named: Digest) -> None:
    """Check that a result opens what its leaf names, and is of the recipe's kind."""
    recipe = statement.recipe
    what = f"the result on held-out records of leaf {index}: the certificate's digests to"
    require_equal(what, claim.digest, named, "the leaf has")
    said = "the recipe holds out"
    require_equal("the held-out records: the certificate says", claim.result.records, recipe.held_out_count, said)
    _check_subgroups(claim.result, recipe)
    require_counted(claim.result, recipe, statement.card.column(recipe.target).shape)
    outcome = claim.result.outcome
    is_noised = isinstance(outcome, NoisedClasses | NoisedMean)
    if outcome is not None:
        says = "the recipe's terms of privacy say"
        require_equal("the result on held-out records is noised", is_noised, recipe.privacy is not None, says)
    if isinstance(outcome, NoisedClasses | NoisedMean):
        require_equal("the noise of the held-out result is", outcome.sigma, recipe.held_out_sigma, "the recipe gives")
        of_units = isinstance(outcome, NoisedMean) and outcome.of.endswith(OF_UNITS)
        has_units = recipe.privacy is not None and recipe.privacy.unit_records is not None
        require_equal("the result on held-out records is of units", of_units, has_units, "the recipe says")


def _number(is_there: bool) -> str:
    return "one" if is_there else "none"


def _check_subgroups(result: HeldOut, recipe: Recipe) -> None:
    """What is told by group is told of the recipe's columns and groups, column by column."""
    columns = list(dict.fromkeys(part.column for part in result.subgroups))
    of_recipe = [column for column in sorted(recipe.subgroups) if column in columns]
    require_equal("the result on held-out records is told by", columns, of_recipe, "the recipe's columns are")
    for column in columns:
        groups = [group for part in result.of_column(column) for group in part.groups]
        what = f"the groups of {column!r} by which the result on held-out records is told are"
        require_equal(what, sorted(groups, key=str), sorted(recipe.subgroups[column], key=str), "the recipe says")


def _outlined_tree(statement: Statement, outline: Outline) -> Digest:
    """The tree's root from its outline, as the contract bags it, to which every opened leaf leads."""
    group_leaves, count, peaks = statement.recipe.group_leaves, statement.count, list[Digest]()
    require_equal("the number of groups: the certificate says", count // group_leaves, len(outline.groups), "it lists")
    for index, root in enumerate(outline.groups):
        peaks = grow(peaks, root, index)
    require_equal(
        "the number of subtrees after the last group: the certificate says",
        len(outline.tail),
        (count % group_leaves).bit_count(),
        "the count gives",
    )
    tree = bag([*peaks, *outline.tail])
    for opened in outline.opened:
        leaf = opened.leaf
        try:
            leads_to = root_from_path(leaf.digest(statement.ctx, statement.seed), leaf.index, count, opened.path)
        except InputRefused as error:
            raise ClaimMismatch(f"leaf {leaf.index} has no place in the transcript: {error.message}") from None
        require_equal(f"the tree of leaf {leaf.index}: its path leads to", leads_to, tree, "the groups give")
        if leaf.index == 0:
            require_equal("the leaf before leaf 0: the certificate says", leaf.previous, ZERO, "there is none")
        agreed = min(leaf.index * statement.recipe.segment_steps, statement.recipe.steps)
        require_equal(f"the step of leaf {leaf.index}: the certificate says", leaf.step, agreed, "the recipe says")
    return tree
