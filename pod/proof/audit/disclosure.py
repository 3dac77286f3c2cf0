"""What an audit opens at most, in the words of an owner's policy.

Scientist and owner ask here before a request is made and before it is accepted.
"""

from __future__ import annotations

from fitchain.pod.compute.dataset import Disclosure
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.proof.audit.cost import Sampling
from fitchain.pod.values.recipe import Recipe


def disclosure(terms: AuditTerms, recipe: Recipe, already: int = 0) -> Disclosure:
    """What an audit of a job, or a dispute about it, opens at most: nothing where neither is
    agreed.

    Args:
        terms: of the audit.
        recipe: what is trained.
        already: how many records of the dataset earlier audits have opened.
    """
    if not terms.seats:
        return Disclosure()
    sampling = Sampling.of(recipe.steps, recipe.segment_steps, terms.drawn_segments)
    records = sampling.disclosed(recipe.segment_steps, recipe.batch_size, recipe.rows[1] - recipe.rows[0])
    return Disclosure(terms.mode, records, already)
