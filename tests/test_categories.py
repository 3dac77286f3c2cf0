"""Categories in a list: none can be taken for others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fitchain.pod.values.categories import category_texts


def test_categories_with_marks_are_quoted() -> None:
    assert category_texts(["a", "b, c", "", " d", 'e"', 3]) == ["a", '"b, c"', "(missing)", '" d"', '"e\\""', "3"]


@given(*[st.lists(st.text('ab,;" (missing)', max_size=4), max_size=4, unique=True)] * 2)
def test_different_lists_are_told_differently(one: list[str], other: list[str]) -> None:
    assert (", ".join(category_texts(one)) == ", ".join(category_texts(other))) == (one == other)
