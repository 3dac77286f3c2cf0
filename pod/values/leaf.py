"""Leaves: what the transcript says of one checkpoint of a training, as fixed bytes.

It knows digests and counts; nothing of models, records or chains. No torch.

    leaf j = tagged("fitchain/leaf/v2", ctx, seed, j, s_j, state word, records digest, metrics
    digest, results word, leaf j-1)

The state word of leaf 0, of the delivered leaf and of the last is the state digest, and so is that
of a leaf that may be delivered, the best so far by a recipe's rule. Any other leaf has it salted:
records order, graph and weights may be known to others, and a leaf that names its state would
confirm a guess of the records. The results word is the digest of the result on held-out records,
and in the last leaf, where a privacy-risk report was asked for, of both.

A `Leaf` is what is proven, an `OpenedLeaf` one whose state stands in it unsalted, with the two
roots that make the state up: what a contract recomputes. A `Checkpoint` is a leaf together with
everything that opens it. The owner keeps checkpoints, one a line, in `leaves.jsonl`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from fitchain.pod.values.digest import (
    DIGEST_BYTES,
    ZERO,
    Digest,
    Json,
    Root,
    canonical_json,
    parse_json,
    sha256,
    tagged,
)
from fitchain.pod.values.errors import ClaimMismatch, DigestMismatch, InputRefused
from fitchain.pod.values.held_out import HeldOut, held_out_digest, held_out_salt
from fitchain.pod.values.limits import LEAF_LINE
from fitchain.pod.values.risk.report import Parts
from fitchain.pod.values.state import state_digest

Metrics = Mapping[str, float]
Indices = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Leaf:
    """The transcript's entry after step `step`, number `index` from zero.

    Args:
        index: its number, j.
        step: completed steps, s_j.
        state: the state word: the state digest, salted or not.
        records: digest of the records that the segment used which ends here.
        metrics: salted digest of that segment's metrics.
        held_out: the results word: salted digest of the result on the held-out records, zero in
            every leaf whose model the recipe does not evaluate; in the last of a whole training,
            where the dataset's policy asks for a risk report, of that, or zero, and the report's.
        previous: digest of the leaf before; zero in leaf 0.
    """

    index: int
    step: int
    state: Digest
    records: Digest
    metrics: Digest
    held_out: Digest
    previous: Digest

    def digest(self, ctx: Digest, seed: Digest) -> Digest:
        """Digest the leaf within its job.

        Args:
            ctx: the agreement's context, so that no leaf serves another job, chain or deployment.
            seed: the order seed.
        """
        words = (self.index, self.step, self.state, self.records, self.metrics, self.held_out, self.previous)
        return tagged("fitchain/leaf/v2", ctx, seed, *words)

    def to_json(self) -> dict[str, Json]:
        """The leaf as a JSON object: two numbers and five digests."""
        digests = {name: str(getattr(self, name)) for name in _DIGESTS}
        return {"index": self.index, "step": self.step, **digests}

    @classmethod
    def from_json(cls, value: Any) -> Leaf:
        """Read the JSON form.

        Raises:
            InputRefused: a field is missing, unknown or not of its type.
        """
        fields = _object(value, "a leaf", cls.__dataclass_fields__)
        index, step = _count(fields["index"], "index"), _count(fields["step"], "step")
        return cls(index, step, *(Digest.parse(fields[name]) for name in _DIGESTS))


_DIGESTS = ("state", "records", "metrics", "held_out", "previous")


@dataclass(frozen=True, slots=True)
class StateRoots:
    """The two roots that make up a state."""

    model: Root
    optimizer: Root

    @property
    def digest(self) -> Digest:
        """The state digest: both roots under one tag."""
        return state_digest(self.model, self.optimizer)

    def to_json(self) -> dict[str, Json]:
        """The roots as a JSON object."""
        return {"model": str(self.model), "optimizer": str(self.optimizer)}

    @classmethod
    def from_json(cls, value: Any) -> StateRoots:
        """Read the JSON form.

        Raises:
            InputRefused: a field is missing, unknown or no root.
        """
        fields = _object(value, "a state's roots", cls.__dataclass_fields__)
        return cls(*(Root(Digest.parse(fields[name])) for name in ("model", "optimizer")))


@dataclass(frozen=True, slots=True)
class OpenedLeaf:
    """A leaf whose state word is the state digest, with that state's roots: `struct Leaf` of the
    contracts, field by field."""

    index: int
    step: int
    model: Root
    optimizer: Root
    records: Digest
    metrics: Digest
    held_out: Digest
    previous: Digest

    @classmethod
    def of(cls, leaf: Leaf, roots: StateRoots) -> OpenedLeaf:
        """Open a leaf with the roots that stand beside it.

        Raises:
            DigestMismatch: they are not of the state that the leaf names, or the leaf is salted.
        """
        if leaf.state != roots.digest:
            raise DigestMismatch(
                f"leaf {leaf.index} names the state {leaf.state}, and the roots beside it make up {roots.digest}"
            )
        rest = (leaf.records, leaf.metrics, leaf.held_out, leaf.previous)
        return cls(leaf.index, leaf.step, roots.model, roots.optimizer, *rest)

    @property
    def roots(self) -> StateRoots:
        """The state's roots."""
        return StateRoots(self.model, self.optimizer)

    @property
    def leaf(self) -> Leaf:
        """The leaf itself."""
        rest = (self.records, self.metrics, self.held_out, self.previous)
        return Leaf(self.index, self.step, self.roots.digest, *rest)

    def digest(self, ctx: Digest, seed: Digest) -> Digest:
        """Digest the leaf within its job, as `Leaf.digest`."""
        return self.leaf.digest(ctx, seed)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A leaf with what opens its state and its metrics; the owner's, a drawn verifier's in
    evidence.

    Args:
        leaf: what is proven.
        model, optimizer: the state's roots.
        metrics: of the segment that ends here.
        salt: of the metrics.
        state_salt: of the state; None where the leaf names the state digest itself.
        held_out: result on the held-out records; None where there is none. Its salt follows from
            that of the metrics.
        report: what the digest of the privacy-risk report is over; None where none is asked for,
            or it is not made yet.
    """

    leaf: Leaf
    model: Root
    optimizer: Root
    metrics: Metrics
    salt: Digest
    state_salt: Digest | None = None
    held_out: HeldOut | None = None
    report: Parts | None = None

    @property
    def roots(self) -> StateRoots:
        """The state's roots."""
        return StateRoots(self.model, self.optimizer)

    @property
    def opened(self) -> OpenedLeaf:
        """The leaf as a contract is shown it.

        Raises:
            DigestMismatch: the leaf's state is salted, or another.
        """
        return OpenedLeaf.of(self.leaf, self.roots)

    def unsalted(self) -> Checkpoint:
        """The same checkpoint with the state digest itself in its leaf, whose digest is another
        then."""
        return replace(self, leaf=replace(self.leaf, state=self.roots.digest), state_salt=None)

    @property
    def held_out_digest(self) -> Digest:
        """The salted digest of the result on held-out records; zero where there is none."""
        return held_out_digest(self.held_out, held_out_salt(self.salt))

    def with_report(self, report: Parts | None) -> Checkpoint:
        """The same checkpoint with the digest of a risk report in its leaf, or without one; its
        leaf's digest is another then."""
        word = results_word(self.held_out_digest, report)
        return replace(self, leaf=replace(self.leaf, held_out=word), report=report)

    def verify(self) -> None:
        """Check that the roots, the metrics and the results open the leaf.

        Raises:
            DigestMismatch: they do not.
        """
        if (word := state_word(self.roots.digest, self.state_salt)) != self.leaf.state:
            raise DigestMismatch(
                f"the state of leaf {self.leaf.index} opens to {word}, and the leaf says {self.leaf.state}"
            )
        if (digest := metrics_digest(self.metrics, self.salt)) != self.leaf.metrics:
            raise DigestMismatch(
                f"the metrics of leaf {self.leaf.index} digest to {digest}, and the leaf says {self.leaf.metrics}"
            )
        if (word := results_word(self.held_out_digest, self.report)) != self.leaf.held_out:
            raise DigestMismatch(
                f"the results of leaf {self.leaf.index}, those on held-out records and of an attack, digest to {word},"
                f" and the leaf says {self.leaf.held_out}"
            )

    def to_json(self) -> dict[str, Json]:
        """The checkpoint as a JSON object."""
        return {
            "leaf": self.leaf.to_json(),
            **self.roots.to_json(),
            "metrics": dict(self.metrics),
            "salt": str(self.salt),
            "state_salt": None if self.state_salt is None else str(self.state_salt),
            "held_out": None if self.held_out is None else self.held_out.json(),
            "report": None if self.report is None else self.report.json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Checkpoint:
        """Read the JSON form.

        Raises:
            InputRefused: a field is missing, unknown or not of its type.
        """
        fields = _object(value, "a checkpoint", cls.__dataclass_fields__)
        metrics = fields["metrics"]
        if not isinstance(metrics, dict) or not all(_is_number(number) for number in metrics.values()):
            raise InputRefused(f"a checkpoint's metrics are numbers by name, not {metrics!r:.80}")
        try:
            exact = {name: float(number) for name, number in metrics.items()}
        except OverflowError:
            raise InputRefused("a checkpoint's metrics are doubles, and one is an integer beyond them") from None
        roots = StateRoots.from_json({name: fields[name] for name in ("model", "optimizer")})
        state_salt = None if fields["state_salt"] is None else Digest.parse(fields["state_salt"])
        salts = Digest.parse(fields["salt"]), state_salt
        held_out = None if fields["held_out"] is None else HeldOut.from_json(fields["held_out"])
        report = None if fields["report"] is None else Parts.from_json(fields["report"])
        return cls(Leaf.from_json(fields["leaf"]), roots.model, roots.optimizer, exact, *salts, held_out, report)

    def to_line(self) -> bytes:
        """The checkpoint as one line of `leaves.jsonl`."""
        return canonical_json(self.to_json()) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Checkpoint:
        """Read one line of `leaves.jsonl`.

        Raises:
            InputRefused: the line is no checkpoint.
        """
        return cls.from_json(parse_json(line, LEAF_LINE))


@dataclass(frozen=True, slots=True)
class SaltKeys:
    """The job's secrets from which the salts of its leaves derive, 32 bytes each.

    Raises:
        InputRefused: one has another length.
    """

    metrics: bytes = field(repr=False)
    states: bytes = field(repr=False)

    def __post_init__(self) -> None:
        for key in (self.metrics, self.states):
            if len(key) != DIGEST_BYTES:
                raise InputRefused(f"a key of salts has {DIGEST_BYTES} bytes, not {len(key)}")


NO_SALT_KEYS = SaltKeys(bytes(DIGEST_BYTES), bytes(DIGEST_BYTES))
"""The keys where nothing that is salted leaves the host: a rehearsal, an audit, an evaluation."""


def records_digest(indices: Indices, salt: Digest | None = None) -> Digest:
    """Digest the records that a segment used, in training order.

    Args:
        indices: uint64 `[n]`, the records' places in the registered dataset.
        salt: where the order is secret, as in private training; None where the order seed gives it.
    """
    records = SegmentRecords()
    records.add(indices)
    return records.digest(salt)


class SegmentRecords:
    """The records that a segment used, taken into their digest (`records_digest`) batch by batch:
    they may be as many as the dataset has, or more, and none is held."""

    def __init__(self) -> None:
        self._hasher, self._count = blake3(), 0

    def add(self, indices: Indices) -> None:
        """Take a batch.

        Args:
            indices: uint64 `[B]`, the records' places in the registered dataset.
        """
        little_endian = np.ascontiguousarray(indices, dtype="<u8")
        if little_endian.size:
            self._hasher.update(little_endian.data.cast("B"))
            self._count += little_endian.size

    def digest(self, salt: Digest | None = None) -> Digest:
        """Digest those taken, in their order; the salt is that of `records_digest`."""
        digest = tagged("fitchain/batches/v2", self._count, Digest(self._hasher.digest()))
        return digest if salt is None else tagged("fitchain/salted-batches/v2", salt, digest)


def leaf_salt(key: bytes, index: int) -> Digest:
    """Derive a salt of leaf `index`.

    Args:
        key: 32 bytes, the job's secret for this purpose.
        index: the leaf's number.

    Returns:
        HMAC-SHA256(key, uint64 big-endian index) (RFC 2104).
    """
    return Digest(hmac.digest(key, index.to_bytes(8, "big"), "sha256"))


def state_word(state: Digest, salt: Digest | None) -> Digest:
    """What a leaf says of a state.

    Args:
        state: the state digest.
        salt: the leaf's salt; None for leaf 0, the delivered leaf and the last.

    Returns:
        The state digest, or `tagged("fitchain/salted-state/v2", salt, state digest)`.
    """
    return state if salt is None else tagged("fitchain/salted-state/v2", salt, state)


def results_word(held_out: Digest, report: Parts | None) -> Digest:
    """What the last leaf says of a trained model's results.

    Args:
        held_out: salted digest of the result on held-out records; zero where there is none.
        report: what the digest of the privacy-risk report is over; None where none is asked for.

    Returns:
        The first, or `tagged("fitchain/results/v2", held_out, digest of the report)`.
    """
    return held_out if report is None else tagged("fitchain/results/v2", held_out, report.digest)


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
        actual = f"an object of {len(value)}" if isinstance(value, dict) else type(value).__name__
        raise InputRefused(f"{what} has the fields {', '.join(sorted(names))}, and this is {actual}")
    return value


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise InputRefused(f"a leaf's {name} is a count below 2**32, not {value!r:.80}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
