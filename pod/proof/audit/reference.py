"""The segment of a risk report's reference training that evidence opens: everything that can be
checked without training it again (no torch).

Whether one is opened the owner fixed in the last leaf, before anybody could know which it would be;
which it is follows from the segment seed.
"""

from __future__ import annotations

import numpy as np

from fitchain.pod.compute.checkpoint import Unmoved, read_state_file
from fitchain.pod.compute.dataset.references import reference_count
from fitchain.pod.proof.audit.chain_record import ChainRecord
from fitchain.pod.proof.audit.challenge import drawn_reference
from fitchain.pod.proof.audit.evidence import Evidence, reference_records
from fitchain.pod.values.digest import ZERO, Digest
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, require_equal
from fitchain.pod.values.job_folder import EVIDENCE_RECORDS as RECORDS
from fitchain.pod.values.job_folder import EVIDENCE_REFERENCE as REFERENCE
from fitchain.pod.values.leaf import Indices, records_digest
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.risk import Parts
from fitchain.pod.values.risk.references import OpenedReference
from fitchain.pod.values.state import Limits, optimizer_root


def bound_report(evidence: Evidence, chain_record: ChainRecord) -> Parts | None:
    """What the last leaf binds of a risk report; None where it binds none."""
    last = evidence.leaves.get(chain_record.count - 1)
    return None if last is None else last.checkpoint.report


def is_opened(evidence: Evidence, chain_record: ChainRecord) -> bool:
    """Whether a segment of a reference training has to be opened."""
    report = bound_report(evidence, chain_record)
    return report is not None and report.references != ZERO


def check_report(evidence: Evidence, chain_record: ChainRecord) -> None:
    """Check what the last leaf binds of a risk report, and that a reference training is opened
    where it has to be, and else none.

    Raises:
        ClaimMismatch: the report is of another model, or it is not so.
    """
    report = bound_report(evidence, chain_record)
    if report is not None:
        require_equal("the risk report is of the model", report.model, chain_record.model_root)
    opened, has_to = evidence.reference is not None, is_opened(evidence, chain_record)
    require_equal("the evidence opens a reference training", opened, has_to, "the last leaf says")


def check_drawn(evidence: Evidence, chain_record: ChainRecord, recipe: Recipe) -> OpenedReference:
    """Check that what is opened of the reference trainings is what was drawn, and is bound by the
    last leaf.

    Returns:
        what is opened.

    Raises:
        ClaimMismatch, InputRefused: it is not.
    """
    reference, report = evidence.reference, bound_report(evidence, chain_record)
    if reference is None or report is None:
        raise ClaimMismatch("the evidence opens no reference training")
    if recipe.privacy is not None:
        raise ClaimMismatch("the evidence opens a reference training of a private one")
    trainings = reference_count(chain_record.work, recipe)
    require_equal("the reference trainings are", reference.trainings, trainings, "the metered work gives")
    number, segment = drawn_reference(chain_record.segment_seed, trainings, recipe.segment_count)
    require_equal("the opened reference training is", reference.number, number, "the draw says")
    if not 0 < reference.count <= recipe.leaf_count:
        raise ClaimMismatch(f"a reference training has {reference.count} leaves, and the recipe {recipe.leaf_count}")
    segment = min(segment, reference.count - 1)
    require_equal("the opened segment of it is", reference.segment, segment, "the draw says")
    for root in reference.roots():
        require_equal("the opened reference training leads to the root", root, report.references, "the last leaf says")
    return reference


# Many parameters: what makes a segment replayable.
def check_usable(
    evidence: Evidence,
    chain_record: ChainRecord,
    recipe: Recipe,
    reference: OpenedReference,
    problems: dict[int, str],
    unmoved: Unmoved,
    limits: Limits,
) -> None:
    """Check that an opened segment can be replayed: its state is the one that its leaf names, each
    record that it uses was registered, and its end is of these records.

    Args:
        problems: what is wrong with each opened record, by its index.
        unmoved: what its state may leave to the initial model.
        limits: on the file of its state.

    Raises:
        ClaimMismatch, DigestMismatch, InputRefused: it cannot.
    """
    leaf, used = reference.leaves[0].leaf, reference_records(recipe, chain_record.seed, reference)
    if reference.segment == 0:
        roots, says = (recipe.initial_model, optimizer_root({})), "the agreement says"
        require_equal("its first leaf is of records with the digest", leaf.records, records_digest(_NO_RECORDS))
    else:
        state = read_state_file(evidence.reference_file, limits)
        roots, says = (unmoved.model_root(state.model), optimizer_root(state.optimizer)), f"{REFERENCE} has"
    for what, named, root in zip(("model", "optimizer"), (leaf.model, leaf.optimizer), roots, strict=True):
        require_equal(f"the state before it has a {what} of the root", named, root, says)
    for index in np.unique(used).tolist():
        if problem := problems.get(index, f"{RECORDS} lacks record {index}"):
            raise DigestMismatch(problem)


def check_order(chain_record: ChainRecord, recipe: Recipe, reference: OpenedReference) -> None:
    """Check that the leaf after an opened segment is of the records that the order seed gives.

    Raises:
        ClaimMismatch: it is not.
    """
    if not reference.ends:
        expected: Digest = records_digest(reference_records(recipe, chain_record.seed, reference))
        said = reference.leaves[1].leaf.records
        require_equal("the leaf after it is of records with the digest", said, expected, "the order seed says")


def named(reference: OpenedReference | None, what: str) -> str:
    """What does not hold of a reference training, and of which."""
    if reference is None:
        return what
    return f"reference training {reference.number}, segment {reference.segment}: {what}"


_NO_RECORDS: Indices = np.empty(0, np.uint64)
