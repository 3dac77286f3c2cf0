"""A recipe as a file: what differs from the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fitchain.pod.values.errors import InputRefused, Unusable
from fitchain.pod.values.reading import read_text


def read_recipe(path: Path | None) -> dict[str, Any]:
    """Read a recipe file.

    Raises:
        InputRefused: it cannot be read, or is not TOML.
    """
    import tomllib

    if path is None:
        return {}
    try:
        return tomllib.loads(read_text(path))
    except Unusable as error:
        hint = error.hint or "name a TOML file, or leave it out for the defaults"
        raise InputRefused(f"the recipe cannot be read: {error.message}", hint) from None
    except ValueError as error:
        hint = "write `epochs = 20`, say, a line for each field that differs from the defaults"
        raise InputRefused(f"the recipe {path} is not TOML: {error}", hint) from None
