"""Checking: everything in evidence that can be checked without training again (no torch).

What does not hold is a `Problem`, of the whole or of one segment. Whatever is wrong besides, every
segment whose state, records, recipe and graph can be used is replayed: else two who never opened
the evidence could vote for a mismatch with a trace that takes no work. What can be used follows
from evidence and chain alone, so all honest verifiers replay the same segments and come to the same
trace. Recipe and graph can be used only if they are those agreed on: another environment class than
the terms name, or more work, would turn honest verifiers away after they joined, and let the owner
off. (What a step takes is metered where graphs are opened, in the worker that replays.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fitchain.pod.compute.checkpoint import Unmoved, read_state_file
from fitchain.pod.compute.dataset import held_out_rows, verify_record
from fitchain.pod.proof.audit import reference
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.evidence import Evidence, evaluates, most_records, segment_records
from fitchain.pod.proof.descent import check_kept_rows
from fitchain.pod.values import limits
from fitchain.pod.values.best import delivered_leaf
from fitchain.pod.values.delta import ModelFile
from fitchain.pod.values.digest import ZERO, Digest, Root, root_from_path, sha256, sha256_file, tagged
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, InputRefused, Refuted, require_equal
from fitchain.pod.values.graph import Graph
from fitchain.pod.values.job_folder import EVIDENCE_RECORDS as RECORDS
from fitchain.pod.values.job_folder import GRAPH, INITIAL, RECIPE, state_name
from fitchain.pod.values.leaf import Indices, OpenedLeaf, records_digest
from fitchain.pod.values.limits import MOST_TENSORS, TENSORS_BYTES
from fitchain.pod.values.privacy.keys import records_salt
from fitchain.pod.values.reading import read_at_most
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.terms import RECIPE_BYTES
from fitchain.pod.values.state import Limits as TensorLimits
from fitchain.pod.values.state import optimizer_root

_COUNT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in evidence that does not hold.

    Args:
        segment: the segment that it concerns; None where it concerns the whole.
        what: what is false, with both values.
    """

    segment: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.segment is None else f"segment {self.segment}: {self.what}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks came to.

    Args:
        problems: of the whole first, then the first of each segment that has one.
        replayable: the audited segments that can be replayed, rising; where there is none, the
            owner has withheld what it must show.
        has_reference: whether a segment of a reference training is opened that can be replayed.
    """

    problems: tuple[Problem, ...]
    replayable: tuple[int, ...]
    has_reference: bool = False


def check(evidence: Evidence, chain_record: ChainRecord) -> Checked:
    """Check evidence against the chain.

    Args:
        evidence: as it was read.
        chain_record: what the chain says.

    Raises:
        Unusable: the job is larger than an audit looks at.
    """
    problems = list(_failures(lambda: check_header(evidence, chain_record)))
    try:
        recipe = agreed_recipe(evidence, chain_record)
        has_frozen = bool(_agreed_graph(evidence).frozen)
        opened = _openings(evidence, chain_record, recipe)
    except (Refuted, InputRefused) as error:
        return Checked((*problems, Problem(None, error.message)), ())
    problems += _failures(lambda: check_charge(chain_record, recipe))
    problems += _failures(lambda: check_kept_rows(recipe, chain_record.parents))
    problems += _failures(lambda: check_leaves(evidence, chain_record, recipe))
    replayable, initial = [], _Initial.read(evidence, chain_record, recipe, has_frozen)
    for segment in chain_record.audited:
        spoilt = list(_failures(partial(_check_noise, evidence, chain_record, recipe, segment), segment))
        if not spoilt:
            order = _order(evidence, chain_record, recipe, segment)
            used = order.records
            if evaluates(recipe, (segment,), evidence.leaves):
                used = np.concatenate([used, held_out_rows(recipe, chain_record.seed)])
            usable = partial(_check_usable, evidence, chain_record, recipe, segment, used, opened, initial)
            spoilt = list(_failures(usable, segment))
        if not spoilt:
            replayable.append(segment)
        problems += spoilt or _failures(partial(_check_order, evidence, segment, order), segment)
    spoilt, has_reference = _check_reference(evidence, chain_record, recipe, opened, initial)
    return Checked((*problems, *spoilt), tuple(replayable), has_reference)


def _check_reference(
    evidence: Evidence, chain_record: ChainRecord, recipe: Recipe, opened: dict[int, str], initial: _Initial
) -> tuple[list[Problem], bool]:
    """What is wrong with the opened segment of a reference training, and whether it can be
    replayed."""
    spoilt = list(_failures(partial(reference.check_report, evidence, chain_record)))
    if spoilt or not reference.is_opened(evidence, chain_record):
        return spoilt, False
    try:
        drawn = reference.check_drawn(evidence, chain_record, recipe)
        initial.require(drawn.segment)
        limits = file_limits(chain_record)
        reference.check_usable(evidence, chain_record, recipe, drawn, opened, initial.unmoved, limits)
    except (Refuted, InputRefused) as error:
        return [Problem(None, reference.named(evidence.reference, error.message))], False
    ended = _failures(partial(reference.check_order, chain_record, recipe, drawn))
    return [Problem(None, reference.named(drawn, each.what)) for each in ended], True


def _failures(check: Callable[[], None], segment: int | None = None) -> Iterator[Problem]:
    """What a check says, if it says anything."""
    try:
        check()
    except (Refuted, InputRefused) as error:
        yield Problem(segment, error.message)


def check_delivery(model: Path, chain_record: ChainRecord, base: Root | None = None) -> Problem | None:
    """Compare the delivered model with the one that the chain recorded.

    Args:
        model: its file.
        chain_record: what the chain says.
        base: root of the model that it may be a delta over, by the agreed recipe.
    """
    try:
        file = ModelFile.read(model, file_limits(chain_record))
        require_equal("the delivered model has the root", file.root, chain_record.model_root)
        require_equal("the delivered model is a delta over", file.base, base, "the recipe says")
    except (Refuted, InputRefused) as error:
        return Problem(None, error.message)
    return None


def check_delivered_graph(path: Path, chain_record: ChainRecord) -> Problem | None:
    """Compare the graph that is delivered with the agreed one: with another the model is of no use."""
    try:
        digest = sha256(read_at_most(path, limits.GRAPH.text_bytes))
        require_equal("the delivered graph has the digest", digest, chain_record.graph, "the recipe says")
    except (Refuted, InputRefused) as error:
        return Problem(None, error.message)
    return None


def check_header(evidence: Evidence, chain_record: ChainRecord) -> None:
    """Check that the evidence is about this audit, and was made for the round in which it was
    handed over.

    Raises:
        ClaimMismatch: it is about another.
    """
    require_equal("the evidence is about the audit", evidence.audit, chain_record.ref)
    require_equal("the evidence is for the round", evidence.round, chain_record.evidence_round)
    require_equal("the evidence is about the segments", evidence.segments, chain_record.audited, "the challenge says")


def agreed_recipe(evidence: Evidence, chain_record: ChainRecord) -> Recipe:
    """Read the recipe, and check that it and the graph are those agreed on.

    Raises:
        ClaimMismatch: they are not.
        InputRefused: the recipe is malformed.
    """
    folder = evidence.folder
    require_equal(f"{RECIPE} has the digest", sha256_file(folder / RECIPE), chain_record.recipe, "the agreement says")
    recipe = Recipe.parse(read_at_most(folder / RECIPE, RECIPE_BYTES))
    for what, offered, agreed in (
        ("graph", recipe.graph, chain_record.graph),
        ("initial model", recipe.initial_model, chain_record.initial_model),
        ("dataset", recipe.dataset, chain_record.dataset_root),
        ("environment", recipe.environment.digest, chain_record.environment),
        ("number of steps", recipe.steps, chain_record.steps),
        ("segment length", recipe.segment_steps, chain_record.segment_steps),
        ("anchor group", recipe.group_leaves, chain_record.group_leaves),
    ):
        require_equal(f"the recipe's {what} is", offered, agreed, "the agreement says")
    if recipe.rows[1] > chain_record.dataset_count:
        raise ClaimMismatch(f"the recipe uses rows up to {recipe.rows[1]} of {chain_record.dataset_count} records")
    require_equal(f"{GRAPH} has the digest", sha256_file(folder / GRAPH), chain_record.graph, "the agreement says")
    return recipe


def check_charge(chain_record: ChainRecord, recipe: Recipe) -> None:
    """Check that the owner's privacy ledger was charged what the recipe costs.

    Raises:
        ClaimMismatch: it was charged something else.
    """
    require_equal("the privacy ledger was charged", chain_record.charge, recipe.charge, "the recipe costs")


def check_leaves(evidence: Evidence, chain_record: ChainRecord, recipe: Recipe) -> None:
    """Check that the opened leaves are those of the transcript, that neighbours are linked, and
    what the first, the delivered and the last say, and that the delivered one is the recipe's.

    A leaf in between may name its state unsalted: the salt keeps the owner's secret, and nobody
    else loses by its absence.

    Raises:
        ClaimMismatch, DigestMismatch: one is not, or says something else than was agreed.
        InputRefused: a path does not fit the transcript.
    """
    require_equal(
        "the evidence opens the leaves", tuple(sorted(evidence.leaves)), chain_record.leaves, "the challenge says"
    )
    digests = {index: _check_leaf(evidence, chain_record, recipe, index) for index in chain_record.leaves}
    leaf_0, delivered, last = (
        evidence.leaves[index].checkpoint.opened for index in (0, chain_record.delivered, chain_record.count - 1)
    )
    _check_first(leaf_0, chain_record)
    for index, digest in digests.items():
        if index + 1 in digests:
            previous = evidence.leaves[index + 1].checkpoint.leaf.previous
            require_equal(f"leaf {index + 1} names as the leaf before it", previous, digest, f"leaf {index} says")
    require_equal("the delivered leaf's model has the root", delivered.model, chain_record.model_root)
    require_equal("the last leaf's model has the root", last.model, chain_record.last_model_root)
    require_equal("the last leaf stands after step", last.step, chain_record.step)
    _check_delivered(evidence, chain_record, recipe)


def _check_delivered(evidence: Evidence, chain_record: ChainRecord, recipe: Recipe) -> None:
    """The delivered leaf is the one that the recipe's rule chooses of those that are opened; what
    the others say stays a claim."""
    results = {index: evidence.leaves[index].checkpoint.held_out for index in chain_record.leaves}
    chosen = delivered_leaf(recipe, results, chain_record.count - 1)
    require_equal("the delivered leaf is", chain_record.delivered, chosen, "the rule and the opened results give")


def _check_leaf(evidence: Evidence, chain_record: ChainRecord, recipe: Recipe, index: int) -> Digest:
    """One leaf by itself: its step, its state, its metrics, its path; its digest."""
    opened = evidence.leaves[index]
    leaf = opened.checkpoint.leaf
    require_equal(f"leaf {index} stands after step", leaf.step, chain_record.step_of(index), "the agreement says")
    opened.checkpoint.verify()
    agreed = set(recipe.metrics) if index else set()
    require_equal(f"leaf {index} has the metrics", sorted(opened.checkpoint.metrics), sorted(agreed), "the recipe says")
    require_equal(
        f"of results on held-out records leaf {index} names",
        "none" if opened.checkpoint.held_out is None else "one",
        "one" if recipe.evaluates_at(index) else "none",
        "the recipe asks for",
    )
    if opened.checkpoint.report is not None and index != recipe.leaf_count - 1:
        raise ClaimMismatch(f"leaf {index} names a risk report, and the training was not at its end there")
    digest = leaf.digest(chain_record.ctx, chain_record.seed)
    tree = root_from_path(digest, index, chain_record.count, opened.path)
    root = tagged("fitchain/transcript/v2", chain_record.count, tree)
    if root != chain_record.transcript_root:
        raise DigestMismatch(
            f"leaf {index} leads to the transcript root {root}, and the chain has {chain_record.transcript_root}"
        )
    return digest


def _check_first(leaf: OpenedLeaf, chain_record: ChainRecord) -> None:
    """Leaf 0 is of the agreed model, of an optimizer without tensors, and of no record."""
    require_equal("leaf 0's model has the root", leaf.model, chain_record.initial_model, "the agreement says")
    require_equal("leaf 0's optimizer has the root", leaf.optimizer, optimizer_root({}), "a fresh one says")
    require_equal(
        "leaf 0's records have the digest", leaf.records, records_digest(np.empty(0, np.uint64)), "no record says"
    )
    require_equal("leaf 0 names as the leaf before it", leaf.previous, ZERO, "the format says")


# Many parameters: what is shown, what it is compared with, and of which segment.
def _check_usable(
    evidence: Evidence,
    chain_record: ChainRecord,
    recipe: Recipe,
    segment: int,
    indices: Indices,
    opened: Mapping[int, str],
    initial: _Initial,
) -> None:
    """A segment can be replayed: the leaves at its ends are opened, the state before it is the one
    that its leaf names, and each record that it uses was registered."""
    for index in (segment, segment + 1):
        if index < chain_record.count and index not in evidence.leaves:
            raise ClaimMismatch(f"the evidence does not open leaf {index}")
    initial.require(segment)
    if segment > 0:
        _check_state(evidence, segment, initial.unmoved, file_limits(chain_record))
    for index in np.unique(indices).tolist():
        if problem := opened.get(index, f"{RECORDS} lacks record {index}"):
            raise DigestMismatch(problem)


@dataclass(frozen=True, slots=True)
class _Initial:
    """The initial model as far as evidence has it.

    Args:
        unmoved: what states may leave to it: nothing where it is not the agreed one, which spoils
            no segment of a model that moves as a whole but the first.
        problem: why it is not the agreed one; None where it is.
        is_used: whether each segment needs it: for what no training moves, or since the recipe
            pulls towards it.
    """

    unmoved: Unmoved
    problem: Refuted | InputRefused | None
    is_used: bool

    @classmethod
    def read(cls, evidence: Evidence, chain_record: ChainRecord, recipe: Recipe, has_frozen: bool) -> _Initial:
        """Read it, and compare it with the agreed one."""
        is_used = has_frozen or recipe.proximal is not None
        try:
            return cls(Unmoved(check_initial(evidence, chain_record, recipe).entries), None, is_used)
        except (Refuted, InputRefused) as error:
            return cls(Unmoved({}), error, is_used)

    def require(self, segment: int) -> None:
        """Refuse a segment that needs it where it is not the agreed one.

        Raises:
            Refuted, InputRefused: it is another, or none.
        """
        if self.problem is not None and (self.is_used or segment == 0):
            raise type(self.problem)(self.problem.message)


def check_initial(evidence: Evidence, chain_record: ChainRecord, recipe: Recipe) -> ModelFile:
    """Check that the initial model is the agreed one, and a delta over the agreed base alone: over
    another it has the same root, and nobody could replay it.

    Raises:
        ClaimMismatch: it is another.
        InputRefused: it is malformed, or larger than the agreed one can be.
    """
    initial = ModelFile.read(evidence.folder / INITIAL, file_limits(chain_record))
    require_equal(f"{INITIAL} has the model root", initial.root, chain_record.initial_model, "the agreement says")
    require_equal(f"{INITIAL} is a delta over", initial.base, recipe.base, "the recipe says")
    return initial


def file_limits(chain_record: ChainRecord) -> TensorLimits:
    """What a model or a state of the job may take at most: what a step does by the terms, of which
    whoever joined knew that this host has the memory. A count of steps for each tensor is not
    metered."""
    return TensorLimits(total_bytes=min(TENSORS_BYTES, chain_record.work.bytes + _COUNT_BYTES * MOST_TENSORS))


def _agreed_graph(evidence: Evidence) -> Graph:
    """The graph, whose digest is the agreed one.

    Raises:
        InputRefused: it is malformed: it cannot be trained, whatever was agreed on.
    """
    return Graph.parse(read_at_most(evidence.folder / GRAPH, limits.GRAPH.text_bytes))


def _check_state(evidence: Evidence, segment: int, unmoved: Unmoved, limits: TensorLimits) -> None:
    """The state before a segment is the one that its leaf names."""
    checkpoint = evidence.checkpoint(segment)
    checkpoint.verify()
    try:
        read_state_file(evidence.state_file(segment), limits).verify(checkpoint, unmoved)
    except (Refuted, InputRefused) as error:
        raise type(error)(f"{state_name(segment)}: {error.message}") from None


@dataclass(frozen=True, slots=True)
class _Order:
    """The records of a segment in the order of training, and the salt under which its leaf names
    them."""

    records: Indices
    salt: Digest | None


def _order(evidence: Evidence, chain_record: ChainRecord, recipe: Recipe, segment: int) -> _Order:
    key = None if recipe.privacy is None else evidence.noise[segment].key
    records = segment_records(recipe, chain_record.seed, segment, key)
    return _Order(records, None if key is None else records_salt(key))


def _check_noise(evidence: Evidence, chain_record: ChainRecord, recipe: Recipe, segment: int) -> None:
    """The owner committed to the key that a private segment's sampling and noise follow from."""
    if recipe.privacy is None:
        return
    if segment not in evidence.noise:
        raise ClaimMismatch(f"the evidence has no noise key of segment {segment}")
    evidence.noise[segment].verify(segment, recipe.segment_count, chain_record.noise_root)


def _check_order(evidence: Evidence, segment: int, order: _Order) -> None:
    """The leaf after a segment is of the records that the order seed gives, and the segment's key
    where it is secret."""
    if segment + 1 in evidence.leaves:
        leaf = evidence.leaves[segment + 1].checkpoint.leaf
        what = f"leaf {leaf.index} is of records with the digest"
        require_equal(what, leaf.records, records_digest(order.records, order.salt), "the order seed says")


def _openings(evidence: Evidence, chain_record: ChainRecord, recipe: Recipe) -> dict[int, str]:
    """What is wrong with each opened record, by its index; empty texts where nothing is.

    Raises:
        InputRefused: `records.bin` is malformed, or holds more records than the audited segments
            take: each would have to be looked at.
    """
    root, most = chain_record.dataset_root, most_records(recipe, chain_record.audited, evidence.leaves)
    most += recipe.most_records(recipe.segment_steps) if reference.is_opened(evidence, chain_record) else 0
    unit_records = None if recipe.privacy is None else recipe.privacy.unit_records
    if evidence.records.number > most:
        raise InputRefused(f"{RECORDS} holds {evidence.records.number} records and the segments take {most} at most")
    schema, problems = evidence.records.schema, dict[int, str]()
    for opening in evidence.records:
        problems[opening.index] = ""
        try:
            verify_record(opening, root, unit_records)
            if opening.record[:32] != schema:
                raise DigestMismatch(f"record {opening.index} is of another schema than {RECORDS} says")
        except (Refuted, InputRefused) as error:
            problems[opening.index] = error.message
    return problems
