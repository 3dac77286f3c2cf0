"""Conditions: what a dataset's policy asks of a recipe's numbers.

A draft looks at them beside its other terms, so that a scientist is told all at once; the owner's
pod looks again.
"""

from __future__ import annotations

from fitchain.pod.values.errors import InputRefused


def require_batch(size: int, least: int) -> None:
    """Refuse a batch that is smaller than a policy admits.

    Raises:
        InputRefused: it is.
    """
    if size < least:
        raise InputRefused(
            f"the batch size {size} is below the policy's minimum {least}", f"write batch_size = {least}, or more"
        )


def require_held_out(share: float | None, least: float | None) -> None:
    """Refuse to hold out a smaller share of the rows than a policy asks for.

    Raises:
        InputRefused: it is.
    """
    if least is not None and (share is None or share < least):
        asked = "no records" if share is None else f"a share of {share:g} of the rows"
        raise InputRefused(
            f"the recipe holds out {asked}, and the policy asks for a share of at least {least:g}",
            f"write held_out = {least!r} into the recipe",
        )


def require_steps(steps: int, most: int | None) -> None:
    """Refuse more steps than a policy admits.

    Raises:
        InputRefused: there are more.
    """
    if most is not None and steps > most:
        raise InputRefused(
            f"the job has {steps} steps and the policy admits {most}", f"write steps = {most}, or fewer epochs"
        )
