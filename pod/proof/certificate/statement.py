"""The statement: what a certificate claims, as a value that has the right form and may still be
false.

A statement is an in-toto Statement v1: its subject is the delivered file, its predicate the
training. What it claims is compared with the chain, the leaves and the file in `claims`.

Source: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitchain.pod.compute.dataset import Card
from fitchain.pod.compute.dataset.card import VERSION as CARD_VERSION
from fitchain.pod.ports.agreement import AuditTerms
from fitchain.pod.ports.chain.base import CONTRACTS, DIRECTORY
from fitchain.pod.proof.certificate.early_end import EarlyEnd
from fitchain.pod.proof.certificate.risk import RiskClaim
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import ZERO, Digest, Json, Root, canonical_json, parse_json, path_in, peaks, tree_levels
from fitchain.pod.values.errors import ClaimMismatch, InputRefused, OtherVersion
from fitchain.pod.values.held_out import HeldOut, held_out_digest, held_out_salt
from fitchain.pod.values.ids import NO_MODEL, AgreementId, DatasetId, ModelId, PanelId
from fitchain.pod.values.job_folder import MODEL
from fitchain.pod.values.leaf import Checkpoint, Leaf, StateRoots
from fitchain.pod.values.limits import MOST_COLUMN_NAME, STATEMENT
from fitchain.pod.values.privacy.ledger import epsilon_of
from fitchain.pod.values.recipe import Environment, Recipe
from fitchain.pod.values.recipe.fields import Fields
from fitchain.pod.values.recipe.privacy import MOST_UNIT_RECORDS
from fitchain.pod.values.recipe.terms import MOST_EVALUATIONS, MOST_ROWS, SEGMENT
from fitchain.pod.values.recipe.terms import VERSION as RECIPE_VERSION
from fitchain.pod.values.versions import require_version

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://fitchain.org/certificate/v2"
"""Names the predicate's format. It is a name: nothing is ever fetched from there."""

VERSION = "fitchain/certificate/v2"
FILE_NAME = MODEL
MOST_LEAVES = 100_000
"""So many leaves are listed; of a longer transcript the certificate holds an outline."""
MOST_ANCESTORS = 128
"""Registered models that a lineage lists, the nearest; what lies behind them is in the registry."""
MOST_PARENTS = 64
"""The registry takes no more."""
MOST_UNITS = 2**128 - 1
MOST_LEDGER = (1 << 16) - 1
NAMED_CONTRACTS = (*CONTRACTS, DIRECTORY)
_HOLDING_LEAVES = ("leaves", "groups", "tail", "opened")


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A registered model from which the initial model descends, or which is the initial model.

    Args:
        id: of the registry; the rest is what the registry has under it.
        graph: digest of its graph.
        root: over its tensors.
        base: the registered model that a training's states are deltas over; zero for none.
        parents: the registered models that it grew out of.
        derivation: digest of how it follows from them; zero where that is not said.
    """

    id: ModelId
    graph: Digest
    root: Root
    base: ModelId
    parents: tuple[ModelId, ...]
    derivation: Digest

    def json(self) -> dict[str, Json]:
        """Its JSON value; `base` and `derivation` are null where there is none."""
        return {
            "id": str(self.id),
            "graph": str(self.graph),
            "root": str(self.root),
            "base": _or_null(self.base),
            "parents": [str(parent) for parent in self.parents],
            "derivation": _or_null(self.derivation),
        }

    @classmethod
    def from_json(cls, value: Any) -> Ancestor:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("an ancestor", value, ("id", "graph", "root", "base", "parents", "derivation"))
        return cls(
            id=ModelId(fields.digest("id")),
            graph=fields.digest("graph"),
            root=fields.root("root"),
            base=ModelId(_or_zero(fields, "base")),
            parents=tuple(ModelId(Digest.parse(each)) for each in fields.items("parents", 0, MOST_PARENTS)),
            derivation=_or_zero(fields, "derivation"),
        )


@dataclass(frozen=True, slots=True)
class BaseClaim:
    """The registered model over which initial and delivered model are deltas, and its root."""

    id: ModelId
    root: Root

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {"id": str(self.id), "root": str(self.root)}

    @classmethod
    def from_json(cls, value: Any) -> BaseClaim:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("the base", value, ("id", "root"))
        return cls(ModelId(fields.digest("id")), fields.root("root"))


@dataclass(frozen=True, slots=True)
class PrivacyClaim:
    """What a training costs of its records' privacy: it is (epsilon, delta)-differentially private
    for each unit, as long as the noise was drawn as agreed.

    Args:
        unit: the owner's column, each of whose values is a unit; None where a record is one.
        most_records: how many records of a unit are used at most.
        units: from how many each step draws.
        epsilon: by the Renyi orders that the ledger keeps, in its units.
        delta: the dataset's.
    """

    unit: str | None
    most_records: int
    units: int
    epsilon: float
    delta: float

    @classmethod
    def of(cls, recipe: Recipe, card: Card) -> PrivacyClaim | None:
        """What a recipe costs a dataset; None where it has no terms of privacy."""
        if recipe.privacy is None or card.privacy is None:
            return None
        delta = card.privacy.delta
        unit = None if card.unit is None else card.unit.column
        return cls(unit, recipe.unit_records, recipe.training_count, epsilon_of(recipe.charge, delta), delta)

    @property
    def words(self) -> str:
        """All of it in words, as a refutation shows it: no two claims have the same."""
        whose = "records" if self.unit is None else f"units of {self.unit!r}"
        terms = f"epsilon {self.epsilon!r} beside delta {self.delta!r}"
        rows = "one record" if self.most_records == 1 else f"{self.most_records} records"
        return f"{terms} for each of {self.units} {whose}, of {rows} at most"

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {
            "unit": self.unit,
            "most_records": self.most_records,
            "units": self.units,
            "epsilon": self.epsilon,
            "delta": self.delta,
        }

    @classmethod
    def from_json(cls, value: Any) -> PrivacyClaim:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("the privacy", value, cls.__dataclass_fields__)
        counts = fields.integer("most_records", 1, MOST_UNIT_RECORDS), fields.integer("units", 1, MOST_ROWS)
        unit = None if value["unit"] is None else fields.text("unit", MOST_COLUMN_NAME)
        return cls(unit, *counts, fields.real("epsilon", 0), fields.real("delta", 0, 1))


@dataclass(frozen=True, slots=True)
class HeldOutClaim:
    """What a leaf's model does on the held-out records.

    Args:
        result: the counts.
        salt: with which they open the leaf.
    """

    result: HeldOut
    salt: Digest

    @classmethod
    def of(cls, recipe: Recipe, card: Card, checkpoint: Checkpoint) -> HeldOutClaim | None:
        """What of a leaf's result leaves by a dataset's policy; None where nothing does."""
        if checkpoint.held_out is None or not leaves_with_certificate(recipe, card):
            return None
        return cls(checkpoint.held_out, held_out_salt(checkpoint.salt))

    @classmethod
    def of_each(cls, recipe: Recipe, card: Card, checkpoints: Sequence[Checkpoint]) -> tuple[HeldOutClaim, ...] | None:
        """What leaves of the results of all leaves but leaf 0; None where nothing does, or only the
        last has one."""
        if recipe.evaluate != SEGMENT or not leaves_with_certificate(recipe, card):
            return None
        claims = (cls.of(recipe, card, checkpoint) for checkpoint in checkpoints[1:])
        return tuple(claim for claim in claims if claim is not None)

    @property
    def digest(self) -> Digest:
        """What the leaf says of it."""
        return held_out_digest(self.result, self.salt)

    def json(self) -> dict[str, Json]:
        """Its JSON value."""
        return {"result": self.result.json(), "salt": str(self.salt)}

    @classmethod
    def from_json(cls, value: Any) -> HeldOutClaim:
        """Read it from its JSON value.

        Raises:
            InputRefused: it has another form.
        """
        fields = Fields("the held-out result", value, ("result", "salt"))
        return cls(HeldOut.from_json(value["result"]), fields.digest("salt"))


def leaves_with_certificate(recipe: Recipe, card: Card) -> bool:
    """Whether the result on held-out records leaves: where metrics do by the dataset's policy, and
    always where it is noised."""
    return recipe.held_out is not None and (recipe.privacy is not None or card.policy.metrics_leave)


@dataclass(frozen=True, slots=True)
class ProvenLeaf:
    """A leaf with its audit path to the transcript's tree, from the leaf upwards (RFC 9162, section
    2.1.3)."""

    leaf: Leaf
    path: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """A transcript of more leaves than a certificate lists: the nodes of its tree that lead to the
    root, and the leaves without which nobody could say where the training began and what it gave.

    Args:
        groups: roots of the full groups, as they were anchored.
        tail: perfect subtrees of the last, partial group, largest first.
        opened: leaf 0, the delivered leaf and the last, by rising index and each once.
    """

    groups: tuple[Digest, ...]
    tail: tuple[Digest, ...]
    opened: tuple[ProvenLeaf, ...]


@dataclass(frozen=True)
class Statement:
    """What a certificate claims.

    Args:
        subject: SHA-256 of the delivered file.
        agreement, chain_id, contracts, owner, scientist: which agreement, of whom, on which
            deployment (addresses by name, the directory's included).
        initial_model, final_model, last_model: model roots of leaf 0, of the delivered leaf and of
            the last.
        base: the model over which initial and delivered model are deltas; None where they are
            whole. The roots are those of the whole in any case.
        lineage: the registered model that the training began with and those from which it descends,
            breadth first, parents in the order in which they are registered, each once; at most
            `MOST_ANCESTORS`.
        recipe, environment: what was agreed, whole; the environment class is the recipe's.
        dataset, dataset_root, ledger, card: the registered dataset: its id, its root, the number of
            the privacy ledger that it is charged to (0: none), its card, whole.
        privacy: what the training costs of the records' privacy; None where it is not private.
        risk: what the owner states of the privacy-risk report; None where it made none.
        held_out: what the delivered model does on the held-out records; None where none are, where
            that leaf was not evaluated, and where the dataset's policy keeps it with the owner.
        evaluations: what the models of leaves 1 and up do on them, by rising index; None where the
            recipe does not evaluate each, and where the dataset's policy keeps it with the owner.
        ended: how the training ended before its last step; None where it did not, and beside a
            privacy budget.
        audit: what was agreed about audits; amounts in base units of FIT.
        ctx, seed: context and order seed, which stand in every leaf.
        transcript_root, count, steps: root of the transcript, its leaves, the steps they cover.
        delivered: index of the leaf whose model is delivered.
        states: by rising index the roots under leaf 0, the delivered leaf and the last, which name
            their states unsalted.
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
    last_model: Root
    base: BaseClaim | None
    lineage: tuple[Ancestor, ...]
    recipe: Recipe
    environment: Environment
    dataset: DatasetId
    dataset_root: Root
    ledger: int
    card: Card
    privacy: PrivacyClaim | None
    risk: RiskClaim | None
    held_out: HeldOutClaim | None
    evaluations: tuple[HeldOutClaim, ...] | None
    ended: EarlyEnd | None
    audit: AuditTerms
    ctx: Digest
    seed: Digest
    transcript_root: Root
    count: int
    steps: int
    delivered: int
    states: Mapping[int, StateRoots]
    leaves: tuple[Leaf, ...] | Outline

    @property
    def shown(self) -> tuple[Leaf, ...]:
        """Every leaf that it shows, by rising index."""
        return tuple(each.leaf for each in self.leaves.opened) if isinstance(self.leaves, Outline) else self.leaves

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
                    "last": str(self.last_model),
                    "base": None if self.base is None else self.base.json(),
                    "lineage": [each.json() for each in self.lineage],
                },
                "recipe": self.recipe.json(),
                "environment": self.environment.json(),
                "dataset": {
                    "id": str(self.dataset),
                    "root": str(self.dataset_root),
                    "ledger": self.ledger,
                    "card": self.card.json(),
                },
                "privacy": None if self.privacy is None else self.privacy.json(),
                "risk": None if self.risk is None else self.risk.json(),
                "held_out": None if self.held_out is None else self.held_out.json(),
                "evaluations": None if self.evaluations is None else [each.json() for each in self.evaluations],
                "ended": None if self.ended is None else self.ended.json(),
                "audit": _audit_json(self.audit),
                "transcript": {
                    "context": str(self.ctx),
                    "order_seed": str(self.seed),
                    "root": str(self.transcript_root),
                    "count": self.count,
                    "steps": self.steps,
                    "delivered": self.delivered,
                    "states": [{"index": index} | roots.to_json() for index, roots in sorted(self.states.items())],
                    **_leaves_json(self.leaves),
                },
            },
        }

    @classmethod
    def parse(cls, data: bytes) -> Statement:
        """Read a statement.

        Raises:
            OtherVersion: it is of another version, about which nothing can be said here.
            ClaimMismatch: it is of this version, and not in its one form.
        """
        try:
            value = parse_json(data, STATEMENT)
            _require_versions(value)
            statement = cls.from_json(value)
        except OtherVersion:
            raise
        except InputRefused as error:
            raise ClaimMismatch(f"the certificate's statement has not its form: {error.message}", error.hint) from None
        if statement.encode() != data:
            raise ClaimMismatch("the certificate's statement is not canonical JSON (RFC 8785)")
        return statement

    @classmethod
    def from_json(cls, value: Any) -> Statement:
        """Read a statement from its JSON value, checking every field.

        Raises:
            InputRefused: a field is missing, unknown, of the wrong type or out of bounds, or says
                what is not supported yet.
        """
        top = Fields("the statement", value, ("_type", "subject", "predicateType", "predicate"))
        top.choice("_type", (STATEMENT_TYPE,))
        top.choice("predicateType", (PREDICATE_TYPE,))
        parts = (
            *("version", "agreement", "model", "recipe", "environment", "dataset", "privacy", "held_out"),
            *("evaluations", "risk", "ended", "audit", "transcript"),
        )
        predicate = Fields("the predicate", value["predicate"], parts)
        predicate.choice("version", (VERSION,))
        part = predicate.value
        job = Fields("the agreement", part["agreement"], ("id", "chain_id", "contracts", "owner", "scientist"))
        contracts = Fields("the contracts", job.value["contracts"], NAMED_CONTRACTS)
        model = Fields("the model", part["model"], ("initial", "final", "last", "base", "lineage"))
        dataset = Fields("the dataset", part["dataset"], ("id", "root", "ledger", "card"))
        heads = ("context", "order_seed", "root", "count", "steps", "delivered", "states")
        transcript = Fields("the transcript", part["transcript"], heads, _HOLDING_LEAVES)
        return cls(
            subject=_subject(top),
            agreement=AgreementId(job.digest("id")),
            chain_id=job.integer("chain_id", 1, 2**53),
            contracts={name: contracts.text(name, 42) for name in NAMED_CONTRACTS},
            owner=job.text("owner", 42),
            scientist=job.text("scientist", 42),
            initial_model=model.root("initial"),
            final_model=model.root("final"),
            last_model=model.root("last"),
            base=None if model.value["base"] is None else BaseClaim.from_json(model.value["base"]),
            lineage=tuple(Ancestor.from_json(each) for each in model.items("lineage", 1, MOST_ANCESTORS)),
            recipe=Recipe.from_json(part["recipe"]),
            environment=Environment.parse(part["environment"]),
            dataset=DatasetId(dataset.digest("id")),
            dataset_root=dataset.root("root"),
            ledger=dataset.integer("ledger", 0, MOST_LEDGER),
            card=Card.from_json(dataset.value["card"]),
            privacy=None if part["privacy"] is None else PrivacyClaim.from_json(part["privacy"]),
            risk=None if part["risk"] is None else RiskClaim.from_json(part["risk"]),
            held_out=None if part["held_out"] is None else HeldOutClaim.from_json(part["held_out"]),
            evaluations=None if part["evaluations"] is None else _evaluations(predicate),
            ended=None if part["ended"] is None else EarlyEnd.from_json(part["ended"]),
            audit=_audit(part["audit"]),
            ctx=transcript.digest("context"),
            seed=transcript.digest("order_seed"),
            transcript_root=transcript.root("root"),
            count=transcript.integer("count", 1, 2**32),
            steps=transcript.integer("steps", 0, 2**32 - 1),
            delivered=transcript.integer("delivered", 0, 2**32 - 1),
            states=dict(_state(each) for each in transcript.items("states", 1, 3)),
            leaves=_leaves(transcript),
        )


def require_versions(data: bytes) -> None:
    """Check of which version a statement is, and the recipe and the card in it, before anything is
    made of its form, or of who signed it; bytes that are no JSON are of none.

    Raises:
        OtherVersion: one is of another.
    """
    try:
        value = parse_json(data, STATEMENT)
    except InputRefused:
        return
    _require_versions(value)


def _require_versions(value: Json) -> None:
    """As `require_versions`, of a statement's JSON value."""
    predicate = _part(value, "predicate")
    for what, part, own, field in (
        ("the certificate's statement", value, STATEMENT_TYPE, "_type"),
        ("the certificate", value, PREDICATE_TYPE, "predicateType"),
        ("the certificate", predicate, VERSION, "version"),
        ("the certificate's recipe", _part(predicate, "recipe"), RECIPE_VERSION, "version"),
        ("the certificate's card", _part(_part(predicate, "dataset"), "card"), CARD_VERSION, "version"),
    ):
        require_version(what, part, own, field)


def _part(value: Json, key: str) -> Json:
    """A member of what may be no object."""
    return value.get(key) if isinstance(value, dict) else None


def unsalted_leaves(count: int, delivered: int) -> tuple[int, ...]:
    """Indices of the leaves that name their states unsalted, rising: leaf 0, the delivered one and
    the last."""
    return tuple(sorted({0, delivered, count - 1}))


def outline_of(transcript: Transcript, group_leaves: int, delivered: int) -> Outline:
    """The outline of a transcript whose anchors cover `group_leaves` leaves."""
    roots = tuple(each.root for each in transcript.groups(group_leaves))
    tail = peaks(transcript.digests[len(roots) * group_leaves :])
    levels = tree_levels([bytes(digest) for digest in transcript.digests])
    opened = [
        ProvenLeaf(transcript.leaves[index], path_in(levels, index))
        for index in unsalted_leaves(transcript.count, delivered)
    ]
    return Outline(roots, tuple(root for root, _ in tail), tuple(opened))


def _or_null(digest: Digest) -> str | None:
    return None if digest == ZERO else str(digest)


def _or_zero(fields: Fields, key: str) -> Digest:
    return NO_MODEL if fields.value[key] is None else fields.digest(key)


def _evaluations(predicate: Fields) -> tuple[HeldOutClaim, ...]:
    return tuple(HeldOutClaim.from_json(each) for each in predicate.items("evaluations", 0, MOST_EVALUATIONS))


def _state(value: Any) -> tuple[int, StateRoots]:
    fields = Fields("a state", value, ("index", "model", "optimizer"))
    return fields.integer("index", 0, 2**32 - 1), StateRoots(fields.root("model"), fields.root("optimizer"))


def _subject(top: Fields) -> Digest:
    subject = Fields("the subject", top.items("subject", 1, 1)[0], ("name", "digest"))
    subject.choice("name", (FILE_NAME,))
    sha256 = Fields("the subject's digest", subject.value["digest"], ("sha256",)).text("sha256", 64)
    return Digest.parse("0x" + sha256)


def _audit_json(audit: AuditTerms) -> dict[str, Json]:
    return {
        "drawn_segments": audit.drawn_segments,
        "verifiers": audit.verifiers,
        "dispute_verifiers": audit.dispute_verifiers,
        "mode": audit.mode.word,
        "panel": str(audit.panel),
        "window": audit.window,
        "wait": audit.wait,
        "fee_per_seat": str(audit.fee_per_seat),
        "seat_stake": str(audit.seat_stake),
        "counter_bond": str(audit.counter_bond),
    }


def _audit(value: Any) -> AuditTerms:
    fields = Fields("the audit", value, _audit_json(AuditTerms()))
    return AuditTerms(
        drawn_segments=fields.integer("drawn_segments", 0, (1 << 16) - 1),
        verifiers=fields.integer("verifiers", 0, (1 << 8) - 1),
        dispute_verifiers=fields.integer("dispute_verifiers", 0, (1 << 8) - 1),
        mode=fields.mode("mode"),
        panel=PanelId(fields.digest("panel")),
        window=fields.integer("window", 0, (1 << 32) - 1),
        wait=fields.integer("wait", 0, (1 << 32) - 1),
        fee_per_seat=_units(fields, "fee_per_seat"),
        seat_stake=_units(fields, "seat_stake"),
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
    return {
        "groups": [str(node) for node in leaves.groups],
        "tail": [str(node) for node in leaves.tail],
        "opened": [{"leaf": each.leaf.to_json(), "path": [str(node) for node in each.path]} for each in leaves.opened],
    }


def _leaves(transcript: Fields) -> tuple[Leaf, ...] | Outline:
    held = {name: transcript.value[name] for name in _HOLDING_LEAVES if name in transcript.value}
    if "leaves" in held:
        Fields("a transcript with its leaves", held, ("leaves",))
        return tuple(Leaf.from_json(each) for each in transcript.items("leaves", 1, MOST_LEAVES))
    outline = Fields("a transcript's outline", held, ("groups", "tail", "opened"))
    groups, tail = (_nodes(outline, name, 1 << 24) for name in ("groups", "tail"))
    return Outline(groups, tail, tuple(_proven(each) for each in outline.items("opened", 1, 3)))


def _proven(value: Any) -> ProvenLeaf:
    fields = Fields("an opened leaf", value, ("leaf", "path"))
    return ProvenLeaf(Leaf.from_json(fields.value["leaf"]), _nodes(fields, "path", 32))


def _nodes(fields: Fields, key: str, most: int) -> tuple[Digest, ...]:
    return tuple(Digest.parse(node) for node in fields.items(key, 0, most))
