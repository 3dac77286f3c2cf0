"""JSON lines: one object a line, whose keys are the columns.

Numbers are kept as they are written, so that none loses a digit on the way; null and a key that is
not there are missing cells. What is nested has no column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from fitchain.pod.compute.dataset.columns import SLAB_ROWS
from fitchain.pod.compute.dataset.source import NO_KINDS, BadCells, Slab, plain_name, require_size
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import JSON_LINE_BYTES, MOST_COLUMNS, TABLE_BYTES


class JsonLinesFile:
    """A file of JSON lines as a source of records.

    Args:
        path: the file, UTF-8.
        limit_bytes: the most that is read.

    Raises:
        InputRefused: it is too large.
        OSError: it cannot be read.
    """

    place_word = "line"
    kinds = NO_KINDS
    mock = False

    def __init__(self, path: Path, limit_bytes: int = TABLE_BYTES) -> None:
        require_size(path, limit_bytes)
        self.path = path

    @property
    def dialect(self) -> Mapping[str, Any]:
        """Nothing of it is a guess."""
        return {}

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        """All keys, in the order in which they come first."""
        keys = dict[str, None]()
        for _, record, _ in self._records():
            keys |= dict.fromkeys(record)
            if len(keys) > MOST_COLUMNS:
                raise InputRefused(f"the records have more than {MOST_COLUMNS} keys together")
        return tuple(keys)

    @property
    def names(self) -> Sequence[str]:
        """Of the keys."""
        return tuple(map(plain_name, self._keys))

    def slabs(self, columns: Collection[int]) -> Iterator[Slab]:
        """The records, some thousands at a time; cells are texts."""
        wanted = {position: self._keys[position] for position in sorted(columns)}
        nested, halves = ({key: BadCells() for key in wanted.values()} for _ in range(2))
        places, cells = list[int](), {position: list[str]() for position in wanted}
        for line, record, done in self._records():
            places.append(line)
            for position, key in wanted.items():
                value = record.get(key)
                if isinstance(value, list | dict):
                    nested[key].add([line])
                elif isinstance(value, str) and not value.isascii() and _HALF.search(value):
                    halves[key].add([line])
                cells[position].append(_text(value))
            if len(places) == SLAB_ROWS:
                yield Slab(places, dict(cells), done)
                places, cells = [], {position: [] for position in wanted}
        if places:
            yield Slab(places, dict(cells), 1.0)
        for cells_by_key, what, advice in (
            (nested, "the cell is a list or an object", "make each of its values a column"),
            (halves, "the cell holds half of a character, as a text has that was cut", "mend it"),
        ):
            bad = [f"{each.where('line')}, column {key!r}" for key, each in cells_by_key.items() if each.count]
            if bad:
                raise InputRefused(f"{'; '.join(bad[:8])}: {what}", f"leave the column out (--drop), or {advice}")

    def _records(self) -> Iterator[tuple[int, dict[str, Any], float]]:
        """Each with its line, and the share of the file that ends with it."""
        with self.path.open("rb") as file:
            number, size = 0, max(self.path.stat().st_size, 1)
            while line := file.readline(JSON_LINE_BYTES + 1):
                number += 1
                if len(line) > JSON_LINE_BYTES:
                    raise InputRefused(f"line {number} has more than {JSON_LINE_BYTES} bytes")
                if line.strip(b" \t\r\n\xef\xbb\xbf"):
                    yield number, _parse(line, number), file.tell() / size


_HALF = re.compile("[\ud800-\udfff]")
"""Of the two code units by which UTF-16 writes a rare character; one alone is in no text."""


def _parse(line: bytes, number: int) -> dict[str, Any]:
    try:
        record = json.loads(
            line.decode("utf-8-sig"), parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_object
        )
    except _Twice:
        raise InputRefused(f"line {number}: a key stands twice") from None
    except (ValueError, RecursionError):
        raise InputRefused(f"line {number} is no JSON", 'each line is one object, such as {"age": 41}') from None
    if not isinstance(record, dict):
        raise InputRefused(f"line {number} is no object", 'each line is one object, such as {"age": 41}')
    return record


class _Twice(Exception):
    """A key of an object stands twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise _Twice
    return record


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
