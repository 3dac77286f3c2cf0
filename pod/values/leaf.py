"""Leaves: what the transcript says of one checkpoint of a training, as fixed bytes.

It knows digests and counts; nothing of models, records or chains. No torch.

    leaf j = tagged("fitchain/leaf/v2", ctx, seed, j, s_j, state digest, records digest, metrics
    digest, leaf j-1)

A `Leaf` is what is proven; a `Checkpoint` is a leaf together with the metrics and the salt that
open its metrics digest. The owner keeps checkpoints, one a line, in `leaves.jsonl`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fitchain.pod.values.digest import (
    ZERO,
    Digest,
    Json,
    Root,
    blake3_digest,
    canonical_json,
    parse_json,
    sha256,
    tagged,
)
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, InputRefused

Metrics = Mapping[str, float]
Indices = npt.NDArray[np.uint64]

LINE_BYTES = 1 << 16
"""The longest line of `leaves.jsonl` that is read."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """The transcript's entry after step `step`, number `index` from zero."""

    index: int
    step: int
    model: Root
    optimizer: Root
    records: Digest
    metrics: Digest
    previous: Digest

    @property
    def state(self) -> Digest:
        """The state digest: model root and optimizer root under one tag."""
        return tagged("fitchain/state/v2", self.model, self.optimizer)

    def digest(self, ctx: Digest, seed: Digest) -> Digest:
        """Digest the leaf within its job.

        Args:
            ctx: the agreement's context, so that no leaf serves another job, chain or deployment.
            seed: the order seed.
        """
        words = (self.index, self.step, self.state, self.records, self.metrics, self.previous)
        return tagged("fitchain/leaf/v2", ctx, seed, *words)

    def to_json(self) -> dict[str, Json]:
        """The leaf as a JSON object: two numbers and five digests."""
        return {
            "index": self.index,
            "step": self.step,
            "model": str(self.model),
            "optimizer": str(self.optimizer),
            "records": str(self.records),
            "metrics": str(self.metrics),
            "previous": str(self.previous),
        }

    @classmethod
    def from_json(cls, value: Any) -> Leaf:
        """Read the JSON form.

        Raises:
            InputRefused: a field is missing, unknown or not of its type.
        """
        fields = _object(value, "a leaf", cls.__dataclass_fields__)
        index, step = _count(fields["index"], "index"), _count(fields["step"], "step")
        model, optimizer = (Root(Digest.parse(fields[name])) for name in ("model", "optimizer"))
        rest = (Digest.parse(fields[name]) for name in ("records", "metrics", "previous"))
        return cls(index, step, model, optimizer, *rest)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A leaf with what opens its metrics digest; the owner's, the scientist's by sealed note."""

    leaf: Leaf
    metrics: Metrics
    salt: Digest

    def verify(self) -> None:
        """Check that metrics and salt open the leaf's metrics digest.

        Raises:
            DigestMismatch: they do not.
        """
        opened = metrics_digest(self.metrics, self.salt)
        if opened != self.leaf.metrics:
            raise DigestMismatch(
                f"the metrics of leaf {self.leaf.index} digest to {opened}, and the leaf says {self.leaf.metrics}"
            )

    def to_json(self) -> dict[str, Json]:
        """The checkpoint as a JSON object."""
        return {"leaf": self.leaf.to_json(), "metrics": dict(self.metrics), "salt": str(self.salt)}

    @classmethod
    def from_json(cls, value: Any) -> Checkpoint:
        """Read the JSON form.

        Raises:
            InputRefused: a field is missing, unknown or not of its type.
        """
        fields = _object(value, "a checkpoint", cls.__dataclass_fields__)
        metrics = fields["metrics"]
        if not isinstance(metrics, dict) or not all(_is_number(number) for number in metrics.values()):
            raise InputRefused(f"a checkpoint's metrics are numbers by name, not {metrics!r}")
        try:
            exact = {name: float(number) for name, number in metrics.items()}
        except OverflowError:
            raise InputRefused("a checkpoint's metrics are doubles, and one is an integer beyond them") from None
        return cls(Leaf.from_json(fields["leaf"]), exact, Digest.parse(fields["salt"]))

    def to_line(self) -> bytes:
        """The checkpoint as one line of `leaves.jsonl`."""
        return canonical_json(self.to_json()) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Checkpoint:
        """Read one line of `leaves.jsonl`.

        Raises:
            InputRefused: the line is no checkpoint.
        """
        return cls.from_json(parse_json(line, LINE_BYTES))


def records_digest(indices: Indices) -> Digest:
    """Digest the records that a segment used, in training order.

    Args:
        indices: uint64 `[n]`, the records' places in the registered dataset.
    """
    little_endian = np.ascontiguousarray(indices, dtype="<u8")
    return tagged("fitchain/batches/v2", little_endian.size, blake3_digest(little_endian.data.cast("B")))


def metrics_salt(key: bytes, index: int) -> Digest:
    """Derive the salt of leaf `index`'s metrics.

    Args:
        key: 32 bytes, the job's secret for this purpose.
        index: the leaf's number.

    Returns:
        HMAC-SHA256(key, uint64 big-endian index) (RFC 2104).
    """
    return Digest(hmac.digest(key, index.to_bytes(8, "big"), "sha256"))


def metrics_digest(metrics: Metrics, salt: Digest) -> Digest:
    """Digest a segment's metrics under a salt, so that nobody guesses them from the leaf.

    Raises:
        InputRefused: a metric is not finite.
    """
    return tagged("fitchain/metrics/v2", salt, sha256(canonical_json(dict(metrics))))


def verify_chain(leaves: Sequence[Leaf], ctx: Digest, seed: Digest) -> list[Digest]:
    """Check that each leaf names the one before, from leaf 0 on.

    Returns:
        The leaves' digests.

    Raises:
        ClaimMismatch: a number, a step or a link is wrong; the message names the first such leaf.
    """
    digests: list[Digest] = []
    previous, step = ZERO, -1
    for index, leaf in enumerate(leaves):
        if leaf.index != index:
            raise ClaimMismatch(f"leaf {index} calls itself leaf {leaf.index}")
        if leaf.step <= step or (index == 0 and leaf.step != 0):
            raise ClaimMismatch(f"leaf {index} stands after step {leaf.step}, and the one before it after step {step}")
        if leaf.previous != previous:
            raise ClaimMismatch(f"leaf {index} names {leaf.previous} as the leaf before it, which is {previous}")
        previous, step = leaf.digest(ctx, seed), leaf.step
        digests.append(previous)
    return digests


def _object(value: Any, what: str, names: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != names.keys():
        actual = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise InputRefused(f"{what} has the fields {sorted(names)}, not {actual}")
    return value


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise InputRefused(f"a leaf's {name} is a count below 2**32, not {value!r}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
