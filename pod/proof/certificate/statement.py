"""The statement: what a certificate claims, as a value that has the right form and may still be
false.

A statement is an in-toto Statement v1: its subject is the delivered file, its predicate the
training. What it claims is compared with the chain, the leaves and the file in `claims`.

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fitchain.pod.compute.dataset import Card
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.ports.chain.base import CONTRACTS
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import Digest, Json, Root, canonical_json, inclusion_path, parse_json, peaks
from fitchain.pod.values.errors import ClaimMismatch, InputRefused
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId, PanelId
from fitchain.pod.values.leaf import Leaf
from fitchain.pod.values.recipe import Environment, Recipe
from fitchain.pod.values.recipe.fields import Fields

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://fitchain.org/certificate/v2"
"""Names the predicate's format. It is a name: nothing is ever fetched from there."""

VERSION = "fitchain/certificate/v2"
FILE_NAME = "model.safetensors"
STATEMENT_BYTES = 192 << 20
MOST_LEAVES = 100_000
MOST_ANCESTORS = 1_000
MOST_UNITS = 2**128 - 1
_HOLDING_LEAVES = ("leaves", "groups", "tail", "last", "path")


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A registered model in the line from which the initial model descends."""

    id: ModelId
    graph: Digest
    root: Root


@dataclass(frozen=True, slots=True)
class Outline:
    """A transcript of more leaves than a certificate lists: the nodes of its tree that lead to the
    root.

    Args:
        groups: roots of the full groups, as they were anchored.
        tail: perfect subtrees of the last, partial group, largest first.
        last: the last leaf.
        path: its left siblings within the smallest subtree, from the leaf upwards.
    """

    groups: tuple[Digest, ...]
    tail: tuple[Digest, ...]
    last: Leaf
    path: tuple[Digest, ...]


@dataclass(frozen=True)
class Statement:
    """What a certificate claims.

    Args:
        subject: SHA-256 of the delivered file.
        agreement, chain_id, contracts, owner, scientist: which agreement, of whom, on which
            deployment (addresses by name).
        initial_model, final_model: model roots.
        lineage: the registered model that the training began with, the one it descends from, and so
            on.
        recipe, environment: what was agreed, whole; the environment class is the recipe's.
        dataset, dataset_root, card: the registered dataset: its id, its root, its card, whole.
        audit: what was agreed about audits; amounts in base units of FIT.
        ctx, seed: context and order seed, which stand in every leaf.
        transcript_root, count, steps: root of the transcript, its leaves, the steps they cover.
        leaves: every leaf, or the transcript's outline beyond `MOST_LEAVES`.
    """

    subject: Digest
    agreement: AgreementId
    chain_id: int
    contracts: Mapping[str, str]
    owner: str
    scientist: str
    initial_model: Root
    final_model: Root
    lineage: tuple[Ancestor, ...]
    recipe: Recipe
    environment: Environment
    dataset: DatasetId
    dataset_root: Root
    card: Card
    audit: AuditTerms
    ctx: Digest
    seed: Digest
    transcript_root: Root
    count: int
    steps: int
    leaves: tuple[Leaf, ...] | Outline

    @property
    def last(self) -> Leaf:
        """The last leaf."""
        return self.leaves.last if isinstance(self.leaves, Outline) else self.leaves[-1]

    def encode(self) -> bytes:
        """The statement as canonical JSON."""
        return canonical_json(self.json())

    def json(self) -> dict[str, Any]:
        """The JSON value that `encode` writes."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": FILE_NAME, "digest": {"sha256": self.subject.value.hex()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "version": VERSION,
                "agreement": {
                    "id": str(self.agreement),
                    "chain_id": self.chain_id,
                    "contracts": dict(self.contracts),
                    "owner": self.owner,
                    "scientist": self.scientist,
                },
                "model": {
                    "initial": str(self.initial_model),
                    "final": str(self.final_model),
                    "lineage": [
                        {"id": str(each.id), "graph": str(each.graph), "root": str(each.root)} for each in self.lineage
                    ],
                },
                "recipe": self.recipe.json(),
                "environment": self.environment.json(),
                "dataset": {"id": str(self.dataset), "root": str(self.dataset_root), "card": self.card.json()},
                "audit": _audit_json(self.audit),
                "transcript": {
                    "context": str(self.ctx),
                    "order_seed": str(self.seed),
                    "root": str(self.transcript_root),
                    "count": self.count,
                    "steps": self.steps,
                    **_leaves_json(self.leaves),
                },
            },
        }

    @classmethod
    def parse(cls, data: bytes) -> Statement:
        """Read a statement.

        Raises:
            ClaimMismatch: it is no statement of this version, or not in its one form.
        """
        try:
            statement = cls.from_json(parse_json(data, STATEMENT_BYTES))
        except InputRefused as error:
            raise ClaimMismatch(f"the certificate's statement has not its form: {error.message}", error.hint) from None
        if statement.encode() != data:
            raise ClaimMismatch("the certificate's statement is not canonical JSON (RFC 8785)")
        return statement

    @classmethod
    def from_json(cls, value: Any) -> Statement:
        """Read a statement from its JSON value, checking every field.

        Raises:
            InputRefused: a field is missing, unknown, of the wrong type or out of bounds.
        """
        top = Fields("the statement", value, ("_type", "subject", "predicateType", "predicate"))
        top.choice("_type", (STATEMENT_TYPE,))
        top.choice("predicateType", (PREDICATE_TYPE,))
        parts = ("version", "agreement", "model", "recipe", "environment", "dataset", "audit", "transcript")
        predicate = Fields("the predicate", value["predicate"], parts)
        predicate.choice("version", (VERSION,))
        part = predicate.value
        job = Fields("the agreement", part["agreement"], ("id", "chain_id", "contracts", "owner", "scientist"))
        contracts = Fields("the contracts", job.value["contracts"], CONTRACTS)
        model = Fields("the model", part["model"], ("initial", "final", "lineage"))
        dataset = Fields("the dataset", part["dataset"], ("id", "root", "card"))
        heads = ("context", "order_seed", "root", "count", "steps")
        transcript = Fields("the transcript", part["transcript"], heads, _HOLDING_LEAVES)
        return cls(
            subject=_subject(top),
            agreement=AgreementId(job.digest("id")),
            chain_id=job.integer("chain_id", 1, 2**53),
            contracts={name: contracts.text(name, 42) for name in CONTRACTS},
            owner=job.text("owner", 42),
            scientist=job.text("scientist", 42),
            initial_model=model.root("initial"),
            final_model=model.root("final"),
            lineage=tuple(_ancestor(each) for each in model.items("lineage", 1, MOST_ANCESTORS)),
            recipe=Recipe.from_json(part["recipe"]),
            environment=Environment.parse(part["environment"]),
            dataset=DatasetId(dataset.digest("id")),
            dataset_root=dataset.root("root"),
            card=Card.from_json(dataset.value["card"]),
            audit=_audit(part["audit"]),
            ctx=transcript.digest("context"),
            seed=transcript.digest("order_seed"),
            transcript_root=transcript.root("root"),
            count=transcript.integer("count", 1, 2**32),
            steps=transcript.integer("steps", 0, 2**32 - 1),
            leaves=_leaves(transcript),
        )


def outline_of(transcript: Transcript, group_leaves: int) -> Outline:
    """The outline of a transcript whose anchors cover `group_leaves` leaves."""
    roots = tuple(each.root for each in transcript.groups(group_leaves))
    tail = peaks(transcript.digests[len(roots) * group_leaves :])
    smallest = transcript.count & -transcript.count
    path = inclusion_path(transcript.digests[-smallest:], smallest - 1)
    return Outline(roots, tuple(root for root, _ in tail), transcript.leaves[-1], tuple(path))


def _subject(top: Fields) -> Digest:
    subject = Fields("the subject", top.items("subject", 1, 1)[0], ("name", "digest"))
    subject.choice("name", (FILE_NAME,))
    sha256 = Fields("the subject's digest", subject.value["digest"], ("sha256",)).text("sha256", 64)
    return Digest.parse("0x" + sha256)


def _ancestor(value: Any) -> Ancestor:
    fields = Fields("an ancestor", value, ("id", "graph", "root"))
    return Ancestor(ModelId(fields.digest("id")), fields.digest("graph"), fields.root("root"))


def _audit_json(audit: AuditTerms) -> dict[str, Json]:
    return {
        "segments": audit.segments,
        "verifiers": audit.verifiers,
        "dispute_verifiers": audit.dispute_verifiers,
        "mode": audit.mode.word,
        "panel": str(audit.panel),
        "window": audit.window,
        "fee": str(audit.fee),
        "counter_bond": str(audit.counter_bond),
    }


def _audit(value: Any) -> AuditTerms:
    names = ("segments", "verifiers", "dispute_verifiers", "mode", "panel", "window", "fee", "counter_bond")
    fields = Fields("the audit", value, names)
    return AuditTerms(
        segments=fields.integer("segments", 0, (1 << 16) - 1),
        verifiers=fields.integer("verifiers", 0, (1 << 8) - 1),
        dispute_verifiers=fields.integer("dispute_verifiers", 0, (1 << 8) - 1),
        mode=fields.mode("mode"),
        panel=PanelId(fields.digest("panel")),
        window=fields.integer("window", 0, (1 << 32) - 1),
        fee=_units(fields, "fee"),
        counter_bond=_units(fields, "counter_bond"),
    )


def _units(fields: Fields, key: str) -> int:
    text = fields.text(key, 40)
    if not (text.isascii() and text.isdigit()) or not 0 <= int(text) <= MOST_UNITS:
        raise InputRefused(f"{fields.what}: {key} is an amount in base units, not {text!r}")
    return int(text)


def _leaves_json(leaves: tuple[Leaf, ...] | Outline) -> dict[str, Any]:
    if not isinstance(leaves, Outline):
        return {"leaves": [leaf.to_json() for leaf in leaves]}
    nodes = {"groups": leaves.groups, "tail": leaves.tail, "path": leaves.path}
    return {"last": leaves.last.to_json(), **{name: [str(node) for node in each] for name, each in nodes.items()}}


def _leaves(transcript: Fields) -> tuple[Leaf, ...] | Outline:
    held = {name: transcript.value[name] for name in _HOLDING_LEAVES if name in transcript.value}
    if "leaves" in held:
        Fields("a transcript with its leaves", held, ("leaves",))
        return tuple(Leaf.from_json(each) for each in transcript.items("leaves", 1, MOST_LEAVES))
    Fields("a transcript's outline", held, ("groups", "tail", "last", "path"))
    groups, tail, path = (
        tuple(Digest.parse(node) for node in transcript.items(name, 0, 1 << 24)) for name in ("groups", "tail", "path")
    )
    return Outline(groups, tail, Leaf.from_json(transcript.value["last"]), path)
