"""Suggestions: which known names are near to one that is not known.

Comparing two names takes longer than linear time, and a stranger chooses one of them or both, so
only a bounded number of short names is compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

from fitchain.pod.values.limits import NEAR_LETTERS, NEAR_NAMES


def near_names(name: object, names: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Up to three known names that are near to a name, the nearest first; capitals count as small
    letters.

    Args:
        name: what somebody wrote; nothing is near to what is no text or a long one.
        names: those that are known; the first short ones are compared.
        cutoff: how near, from 0 to 1 (`difflib.get_close_matches`).
    """
    if not isinstance(name, str) or len(name) > NEAR_LETTERS:
        return []
    short = [each for each in islice(names, NEAR_NAMES) if len(each) <= NEAR_LETTERS]
    if alike := [each for each in short if each.casefold() == name.casefold()]:
        return alike[:3]
    near = get_close_matches(name.casefold(), dict.fromkeys(each.casefold() for each in short), n=3, cutoff=cutoff)
    return [each for spelt in near for each in short if each.casefold() == spelt][:3]


def hint(name: object, names: Iterable[str], cutoff: float = 0.6) -> str:
    """A question that names near ones; empty where there are none."""
    near = near_names(name, names, cutoff)
    return f"did you mean {' or '.join(near)}?" if near else ""
