"""Recipe: what to train and how, identified by its digest.

`terms` holds the recipe itself: parsed, bounded, frozen; `privacy` what it says of differential
privacy; `subgroups` by which groups held-out results are told; `schedule` makes learning-rate
tables; `parameter_groups` parts parameters by their names; `conditions` are what a dataset's policy
asks of its numbers; `draft` fills in what a scientist left out; `faults` tells all that is wrong
with what was given; `keys` says what each key means, `spellings` what it is called elsewhere;
`fields` reads foreign JSON strictly. It knows neither torch nor data.
"""

from __future__ import annotations

from fitchain.pod.values.recipe.draft import DEFAULT_CLASS, argument_columns, draft
from fitchain.pod.values.recipe.privacy import Privacy
from fitchain.pod.values.recipe.terms import (
    LOSSES,
    METRICS,
    OPTIMIZERS,
    Audit,
    Choice,
    Environment,
    HeldOutFrom,
    Recipe,
    Transform,
)

__all__ = [
    "DEFAULT_CLASS",
    "LOSSES",
    "METRICS",
    "OPTIMIZERS",
    "Audit",
    "Choice",
    "Environment",
    "HeldOutFrom",
    "Privacy",
    "Recipe",
    "Transform",
    "argument_columns",
    "draft",
]
