"""Parameter groups: which of a model's parameters move at which rate, by their names alone.

A pattern that matches nothing would leave what it is meant for at the rate of the rest, and nobody
would see it: it is refused, before anything is asked for and again before anything is trained.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType

from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.terms import ParameterGroup
from fitchain.pod.values.suggestions import hint

_SHOWN = 4


def group_parameters(groups: Sequence[ParameterGroup], names: Iterable[str]) -> tuple[list[list[str]], list[str]]:
    """Part parameters into groups: each is of the first that matches its name.

    Args:
        groups: the recipe's.
        names: of the parameters that training moves, in the model's order.

    Returns:
        the names of each group, and those of none; both in the model's order.

    Raises:
        InputRefused: a group is empty.
    """
    names = tuple(names)
    for fault in group_faults(groups, names):
        raise fault
    grouped, rest = _part(groups, names)
    return grouped, rest


def group_faults(
    groups: Sequence[ParameterGroup],
    names: Iterable[str],
    frozen: Iterable[str] = (),
    tied: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[InputRefused]:
    """What `group_parameters` refuses, for each group that is empty.

    Args:
        groups: the recipe's.
        names: of the parameters that training moves.
        frozen: of those that it does not.
        tied: by a further name of a parameter the name that stands in the graph.
    """
    names = tuple(names)
    grouped, _ = _part(groups, names)
    for number, (group, own) in enumerate(zip(groups, grouped, strict=True)):
        if own:
            continue
        what, matches = f"the parameter group {group.match!r}", partial(fnmatchcase, pat=group.match)
        if any(map(matches, names)):
            earlier = " and ".join(
                repr(before.match)
                for before, of in zip(groups[:number], grouped, strict=False)
                if any(map(matches, of))
            )
            yield InputRefused(
                f"{what} is empty: all that it matches is of {earlier} before it",
                "a parameter is of the first group that matches: put the narrower one first",
            )
        elif (other := next(filter(matches, tied), None)) is not None and tied[other] in names:
            yield InputRefused(
                f"{what} matches no parameter that training moves: {other} is tied to {tied[other]}",
                f"write match = {json.dumps(tied[other])}, for both",
            )
        elif (still := next(filter(matches, (*frozen, *tied)), None)) is not None:
            yield InputRefused(
                f"{what} matches no parameter that training moves: {still} is frozen",
                "leave the group out, or publish the module with requires_grad of it",
            )
        else:
            yield InputRefused(f"{what} matches no parameter that training moves", _advice(group.match, names))


def _part(groups: Sequence[ParameterGroup], names: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    left, grouped = list(names), list[list[str]]()
    for group in groups:
        grouped.append([name for name in left if fnmatchcase(name, group.match)])
        left = [name for name in left if not fnmatchcase(name, group.match)]
    return grouped, left


def _advice(match: str, names: Sequence[str]) -> str:
    """The patterns nearest to one that matches nothing, else the first names.

    A name is looked for as a whole, by what it begins with, and by each word between its dots: who
    writes `head.*` may mean `net.head.weight`, whose pattern is `*head.*`.
    """
    word = match.strip("*.").lower()
    inner = {part: f"*{part}.*" for name in names for part in name.split(".")[:-1] if not part.isdigit()}
    if word in (lower := {part.lower(): pattern for part, pattern in inner.items()}):
        return f"did you mean {lower[word]}?"
    begun = [".".join(parts[:end]) for name in names for parts in [name.split(".")] for end in range(1, len(parts))]
    patterns = dict.fromkeys([*names, *(f"{begin}.*" for begin in begun), *inner.values()])
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return hint(match, patterns) or (f"the model's are {shown}" if names else "all of the model's are frozen")
