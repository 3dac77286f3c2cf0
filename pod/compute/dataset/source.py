"""Sources: where records come from, before anybody has said what they mean.

A source opens nothing but what it is given, and unpickles, imports and evaluates nothing of it. It
knows the names of its columns and gives its cells slab by slab, as texts or as arrays that have a
type already; what they mean is for `schema` to decide, for all sources alike. CONTRIBUTING.md shows
how a source is added.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fitchain.pod.compute.dataset.columns import Array, Kind
from fitchain.pod.values.errors import InputRefused


@dataclass(frozen=True)
class Typed:
    """Cells of one column that have a type.

    Args:
        values: `[n, *shape]`, of a dtype of `DTYPES` or one that such a one holds exactly.
        missing: `[n]`, where a cell has no value; None where all have.
        unit: of times, one of `cells.TIME_UNITS`; else empty.
    """

    values: Array
    missing: npt.NDArray[np.bool_] | None = None
    unit: str = ""


def missing_of(typed: Typed) -> Array:
    """Where cells are missing, bool `[n]`: where the source says so, and a number that is not one."""
    values, gone = typed.values, typed.missing
    if values.dtype.kind != "f" or values.ndim > 1:
        return np.zeros(len(values), np.bool_) if gone is None else gone
    return np.isnan(values) if gone is None else gone | np.isnan(values)


Cells = list[str] | Typed
"""The cells of one column in one slab: texts, or values that have a type already."""


@dataclass(frozen=True)
class Slab:
    """Some records, as a source has them.

    Args:
        places: number of each record's line, or of the record, from 1 on, for messages.
        cells: by the place of the column in the source.
        done: the share of the source that ends with them; 0 where that is not known.
        comma: whether numbers in texts have a decimal comma.
    """

    places: Sequence[int]
    cells: Mapping[int, Cells]
    done: float = 0.0
    comma: bool = False


Tick = Callable[[str, float], object]
"""Is told what is being done, and what share of it is done; 0 where that is not known."""


def no_tick(what: str, done: float) -> None:
    """Tell nobody."""


NO_KINDS: Mapping[str, Kind] = MappingProxyType({})
"""Of a source that says nothing of what its columns are."""


def require_size(path: Path, limit_bytes: int) -> None:
    """Refuse a file of more bytes than are read.

    Raises:
        InputRefused: it has more.
        OSError: it is not there.
    """
    if (size := path.stat().st_size) > limit_bytes:
        raise InputRefused(f"the file has {size} bytes and the limit is {limit_bytes}")


class Source(Protocol):
    """Records of one file or folder.

    Attributes:
        names: of its columns, as `plain_name` has them, in order; empty for one without a name,
            and not necessarily different.
        place_word: what a place is called: `line` or `record`.
        mock: whether it is marked as mock data.
        kinds: of its columns, where the source itself says them; what its owner says goes before.
        dialect: how it was read, where that was a guess or could have been said; the same words are
            taken back as terms.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def place_word(self) -> str: ...
    @property
    def mock(self) -> bool: ...
    @property
    def kinds(self) -> Mapping[str, Kind]: ...
    @property
    def dialect(self) -> Mapping[str, Any]: ...

    def slabs(self, columns: Collection[int]) -> Iterator[Slab]:
        """Read the records, from the first.

        Args:
            columns: the places of those that are wanted; of the others nothing is checked but that
                they are there.

        Yields:
            Slabs of up to some thousands of records.

        Raises:
            InputRefused: the source is damaged, or beyond a limit; the message names places, never
                a cell's content.
            OSError: it cannot be read.
        """
        ...


MOST_REFUSALS = 8
"""Columns of which a refusal tells what is wrong; of further ones it tells the number."""


@dataclass
class BadCells:
    """Cells that cannot be used, to be sentences all at once.

    Args:
        count: how many there are.
        places: of the first of them.
    """

    count: int = 0
    places: list[int] = field(default_factory=list)

    def add(self, places: Sequence[int]) -> None:
        """Note more of them."""
        self.count += len(places)
        self.places += places[: MOST_PLACES - len(self.places)]

    def where(self, word: str) -> str:
        """`line 3`, `lines 3 and 17`, `lines 3, 17, 18 and 40 more`."""
        shown, rest = [str(position) for position in self.places], self.count - len(self.places)
        last = f"{rest} more" if rest else shown.pop() if len(shown) > 1 else ""
        return f"{word}{'s' if self.count > 1 else ''} {', '.join(shown)}{f' and {last}' if last else ''}"


MOST_PLACES = 4
"""Of cells that are refused for one reason so many are named by their place."""


class Refusals:
    """What is wrong with the cells of a source, by column and reason, sentences in one message."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.bad = dict[tuple[str, str, str], BadCells]()

    def add(self, name: str, reason: str, advice: str, places: Sequence[int]) -> None:
        """Note cells of a column that cannot be used, or with no places the column itself."""
        cells = self.bad.setdefault((name, reason, advice), BadCells())
        cells.add(places)

    def note(self, name: str, reason: str, advice: str, cells: BadCells) -> None:
        """Note cells that were gathered already."""
        self.bad[name, reason, advice] = cells

    def raise_any(self) -> None:
        """Refuse the source if anything was noted.

        Raises:
            InputRefused: so it is.
        """
        if not self.bad:
            return
        entries = list(self.bad.items())
        sentences = [
            f"{f'{cells.where(self.word)}, ' if cells.places else ''}column {name!r}: {reason}"
            for (name, reason, _), cells in entries[:MOST_REFUSALS]
        ]
        if rest := len(entries) - MOST_REFUSALS:
            sentences += [f"and {rest} more such findings"] if rest > 0 else []
        advice = dict.fromkeys(advice for (_, _, advice), _ in entries[:MOST_REFUSALS] if advice)
        raise InputRefused("; ".join(sentences), "; ".join(list(advice)[:3]))


def plain_name(name: str) -> str:
    """A column's name as it is known by: in Unicode's composed form (NFC), with line breaks, tabs
    and no-break spaces as single spaces and none at its ends."""
    return " ".join(unicodedata.normalize("NFC", name).split())
