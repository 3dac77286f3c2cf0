"""Private training: replays bit for bit, resumes, audits; and what one record can do to a step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as examples
from hypothesis import strategies as st
from torch import nn

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import Table, assemble
from fitchain.pod.compute.environment.classes import DEFAULT
from fitchain.pod.compute.model.export import export
from fitchain.pod.compute.model.program import Program
from fitchain.pod.compute.private_training import RecordGradients, summed_units
from fitchain.pod.jobs.worker import Context, run_worker
from fitchain.pod.jobs.worker.events import Finished, ReplayEnded
from fitchain.pod.jobs.worker.task import Replay, Train
from fitchain.pod.ports.agreement import Outcome
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.audit.evidence import segment_records
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import InputRefused
from fitchain.pod.values.graph import Input
from fitchain.pod.values.privacy import noise
from fitchain.pod.values.privacy.keys import noise_root, opened_keys, segment_key
from fitchain.pod.values.recipe import Choice, Privacy, Recipe
from fitchain.pod.values.recipe.privacy import DEFAULT_GRID, LEAST_GRID, LEAST_SIGMA, MOST_GRID, MOST_SIGMA
from tests import audits, training_jobs
from tests.attacks.private_cheats import CHEATS
from tests.audits import Case, trained, trained_here
from tests.training_jobs import (
    COLUMNS,
    CTX,
    NOISE,
    PRIVACY,
    SALT_KEYS,
    SEED,
    PrivateNet,
    exported,
    job_folder,
    leaf_digests,
    private_recipe,
    recipe,
    table,
    train_folder,
)

PRIVATELY: dict[str, Any] = {"net": PrivateNet, "privacy": PRIVACY, "metrics": []}
TERMS = Privacy.parse(PRIVACY)


@pytest.fixture(scope="module")
def honest(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A job trained in private by a worker."""
    return trained(tmp_path_factory.mktemp("honest") / "job", store, **PRIVATELY)


# In a worker


def test_private_training_replays_bit_for_bit(honest: Case) -> None:
    ended = run_worker(honest.folder, Replay(Context(CTX, SEED, NOISE), tuple(range(6))))
    assert ended == ReplayEnded(6, True)


def test_private_training_that_was_interrupted_ends_in_the_same_leaves(honest: Case, tmp_path: Path) -> None:
    folder = job_folder(tmp_path / "job", honest.recipe)
    steps = 0

    def until_half(event: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_folder(folder, until_half)
    assert len(read_leaves(folder)) < 7
    assert isinstance(train_folder(folder), Finished)
    assert leaf_digests(read_leaves(folder)) == leaf_digests(read_leaves(honest.folder))


@pytest.mark.long
def test_other_noise_gives_another_model_and_other_records(tmp_path: Path) -> None:
    folders = [job_folder(tmp_path / name, private_recipe()) for name in ("one", "other")]
    contexts = [Context(CTX, SEED, secret) for secret in (NOISE, bytes(32))]
    ends = [run_worker(folder, Train(context, SALT_KEYS)) for folder, context in zip(folders, contexts, strict=True)]
    one, other = (read_leaves(folder)[1].leaf for folder in folders)
    assert ends[0] != ends[1] and one.records != other.records and one.state != other.state


def test_the_secret_of_the_noise_lies_in_no_file_of_a_job(honest: Case) -> None:
    Train(Context(CTX, SEED, NOISE), SALT_KEYS).write(honest.folder)
    files = [path for path in honest.folder.rglob("*") if path.is_file()]
    assert files and not [path for path in files if NOISE.hex() in path.read_bytes().decode("latin-1")]
    assert not [path for path in files if NOISE in path.read_bytes()]


def test_evidence_of_a_private_training_matches_and_opens_no_other_key(honest: Case) -> None:
    facts = honest.facts(honest.deliver(), drawn=2)
    examined = honest.examined(facts)
    assert (examined.outcome, examined.problems) == (Outcome.MATCH, ())
    evidence = honest.evidence(facts)
    assert tuple(evidence.noise) == facts.audited and NOISE.hex() not in repr(evidence)
    text = (evidence.folder / "evidence.json").read_text()
    closed = set(range(6)) - set(facts.audited)
    assert NOISE.hex() not in text and not any(segment_key(NOISE, segment).hex() in text for segment in closed)


@pytest.mark.long
def test_audit_of_segments_that_drew_nobody_matches(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `records.bin` holds no record."""
    short = {"batch_size": 1, "steps": 2, "segment_steps": 2, "group_leaves": 1, "learning_rates": [[2, 0.01]]}
    given = private_recipe(**short)
    secrets = (number.to_bytes(32, "big") for number in range(256))
    nobody = next(one for one in secrets if not segment_records(given, SEED, 0, segment_key(one, 0)).size)
    for module in (audits, training_jobs):
        monkeypatch.setattr(module, "NOISE", nobody)
    case = trained(tmp_path / "job", store, **PRIVATELY | short)
    examined = case.examined(case.facts(case.deliver()))
    assert (examined.outcome, examined.problems) == (Outcome.MATCH, ())


@pytest.mark.parametrize("what", ["another secret", "another segment", "none", "of other noise"])
def test_segment_whose_key_was_not_committed_to_cannot_be_replayed(honest: Case, what: str) -> None:
    facts = honest.facts(None, drawn=1)
    evidence, (first, *_) = honest.evidence(facts), facts.audited
    match what:
        case "another secret":
            keys = opened_keys(bytes(32), 6, facts.audited)
        case "another segment":
            keys = opened_keys(NOISE, 6, tuple((segment + 1) % 6 for segment in facts.audited))
            keys = dict(zip(facts.audited, keys.values(), strict=True))
        case "none":
            keys = {}
        case _:
            keys, facts = dict(evidence.noise), replace(facts, noise_root=noise_root(bytes(32), 6))
    checked = check(replace(evidence, noise=keys), facts)
    assert checked.replayable == () and {problem.segment for problem in checked.problems} == set(facts.audited)
    assert all("noise" in problem.what for problem in checked.problems) and first in facts.audited


def test_charge_that_is_not_the_recipes_is_a_problem_of_the_whole_and_keeps_nobody_from_replaying(honest: Case) -> None:
    facts = honest.facts(None, drawn=1)
    assert check(honest.evidence(facts), facts).problems == ()
    charged = replace(facts, charge=facts.charge - 1)
    checked = check(honest.evidence(charged), charged)
    assert checked.replayable == facts.audited
    (problem,) = checked.problems
    assert problem.segment is None and "the privacy ledger was charged" in problem.what


# What an owner changes in one segment


@pytest.mark.parametrize("cheat", CHEATS)
def test_segment_with_other_noise_clip_key_or_records_is_a_mismatch_when_drawn(
    cheat: str, store: LocalStore, tmp_path: Path
) -> None:
    with CHEATS[cheat]():
        case = trained_here(tmp_path / "job", store, **PRIVATELY)
    problems = case.replayed_here(case.facts(None))
    assert {problem.segment for problem in problems} == {2}


# One record


def gradients(net: nn.Module, inputs: int = 4, loss: str = "cross_entropy") -> RecordGradients:
    torch.manual_seed(0)
    graph, weights = export(net, (Input("x", "F32", (inputs,)),), 2)
    terms = replace(private_recipe(), loss=Choice(loss, {}))
    return RecordGradients(Program(graph, weights, DEFAULT), terms)


def of_rows(x: np.ndarray, y: np.ndarray) -> Any:
    """What assembles records that lie in arrays."""
    return lambda indices: ((x[indices.astype(np.int64)],), y[indices.astype(np.int64)])


X = np.random.default_rng(3).normal(size=(12, 4)).astype(np.float32)
Y = np.random.default_rng(4).integers(0, 3, 12)


def test_a_record_adds_the_same_whatever_others_are_drawn() -> None:
    """Rows of a product are not all computed alike, and a graph may enlarge a last bit."""
    made = gradients(nn.Sequential(nn.Linear(4, 33), nn.ReLU(), nn.Dropout(0.5), nn.Linear(33, 3)))
    rows = np.arange(12, dtype=np.uint64)
    whole = made.sum(rows, of_rows(X, Y), SEED, 5)
    assert torch.equal(whole, made.sum(rows[::-1].copy(), of_rows(X, Y), SEED, 5))
    alone = [made.sum(rows[place : place + 1], of_rows(X, Y), SEED, 5) for place in range(12)]
    assert torch.equal(whole, torch.stack(alone).sum(0)) and whole.abs().max() > 0
    assert all(int((each.double() ** 2).sum()) <= TERMS.grid**2 for each in alone)


def test_a_step_without_records_is_noise_alone() -> None:
    made = gradients(PrivateNet())
    assert not made.sum(np.empty(0, np.uint64), of_rows(X, Y), SEED, 0).any()


class Fails(nn.Module):
    """Looks a person up: what is asked for is not there, or no number, for one record alone."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.last, self.rows, self.how = nn.Linear(4, 3), nn.Embedding(4, 3), how

    def forward(self, x_B4: torch.Tensor) -> torch.Tensor:
        output_B3: torch.Tensor = self.last(x_B4)
        if self.how == "index":
            looked_up_B3: torch.Tensor = self.rows(x_B4[:, 0].long())
            return output_B3 + looked_up_B3
        return output_B3 / (x_B4[:, :1] - 7)


@pytest.mark.parametrize("how", ["index", "infinite"])
def test_a_record_that_fails_counts_as_zeros_and_others_as_ever(how: str) -> None:
    x = np.abs(X) % 1
    x[3, 0] = 7
    made, rows = gradients(Fails(how)), np.arange(12, dtype=np.uint64)
    assert not made.sum(rows[3:4], of_rows(x, Y), SEED, 0).any()
    rest = np.delete(rows, 3)
    assert torch.equal(made.sum(rows, of_rows(x, Y), SEED, 0), made.sum(rest, of_rows(x, Y), SEED, 0))


def test_a_record_whose_class_is_none_counts_as_zeros_and_stops_nobody() -> None:
    whole = table()
    arrays = {name: array.copy() for name, array in whole.arrays.items()}
    arrays["kind"][3] = -1
    given = private_recipe(transform={})
    take = assemble(given, Table.of(arrays, "kind"), ["float32"])
    made, rows = gradients(PrivateNet()), np.arange(12, dtype=np.uint64)
    assert not made.sum(rows[3:4], take, SEED, 0).any()
    assert torch.equal(made.sum(rows, take, SEED, 0), made.sum(np.delete(rows, 3), take, SEED, 0))


def test_noise_of_every_recipe_can_be_drawn() -> None:
    for sigma, grid in ((MOST_SIGMA, MOST_GRID), (LEAST_SIGMA, LEAST_GRID), (17.125, DEFAULT_GRID)):
        terms = Privacy.parse({"sigma": sigma, "clip": 1.0, "grid": grid, "unit_records": None})
        drawn = noise.discrete_gaussian(terms.noise_units).draw(bytes(32), bytes(32), 0, 1, 1000)
        assert 0.8 < np.std(drawn / grid) / sigma < 1.2


@examples(
    st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=64),
    st.sampled_from([2.0**-20, 0.1, 1.0, 3.7, 1e6]),
    st.sampled_from([8, 16, 24]),
)
def test_no_gradient_is_longer_than_the_clip(numbers: list[float], clip: float, bits: int) -> None:
    units = summed_units(torch.tensor([numbers], dtype=torch.float32), Privacy(1.0, clip, 1 << bits))
    assert sum(int(unit) ** 2 for unit in units) <= 1 << 2 * bits
    if not np.isfinite(numbers).all():
        assert not units.any()


def test_a_short_gradient_keeps_what_the_grid_can_tell() -> None:
    units = summed_units(torch.tensor([[0.25, -0.125, 1e-9]]), Privacy(1.0, 1.0, 1 << 16))
    assert units.tolist() == [1 << 14, -(1 << 13), 0]


# Refused by name


class RemembersOne(nn.Module):
    """Writes what it sees into a buffer where a batch has one record, and else into a copy."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.last, self.how = nn.Linear(4, 3), how
        self.seen: torch.Tensor
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x_B4: torch.Tensor) -> torch.Tensor:
        if self.training:
            seen_B4 = self.seen.expand_as(x_B4)
            if self.how == "contiguous":
                seen_B4.contiguous().add_(1)
            else:
                seen_B4.reshape(-1).add_(1)
        output_B3: torch.Tensor = self.last(x_B4)
        return output_B3


@pytest.mark.parametrize("how", ["contiguous", "reshape"])
def test_buffer_that_only_a_batch_of_one_writes_is_refused_by_name(how: str) -> None:
    with pytest.raises(InputRefused, match="a step writes 'seen' in place"):
        gradients(RemembersOne(how))
    graph, weights = export(RemembersOne(how), (Input("x", "F32", (4,)),), 2)
    program = Program(graph, weights, DEFAULT)
    program(torch.ones(1, 4), training=True)
    assert program.buffers["seen"].tolist() == [1] * 4 and program.graph.frozen == frozenset()


def test_what_mixes_the_records_of_a_batch_is_refused_by_name() -> None:
    with pytest.raises(InputRefused, match=r"aten.batch_norm.* mixes the records of a batch.*") as refusal:
        gradients(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    assert "GroupNorm" in refusal.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.1}, "sigma is a finite number from 0.25"),
        ({"clip": 0}, "clip is a finite number from"),
        ({"grid": 1000}, "grid is a power of two, not 1000"),
        ({"chunk": 3}, "chunk"),
    ],
)
def test_terms_of_privacy_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        private_recipe(privacy=PRIVACY | change)


def test_private_recipe_tells_no_metrics_and_costs_what_its_terms_say() -> None:
    with pytest.raises(InputRefused, match="metrics of a segment are exact numbers of its records"):
        private_recipe(metrics=["loss"])
    assert (
        recipe().charge == 0 and private_recipe().charge > private_recipe(privacy=PRIVACY | {"sigma": 2.0}).charge > 0
    )
    assert private_recipe().most_records(4) >= 4 * 8 and recipe().most_records(4) == 4 * 8
    assert Recipe.parse(private_recipe().encode()) == private_recipe()


def test_private_net_of_the_tests_is_one_that_is_taken() -> None:
    graph, weights = exported(PrivateNet)
    made = RecordGradients(Program(graph, weights, DEFAULT), private_recipe())
    take = assemble(private_recipe(), table(), ["float32"])
    assert made.sum(np.arange(8, dtype=np.uint64), take, sha256(b"seed"), 0).any() and len(COLUMNS) == 4
