"""Leaves of reference trainings: what a report's digest binds of them, and what opens one segment
of one of them (no torch).

Each leaf is salted on its own: states and records are functions of the records, so who knew all of
them but one could else try which makes up a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.values.digest import (
    Digest,
    Json,
    Root,
    path_in,
    root_from_path,
    tagged,
    tree_levels,
    tree_root,
)
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.limits import MOST_PATH
from fitchain.pod.values.recipe.fields import Fields
from fitchain.pod.values.state import state_digest

LEAF_TAG, SALT_TAG = "fitchain/reference-leaf/v2", "fitchain/reference-salt/v2"
TRAINING_TAG, ROOT_TAG = "fitchain/reference-training/v2", "fitchain/references/v2"
LEAF_BYTES = 96
MOST_NUMBER = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ReferenceLeaf:
    """Where a reference training stands after a segment.

    Args:
        model, optimizer: the state's roots.
        records: digest of the segment's records.
    """

    model: Root
    optimizer: Root
    records: Digest

    def digest(self, number: int, index: int, salt: Digest) -> Digest:
        """The leaf's digest.

        Args:
            number: of the training.
            index: of the leaf, from 0.
            salt: its own.
        """
        return tagged(LEAF_TAG, number, index, state_digest(self.model, self.optimizer), self.records, salt)

    def encode(self) -> bytes:
        """Its three digests, 96 bytes."""
        return bytes(self.model) + bytes(self.optimizer) + bytes(self.records)

    @classmethod
    def parse(cls, data: bytes) -> ReferenceLeaf:
        """Read its three digests.

        Raises:
            InputRefused: they are not 96 bytes.
        """
        if len(data) != LEAF_BYTES:
            raise InputRefused(f"a leaf of a reference training has {LEAF_BYTES} bytes, not {len(data)}")
        model, optimizer, records = (Digest(data[at : at + 32]) for at in (0, 32, 64))
        return cls(Root(model), Root(optimizer), records)


def reference_salt(salt: Digest, number: int, index: int) -> Digest:
    """The salt of a leaf, which follows from the report's, and does not tell it."""
    return tagged(SALT_TAG, salt, number, index)


def leaf_digests(leaves: Sequence[ReferenceLeaf], number: int, salt: Digest) -> list[Digest]:
    """The digests of a training's leaves.

    Args:
        leaves: all of them.
        number: of the training.
        salt: the report's.
    """
    return [leaf.digest(number, index, reference_salt(salt, number, index)) for index, leaf in enumerate(leaves)]


def training_root(digests: Sequence[Digest]) -> Digest:
    """The root of a reference training over the digests of its leaves."""
    return tagged(TRAINING_TAG, len(digests), tree_root(digests))


def references_root(roots: Sequence[Digest]) -> Digest:
    """The root over all reference trainings, by their roots."""
    return tagged(ROOT_TAG, len(roots), tree_root(roots))


@dataclass(frozen=True, slots=True)
class ProvenReferenceLeaf:
    """A leaf of a reference training with its salt, and its path to the training's tree."""

    leaf: ReferenceLeaf
    salt: Digest
    path: tuple[Digest, ...]

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "model": str(self.leaf.model),
            "optimizer": str(self.leaf.optimizer),
            "records": str(self.leaf.records),
            "salt": str(self.salt),
            "path": [str(node) for node in self.path],
        }

    @classmethod
    def from_json(cls, value: Any) -> ProvenReferenceLeaf:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("a reference leaf", value, ("model", "optimizer", "records", "salt", "path"))
        leaf = ReferenceLeaf(fields.root("model"), fields.root("optimizer"), fields.digest("records"))
        return cls(leaf, fields.digest("salt"), _path(fields))


@dataclass(frozen=True, slots=True)
class OpenedReference:
    """One segment of one reference training, as evidence opens it.

    Args:
        number: of the training.
        trainings: how many there are.
        segment: segment j, from leaf j to leaf j+1.
        count: leaves of the training, fewer than the recipe's where it ended early.
        leaves: leaf j, and leaf j+1 where the training has it.
        path: from the training to the tree over all of them.
    """

    number: int
    trainings: int
    segment: int
    count: int
    leaves: tuple[ProvenReferenceLeaf, ...]
    path: tuple[Digest, ...]

    # Many parameters: what is opened, of how many, and what the rest of the tree is.
    @classmethod
    def of(
        cls, leaves: Sequence[ReferenceLeaf], number: int, segment: int, salt: Digest, roots: Sequence[Digest]
    ) -> OpenedReference:
        """Open a segment.

        Args:
            leaves: all of the training.
            number, segment: which.
            salt: the report's.
            roots: of all trainings.
        """
        levels = tree_levels([bytes(digest) for digest in leaf_digests(leaves, number, salt)])
        opened = tuple(
            ProvenReferenceLeaf(leaves[index], reference_salt(salt, number, index), path_in(levels, index))
            for index in (segment, segment + 1)
            if index < len(leaves)
        )
        path = path_in(tree_levels([bytes(root) for root in roots]), number)
        return cls(number, len(roots), segment, len(leaves), opened, path)

    @property
    def ends(self) -> bool:
        """Whether the training ends inside the segment, which has no leaf at its end."""
        return self.segment == self.count - 1

    def roots(self) -> tuple[Digest, ...]:
        """The roots over all trainings to which its leaves lead, one a leaf.

        Raises:
            InputRefused: a path does not fit.
        """
        led = []
        for index, opened in enumerate(self.leaves, self.segment):
            digest = opened.leaf.digest(self.number, index, opened.salt)
            tree = root_from_path(digest, index, self.count, opened.path)
            training = tagged(TRAINING_TAG, self.count, tree)
            above = root_from_path(training, self.number, self.trainings, self.path)
            led.append(tagged(ROOT_TAG, self.trainings, above))
        return tuple(led)

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "number": self.number,
            "trainings": self.trainings,
            "segment": self.segment,
            "count": self.count,
            "leaves": [opened.json() for opened in self.leaves],
            "path": [str(node) for node in self.path],
        }

    @classmethod
    def from_json(cls, value: Any) -> OpenedReference:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form, or not the leaves of its segment.
        """
        names = ("number", "trainings", "segment", "count", "leaves", "path")
        fields = Fields("the opened reference training", value, names)
        number, trainings, segment, count = (fields.integer(name, 0, MOST_NUMBER) for name in names[:4])
        leaves = tuple(ProvenReferenceLeaf.from_json(each) for each in fields.items("leaves", 1, 2))
        if not (number < trainings and segment < count and len(leaves) == min(2, count - segment)):
            raise InputRefused("the opened reference training has not the leaves of its segment")
        return cls(number, trainings, segment, count, leaves, _path(fields))


def _path(fields: Fields) -> tuple[Digest, ...]:
    return tuple(Digest.parse(node) for node in fields.items("path", 0, MOST_PATH))
