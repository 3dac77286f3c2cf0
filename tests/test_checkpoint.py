"""The recorder: the right leaves, off the training thread, on disk before anyone is told; and what
a power cut may leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from fitchain.pod.compute.checkpoint import (
    Unmoved,
    read_leaves,
    read_state,
    replace_last_leaf,
    state_steps,
    trim_leaves,
)
from fitchain.pod.compute.checkpoint.files import state_path
from fitchain.pod.compute.checkpoint.recorder import LiveState, Recorded, Recorder
from fitchain.pod.compute.model import tensor_bytes
from fitchain.pod.compute.training import Diverged
from fitchain.pod.values.errors import DigestMismatch, InputRefused, NotFound
from fitchain.pod.values.leaf import Checkpoint, SegmentRecords, leaf_salt, verify_chain
from fitchain.pod.values.state import model_root, optimizer_root
from tests.risk_reports import made_up_report
from tests.training_jobs import CTX, SALT_KEYS, SEED, leaf_digests, recipe

RECIPE = recipe(steps=16)  # leaves after 0, 4, 8, 12 and 16 steps
STEPS = [RECIPE.step_of(index) for index in range(RECIPE.leaf_count)]


@dataclass
class Tensors:
    """A made-up training: a step adds one to every tensor that moves."""

    weight: torch.Tensor
    mean: torch.Tensor
    moment: torch.Tensor
    mask: torch.Tensor

    @classmethod
    def fresh(cls) -> Tensors:
        weight = torch.linspace(0, 1, 6).reshape(2, 3).requires_grad_()
        return cls(weight, torch.zeros(3), torch.zeros(2, 3), torch.full((4,), float("-inf")))

    def live(self, step: int) -> LiveState:
        """The state as the recorder is given it: no optimizer before the first step."""
        optimizer = {"weight/moment": self.moment} if step else {}
        return LiveState(
            {"weight": self.weight}, {"mean": self.mean, "mask": self.mask}, optimizer, frozenset({"mask"})
        )

    def move(self) -> None:
        with torch.no_grad():
            for tensor in (self.weight, self.mean, self.moment):
                tensor += 1


UNMOVED = Unmoved.of({"mask": tensor_bytes("buffer", Tensors.fresh().mask)})


def recorder(
    folder: Path,
    recorded: tuple[Checkpoint, ...] = (),
    keep_every: int = 1,
    on_leaf: Callable[[Recorded], None] | None = None,
) -> Recorder:
    """A recorder that begins at leaf 0."""
    return Recorder(folder, CTX, SEED, RECIPE, SALT_KEYS, keep_every, recorded=recorded, on_leaf=on_leaf)


def record_all(taking: Recorder, tensors: Tensors | None = None, until: int = len(STEPS)) -> Tensors:
    """Record leaves of the made-up training; tensors move on as soon as they are taken."""
    tensors = tensors or Tensors.fresh()
    for index, step in enumerate(STEPS[:until]):
        records = SegmentRecords()
        records.add(np.arange(index, dtype=np.uint64))
        taking.record(step, tensors.live(step), records, {"loss": 0.5 * index} if index else {})
        tensors.move()
    return tensors


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A job folder with a whole recorded training."""
    with recorder(tmp_path) as taking:
        record_all(taking)
    yield tmp_path


def test_leaves_form_a_chain_and_open_their_metrics(folder: Path) -> None:
    checkpoints = read_leaves(folder)
    assert [checkpoint.leaf.step for checkpoint in checkpoints] == STEPS
    assert verify_chain([checkpoint.leaf for checkpoint in checkpoints], CTX, SEED)
    assert [checkpoint.metrics.get("loss") for checkpoint in checkpoints] == [None, 0.5, 1.0, 1.5, 2.0]


def test_a_leaf_names_the_state_as_it_was_when_taken(folder: Path) -> None:
    tensors = Tensors.fresh()
    for checkpoint in read_leaves(folder):
        live = tensors.live(checkpoint.leaf.step)
        model = {name: tensor_bytes("parameter", tensor.detach()) for name, tensor in live.parameters.items()}
        model |= {name: tensor_bytes("buffer", tensor) for name, tensor in live.buffers.items()}
        moments = {name: tensor_bytes("optimizer", tensor) for name, tensor in live.optimizer.items()}
        assert (checkpoint.model, checkpoint.optimizer) == (model_root(model), optimizer_root(moments))
        tensors.move()


def test_a_tensor_that_needs_a_gradient_is_taken_without_one(tmp_path: Path) -> None:
    tensors = Tensors.fresh()
    with recorder(tmp_path) as taking:
        record_all(taking, tensors)
    assert tensors.weight.grad_fn is None


@pytest.mark.parametrize(("keep_every", "kept"), [(1, [4, 8, 12, 16]), (2, [8, 16]), (3, [12, 16]), (1 << 30, [16])])
def test_every_so_many_states_are_kept_and_the_last(tmp_path: Path, keep_every: int, kept: list[int]) -> None:
    with recorder(tmp_path, keep_every=keep_every) as taking:
        record_all(taking)
    assert state_steps(tmp_path) == kept


def test_kept_states_are_those_that_their_leaves_name(folder: Path) -> None:
    checkpoints = {checkpoint.leaf.step: checkpoint for checkpoint in read_leaves(folder)}
    for step in state_steps(folder):
        state = read_state(folder, step)
        state.verify(checkpoints[step], UNMOVED)
        assert (set(state.model), set(state.optimizer)) == ({"weight", "mean"}, {"weight/moment"})


def test_a_state_of_another_leaf_is_refuted(folder: Path) -> None:
    leaves = read_leaves(folder)
    with pytest.raises(DigestMismatch, match=r"the state's model has the root .* and leaf 2 says"):
        read_state(folder, 4).verify(leaves[2], UNMOVED)


def test_a_state_that_is_not_kept_is_not_found(folder: Path) -> None:
    with pytest.raises(NotFound):
        read_state(folder, 5)


def test_a_torn_state_is_refused(folder: Path) -> None:
    path = state_path(folder, 8)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputRefused):
        read_state(folder, 8)


def test_a_leaf_is_on_disk_before_anyone_is_told(tmp_path: Path) -> None:
    seen: list[bool] = []

    def told(recorded: Recorded) -> None:
        assert (recorded.new, recorded.kept) == (True, recorded.checkpoint.leaf.index > 0)
        on_disk = read_leaves(tmp_path)[-1].leaf == recorded.checkpoint.leaf
        seen.append(on_disk and (not recorded.kept or recorded.checkpoint.leaf.step in state_steps(tmp_path)))

    with recorder(tmp_path, on_leaf=told) as taking:
        record_all(taking)
    assert seen == [True] * len(STEPS)


def test_training_waits_when_both_buffers_are_busy(tmp_path: Path) -> None:
    release, told = threading.Event(), []

    def slow(recorded: Recorded) -> None:
        release.wait()
        told.append(recorded)

    with recorder(tmp_path, on_leaf=slow) as taking:
        training = threading.Thread(target=record_all, args=(taking,))
        training.start()
        training.join(0.3)
        assert training.is_alive()
        assert len(told) == 0
        release.set()
        training.join()
    assert len(told) == len(STEPS)


def test_an_error_behind_the_scenes_stops_the_training(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/states").write_text("in the way")
    with pytest.raises(OSError, match="states"), recorder(tmp_path) as taking:
        record_all(taking)
    assert len(read_leaves(tmp_path)) == 2  # leaf 1 was the first with a state to keep


def test_leaves_recorded_again_must_be_equal(folder: Path) -> None:
    known = read_leaves(folder)
    with recorder(folder, known) as taking:
        record_all(taking)
    assert leaf_digests(read_leaves(folder)) == leaf_digests(known)


def test_a_leaf_that_comes_out_differently_is_refuted_with_its_first_difference(folder: Path) -> None:
    known, tensors = read_leaves(folder), Tensors.fresh()
    tensors.mean += 1e-7
    difference = f"leaf 0 comes out as .*: model root .*, not {known[0].model}"
    with pytest.raises(DigestMismatch, match=difference), recorder(folder, known) as taking:
        record_all(taking, tensors)
    assert read_leaves(folder) == known


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_parameter_that_is_not_finite_ends_the_training_at_the_leaf_before(tmp_path: Path, value: float) -> None:
    tensors = Tensors.fresh()
    with (
        pytest.raises(Diverged, match="after step 8: the parameter weight is not finite"),
        recorder(tmp_path) as taking,
    ):
        record_all(taking, tensors, until=2)
        with torch.no_grad():
            tensors.weight[1, 2] = value
        taking.record(8, tensors.live(8), SegmentRecords(), {"loss": 1.0})
    assert len(read_leaves(tmp_path)) == 2


def test_an_earlier_leafs_failure_is_told_rather_than_the_trainings_own(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/states").write_text("in the way")
    with pytest.raises(OSError, match="states"), recorder(tmp_path) as taking:
        record_all(taking, until=2)
        raise Diverged(9, "the loss is nan")


# Salted states


def test_only_the_first_leaf_and_the_last_name_their_state(folder: Path) -> None:
    checkpoints = read_leaves(folder)
    named = [checkpoint.leaf.state == checkpoint.roots.digest for checkpoint in checkpoints]
    assert named == [True, False, False, False, True]
    keys = [leaf_salt(SALT_KEYS.states, index) for index in range(5)]
    assert [checkpoint.state_salt for checkpoint in checkpoints] == [None, *keys[1:4], None]


def test_the_last_leaf_is_written_anew_and_stays_so(tmp_path: Path) -> None:
    with recorder(tmp_path) as taking:
        record_all(taking, until=3)
    first, second, third = read_leaves(tmp_path)
    replace_last_leaf(tmp_path, third.unsalted())
    ended = read_leaves(tmp_path)
    assert ended[:2] == (first, second)
    assert ended[2].opened.roots == third.roots and ended[2].leaf.digest(CTX, SEED) != third.leaf.digest(CTX, SEED)
    with recorder(tmp_path, ended) as taking:  # as after a crash before the end was told
        record_all(taking, until=3)
    assert read_leaves(tmp_path) == ended

    with recorder(tmp_path, ended) as taking:  # what went on after all may do so: the salt is the owner's alone
        record_all(taking)
    assert read_leaves(tmp_path)[:3] == ended
    assert verify_chain([checkpoint.leaf for checkpoint in read_leaves(tmp_path)], CTX, SEED)


def test_a_last_leaf_with_a_risk_report_is_recorded_again_with_it(tmp_path: Path) -> None:
    with recorder(tmp_path) as taking:
        record_all(taking)
    *before, last = read_leaves(tmp_path)
    replace_last_leaf(tmp_path, last.with_report(made_up_report().parts))
    bound = read_leaves(tmp_path)
    assert bound[:-1] == tuple(before) and bound[-1].leaf.held_out != last.leaf.held_out
    with recorder(tmp_path, bound) as taking:
        record_all(taking)
    assert read_leaves(tmp_path) == bound


# After a power cut


def test_half_a_line_is_dropped(folder: Path) -> None:
    whole = (folder / "run/leaves.jsonl").read_bytes()
    (folder / "run/leaves.jsonl").write_bytes(whole[:-40])
    assert len(read_leaves(folder)) == 4
    checkpoints, dropped = trim_leaves(folder)
    assert (len(checkpoints), dropped) == (4, len(whole.splitlines()[-1]) - 39)
    assert trim_leaves(folder) == (checkpoints, 0)


def test_a_last_line_that_is_none_is_dropped(folder: Path) -> None:
    with (folder / "run/leaves.jsonl").open("ab") as file:
        file.write(b"\0" * 100 + b"\n")
    checkpoints, dropped = trim_leaves(folder)
    assert (len(checkpoints), dropped) == (5, 101)


def test_a_line_before_the_last_that_is_none_is_refused(folder: Path) -> None:
    lines = (folder / "run/leaves.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "run/leaves.jsonl").write_bytes(b"".join([lines[0], b"{}\n", *lines[2:]]))
    with pytest.raises(InputRefused, match="line 2 of"):
        trim_leaves(folder)


def test_a_line_whose_state_was_altered_is_refuted(folder: Path) -> None:
    text, model = (folder / "run/leaves.jsonl").read_text(), str(read_leaves(folder)[2].model)
    (folder / "run/leaves.jsonl").write_text(text.replace(model, str(SEED)))
    with pytest.raises(DigestMismatch, match="the state of leaf 2 opens to"):
        read_leaves(folder)


def test_a_line_whose_metrics_were_altered_is_refuted(folder: Path) -> None:
    text = (folder / "run/leaves.jsonl").read_text()
    (folder / "run/leaves.jsonl").write_text(text.replace('"loss":1.5', '"loss":1.4'))
    with pytest.raises(DigestMismatch, match="the metrics of leaf 3"):
        read_leaves(folder)


def test_a_folder_without_leaves_has_none(tmp_path: Path) -> None:
    assert trim_leaves(tmp_path) == ((), 0)
