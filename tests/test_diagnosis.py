"""Diagnosis: a disagreement is narrowed to a segment, a step and a tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fitchain.pod.compute.checkpoint import read_leaves, read_state
from fitchain.pod.jobs.worker import Context, explain
from fitchain.pod.jobs.worker.task import Explain, Recompute
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.diagnosis import StateDigests, first_disagreement, read_state_digests
from fitchain.pod.values.digest import sha256
from fitchain.pod.values.errors import InputRefused, NotFound
from fitchain.pod.values.job_folder import STATE_DIGESTS
from fitchain.pod.values.recipe import Recipe
from tests.attacks import cheats
from tests.audits import Case, trained_here, work_here
from tests.training_jobs import CTX, SEED

SEGMENTS = (2, 3, 4)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Case:
    place = tmp_path_factory.mktemp("honest")
    return trained_here(place / "job", LocalStore(place / "store", place / "home"), keep_every=2)


def owners(case: Case) -> tuple[StateDigests, ...]:
    """What an owner's folder gives, trained again there."""
    work_here(case.folder, Explain(Context(CTX, SEED), SEGMENTS))
    return read_state_digests(case.folder / STATE_DIGESTS)


def verifiers(case: Case) -> tuple[StateDigests, ...]:
    """What evidence gives."""
    place, _ = case.plain(case.facts(None))
    work_here(place, Explain(Context(CTX, SEED), SEGMENTS))
    return read_state_digests(place / STATE_DIGESTS)


def shown(case: Case) -> list[StateDigests]:
    """What an owner's leaves stand for: the states in its folder, as the ends of their segments."""
    leaves = [checkpoint.leaf for checkpoint in read_leaves(case.folder)]
    return [StateDigests.of(at - 1, leaves[at].step, read_state(case.folder, leaves[at].step)) for at in (3, 4, 5)]


def test_two_honest_sides_agree_in_every_moment(honest: Case) -> None:
    case = honest.copy("complete")
    work_here(case.folder, Recompute(Context(CTX, SEED), (1, 3, 5)))
    mine, theirs = owners(honest), verifiers(case)
    assert [(moment.segment, moment.step) for moment in mine] == [
        *((2, step) for step in range(8, 13)),
        *((3, step) for step in range(12, 17)),
        *((4, step) for step in range(16, 21)),
    ]
    assert mine == theirs
    assert first_disagreement(mine, shown(case)) is None


def test_a_worker_explains_evidence_in_its_sandbox(honest: Case) -> None:
    case = honest.copy("sandboxed")
    work_here(case.folder, Recompute(Context(CTX, SEED), (1, 3, 5)))
    place, _ = case.plain(case.facts(None))
    moments = explain(place, Context(CTX, SEED), [3])
    assert [(moment.segment, moment.step) for moment in moments] == [(3, step) for step in range(12, 17)]
    assert moments[0] == StateDigests.of(3, 12, read_state(case.folder, 12))


def test_another_learning_rate_shows_after_the_step_that_used_it(honest: Case) -> None:
    case = honest.copy("rate")
    recipe = Recipe.parse((case.folder / "recipe.json").read_bytes())
    (case.folder / "recipe.json").write_bytes(
        replace(recipe, learning_rates=((11, 0.01), (2, 0.005), (1, 0.006), (8, 0.005))).encode()
    )
    found = first_disagreement(owners(honest), owners(case))
    assert found is not None
    assert (found.segment, found.step, found.agreed, found.tensor) == (3, 14, 13, "model/first.bias")
    assert str(found).startswith(
        "segment 3: the two sides differ after step 14, and agree after step 13, in model/first.bias and"
    )


def test_a_tampered_tensor_is_named(honest: Case) -> None:
    case = honest.copy("tampered")
    work_here(case.folder, Recompute(Context(CTX, SEED), (1, 3, 5)))
    mine = owners(honest)
    cheats.other_buffer(case.folder, 4)
    found = first_disagreement(mine, shown(case))
    assert found is not None
    assert (found.segment, found.step, found.tensor, found.others) == (3, 16, "model/norm.running_mean", 0)


def test_moments_of_a_run_that_diverged_end_where_it_does(tmp_path: Path) -> None:
    how = {"optimizer": {"name": "SGD", "arguments": {"weight_decay": 10.0}}, "learning_rates": [[9, 0.01], [13, 1e6]]}
    case = trained_here(tmp_path / "job", LocalStore(tmp_path / "store", tmp_path / "home"), **how)
    last = len(read_leaves(case.folder)) - 1
    work_here(case.folder, Explain(Context(CTX, SEED), (last,)))
    moments = read_state_digests(case.folder / STATE_DIGESTS)
    assert moments[0].step == last * 4
    assert moments[-1].step <= last * 4 + 4


@pytest.mark.parametrize("line", [b"{}", b'{"segment":1,"step":2,"tensors":{"a":1}}', b"[1", b'{"segment":1}'])
def test_moments_of_a_stranger_are_parsed_with_care(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "theirs.jsonl").write_bytes(line + b"\n")
    with pytest.raises(InputRefused):
        read_state_digests(tmp_path / "theirs.jsonl")


def test_moments_come_back_from_their_lines(tmp_path: Path) -> None:
    moment = StateDigests(1, 5, {"model/a": sha256(b"a")})
    (tmp_path / "theirs.jsonl").write_bytes(moment.to_line() * 2)
    assert read_state_digests(tmp_path / "theirs.jsonl") == (moment, moment)
    with pytest.raises(NotFound):
        read_state_digests(tmp_path / "elsewhere")
