"""Descent: a job whose model was trained on the same records before keeps the held-out rows of
then, so that it is not evaluated on what it was trained on.

Which jobs those are is read from the chain (`ports.agreement.descent`). Rows are kept by their
seed: the recipe names the first such job and its order seed, and of the same rows a smaller share
is a part of a larger. What the chain does not have are the recipes of those jobs; the owner, who
does, compares them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fitchain.pod.ports.agreement.descent import TrainedParent
from fitchain.pod.values.errors import ClaimMismatch, require_equal
from fitchain.pod.values.recipe import HeldOutFrom, Recipe

OTHER_MODEL = "hold no record out, or begin with a model that was not trained on these records"


def rows_to_keep(parents: Sequence[TrainedParent]) -> HeldOutFrom | None:
    """Whose held-out rows a job keeps; None where its model was not trained on the records before.

    Args:
        parents: in the order in which they ended.

    Raises:
        ClaimMismatch: one was trained on another dataset beside the same ledger, whose people may
            be the same: of these rows none can be kept.
    """
    if other := next((parent for parent in parents if not parent.on_same_dataset), None):
        raise ClaimMismatch(
            f"the model descends from one that the job {other.agreement.short} trained on another dataset beside the "
            "same privacy ledger: whom of the held-out people it has seen nobody can tell",
            OTHER_MODEL,
        )
    return HeldOutFrom(parents[0].agreement, parents[0].seed) if parents else None


def check_kept_rows(recipe: Recipe, parents: Sequence[TrainedParent]) -> None:
    """Check that a recipe keeps the held-out rows that it has to keep, and no others.

    Raises:
        ClaimMismatch: it draws anew what it has to keep, or names another job.
    """
    if recipe.held_out is None:
        return
    wanted = rows_to_keep(parents)
    names = "the recipe keeps the held-out rows of"
    require_equal(names, _words(recipe.held_out_from), _words(wanted), "by its model's descent it keeps those of")


def check_parent_recipe(recipe: Recipe, parent: TrainedParent, theirs: Recipe) -> None:
    """Check that none of a job's held-out rows was trained on by a job from which its model
    descends: that this one held out the same rows, or more.

    Args:
        recipe: of the job, which keeps the rows that it has to keep.
        parent: the other job.
        theirs: its recipe.

    Raises:
        ClaimMismatch: it held out others.
    """
    if recipe.held_out is None:
        return
    seed = recipe.held_out_seed(parent.seed)
    for what, own, other in (
        ("the rows", recipe.rows, theirs.rows),
        ("rows of a unit", recipe.unit_records, theirs.unit_records),
        ("what draws the held-out rows", seed, theirs.held_out_seed(parent.seed)),
    ):
        if own != other:
            raise ClaimMismatch(_unkept(parent, f"{what}: {own} here, {other} there"), OTHER_MODEL)
    if theirs.held_out is None or recipe.held_out > theirs.held_out:
        share = "none" if theirs.held_out is None else f"a share of {theirs.held_out:g}"
        hint = OTHER_MODEL if theirs.held_out is None else f"hold out {theirs.held_out:g} or less"
        raise ClaimMismatch(_unkept(parent, f"that one held out {share}, and {recipe.held_out:g} is asked for"), hint)


def _unkept(parent: TrainedParent, why: str) -> str:
    return (
        f"the model descends from one that the job {parent.agreement.short} trained on these records, whose held-out "
        f"rows cannot be kept: {why}"
    )


def _words(kept: HeldOutFrom | None) -> str:
    return "no job" if kept is None else f"the job {kept.agreement}, of the order seed {kept.seed}"
