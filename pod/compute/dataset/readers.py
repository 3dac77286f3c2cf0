"""Readers: which kind of file or folder is which source of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitchain.pod.compute.dataset.arrow_file import ArrowFile
from fitchain.pod.compute.dataset.csv_file import CsvDialect, CsvFile
from fitchain.pod.compute.dataset.image_file import ImageForm
from fitchain.pod.compute.dataset.image_folder import ImageFolder
from fitchain.pod.compute.dataset.jsonl_file import JsonLinesFile
from fitchain.pod.compute.dataset.npz_file import NpzFile
from fitchain.pod.compute.dataset.parquet_file import ParquetFile
from fitchain.pod.compute.dataset.schema import Schema
from fitchain.pod.compute.dataset.source import Source
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.recipe.fields import Fields

Dialect = CsvDialect | ImageForm
"""How a source is written, or brought into one form, as far as that is said: a text, or a folder of
images."""
Opener = Callable[[Path, CsvDialect | None, int], Source]

SOURCES: Mapping[str, Opener] = {
    ".csv": CsvFile,
    ".tsv": CsvFile,
    ".jsonl": lambda path, _, limit_bytes: JsonLinesFile(path, limit_bytes),
    ".ndjson": lambda path, _, limit_bytes: JsonLinesFile(path, limit_bytes),
    ".npz": lambda path, _, limit_bytes: NpzFile(path, limit_bytes),
    ".parquet": lambda path, _, limit_bytes: ParquetFile(path, limit_bytes),
    ".arrow": lambda path, _, limit_bytes: ArrowFile(path, limit_bytes),
    ".feather": lambda path, _, limit_bytes: ArrowFile(path, limit_bytes),
}
"""What opens a file, by the ending of its name in lower case."""

_SHEET = ("a workbook", "export the sheet as CSV; what a date or a number is, a CSV file says as plain text")
_STATISTICS = ("a file of a statistics program", "export the table as Parquet or CSV, with codes, not their labels")
_UNPACK = ("packed", "unpack it first")
OTHERS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers"), _SHEET),
    **dict.fromkeys((".sav", ".dta", ".sas7bdat", ".xpt", ".rds", ".rdata"), _STATISTICS),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz"), _UNPACK),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".npy", ".pt"), ("a file of Python's", "save arrays by np.savez")),
    ".json": ("one JSON document", "write one object a line (.jsonl)"),
    ".txt": ("a text", "name it .csv if it is a table"),
}
"""Files that people have tables in, by the endings of their names: what each is, and what makes a
table of it."""


def parse_dialect(value: Mapping[str, Any] | None) -> Dialect | None:
    """Read the form in which a source says how it was read; nothing where it was no guess.

    Raises:
        InputRefused: it is another.
    """
    if not value:
        return None
    return ImageForm.from_json(value) if "colour" in value else CsvDialect.from_json(value)


def open_source(path: Path, dialect: Dialect | None, limit_bytes: int) -> Source:
    """Open a file or a folder of records.

    Args:
        path: of it.
        dialect: what is known of how it is written; only a text may be written in several ways, and
            only images of a folder be brought into another form.
        limit_bytes: the most that is read.

    Raises:
        HostUnusable: what reads it is not installed.
        InputRefused: its name has no known ending, or it is no such file.
        OSError: it cannot be read.
    """
    if path.is_dir():
        if isinstance(dialect, CsvDialect):
            raise InputRefused("it is a folder, and what is said is how a CSV file is written", "leave that out")
        return ImageFolder(path, dialect, limit_bytes)
    if isinstance(dialect, ImageForm):
        raise InputRefused("it is no folder of images, and what is said is their form", "leave that out")
    opener = SOURCES.get(path.suffix.lower())
    if opener is None:
        if (other := OTHERS.get(path.suffix.lower())) is not None:
            raise InputRefused(f"it is {other[0]}, which is not read", other[1])
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
        dialect: of a text, or the form of images.
        schema: what its columns are.
    """

    dialect: Dialect | None
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
        return cls(parse_dialect(value["dialect"]), Schema.from_json(value["schema"]))
