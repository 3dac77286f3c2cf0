"""The page of a recipe's keys, made of the code: `python -m tests.recipe_page` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fitchain.pod.values.recipe.keys import PARTS

PAGE = Path(__file__).parent.parent / "docs" / "recipe.md"
HEAD = """# What may stand in a recipe

A recipe file is TOML: `fitchain job request --recipe recipe.toml`. What it leaves out has a default
that is written out in the recipe that is agreed on, so that nothing depends on a later release.
`fitchain recipe show` prints this list, `fitchain recipe show recipe.toml` beside what a file
gives, once all that is wrong with it is mended: it tells what it can at once, as a request does.
`fitchain recipe draft --dataset DATASET --model MODEL` shows the whole recipe, and with `--to
recipe.toml` writes it as a file to edit, every key with its meaning and its default. docs/format.md
has the agreed form. This page is made of `pod/values/recipe/keys.py`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_parts()])


def _parts() -> Iterator[str]:
    for part in PARTS:
        yield f"## {part.title}\n"
        yield "| key | example | default | meaning |\n|---|---|---|---|"
        for key in part.keys:
            yield f"| `{key.name}` | `{key.example}` | {key.default} | {key.meaning} |"
        yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
