"""Readers: which kind of file is which source of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.compute.dataset.csv_file import CsvDialect, CsvFile
from fitchain.pod.compute.dataset.jsonl_file import JsonLinesFile
from fitchain.pod.compute.dataset.npz_file import NpzFile
from fitchain.pod.compute.dataset.schema import Schema
from fitchain.pod.compute.dataset.source import Source
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.fields import Fields

Opener = Callable[[Path, CsvDialect | None, int], Source]

SOURCES: Mapping[str, Opener] = {
    ".csv": CsvFile,
    ".tsv": CsvFile,
    ".jsonl": lambda path, _, limit_bytes: JsonLinesFile(path, limit_bytes),
    ".ndjson": lambda path, _, limit_bytes: JsonLinesFile(path, limit_bytes),
    ".npz": lambda path, _, limit_bytes: NpzFile(path, limit_bytes),
}
"""What opens a file, by the ending of its name in lower case."""


def open_source(path: Path, dialect: CsvDialect | None, limit_bytes: int) -> Source:
    """Open a file of records.

    Args:
        path: the file.
        dialect: what is known of how it is written; only a text may be written in several ways.
        limit_bytes: the most that is read.

    Raises:
        InputRefused: its name has no known ending, or it is no such file.
        OSError: it cannot be read.
    """
    opener = SOURCES.get(path.suffix.lower())
    if opener is None:
        raise InputRefused(f"{path.name} is none of {', '.join(SOURCES)}", "convert it to one of these")
    if dialect is not None and opener is not CsvFile:
        raise InputRefused(
            f"{path.name} is no CSV file, and it is said how one is written",
            "leave --delimiter, --decimal, --encoding and --escape out",
        )
    return opener(path, dialect, limit_bytes)


@dataclass(frozen=True)
class Reading:
    """How a source was read, so that it is read again in the same way.

    Args:
        dialect: of a text.
        schema: what its columns are.
    """

    dialect: CsvDialect | None
    schema: Schema

    def json(self) -> dict[str, Any]:
        """The form that a registration keeps."""
        return {"dialect": None if self.dialect is None else self.dialect.json(), "schema": self.schema.json()}

    @classmethod
    def from_json(cls, value: Any) -> Reading:
        """Read the form that a registration keeps.

        Raises:
            InputRefused: it is another.
        """
        Fields("how a table is read", value, ("dialect", "schema"))
        dialect = None if value["dialect"] is None else CsvDialect.from_json(value["dialect"])
        return cls(dialect, Schema.from_json(value["schema"]))
