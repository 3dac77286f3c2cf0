"""The document of formats is true: its vectors are what the code computes, its tags are
the code's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.format_vectors import COMPUTE, DOCUMENT, compute, read_vectors, rewritten

ROOT = DOCUMENT.parent.parent
TEXT = DOCUMENT.read_text()
VECTORS = read_vectors(TEXT)
TAG = re.compile(r"fitchain/[a-z][a-z-]*/v[0-9]+")


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_vector_is_what_the_code_computes(name: str) -> None:
    assert compute(VECTORS[name]) == VECTORS[name]["gives"]


def test_every_vector_is_in_the_document_and_stands_there_in_one_form() -> None:
    assert set(VECTORS) == set(COMPUTE)
    assert rewritten(TEXT) == TEXT, "write the vectors anew: python -m tests.format_vectors"


def test_every_tag_of_the_code_is_in_the_document_and_none_besides() -> None:
    used = {tag for path in sources() for tag in TAG.findall(path.read_text())}
    assert used == set(TAG.findall(TEXT))


def sources() -> Iterator[Path]:
    for folder, pattern in (("pod", "*.py"), ("cli", "*.py"), ("contracts", "*.sol")):
        yield from (ROOT / folder).rglob(pattern)
