"""Jobs that end on a real node with a certificate: nothing is trained, the transcript is made up
and fits the recipe."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fitchain.pod.compute.dataset import Card, Policy, ReadingTerms, Table, batches, register
from fitchain.pod.compute.dataset.preprocessing import preprocessing_metadata, preprocessing_of
from fitchain.pod.ports.agreement import Agreements, AuditTerms, Terms, commit_key, commit_nonce, order_seed
from fitchain.pod.ports.agreement.calls import _ending_out, _terms_out
from fitchain.pod.ports.keys import Keys
from fitchain.pod.ports.registry import Registry
from fitchain.pod.ports.store.base import Cid
from fitchain.pod.ports.store.unixfs import add_file, chunks
from fitchain.pod.proof.certificate import HeldOutClaim, issue
from fitchain.pod.proof.certificate.early_end import EarlyEnd
from fitchain.pod.proof.certificate.envelope import unseal
from fitchain.pod.proof.certificate.statement import MOST_LEAVES
from fitchain.pod.proof.transcript import Transcript
from fitchain.pod.values.digest import ZERO, Digest, Root, sha256
from fitchain.pod.values.graph import Input
from fitchain.pod.values.held_out import Classes, HeldOut, Subgroup, held_out_salt
from fitchain.pod.values.ids import AgreementId, DatasetId, ModelId
from fitchain.pod.values.leaf import Leaf, StateRoots, metrics_digest, records_digest, state_word
from fitchain.pod.values.recipe import Audit, Recipe, draft
from fitchain.pod.values.recipe.terms import SEGMENT
from fitchain.pod.values.state import TensorBytes, Tensors, model_root, optimizer_root, write_safetensors
from tests.agreements import ASKER_NONCE
from tests.chain_fixtures import Account, no_mining

FIT = 10**18
NONCE = sha256(b"nonce")
SOMETHING = Cid.of(0x55, bytes(32))
NO_AUDIT = AuditTerms()
OTHER = "0x" + "7" * 64
INPUTS = (Input("x", "F32", (1,)),)
"""Of the graph, which nobody looks at."""


def tensors(after: int) -> Tensors:
    """A model's tensors after so many steps; no training, but a different model at each."""
    weight = np.arange(6, dtype=np.float32) + after
    return {
        "layer.weight": TensorBytes("parameter", "F32", (2, 3), memoryview(weight.tobytes())),
        "layer.seen": TensorBytes("buffer", "I64", (), memoryview(np.int64(after).tobytes())),
    }


@dataclass(frozen=True)
class Parties:
    """Owner and scientist with what they registered."""

    owner: Account
    scientist: Account
    card: Card
    recipe: Recipe
    dataset: DatasetId
    model: ModelId

    def request(
        self,
        salt: bytes,
        recipe: Recipe | None = None,
        model: ModelId | None = None,
        audit: AuditTerms = NO_AUDIT,
    ) -> AgreementId:
        agreed = recipe or self.recipe
        terms = Terms(
            owner=self.owner.address,
            dataset=self.dataset,
            dataset_root=self.card.root,
            model=model or self.model,
            model_root=agreed.initial_model,
            recipe=agreed.digest,
            environment=agreed.environment.digest,
            steps=agreed.steps,
            segment_steps=agreed.segment_steps,
            group_leaves=agreed.group_leaves,
            step_bytes=1 << 20,
            step_calls=12,
            step_operations=10**6,
            price=5 * FIT,
            bond=max(2 * FIT, audit.fees),
            acceptance_window=600,
            training_window=6000,
            dispute_window=600,
            nonce_commitment=commit_nonce(ASKER_NONCE) if audit.seats else ZERO,
            audit=audit,
        )
        return Agreements(self.scientist.chain).request(sha256(salt), terms, SOMETHING)

    def begin(self, id: AgreementId) -> tuple[Digest, Digest]:
        calls = Agreements(self.owner.chain)
        calls.accept(id, commit_key(NONCE))
        calls.begin(id, NONCE)
        run = calls.run_record(id)
        return run.ctx, run.seed


States = dict[int, StateRoots]


def claim_of(recipe: Recipe, index: int, delivered: int | None = None) -> HeldOutClaim | None:
    """A made-up result on the held-out records, of a leaf that is evaluated: the delivered one's is
    the best."""
    if not recipe.evaluates_at(index):
        return None
    wrong, records = (1 if index in (delivered, recipe.leaf_count - 1) else 2), recipe.held_out_count
    outcome = _classes(records, wrong)
    half = records // 2
    parts = tuple(
        Subgroup(column, (group,), count, _classes(count, missed))
        for column, groups in recipe.subgroups.items()
        for group, count, missed in zip(groups, (half, records - half), (wrong, 0), strict=True)
    )
    return HeldOutClaim(HeldOut(records, outcome, parts), held_out_salt(sha256(b"salt %d" % index)))


def _classes(records: int, wrong: int) -> Classes:
    right = records - wrong
    return Classes(2, records, right, (right - 4, wrong, 0, 4), 0.25, 8 * (right - 4))


def claims_of(recipe: Recipe, count: int, delivered: int | None = None) -> tuple[HeldOutClaim, ...] | None:
    """Those of all leaves, where each is evaluated."""
    claims = tuple(claim for index in range(1, count) if (claim := claim_of(recipe, index, delivered)) is not None)
    return claims if recipe.evaluate == SEGMENT else None


@dataclass(frozen=True)
class MadeUp:
    """A transcript that was not trained but fits, with the roots of every state."""

    transcript: Transcript
    states: States


def roots_of(recipe: Recipe, index: int) -> StateRoots:
    """The roots of a made-up state."""
    if index == 0:
        return StateRoots(recipe.initial_model, optimizer_root({}))
    return StateRoots(model_root(tensors(recipe.step_of(index))), Root(sha256(b"optimizer %d" % index)))


def leaves_of(recipe: Recipe, ctx: Digest, seed: Digest, upto: int, delivered: int | None = None) -> MadeUp:
    """A transcript as an honest owner's recorder writes it, up to a leaf."""
    leaves: list[Leaf] = []
    states: States = {}
    previous, stream, done = ZERO, batches(recipe, seed), 0
    for index in range(upto):
        step = recipe.step_of(index)
        used = list(islice(stream, step - done))
        records = records_digest(np.concatenate(used) if used else np.empty(0, np.uint64))
        metrics = metrics_digest({"loss": 1 / (1 + step)} if step else {}, sha256(b"salt %d" % index))
        states[index] = roots_of(recipe, index)
        opened = index in (0, delivered, upto - 1)
        word = state_word(states[index].digest, None if opened else sha256(b"state salt %d" % index))
        held_out = ZERO if (claim := claim_of(recipe, index, delivered)) is None else claim.digest
        leaves.append(Leaf(index, step, word, records, metrics, held_out, previous))
        previous, done = leaves[-1].digest(ctx, seed), step
    return MadeUp(Transcript(ctx, seed, tuple(leaves)), states)


def bent(made: MadeUp, index: int, states: dict[int, StateRoots] | None = None, **changes: Any) -> MadeUp:
    """The transcript with one leaf changed and every later one chained to it anew."""
    transcript, leaves = made.transcript, list[Leaf]()
    for leaf in transcript.leaves:
        new = replace(leaf, **(changes if leaf.index == index else {}))
        previous = leaves[-1].digest(transcript.ctx, transcript.seed) if leaves else ZERO
        leaves.append(replace(new, previous=previous))
    return MadeUp(replace(transcript, leaves=tuple(leaves)), made.states | (states or {}))


def with_first(roots: StateRoots) -> Callable[[MadeUp], MadeUp]:
    """An owner whose leaf 0 names another state."""
    return lambda made: bent(made, 0, {0: roots}, state=roots.digest)


def long_transcript(recipe: Recipe, ctx: Digest, seed: Digest) -> MadeUp:
    """A transcript of which only what an outline shows is made as an honest owner makes it."""
    last = recipe.leaf_count - 1
    states = {index: roots_of(recipe, index) for index in (0, last)}
    leaves: list[Leaf] = []
    stream, previous = batches(recipe, seed), ZERO
    for index in range(recipe.leaf_count):
        word, records = (states[index].digest if index in states else ZERO), ZERO
        if index in states:
            ends = (recipe.step_of(index - 1), recipe.step_of(index)) if index else (0, 0)
            used = list(islice(stream, *ends))
            records = records_digest(np.concatenate(used) if used else np.empty(0, np.uint64))
        held_out = ZERO if (claim := claim_of(recipe, index)) is None else claim.digest
        leaves.append(Leaf(index, recipe.step_of(index), word, records, ZERO, held_out, previous))
        previous = leaves[-1].digest(ctx, seed)
    return MadeUp(Transcript(ctx, seed, tuple(leaves)), states)


@dataclass(frozen=True)
class Job:
    """A job whose run has ended on chain, with what was delivered."""

    parties: Parties
    id: AgreementId
    made: MadeUp
    recipe: Recipe
    model: Path
    delivered: int
    certificate: bytes

    @property
    def transcript(self) -> Transcript:
        return self.made.transcript

    @property
    def statement(self) -> dict[str, Any]:
        return dict(json.loads(unseal(self.certificate)[0]))

    @property
    def keys(self) -> Keys:
        return self.parties.owner.keys

    def issue(self, **changes: Any) -> bytes:
        given: dict[str, Any] = {
            "recipe": self.recipe,
            "card": self.parties.card,
            "transcript": self.made.transcript,
            "states": self.made.states,
            "model": self.model,
            "delivered": self.delivered,
            "held_out": claim_of(self.recipe, self.delivered, self.delivered),
            "evaluations": claims_of(self.recipe, self.made.transcript.count, self.delivered),
        }
        stated = given | changes
        step = stated["transcript"].leaves[-1].step
        early = EarlyEnd.of(step + 1, "the loss is nan") if step < self.recipe.steps else None
        return issue(self.parties.owner.chain, self.keys, self.id, **({"ended": early} | stated))


def registered(
    owner: Account, scientist: Account, source: Path, policy: Policy | None = None, is_grouped: bool = False
) -> Parties:
    """What both registered; where the dataset is grouped, results are told by two sites, too."""
    generator, count = np.random.default_rng(0), 250 if is_grouped else 50
    columns: dict[str, Any] = {"size": generator.normal(size=count), "kind": np.arange(count) % 2}
    columns |= {"site": np.arange(count) // 4 % 2} if is_grouped else {}
    np.savez(source, **columns)
    subgroups = {"site": False} if is_grouped else None
    table = Table.read(source, ReadingTerms(target="kind"))
    card = register(table, bytes(32), "A table", price=FIT, policy=policy, subgroups=subgroups).card
    batch_size = 64 if is_grouped else 8
    shape = {"steps": 20, "segment_steps": 2, "group_leaves": 4, "batch_size": batch_size, "held_out": 0.2}
    recipe = draft(sha256(b"graph"), model_root(tensors(0)), card.json(), "2.13.0+cpu", shape)
    cid = stored_cid(card)
    dataset = Registry(owner.chain).register_dataset(card.root, card.count, cid)
    model = Registry(scientist.chain).register_model(recipe.graph, recipe.initial_model)
    return Parties(owner, scientist, card, recipe, dataset, model)


def stored_cid(card: Card) -> Cid:
    return add_file(chunks(BytesIO(card.encode())), lambda cid, block: None).cid


@dataclass(frozen=True)
class Play:
    """How a job goes.

    Args:
        upto: how many leaves there are where it diverges; None for all.
        delivered: the leaf that is delivered, by the rule of a recipe that is not given; None for
            the last.
        bend: makes the owner dishonest about what it tells the chain.
        recipe, model: others than the parties'.
        audit: what is agreed about audits.
        at_once: whether all after the acceptance stands in one block.
    """

    upto: int | None = None
    delivered: int | None = None
    bend: Callable[[MadeUp], MadeUp] | None = None
    recipe: Recipe | None = None
    model: ModelId | None = None
    audit: AuditTerms = NO_AUDIT
    at_once: bool = False


def played(parties: Parties, path: Path, salt: bytes, how: Play | None = None, **changes: Any) -> Job:
    """Play a job up to its end, its model in a file; `changes` are fields of `Play`."""
    how = replace(how or Play(), **changes)
    panel = None if how.audit.panel == ZERO else how.audit.panel
    agreed = Audit(how.audit.drawn_segments, how.audit.verifiers, how.audit.mode, panel)
    recipe = replace(how.recipe or parties.recipe, audit=agreed)
    if how.delivered is not None and how.recipe is None:
        recipe = replace(recipe, evaluate=SEGMENT, best="accuracy")
    id = parties.request(salt, recipe, how.model, how.audit)
    calls = Agreements(parties.owner.chain)
    if how.at_once:
        made = ended_at_once(parties, id, recipe)
    else:
        upto = how.upto or recipe.leaf_count
        made = leaves_of(recipe, *parties.begin(id), upto, upto - 1 if how.delivered is None else how.delivered)
        made = how.bend(made) if how.bend else made
        for group in made.transcript.groups(recipe.group_leaves):
            calls.chain.wait(calls.submit_anchor(id, made.transcript.seed, group.peaks, group.root, None))
        last, index = made.states[made.transcript.count - 1], how.delivered
        shown = None if index is None else (index, made.states[index])
        identity = None if how.audit.verifiers else SOMETHING
        ending = made.transcript.ending(recipe.group_leaves, last, SOMETHING, identity, shown)
        (calls.diverge if how.upto else calls.finish)(id, ending)
    index = made.transcript.count - 1 if how.delivered is None else how.delivered
    metadata = preprocessing_metadata(preprocessing_of(recipe, parties.card, INPUTS))
    write_safetensors(path, tensors(made.transcript.leaves[index].step), metadata)
    job = Job(parties, id, made, recipe, path, index, b"")
    return replace(job, certificate=b"" if how.bend else job.issue())


def ended_at_once(parties: Parties, id: AgreementId, recipe: Recipe) -> MadeUp:
    """Send begin, all anchors and the end of a job into one block: whoever trains nothing knows all
    of it beforehand."""
    calls = Agreements(parties.owner.chain)
    chain = calls.chain
    calls.accept(id, commit_key(NONCE))
    agreement = calls.read(id)
    terms = _terms_out(agreement.terms)
    chain.node.request("evm_mine")
    ctx = calls.context(agreement)
    seed = order_seed(ctx, chain.block(agreement.seed_block).hash, NONCE)
    made = leaves_of(recipe, ctx, seed, recipe.leaf_count)
    transcript, last = made.transcript, made.states[recipe.leaf_count - 1]
    with no_mining(chain):
        sent = [chain.submit("ProofOfTrain", "begin", id, terms, NONCE, ZERO, gas=400_000)]
        groups = transcript.groups(recipe.group_leaves)
        sent += [calls.submit_anchor(id, transcript.seed, group.peaks, group.root, None) for group in groups]
        ending = _ending_out(transcript.ending(recipe.group_leaves, last, SOMETHING, SOMETHING))
        sent.append(chain.submit("ProofOfTrain", "finish", id, terms, ending, gas=1_500_000))
    for pending in sent:
        chain.wait(pending)
    return made


def long_job(parties: Parties, path: Path, bend: Callable[[MadeUp], MadeUp] | None = None) -> Job:
    """A job of one leaf more than certificates list, its model in a file; `bend` makes the owner
    dishonest about what it tells the chain."""
    steps = 2 * MOST_LEAVES
    recipe = replace(parties.recipe, steps=steps, group_leaves=1 << 16, learning_rates=((steps, 0.001),))
    id = parties.request(b"long" if bend is None else b"long and bent", recipe)
    made = long_transcript(recipe, *parties.begin(id))
    made = bend(made) if bend else made
    calls = Agreements(parties.owner.chain)
    for group in made.transcript.groups(recipe.group_leaves):
        calls.chain.wait(calls.submit_anchor(id, made.transcript.seed, group.peaks, group.root, None))
    last = made.states[MOST_LEAVES]
    calls.finish(id, made.transcript.ending(recipe.group_leaves, last, SOMETHING, SOMETHING))
    write_safetensors(path, tensors(steps), preprocessing_metadata(preprocessing_of(recipe, parties.card, INPUTS)))
    return Job(parties, id, made, recipe, path, MOST_LEAVES, b"")


# Altering a statement


def fields(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of every scalar in a JSON value, and of every empty list and object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None or not value:
        yield path
        return
    for key, each in items:
        yield from fields(each, (*path, key))


def altered(value: Any) -> Any:
    """Another value of the same type, as near as can be."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if value.startswith("0x") or len(value) == 64:
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        case str():
            return value + "1" if value.isdigit() else value + "x"
        case None:
            return OTHER
        case list():
            return [0]
        case _:
            return {"x": 0}


def with_field(statement: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any], Any]) -> dict[str, Any]:
    changed = copy.deepcopy(statement)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = change(place[path[-1]])
    return changed
