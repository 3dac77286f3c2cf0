"""What audits open at most, in the words of an owner's policy.

Scientist and owner ask here before a request is made and before it is accepted, and the owner
before it consents to another audit: the policy's cap counts over all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fitchain.pod.compute.dataset import Disclosure
from fitchain.pod.proof.audit.cost import Sampling

if TYPE_CHECKING:
    from fitchain.pod.ports.agreement import AuditTerms
    from fitchain.pod.values.recipe import Recipe


def opened_records(terms: AuditTerms, recipe: Recipe) -> int:
    """How many records one audit opens at most, or a dispute; 0 where neither is agreed.

    A run that diverges has the segment audited in which it ended, besides those of a whole run, and
    one that delivers a leaf before the last that leaf's; so one more is counted where there is one.

    Args:
        terms: of the audit, agreed or asked for again.
        recipe: what is trained.
    """
    if not terms.seats:
        return 0
    sampling = Sampling.of(recipe.steps, recipe.segment_steps, terms.drawn_segments)
    segments = min(sampling.audited + 1, sampling.segments)
    trained = min(recipe.most_records(segments * recipe.segment_steps), recipe.training_count)
    return trained + recipe.held_out_count


def disclosure(terms: AuditTerms, recipe: Recipe, already: int = 0, besides: Iterable[AuditTerms] = ()) -> Disclosure:
    """What an audit of a job, or a dispute about it, opens at most: nothing where neither is
    agreed.

    Args:
        terms: of the audit, agreed or asked for again.
        recipe: what is trained.
        already: how many records of the dataset audits of other jobs have opened or may open.
        besides: terms of the other audits of the same job that the owner agreed to. Records that
            are opened twice count twice: other verifiers see them.
    """
    if not terms.seats:
        return Disclosure()
    before = already + sum(opened_records(other, recipe) for other in besides)
    return Disclosure(terms.mode, opened_records(terms, recipe), before)
