"""Jobs whose recipes accumulate, pull and average: interrupted, replayed, audited and attacked as
any other, in the open and in private."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fitchain.pod.compute.checkpoint import read_leaves
from fitchain.pod.compute.dataset import assemble
from fitchain.pod.compute.model import Program, tensor_bytes
from fitchain.pod.compute.private_training import RecordGradients, terms_of, train_privately
from fitchain.pod.compute.training import fresh_optimizer, optimizer_tensors
from fitchain.pod.jobs.worker import Context, Event
from fitchain.pod.jobs.worker.events import Evaluated, ReplayEnded
from fitchain.pod.jobs.worker.job import Job
from fitchain.pod.jobs.worker.modes import MODES
from fitchain.pod.jobs.worker.task import Replay
from fitchain.pod.ports.store.local import LocalStore
from fitchain.pod.proof.audit.checking import check
from fitchain.pod.proof.audit.evidence import Evidence
from fitchain.pod.values.evaluation import ModelEvaluation
from fitchain.pod.values.job_folder import JobFolder
from fitchain.pod.values.leaf import Indices
from fitchain.pod.values.privacy.noise import discrete_gaussian
from fitchain.pod.values.recipe import Recipe
from fitchain.pod.values.state import model_root, read_safetensors, write_safetensors
from tests.audits import Case, facts_of, trained_here, work_here
from tests.training_jobs import (
    CTX,
    NOISE,
    PRIVACY,
    SEED,
    PrivateNet,
    exported,
    job_folder,
    leaf_digests,
    private_recipe,
    table,
    task_in,
)

MOVED: dict[str, Any] = {"ema": 0.8, "proximal": 0.1, "optimizer": {"name": "LAMB", "arguments": {}}}
OPENLY = {**MOVED, "micro_batch": 3, "held_out": 0.2, "evaluate": "segment", "best": "accuracy"}
PRIVATELY = {**MOVED, "net": PrivateNet, "privacy": PRIVACY, "metrics": [], "held_out": 0.2}


@pytest.fixture(scope="module", params=[OPENLY, PRIVATELY], ids=["open", "private"])
def honest(request: pytest.FixtureRequest, store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return trained_here(tmp_path_factory.mktemp("honest") / "job", store, **request.param)


@pytest.fixture(scope="module")
def assessed(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return trained_here(tmp_path_factory.mktemp("assessed") / "job", store, **OPENLY).assessed()


def test_interrupted_and_resumed_it_comes_to_the_same_leaves(honest: Case, tmp_path: Path) -> None:
    folder, seen = job_folder(tmp_path / "job", honest.recipe), list[Event]()
    JobFolder(folder).make_run()

    def until_half(event: Event) -> None:
        seen.append(event)
        if len(seen) == 4:
            raise KeyboardInterrupt

    task = task_in(folder)
    with pytest.raises(KeyboardInterrupt):
        MODES[task.mode](Job.open(folder, task, honest.recipe), until_half)
    assert 0 < len(read_leaves(folder)) < honest.recipe.leaf_count
    work_here(folder)
    assert leaf_digests(read_leaves(folder)) == leaf_digests(read_leaves(honest.folder))


def test_every_segment_replays(honest: Case) -> None:
    secret = NOISE if honest.recipe.privacy else bytes(32)
    assert work_here(honest.folder, Replay(Context(CTX, SEED, secret), tuple(range(6))))[-1] == ReplayEnded(6, True)


def test_what_is_evaluated_and_delivered_is_the_average(assessed: Case, tmp_path: Path) -> None:
    """The delivered file, run on the table, puts out what the leaf's result counts; the weights do
    not."""
    last = read_leaves(assessed.folder)[-1]
    delivered, _ = read_safetensors(assessed.folder / "run/final.safetensors")
    roots = {checkpoint.model: checkpoint for checkpoint in read_leaves(assessed.folder)}
    assert model_root(delivered) in roots and last.held_out is not None
    folder = job_folder(tmp_path / "job", assessed.recipe, "evaluate")
    (folder / "run").mkdir()
    write_safetensors(folder / "run/final.safetensors", delivered)
    assert [event for event in work_here(folder) if isinstance(event, Evaluated)] == [Evaluated(40)]
    assert ModelEvaluation.parse((folder / "run/evaluation.json").read_bytes()).records == 40


@pytest.mark.parametrize("segment", [0, 3], ids=["first", "inner"])
def test_an_audit_and_its_reference_find_nothing(assessed: Case, segment: int) -> None:
    assert assessed.replayed_here(replace(facts_of(assessed, segment), drawn_segments=99)) == []


def test_another_initial_model_is_a_problem_of_every_segment(assessed: Case) -> None:
    """Each of them is pulled towards it, those of a reference training, too."""

    def tamper(folder: Path) -> None:
        tensors, _ = read_safetensors(folder / "initial.safetensors")
        name = next(iter(tensors))
        changed = np.frombuffer(bytes(tensors[name].data), np.uint8) ^ 1
        write_safetensors(
            folder / "initial.safetensors",
            {**tensors, name: replace(tensors[name], data=memoryview(changed.tobytes()))},
        )

    facts = replace(facts_of(assessed, 3), drawn_segments=99)
    evidence: Evidence = assessed.evidence(facts, tamper)
    checked = check(evidence, facts)
    spoilt = {problem.segment for problem in checked.problems}
    assert spoilt == {None, *range(6)} and checked.replayable == ()  # a reference training has no segment's number
    assert all("initial.safetensors has the model root" in problem.what for problem in checked.problems)


# In private


def private_states(given: Recipe, steps: int) -> Iterator[dict[str, bytes]]:
    """The states between the steps of a private training, whose records go side by side."""
    graph, initial = exported(PrivateNet)
    program = Program(graph, initial)
    optimizer = fresh_optimizer(program, given)
    order = (np.arange(first, first + 8, dtype=np.uint64) for first in range(0, 8 * steps, 8))
    take = assemble(given, table())
    for _ in train_privately(program, given, order, take, SEED, 0, optimizer, lambda segment: NOISE):
        tensors = {**program.parameters, **optimizer_tensors(optimizer, program)}
        yield {name: bytes(tensor_bytes("buffer", tensor.detach()).data) for name, tensor in tensors.items()}


def test_a_private_step_is_pulled_and_averaged_as_one_writes_it() -> None:
    """Each step's gradients are of the weights, not of their average, though the records' calls are
    taken down once: here they are anew in each step."""
    given = private_recipe(ema=0.75, proximal=0.5, optimizer={"name": "SGD", "arguments": {}})
    graph, initial = exported(PrivateNet)
    program, terms = Program(graph, initial), terms_of(given)
    start = {name: tensor.detach().clone() for name, tensor in program.trainable.items()}
    averages: dict[str, torch.Tensor] = {}
    noise, unit = discrete_gaussian(terms.noise_units), terms.clip / (terms.grid * given.batch_size)
    for step, state in enumerate(private_states(given, 4)):
        records: Indices = np.arange(8 * step, 8 * step + 8, dtype=np.uint64)
        gradients = RecordGradients(program, given)
        sum_D = gradients.sum(records, assemble(given, table()), SEED, step)
        sum_D += torch.from_numpy(noise.draw(NOISE, SEED.value, step, 1, gradients.count))
        sizes = [tensor.numel() for tensor in start.values()]
        parts = torch.split((sum_D.double() * unit).float(), sizes)
        for (name, weight), part in zip(program.trainable.items(), parts, strict=True):
            weight.grad = part.view(weight.shape) + (weight.detach() - start[name]) * 0.5
            torch.optim.SGD([weight], given.learning_rate(step), fused=True).step()
            moved = weight.detach().clone()
            averages[name] = averages[name] * 0.75 + moved * 0.25 if step else moved
            assert torch.equal(moved.flatten(), read(state[f"{name}/weights"]))
            assert torch.equal(averages[name].flatten(), read(state[name]))


def read(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.float32)
