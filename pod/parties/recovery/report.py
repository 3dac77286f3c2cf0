"""What a recovery came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Restored:
    """Something that was recovered.

    Args:
        kind: dataset, model, request, job, vote or question.
        id: of it.
        what: how, in words.
    """

    kind: str
    id: str
    what: str


@dataclass(frozen=True)
class Lost:
    """Something that could not be recovered.

    Args:
        kind: as `Restored.kind`, or journal and transactions for what was in these alone.
        id: of it; empty where it is about no one thing.
        what: is not known any more.
        meaning: what that costs, or what happens instead.
        command: that brings it back, where one does.
    """

    kind: str
    id: str
    what: str
    meaning: str
    command: str = ""


@dataclass
class Recovery:
    """A recovery as it goes on.

    Args:
        damage: why each file could not be believed, by its name.
        moved: where the damaged files lie now.
        restored, lost: what came of the rest.
    """

    damage: dict[str, str] = field(default_factory=dict)
    moved: list[Path] = field(default_factory=list)
    restored: list[Restored] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)

    def has(self, kind: str, id: object, what: str) -> None:
        """Note something that was recovered."""
        self.restored.append(Restored(kind, str(id), what))

    def lacks(self, kind: str, id: object, what: str, meaning: str, command: str = "") -> None:
        """Note something that was not; arguments as `Lost`."""
        self.lost.append(Lost(kind, str(id), what, meaning, command))
