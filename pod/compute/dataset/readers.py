"""Readers: which kind of file is read by what.

A reader turns the wanted columns of one file into arrays; whether these make a table is for
`Table.of` to say. CONTRIBUTING.md shows how a kind of file is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from fitchain.pod.compute.dataset.columns import Classes, Found, Wanted
from fitchain.pod.compute.dataset.csv_file import read_csv
from fitchain.pod.compute.dataset.npz_file import read_npz


class Reader(Protocol):
    """Reads one kind of file; it opens nothing but the file, and unpickles nothing."""

    def __call__(self, path: Path, wanted: Wanted, target: str | None, categories: Classes, limit_bytes: int) -> Found:
        """Read a file (the terms are `Table.read`'s).

        Args:
            path: the file.
            wanted: `wanted.among(names, target)` says which of the file's columns are read.
            target: the column to be predicted, or None; it may hold texts, and so may the columns
                of `wanted.texts`, and no others.
            categories: for a target of texts, the categories to use, in their order; else those
                found, sorted. Where they are whole numbers it is a target of numbers, and the
                caller compares them.
            limit_bytes: the most bytes of arrays or of text that are read.

        Returns:
            Arrays `[count, *shape]` by column, in the order of the file.

        Raises:
            InputRefused: it is no such table; the message names line and column, never the
                cell's content.
            OSError: it cannot be read.
        """


READERS: Mapping[str, Reader] = {".csv": read_csv, ".npz": read_npz}
"""What reads a file, by the ending of its name in lower case."""

HOLD_TEXTS = frozenset({".csv"})
"""Endings of files whose target may be a column of texts."""
