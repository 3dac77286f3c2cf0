"""A recipe as a file to edit: every key with its meaning and its default, as TOML."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.recipe.keys import PARTS, Key

WIDTH = 98
_AS_AGREED = (
    *("target", "rows", "held_out", "evaluate", "best", "batch_size", "micro_batch", "steps", "segment_steps"),
    *("group_leaves", "metrics", "proximal", "ema"),
)
"""Keys whose value a recipe has under the same name."""


def recipe_file(terms: Mapping[str, Any], recipe: Recipe) -> str:
    """Write a recipe file.

    Args:
        terms: what was given; these lines are live.
        recipe: what was drafted of it; every other key stands in a comment with the value that it
            has in there, or with an example.

    Returns:
        TOML that gives the same recipe when it is read.
    """
    return "\n".join(_lines(terms, _drafted(recipe)))


def toml(value: Any) -> str:
    """A value as TOML writes it.

    Raises:
        TypeError: TOML has no such value.
    """
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{_key(name)} = {toml(each)}' for name, each in value.items())}}}"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _lines(terms: Mapping[str, Any], drafted: Mapping[str, Any]) -> Iterator[str]:
    yield "# What stands in a comment is what holds without it, or an example of what could be said."
    for part in PARTS:
        yield f"\n# {part.title}"
        for key in part.keys:
            yield ""
            yield from (f"# {line}" for line in textwrap.wrap(_told(key), WIDTH))
            if key.name in terms:
                yield f"{key.name} = {toml(terms[key.name])}"
            else:
                value = drafted.get(key.name)
                yield f"# {key.name} = {key.example if value is None else toml(value)}"
    yield ""


def _told(key: Key) -> str:
    return f"{key.meaning} Default: {key.default}."


def _drafted(recipe: Recipe) -> dict[str, Any]:
    """By key what a recipe has, as far as a file says it alike."""
    agreed = recipe.json()
    values = {key: agreed[key] for key in _AS_AGREED}
    for head, choice in ("loss", recipe.loss), ("optimizer", recipe.optimizer):
        arguments = {name: value for name, value in choice.arguments.items() if not _has_none(value)}
        values |= {head: choice.name, **arguments}
    environment = {"environment": recipe.environment.name, "threads": recipe.environment.threads}
    return {**values, **environment, "learning_rate": max(rate for _, rate in recipe.learning_rates)}


def _has_none(value: Any) -> bool:
    """Whether a value leaves something to torch, which TOML cannot say."""
    return value is None or (isinstance(value, list) and None in value)


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if is_bare else toml(name)
