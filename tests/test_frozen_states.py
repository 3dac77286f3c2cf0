"""What no training moves is kept, shown and read from the initial model alone: the states of a
model with a large frozen part are as small as what moves, and whoever exchanges it is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fitchain.pod.compute.checkpoint import read_leaves, read_state, state_steps
from fitchain.pod.jobs.worker import Context, events
from fitchain.pod.jobs.worker.task import Explain, Replay
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.diagnosis import read_state_digests
from fitchain.pod.values.job_folder import INITIAL, STATE_DIGESTS
from fitchain.pod.values.state import read_safetensors, write_safetensors
from tests.attacks import cheats
from tests.audits import Case, trained_here, work_here
from tests.training_jobs import CTX, SEED, exported

WIDTH = 1_000
MOVING = {"down.weight", "up.weight", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}


class LowRank(nn.Module):
    """A frozen linear layer of a million weights, moved by two small ones, between frozen layers
    of which a batch norm keeps statistics all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.wide, self.last = nn.Linear(4, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)
        self.norm = nn.BatchNorm1d(3)
        self.requires_grad_(False)
        self.down, self.up = nn.Linear(WIDTH, 2, bias=False), nn.Linear(2, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, 4] -> [B, 3]
        hidden_BW = torch.relu(self.first(x))
        output_BC: torch.Tensor = self.norm(self.last(self.wide(hidden_BW) + self.up(self.down(hidden_BW))))
        return output_BC


@pytest.fixture(scope="module")
def tuned(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return trained_here(tmp_path_factory.mktemp("tuned") / "job", store, net=LowRank, batch_size=4)


def exchanged(case: Case, leaf: int) -> None:
    """Let a leaf be of another frozen layer."""
    cheats.tampered_state(case.folder, leaf, "wide.bias")


def test_a_graph_names_what_no_training_moves() -> None:
    graph, initial = exported(LowRank)
    assert set(initial) - graph.frozen == MOVING


def test_states_and_evidence_hold_what_moves_and_the_delivery_all(tuned: Case) -> None:
    steps = state_steps(tuned.folder)
    place, _ = tuned.plain(tuned.facts(None))
    files = [tuned.folder / f"run/states/{step}.safetensors" for step in steps]
    files += [path for path in place.glob("*.safetensors") if path.stem.isdigit()]
    assert len(files) == len(steps) + tuned.recipe.segment_count - 1
    assert max(path.stat().st_size for path in files) < (tuned.folder / INITIAL).stat().st_size / 50
    assert set(read_state(tuned.folder, steps[0]).model) == MOVING
    final, initial = (read_safetensors(tuned.folder / name)[0] for name in ("run/final.safetensors", INITIAL))
    assert final.keys() == initial.keys()
    assert {name for name in final if final[name].data != initial[name].data} == MOVING


def test_an_audit_and_a_replay_of_them_match(tuned: Case) -> None:
    assert tuned.replayed_here(tuned.facts(None)) == []
    replayed = work_here(tuned.folder, Replay(Context(CTX, SEED), (0, 2, 5)))
    assert replayed[-1] == events.ReplayEnded(3, True)


def test_a_training_goes_on_from_a_state_that_lacks_the_frozen_part(tuned: Case) -> None:
    case, leaves = tuned.copy("resumed"), read_leaves(tuned.folder)
    lines = (case.folder / "run/leaves.jsonl").read_bytes().splitlines(keepends=True)
    (case.folder / "run/leaves.jsonl").write_bytes(b"".join(lines[:4]))
    for step in state_steps(case.folder)[3:]:
        (case.folder / f"run/states/{step}.safetensors").unlink()
    resumed = work_here(case.folder)
    assert [event for event in resumed if isinstance(event, events.Resumed)] == [events.Resumed(12, 4, 0)]
    assert read_leaves(case.folder) == leaves


def test_state_digests_name_what_moves(tuned: Case) -> None:
    work_here(tuned.folder, Explain(Context(CTX, SEED), (2,)))
    digests = read_state_digests(tuned.folder / STATE_DIGESTS)
    assert {name.removeprefix("model/") for name in digests[0].tensors if name.startswith("model/")} == MOVING


def test_a_frozen_part_that_was_exchanged_is_found_where_its_state_is_read(tuned: Case) -> None:
    case = tuned.copy("exchanged")
    exchanged(case, 3)
    problems = {problem.segment: problem.what for problem in case.replayed_here(case.facts(None))}
    assert problems[3].startswith("3.safetensors: the state's model has the root")
    assert problems[2].startswith("model root")


def test_a_state_that_names_its_own_frozen_part_is_refused(tuned: Case) -> None:
    """Its leaf names it and its root is right: who exchanged it before would else be found only by
    who replays the segment in which that was."""
    case = tuned.copy("named")
    exchanged(case, 3)
    whole = cheats.state_at(case.folder, 3)
    initial = read_safetensors(case.folder / INITIAL)[0]

    def name_it(place: Path) -> None:
        path = place / "3.safetensors"
        tensors, words = read_safetensors(path)
        bias = initial["wide.bias"]
        tensors["model/wide.bias"] = cheats.of_numbers(bias, cheats.numbers(bias) + np.float32(1e-6))
        path.unlink()
        write_safetensors(path, tensors, words)

    problems = {problem.segment: problem.what for problem in case.replayed_here(case.facts(None), name_it)}
    assert problems[3] == "the state does not fit the graph: the state holds 'wide.bias', which no training moves"
    assert set(whole.model) == set(initial)


def without(name: str) -> Callable[[Path], None]:
    def tamper(place: Path) -> None:
        path = place / "3.safetensors"
        tensors, words = read_safetensors(path)
        path.unlink()
        write_safetensors(path, {key: each for key, each in tensors.items() if key != name}, words)

    return tamper


def other_initial(place: Path) -> None:
    initial = read_safetensors(place / INITIAL)[0]
    (place / INITIAL).unlink()
    initial["wide.bias"] = replace(initial["wide.bias"], data=memoryview(bytes(initial["wide.bias"].data.nbytes)))
    write_safetensors(place / INITIAL, initial)


def torn_initial(place: Path) -> None:
    shutil.copyfile(place / INITIAL, place / "torn")
    (place / INITIAL).unlink()
    (place / INITIAL).write_bytes((place / "torn").read_bytes()[:-1])


@pytest.mark.parametrize(
    ("tamper", "spoilt"),
    [(without("model/up.weight"), [3]), (other_initial, list(range(6))), (torn_initial, list(range(6)))],
    ids=["a moving tensor left out", "another initial model", "half an initial model"],
)
def test_evidence_without_a_part_of_a_state_spoils_its_segments(
    tuned: Case, tamper: Callable[[Path], None], spoilt: list[int]
) -> None:
    problems = tuned.replayed_here(tuned.facts(None), tamper)
    assert [problem.segment for problem in problems] == spoilt
