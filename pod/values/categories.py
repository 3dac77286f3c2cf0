"""Categories in a list for people: each is told apart from its neighbours."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

MISSING = "(missing)"
"""How the category of missing cells, an empty text, is told."""
_MARKS = ',;"'


def category_texts(categories: Iterable[Any]) -> list[str]:
    """Categories as they stand in a list: what would look like several of them, or like none, is
    quoted as JSON quotes it.

    Args:
        categories: texts or numbers, or groups of a column.

    Returns:
        a text for each; different ones of different categories, joined too.
    """
    return [_text(each) for each in categories]


def _text(category: Any) -> str:
    if category == "":
        return MISSING
    text = str(category)
    is_unclear = any(mark in text for mark in _MARKS) or text != text.strip() or text == MISSING
    return json.dumps(text, ensure_ascii=False) if is_unclear else text
