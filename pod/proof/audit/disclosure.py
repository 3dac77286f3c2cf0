"""What audits open at most, in the words of an owner's policy.

Scientist and owner ask here before a request is made and before it is accepted, and the owner
before it consents to another audit: the policy's cap counts over all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fitchain.pod.compute.dataset import Card, Disclosure
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.values.audit_mode import AuditMode

if TYPE_CHECKING:
    from fitchain.pod.ports.agreement import AuditTerms
    from fitchain.pod.values.recipe import Recipe


def opens_reference(terms: AuditTerms, recipe: Recipe, card: Card) -> bool:
    """Whether audits of a job open a segment of one of its risk report's reference trainings: where
    the policy asks for a report, no privacy budget runs (a reference's states would show records
    without the noise that is charged for), and the policy's cap admits it beside all that the job's
    own audit opens.

    Args:
        terms: of the job's audit, or its dispute.
        recipe: what is trained.
        card: of the dataset.
    """
    if not _has_references(recipe, card):
        return False
    cap, is_counted = card.policy.disclosure_cap, bool(terms.seats) and terms.mode is not AuditMode.ON_SITE
    return cap is None or not is_counted or _of_training(terms, recipe) + _of_reference(recipe) <= cap


def opened_records(terms: AuditTerms, recipe: Recipe, card: Card | None = None, is_again: bool = False) -> int:
    """How many records one audit opens at most, or a dispute; 0 where neither is agreed.

    A run that diverges has the segment audited in which it ended, besides those of a whole run, and
    one that delivers a leaf before the last that leaf's; so one more is counted where there is one.

    Args:
        terms: of the audit, agreed or asked for again.
        recipe: what is trained.
        card: of the dataset; where it is not known, a segment of a reference training is counted.
        is_again: whether it was asked for again, so that whether one is opened follows from other
            terms; it is counted then.
    """
    if not terms.seats:
        return 0
    return _of_training(terms, recipe) + records_of_reference(terms, recipe, card, is_again)


def records_of_reference(terms: AuditTerms, recipe: Recipe, card: Card | None = None, is_again: bool = False) -> int:
    """How many records the segment of a reference training takes at most that an audit opens;
    arguments as of `opened_records`."""
    if card is None:
        is_opened = recipe.privacy is None
    else:
        is_opened = _has_references(recipe, card) if is_again else opens_reference(terms, recipe, card)
    return _of_reference(recipe) if is_opened and terms.seats else 0


def _has_references(recipe: Recipe, card: Card) -> bool:
    return card.policy.risk is not None and card.privacy is None and recipe.privacy is None


def _of_reference(recipe: Recipe) -> int:
    """The most that the segment of a reference training takes."""
    return min(recipe.most_records(recipe.segment_steps), recipe.row_count)


def _of_training(terms: AuditTerms, recipe: Recipe) -> int:
    sampling = Sampling.of(recipe.steps, recipe.segment_steps, terms.drawn_segments)
    segments = min(sampling.audited + 1, sampling.segments)
    trained = min(recipe.most_records(segments * recipe.segment_steps), recipe.training_count * recipe.unit_records)
    return trained + recipe.held_out_count * recipe.unit_records


# Many parameters: what is opened, of what, and what was before.
def disclosure(
    terms: AuditTerms, recipe: Recipe, card: Card, already: int = 0, besides: Iterable[AuditTerms] = ()
) -> Disclosure:
    """What an audit of a job, or a dispute about it, opens at most: nothing where neither is
    agreed.

    Args:
        terms: of the audit, agreed or asked for again.
        recipe: what is trained.
        card: of the dataset.
        already: how many records of the dataset audits of other jobs have opened or may open.
        besides: terms of the other audits of the same job that the owner agreed to. Records that
            are opened twice count twice: other verifiers see them.
    """
    if not terms.seats:
        return Disclosure()
    before = already + sum(opened_records(other, recipe, card, is_again=True) for other in besides)
    return Disclosure(terms.mode, opened_records(terms, recipe, card), before)
